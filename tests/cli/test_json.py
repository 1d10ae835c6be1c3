"""--json: nothing but JSON lines, the result last, with the exit code; and its fields, held against judges."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from formats.archive.opening import open_archive
from tests.support import little
from tests.support.command import ARGV, environment, here, jurymast, running, step
from tests.support.faulty import bad_sectors
from tests.support.scene import make_disk
from tests.support.tools import loop_device, need, run

FIELDS = {"number", "start", "size", "type", "file_system", "label", "uuid", "block_size", "used_bytes", "problems"}


def test_every_command_ends_with_its_result(archive: Path, disk: Path, tmp_path: Path) -> None:
    """The contract itself is checked by every call of jurymast() and here()."""
    new = tmp_path / "t.img"
    for argv, code in (
        (("disks",), 0),
        (("inspect", disk), 0),
        (("inspect", archive), 0),
        (("inspect", tmp_path / "nothing"), 1),
        (("inspect", tmp_path), 3),
        (("info", archive), 0),
        (("info", disk), 1),
        (("info", tmp_path / "nothing"), 1),
        (("verify", archive), 0),
        (("verify", disk), 1),
        (("verify", tmp_path / "nothing"), 1),
        (("backup", tmp_path / "nothing", tmp_path / "a.jmi"), 1),
        (("backup", disk, tmp_path / "no" / "folder.jmi"), 1),
        (("backup", disk, tmp_path / "a.jmi", "--partition", "7"), 3),
        (("backup", disk, tmp_path / "a.jmi", "--partition", "2"), 0),
        (("restore", archive, new, "--dry-run"), 0),
        (("restore", archive, new), 3),
        (("restore", archive, new, "--yes"), 0),
        (("restore", archive, new, "--partition", "9", "--yes"), 3),
        (("restore", disk, new, "--yes"), 1),
        (("clone", disk, tmp_path / "u.img", "--dry-run"), 0),
        (("clone", disk, tmp_path / "u.img", "--yes"), 0),
    ):
        done = here(*argv, "--json", ok=code)
        if code in (1, 3):
            assert done.told["error"], argv
    assert not (tmp_path / "no").exists()


def test_the_events_of_a_job(disk: Path, tmp_path: Path) -> None:
    done = jurymast("backup", disk, tmp_path / "a.jmi", "--json", ok=0)
    kinds = [line["type"] for line in done.lines]
    assert kinds[0] == "looking" and "job_started" in kinds and "job_finished" not in kinds
    started = [line for line in done.lines if line["type"] == "step_started"]
    assert [line["step"] for line in started] == list(range(1, started[0]["steps"] + 1))
    assert kinds.count("step_finished") == len(started)
    times = [line["time"] for line in done.lines if "time" in line]
    assert times == sorted(times)
    for line in done.lines:
        if line["type"] == "advanced":
            assert 0 <= line["bytes_done"] <= line["bytes_total"]
    assert done.told["headline"] == "PROVEN" and done.told["paths"] == [str(tmp_path / "a.jmi")]
    assert json.loads((tmp_path / "a.jmi.report.json").read_text())["headline"] == "PROVEN"


def test_a_dry_run_shows_the_plan_and_changes_nothing(archive: Path, disk: Path, tmp_path: Path) -> None:
    target = tmp_path / "t.img"
    target.write_bytes(disk.read_bytes())
    done = jurymast("restore", archive, target, "--dry-run", "--json", ok=0)
    plan = next(line for line in done.lines if line["type"] == "plan")
    assert plan["confirm"] == "t.img" and plan["target"]["size"] == little.DISK_SIZE
    assert [loss["what"] for loss in plan["losses"]] == ["partition 1: ext4 'little'", "partition 2: fat16 'SMALL'"]
    assert sum(s["destructive"] for s in plan["steps"]) >= 4
    assert done.told["dry_run"] is True
    assert little.digest(target) == little.digest(disk)


@pytest.mark.root
@pytest.mark.parametrize("scheme", ["gpt", "mbr"])
def test_inspect_and_info_tell_what_the_judges_tell(tmp_path: Path, scheme: str) -> None:
    """sfdisk for places and types, blkid for names, the file systems' own tools for sizes of blocks."""
    need("sfdisk", "blkid")
    scene = make_disk(tmp_path / "d.img", scheme=scheme)
    archive = tmp_path / "a.jmi"
    jurymast("backup", scene.path, archive, "--json", ok=0)
    table = json.loads(run("sfdisk", "-J", scene.path))["partitiontable"]
    wanted = {p["start"] * 512: p for p in table["partitions"] if p["type"] != "f"}
    inspected = jurymast("inspect", scene.path, "--json", ok=0).told
    informed = jurymast("info", archive, "--json", ok=0).told
    again = jurymast("inspect", archive, "--json", ok=0).told
    assert informed["partitions"] == again["partitions"]
    volumes = [p for p in informed["partitions"] if p["role"] == "partition"]
    parts = [p for p in scene.partitions if p.kind != "extended"]
    assert len(volumes) == len(inspected["partitions"]) == len(parts) == len(wanted)
    for part, looked, held in zip(parts, inspected["partitions"], volumes, strict=True):
        assert looked.keys() >= FIELDS and FIELDS | {"proof"} <= held.keys()
        assert {k: looked[k] for k in FIELDS} == {k: held[k] for k in FIELDS}
        judge = wanted[looked["start"]]
        assert looked["size"] == judge["size"] * 512 == part.size and looked["number"] == part.number
        assert looked["type"].lower().removeprefix("0x").lstrip("0") == judge["type"].lower().lstrip("0")
        assert looked["file_system"] == part.kind and looked["label"] == part.label
        assert looked["uuid"].lower() == part.uuid.lower()
        assert 0 < looked["used_bytes"] <= part.size and looked["used_bytes"] % 512 == 0
        assert looked["block_size"] == {"fat32": 512, "ntfs": 4096, "ext4": 4096, "swap": 4096}[part.kind]
        assert isinstance(looked["problems"], list)
        assert held["proof"]["verdict"] in ("PROVEN", "STORED-RAW"), held["proof"]
    assert [v["proof"]["verdict"] for v in volumes[:3]] == ["PROVEN"] * 3
    assert informed["disks"][0]["table"] == scheme and informed["archive_problems"] == []


