"""The command that shows what an archive holds. Started for every archive in a folder: it loads little."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from formats.archive.opening import open_archive
from formats.archive.reader import ArchiveReader
from formats.base.units import in_words as size
from recovery.cli.exit_codes import ExitCode
from recovery.cli.output import face, json_line, say, told
from recovery.cli.parameters import json_option


@click.command()
@click.argument("archive")
@json_option
def info(archive: str, as_json: bool) -> None:
    """Show what ARCHIVE holds, and its proof, without reading all of it."""
    with face(as_json) as shown, told(shown), open_archive(archive) as reader:
        show_archive(reader, as_json)


def show_archive(reader: ArchiveReader, as_json: bool) -> NoReturn:
    """Print what it holds, and end the process: with DAMAGED when that is all that can be relied on."""
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
    say(f"{reader.source.name}: {size(reader.source.size)}, made {manifest.details.get('created', '?')}")
    for i, volume in enumerate(manifest.volumes):
        details = volume.details
        proof = details.get("proof") or {}
        held = size(int(details.get("image_bytes") or 0))
        verdict = proof.get("verdict", "NOT-VERIFIED") if isinstance(proof, dict) else "NOT-VERIFIED"
        say(f"{i + 1:>3}  {size(volume.size):>10}  {held:>10} held  {details.get('title', '?')}: {verdict}")
        if isinstance(proof, dict) and proof.get("text"):
            say(f"       {proof['text']}")
        for file in details.get("left_out") or []:
            say(f"       left out: {file.get('path')}")
    for problem in reader.problems:
        say(f"{problem.severity.value}: {problem.text}")
    if damaged:
        say("The archive is damaged. 'jurymast verify' lists what is lost.")
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
