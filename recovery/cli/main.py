"""The command `jurymast`. See the README for its exit codes and its JSON."""

from __future__ import annotations

import logging

import click

from recovery import __version__
from recovery.cli.browse import cat, find_command, ls
from recovery.cli.files import diff, extract, hash_command
from recovery.cli.jobs import backup, clone, restore, verify
from recovery.cli.look import disks, info, inspect
from recovery.cli.mount import mount


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jurymast")
def command() -> None:
    """Image, restore and clone whole disks. Success means: read, stored, read again, and proven.

    Exit codes: 0 ok, 1 failed, 2 usage, 3 refused for safety, 4 completed with losses, 5 archive damaged,
    130 stopped on request.
    """
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")


for sub in (
    disks,
    inspect,
    backup,
    restore,
    clone,
    verify,
    info,
    ls,
    find_command,
    cat,
    extract,
    hash_command,
    diff,
    mount,
):
    command.add_command(sub)