def test_a_damaged_archive_ends_with_five(archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    for name, bad in (
        ("tail", data[: len(data) // 2]),
        ("flip", data[: len(data) // 2] + b"\xff\x00\xff" + data[len(data) // 2 + 3 :]),
        ("front", bytes(5000) + data[5000:]),
    ):
        path = tmp_path / f"{name}.jmi"
        path.write_bytes(bad)
        done = here("verify", path, "--json", ok=5)
        assert done.told["headline"] == "THE ARCHIVE IS DAMAGED" and done.told["advice"]
    assert here("info", tmp_path / "tail.jmi", "--json", ok=5).told["archive_problems"]
    missing = tmp_path / "gone.jmi"
    missing.write_bytes(data[len(data) // 2 : len(data) // 2 + 600_000])
    assert here("verify", missing, "--json").code in (1, 5)


def test_a_pipe_gets_the_archive_and_nothing_else(disk: Path, tmp_path: Path) -> None:
    need("zstd")
    for options in ((), ("--json",)):
        done = jurymast("backup", disk, "-", *options, ok=0)
        archive = tmp_path / f"a{len(options)}.jmi"
        archive.write_bytes(done.stdout)
        with open_archive(archive) as reader:
            assert reader.structure.complete and not reader.problems
            assert sum(v.size for v in reader.manifest.volumes if v.role == "partition") == 40 << 20
        run("zstd", "-tq", archive)
        here("verify", archive, "--json", ok=0)
        assert "STORED, NOT VERIFIED" in done.stderr
        if options:
            lines = [json.loads(line) for line in done.stderr.splitlines()]
            assert lines[-1]["type"] == "result" and lines[-1]["exit_code"] == 0


@pytest.mark.parametrize("job", ["backup", "restore"])
def test_a_reader_that_goes_away_does_not_stop_the_work(disk: Path, archive: Path, tmp_path: Path, job: str) -> None:
    """`jurymast restore … | head -1`: half a restored disk would be the price."""
    out = tmp_path / "out"
    what = (disk, out) if job == "backup" else (archive, out, "--yes")
    for options in (("--json",), ()):
        process = subprocess.Popen(
            [*ARGV, job, *map(str, what), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read().decode()
        assert process.wait(60) == 0 and told == ""
        process.stderr.close()
        if job == "backup":
            here("verify", out, "--json", ok=0)
        else:
            assert little.digest(out) == little.digest(disk)
        out.unlink()


@pytest.mark.root
def test_nohup_is_heard(disk: Path, tmp_path: Path) -> None:
    """A terminal that is closed stops a job cleanly, unless it was started to survive that."""
    with (
        bad_sectors(disk, [], tmp_path, delay_ms=4) as source,
        running("backup", source, tmp_path / "a.jmi", log=tmp_path / "log", nohup=True) as started,
    ):
        assert started.wait_for(step(2)) is not None
        started.send(signal.SIGHUP)
        assert started.finish().code == 0


@pytest.mark.root
def test_disks_lists_a_loop_disk_with_its_identity(disk: Path) -> None:
    with loop_device(disk, read_only=True) as device:
        found = {line["identity"]["path"]: line for line in here("disks", "--json", ok=0).lines}
        mine = found[str(device)]
        assert mine["read_only"] and mine["identity"]["size"] == little.DISK_SIZE
        assert mine["identity"]["backing"] == str(disk)
