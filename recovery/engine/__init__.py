"""The application: no printing, no command line, no screen. Faces build requests and render Events."""
