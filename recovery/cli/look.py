"""The commands that only look: disks and inspect."""

from __future__ import annotations

import sys

import click

from formats.archive.opening import open_archive
from formats.base.units import in_words as size
from recovery.cli.info import show_archive
from recovery.cli.output import face, json_line, say, told
from recovery.cli.parameters import json_option
from recovery.engine.controllers import hidden_disks
from recovery.engine.inventory import Disk, list_disks
from recovery.engine.prepare import inspect_path, is_jurymast_archive
from recovery.words import NO_DISKS, disk_name, disk_state, disk_text, hidden_lines


@click.command()
@json_option
def disks(as_json: bool) -> None:
    """List the disks of this machine."""
    with face(as_json) as shown, told(shown):
        found, hidden = list_disks(), hidden_disks()
    if as_json:
        for disk in found:
            json_line({"type": "disk", **disk.to_json()}, sys.stdout)
        for behind in hidden:
            json_line({"type": "hidden", **behind.to_json()}, sys.stdout)
        json_line({"type": "result", "outcome": "ok", "exit_code": 0, "disks": len(found)}, sys.stdout)
        return
    for disk in found:
        say(_disk_line(disk))
    if not found and not hidden:
        say(NO_DISKS)
    for line in hidden_lines(hidden):
        say(line)


def _disk_line(disk: Disk) -> str:
    identity = disk.identity
    return f"{identity.path:<14} {size(identity.size):>10}  {disk_name(disk)}  ({disk_state(disk)})"


@click.command()
@click.argument("source")
@json_option
def inspect(source: str, as_json: bool) -> None:
    """Show what is on SOURCE: a disk, a partition, an image file, or an archive."""
    with face(as_json) as shown, told(shown):
        if is_jurymast_archive(source):
            with open_archive(source) as reader:
                show_archive(reader, as_json)
        report = inspect_path(source, lambda text: None if as_json else shown.look(text))
    if as_json:
        json_line({"type": "result", "outcome": "ok", "exit_code": 0, **report.to_json()}, sys.stdout)
    else:
        say(disk_text(report))
