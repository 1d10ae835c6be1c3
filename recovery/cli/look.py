"""The commands that only look: disks and inspect."""

from __future__ import annotations

import sys

import click

from formats.archive.opening import open_archive
from formats.base.units import in_words as size
from recovery.cli.info import show_archive
from recovery.cli.output import face, json_line, say, told
from recovery.cli.parameters import json_option
from recovery.cli.words import disk_text
from recovery.engine.inventory import Disk, list_disks
from recovery.engine.prepare import inspect_path, is_jurymast_archive


@click.command()
@json_option
def disks(as_json: bool) -> None:
    """List the disks of this machine."""
    with face(as_json) as shown, told(shown):
        found = list_disks()
    if as_json:
        for disk in found:
            json_line({"type": "disk", **disk.to_json()}, sys.stdout)
        json_line({"type": "result", "outcome": "ok", "exit_code": 0, "disks": len(found)}, sys.stdout)
        return
    for disk in found:
        say(_disk_line(disk))
    if not found:
        say(
            "No disks found. If the machine has some, its controller may be in RAID or VMD mode: look into its "
            "firmware setup."
        )


def _disk_line(disk: Disk) -> str:
    identity = disk.identity
    notes = [
        identity.transport,
        "removable" if disk.removable else "",
        "read-only" if disk.read_only else "",
        "this system runs from it" if disk.boot_medium else "",
        "mounted" if disk.mounts else "",
        "swap in use" if disk.swaps else "",
    ]
    name = identity.model or identity.backing or "unknown model"
    serial = f" serial {identity.serial}" if identity.serial else ""
    state = ", ".join(n for n in notes if n) or "not in use"
    return f"{identity.path:<14} {size(identity.size):>10}  {name}{serial}  ({state})"


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
