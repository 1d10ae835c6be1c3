"""The full-screen face of the engine. See app for how it is put together."""
