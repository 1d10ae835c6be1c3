"""What a check tells of each volume while it runs, held against what its report says at the end."""

from __future__ import annotations

import shutil
from pathlib import Path

from formats.archive.opening import open_archive
from recovery.engine.events import Event, Outcome, ProblemFound, Stage, VolumeJudged
from recovery.engine.prepare import plan_verify
from tests.support import jobs
from tests.support.command import here, jurymast


def judged(archive: Path, *, files: bool) -> tuple[list[VolumeJudged], list[Event], jobs.Report]:
    events: list[Event] = []
    _, report = jobs.carry_out(plan_verify(str(archive), files=files), events.append)
    return [event for event in events if isinstance(event, VolumeJudged)], events, report


def test_a_good_archive_is_judged_stage_by_stage(archive: Path) -> None:
    told, _, report = judged(archive, files=True)
    last = {(event.volume, event.stage): event for event in told}
    titles = [volume.title for volume in report.volumes]
    assert [last[n, Stage.STORED].title for n in range(3)] == titles
    assert all(last[n, Stage.STORED].verdict == "OK" for n in range(3))
    assert [last[n, Stage.PROOF].verdict for n in range(3)] == ["STORED-RAW", "PROVEN", "PROVEN"]
    for n in (1, 2):
        assert last[n, Stage.FILES].verdict == "OK"
        assert f"{report.volumes[n].files} files read to their end" in last[n, Stage.FILES].text
    assert {event.disk for event in told} == {0}
    # All of them are named before anything is known, and stored blocks are judged before any walk begins.
    assert [(e.volume, e.verdict) for e in told[:3]] == [(0, ""), (1, ""), (2, "")]
    assert told.index(last[2, Stage.STORED]) < next(i for i, e in enumerate(told) if e.stage is Stage.PROOF)


def test_losses_are_told_by_name_as_they_come(archive: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jmi"
    shutil.copyfile(archive, damaged)
    with open_archive(archive) as reader:
        blocks = [entry.where for entry in reader.entries(1) if entry.where is not None]
    with damaged.open("r+b") as file:
        for where in blocks[len(blocks) // 3 :]:
            file.seek(where.offset + 100)
            file.write(b"\xff\x00\xff")
    told, events, report = judged(damaged, files=True)
    last = {(event.volume, event.stage): event for event in told}
    assert report.outcome is Outcome.FAILED and report.damaged_archive
    assert last[1, Stage.STORED].verdict == "LOST" and last[2, Stage.STORED].verdict == "OK"
    proof = last[1, Stage.PROOF]
    assert proof.verdict == "FAILED" and proof.hit and set(proof.hit) <= set(report.volumes[1].missing)
    files = last[1, Stage.FILES]
    assert files.verdict == "FAILED"
    faults = [i for i, e in enumerate(events) if isinstance(e, ProblemFound) and e.problem.code.startswith("files.")]
    assert faults and faults[0] < events.index(files)


def test_a_backup_tells_its_proof_and_two_disks_are_told_apart(disk: Path, volume: Path, tmp_path: Path) -> None:
    done = jurymast("backup", disk, volume, tmp_path / "a.jmi", "--json", ok=0)
    told = [line for line in done.lines if line["type"] == "volume_judged" and line["verdict"]]
    assert {line["disk"] for line in told} == {1, 2}
    proofs = [(line["title"], line["verdict"]) for line in told if line["stage"] == "proof"]
    # PROVEN is not said before the archive has its name.
    assert proofs == [(v["title"], v["proof"].replace("PROVEN", "OK")) for v in done.told["volumes"]]
    assert "STORED-RAW" in dict(proofs).values() and "OK" in dict(proofs).values()
    words = jurymast("verify", tmp_path / "a.jmi", ok=0).text
    assert "disk 1, partition 1 (ext4, little): file system PROVEN: Walked from the archive" in words
    assert "stored blocks OK: all stored blocks read" in words
    assert here("verify", tmp_path / "a.jmi", "--json", ok=0).told["outcome"] == "ok"
