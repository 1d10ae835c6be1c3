"""The archive itself in every shape: several disks in one, in parts, through a pipe; and all through the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from formats.base.errors import Refused
from formats.base.extent import ExtentList
from formats.base.units import MiB
from recovery.engine.events import Outcome
from recovery.engine.planners.restore import RestoreRequest
from recovery.engine.prepare import prepare_restore
from tests.support.tools import need
from tests.trip.compare import first_difference, first_stray
from tests.trip.engine import Image, Scenes, backup, held, restore, verify
from tests.trip.patient import ROOT

PROGRAM = [sys.executable, "-m", "recovery"]


def jurymast(*arguments: str | Path, code: int = 0) -> list[dict[str, Any]]:
    """Run the command with --json; its lines. Nothing but JSON on standard output, no traceback on the other."""
    argv = [*PROGRAM, *map(str, arguments), "--json"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, (arguments, done.stdout[-2000:], done.stderr)
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_several_disks_in_one_archive(scene: Scenes, image: Image, place: Path) -> None:
    disks = (scene("gpt").path, image("table", "mbr-logicals"), image("fat", "fat16"))
    archive = place / "a.jmi"
    report = backup(disks, archive)
    assert report.outcome is Outcome.OK
    with pytest.raises(Refused, match="3 disks"):
        prepare_restore(RestoreRequest(str(archive), str(place / "any.img")))
    with pytest.raises(Refused):
        prepare_restore(RestoreRequest(str(archive), str(place / "any.img"), disk=3))
    for number, disk in enumerate(disks):
        target = place / f"{number}.img"
        assert restore(archive, target, disk=number).outcome is Outcome.OK
        assert first_difference(disk, target, held(archive, number)) is None
        assert first_stray(target, held(archive, number)) is None
    assert restore(archive, place / "part.img", disk=0, partitions=((3, None),)).outcome is Outcome.OK


def test_an_archive_in_parts(scene: Scenes, place: Path) -> None:
    disk = scene("gpt")
    archive, target = place / "a.jmi", place / "target.img"
    report = backup(disk.path, archive, split=MiB)
    assert report.outcome is Outcome.OK
    parts = sorted(p for p in place.iterdir() if p.name.startswith("a.jmi") and "report" not in p.name)
    assert len(parts) > 3
    assert all(p.stat().st_size < MiB for p in parts)
    assert verify(archive).outcome is Outcome.OK
    assert restore(archive, target).outcome is Outcome.OK
    assert first_difference(disk.path, target, held(archive)) is None
    target.unlink()
    kept = held(archive)
    parts[2].unlink()
    damaged = verify(archive)
    assert damaged.damaged_archive and damaged.outcome is Outcome.FAILED
    assert sum(v.lost_bytes for v in damaged.volumes)
    report = restore(archive, target)
    assert report.outcome is Outcome.LOSSES
    lost = ExtentList(
        (v.start + a, v.start + b)
        for v, result in zip(disk.partitions, report.volumes, strict=True)
        for a, b in result.lost
    )
    assert len(lost)
    assert first_difference(disk.path, target, kept.subtract(lost)) is None


def test_an_archive_through_a_pipe(image: Image, place: Path) -> None:
    need("zstd")
    source = image("ntfs", "cluster-4096")
    archive, target = place / "a.jmi", place / "target.img"
    with archive.open("wb") as file:
        command = subprocess.Popen(
            [*PROGRAM, "backup", str(source), "-"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert command.stdout and command.stderr
        subprocess.run(["cat"], stdin=command.stdout, stdout=file, check=True)
        told = command.stderr.read().decode()
        assert command.wait() == 0, told
        command.stdout.close()
        command.stderr.close()
    assert "STORED, NOT VERIFIED" in told
    assert verify(archive).outcome is Outcome.OK
    assert restore(archive, target).outcome is Outcome.OK
    assert first_difference(source, target, held(archive)) is None
    plain = subprocess.run(["zstd", "-dc", archive], capture_output=True, check=True).stdout
    assert (b"x" * 59) in plain and b"NTFS    " in plain


def test_the_whole_way_by_the_command(scene: Scenes, place: Path) -> None:
    disk = scene("gpt")
    archive, target = place / "a.jmi", place / "target.img"
    seen = jurymast("inspect", disk.path)[-1]
    assert [(p["number"], p["start"], p["size"], p["file_system"], p["uuid"]) for p in seen["partitions"]] == [
        (p.number, p.start, p.size, p.kind, p.uuid) for p in disk.partitions
    ]
    made = jurymast("backup", disk.path, archive)
    assert made[-1]["type"] == "result" and made[-1]["outcome"] == "ok"
    assert {"job_started", "step_started", "step_finished"} <= {line["type"] for line in made}
    assert jurymast("verify", archive)[-1]["outcome"] == "ok"
    jurymast("restore", archive, target, "--dry-run")
    assert not target.exists()
    assert jurymast("restore", archive, target, code=3)[-1]["outcome"] == "refused"
    assert not target.exists()
    assert jurymast("restore", archive, target, "--yes")[-1]["outcome"] == "ok"
    assert first_difference(disk.path, target, held(archive)) is None
    copied = place / "clone.img"
    assert jurymast("clone", disk.path, copied, "--yes")[-1]["outcome"] == "ok"
    assert first_difference(disk.path, copied, held(archive)) is None
    told = jurymast("info", archive)[-1]
    assert json.dumps(told).count("PROVEN") >= 4
    with archive.open("r+b") as file:
        file.seek(archive.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    assert jurymast("verify", archive, code=5)[-1]["exit_code"] == 5
