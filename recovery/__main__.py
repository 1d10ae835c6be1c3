"""Start the face that the command line asks for."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command `jurymast`."""
    try:
        from recovery.cli.main import command  # takes a moment, in which Ctrl-C must not end in a traceback

        command(prog_name="jurymast")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
