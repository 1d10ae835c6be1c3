"""Commands of the user, and executables of a folder, at the three moments of a backup."""
