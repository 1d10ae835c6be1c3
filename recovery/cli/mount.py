"""The command mount."""

from __future__ import annotations

import sys

import click

from recovery.cli.exit_codes import ExitCode
from recovery.cli.lookup import complain, finish, looking
from recovery.cli.output import json_line
from recovery.cli.parameters import json_option
from recovery.engine.mounting import mount as mount_source


@click.command()
@click.argument("source")
@click.argument("folder", metavar="DIR")
@click.option("--background", is_flag=True, help="Come back when DIR is there; unmount it with 'fusermount3 -u DIR'.")
@click.option("--allow-other", is_flag=True, help="Let other users look into it, too.")
@json_option
def mount(source: str, folder: str, background: bool, allow_other: bool, as_json: bool) -> None:
    """Show SOURCE (an archive, disk or image) in the empty directory DIR, read-only, until it is unmounted.

    Each partition N is there as its raw bytes (DIR/N.raw) and as the tree of its files (DIR/N/).
    """

    def ready() -> None:
        if as_json:
            json_line({"type": "mounted", "folder": folder, "background": background}, sys.stdout)
        else:
            hint = "" if background else ", or stop with Ctrl-C"
            complain(f"{source} is mounted at {folder}. Unmount with: fusermount3 -u {folder}{hint}")

    with looking(as_json=as_json):
        mount_source(source, folder, background=background, allow_other=allow_other, on_ready=ready)
        if as_json:
            finish(ExitCode.OK)
    sys.exit(ExitCode.OK)
