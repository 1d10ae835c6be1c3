"""Start the face that the command line asks for."""

from __future__ import annotations

from recovery.cli.main import command


def main() -> None:
    """Entry point of the command `jurymast`."""
    command(prog_name="jurymast")


if __name__ == "__main__":
    main()
