"""The command `jurymast`. See the README for its exit codes and its JSON."""

from __future__ import annotations

import logging
import sys
from importlib import import_module

import click

from recovery import __version__

_HOME = {
    "disks": "recovery.cli.look",
    "places": "recovery.cli.places",
    "inspect": "recovery.cli.look",
    "backup": "recovery.cli.jobs",
    "restore": "recovery.cli.jobs",
    "clone": "recovery.cli.jobs",
    "verify": "recovery.cli.jobs",
    "info": "recovery.cli.info",
    "ls": "recovery.cli.browse",
    "find": "recovery.cli.browse",
    "cat": "recovery.cli.browse",
    "show": "recovery.cli.show",
    "extract": "recovery.cli.files",
    "hash": "recovery.cli.files",
    "diff": "recovery.cli.files",
    "mount": "recovery.cli.mount",
    "reports": "recovery.cli.past",
    "log": "recovery.cli.past",
    "hooks": "recovery.cli.hooks",
    "schedule": "recovery.cli.schedule",
    "prune": "recovery.cli.retention",
    "tui": "recovery.tui.command",
}
_NAMES = {"find": "find_command", "hash": "hash_command"}  # functions that would hide what Python has


class _Commands(click.Group):
    """Loads a command when it is asked for: `info` need not wait for the engine, nor `--version` for anything."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without arguments, a person at a terminal gets the screens; a program gets the help."""
        if not args and sys.stdin.isatty() and sys.stdout.isatty():
            args = ["tui"]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_HOME)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _HOME:
            return None
        found: click.Command = getattr(import_module(_HOME[cmd_name]), _NAMES.get(cmd_name, cmd_name))
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jurymast")
def command() -> None:
    """Image, restore and clone whole disks. Success means: read, stored, read again, and proven.

    Exit codes: 0 ok, 1 failed, 2 usage, 3 refused for safety, 4 completed with losses, 5 archive damaged,
    6 done but a command that goes with it failed, 130 stopped on request.

    While a job runs: Ctrl-C stops it and leaves things in order, Ctrl-Z and fg (or the signal USR1, once and once
    more) pause it and let it go on.
    """
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
