"""File systems, read-only: bytes in, structure out."""
