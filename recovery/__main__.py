"""Start the face that the command line asks for."""

from __future__ import annotations


def main() -> None:
    """Entry point of the command `jurymast`."""
