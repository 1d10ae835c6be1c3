"""The commands that only look: disks, inspect, info."""

from __future__ import annotations

import sys
from typing import Any

import click
from rich.console import Console

from formats.archive.opening import open_archive
from formats.archive.reader import ArchiveReader
from formats.base.units import in_words as size
from recovery.cli.exit_codes import ExitCode
from recovery.cli.output import face, json_line, told
from recovery.cli.words import disk_text
from recovery.engine.inventory import Disk, list_disks
from recovery.engine.prepare import inspect_path, is_jurymast_archive

json_option = click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")


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
        _print(_disk_line(disk))
    if not found:
        _print(
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
                _info(reader, as_json)
            return
        report = inspect_path(source, lambda text: None if as_json else shown.look(text))
    if as_json:
        json_line({"type": "result", "outcome": "ok", "exit_code": 0, **report.to_json()}, sys.stdout)
    else:
        _print(disk_text(report))


@click.command()
@click.argument("archive")
@json_option
def info(archive: str, as_json: bool) -> None:
    """Show what ARCHIVE holds, and its proof, without reading all of it."""
    with face(as_json) as shown, told(shown), open_archive(archive) as reader:
        _info(reader, as_json)


def _info(reader: ArchiveReader, as_json: bool) -> None:
    manifest = reader.manifest
    damaged = bool(reader.problems) or not reader.structure.complete
    code = ExitCode.DAMAGED if damaged else ExitCode.OK
    if as_json:
        body = {
            "type": "result",
            "outcome": "failed" if damaged else "ok",
            "exit_code": int(code),
            "archive": reader.source.name,
            "archive_id": manifest.archive_id.hex(),
            "archive_bytes": reader.source.size,
            "block_size": manifest.block_size,
            **{("backup_outcome" if k == "outcome" else k): v for k, v in manifest.details.items()},
            "disks": [{k: v for k, v in d.items() if k != "table"} | _scheme(d) for d in manifest.disks],
            "partitions": [_volume_json(reader, i) for i in range(len(manifest.volumes))],
            "archive_problems": [p.to_json() for p in reader.problems],
        }
        json_line(body, sys.stdout)
        sys.exit(code)
    _print(f"{reader.source.name}: {size(reader.source.size)}, made {manifest.details.get('created', '?')}")
    for i, volume in enumerate(manifest.volumes):
        details = volume.details
        proof = details.get("proof") or {}
        held = size(int(details.get("image_bytes") or 0))
        verdict = proof.get("verdict", "NOT-VERIFIED") if isinstance(proof, dict) else "NOT-VERIFIED"
        _print(f"{i + 1:>3}  {size(volume.size):>10}  {held:>10} held  {details.get('title', '?')}: {verdict}")
        if isinstance(proof, dict) and proof.get("text"):
            _print(f"       {proof['text']}")
        for file in details.get("left_out") or []:
            _print(f"       left out: {file.get('path')}")
    for problem in reader.problems:
        _print(f"{problem.severity.value}: {problem.text}")
    if damaged:
        _print("The archive is damaged. 'jurymast verify' lists what is lost.")
    sys.exit(code)


def _scheme(disk: dict[str, Any]) -> dict[str, Any]:
    table = disk.get("table")
    return {"table": table.get("scheme") if isinstance(table, dict) else None}


def _volume_json(reader: ArchiveReader, index: int) -> dict[str, Any]:
    volume = reader.manifest.volumes[index]
    body = volume.to_json(index)
    body["start"] = volume.disk_offset
    body.pop("map", None)
    for file in body.get("left_out") or []:
        file.pop("extents", None)
    return body


def _print(text: str) -> None:
    """Between words at a terminal; whole lines where a program reads them."""
    console = Console(highlight=False)
    console.print(text, markup=False, soft_wrap=not console.is_terminal)
