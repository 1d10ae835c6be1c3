"""The command `jurymast`: one of two faces of the engine."""
