"""Every job's report is kept and comes back as it was; the log has its course; and nothing of that can hold a job."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time
from pathlib import Path

import pytest

from formats.base.errors import Corrupt, DeviceError, RecoveryError
from formats.base.problem import Problem, Severity
from recovery.engine import eventlog, kept
from recovery.engine.events import Outcome
from recovery.engine.report import Report, VolumeResult
from recovery.engine.state import SCRIBE, Scribe, state_folder
from tests.support import jobs
from tests.support.command import ARGV, environment, jurymast


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("JURYMAST_STATE", str(folder))
    return folder


def full() -> Report:
    volume = VolumeResult("partition 1", 1, "ntfs", 5, "FAILED", "Half.", ("/a", "/b"), [(1, 2)], 1, ("/p",), 7)
    report = Report("verify", "Check x", "1234", Outcome.LOSSES, True, True, "no", "do", "left", time.time(), 12.3)
    report.volumes, report.numbers, report.paths = [volume], {"checked_bytes": 9}, ["/tmp/x"]
    report.problems = [("x", Problem(Severity.ERROR, "a.b", "bad", 5)), ("y", Problem(Severity.INFO, "c.d", "so"))]
    report.report_id = kept.new_id("verify", report.started)
    return report


def test_a_report_comes_back_as_it_was() -> None:
    report = full()
    again = Report.from_json(json.loads(report.json_text()))
    assert again.to_json() == report.to_json() and again.to_text() == report.to_text()


def test_where_the_state_folder_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JURYMAST_STATE", "/media/stick/jurymast")
    assert state_folder() == Path("/media/stick/jurymast")
    monkeypatch.delenv("JURYMAST_STATE")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_folder() == Path("/var/lib/jurymast")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state_folder() == Path("/home/anna/.local/state/jurymast")
    monkeypatch.setenv("XDG_STATE_HOME", "/home/anna/state")
    assert state_folder() == Path("/home/anna/state/jurymast")


def test_every_job_leaves_its_report(state: Path, disk: Path, tmp_path: Path) -> None:
    to, copy, other = tmp_path / "a.jmi", tmp_path / "copy.img", tmp_path / "other.img"
    done = [jobs.backup(disk, to)[1], jobs.restore(to, copy)[1], jobs.clone(disk, other)[1], jobs.verify(to)[1]]
    done.append(jobs.backup(disk, to)[1])  # refused: it is there
    jurymast("extract", f"{to}:1", "/", tmp_path / "out", ok=0)
    found = kept.list_reports()
    assert sorted(k.job for k in found) == ["backup", "backup", "clone", "extract", "restore", "verify"]
    assert (state / "reports").stat().st_mode & 0o777 == 0o700
    for report in done:
        again = kept.find_report(report.report_id)
        assert again.to_text() == report.to_text()
        entry = next(k for k in found if k.report_id == report.report_id)
        assert (entry.headline, entry.title) == (report.headline, report.title)
    assert kept.find_report("last").job == "extract"
    # Beside the archive only what a backup leaves there; a restore and a check write nothing to its medium.
    assert sorted(p.name for p in tmp_path.glob("a.jmi*")) == ["a.jmi", "a.jmi.report.json", "a.jmi.report.txt"]


def test_only_the_newest_are_kept_and_what_is_broken_is_told(state: Path) -> None:
    report = full()
    for n in range(kept.MOST + 5):
        report.report_id = f"20200101-{n:06}-000-verify-0000"
        assert kept.keep(report) == ""
    found = kept.list_reports()
    assert len(found) == kept.MOST and found[0].report_id == f"20200101-{kept.MOST + 4:06}-000-verify-0000"
    assert found[-1].report_id == "20200101-000005-000-verify-0000"
    broken = state / "reports" / f"{found[0].report_id}.json"
    for text in ("", "[]", "{}", '{"job": 1}', "\0"):
        broken.write_text(text)
        with pytest.raises(Corrupt, match="report"):
            kept.find_report(found[0].report_id)
        assert kept.list_reports()[0].error and not kept.list_reports()[1].error
    for name in ("", "2020", "1999", "../../etc/passwd"):
        with pytest.raises(RecoveryError, match="report"):
            kept.find_report(name)


def test_a_copy_is_exported_and_never_replaces_anything(state: Path, tmp_path: Path) -> None:
    report = full()
    place = tmp_path / "stick"
    place.mkdir()
    paths = kept.export(report, place / kept.export_name(report))
    assert paths[0].read_text() == report.to_text() and json.loads(paths[1].read_text()) == report.to_json()
    with pytest.raises(RecoveryError, match="exists already"):
        kept.export(report, paths[0])
    with pytest.raises(DeviceError, match="writing the report"):
        kept.export(report, tmp_path / "no" / "folder.txt")


def test_the_log_has_the_course_of_a_job(
    state: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("recovery", "formats", "fs"):  # a test before this one may have begun with that
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
    _, report = jobs.backup(disk, tmp_path / "a.jmi")
    logging.getLogger("recovery.test").warning("not kept yet")
    eventlog.keep_what_is_said()
    logging.getLogger("recovery.test").warning("to be kept: %s", 5)
    logging.getLogger("another.library").warning("not ours")
    assert eventlog.settle(5)
    lines = eventlog.read_log()
    kinds = [line["type"] for line in lines]
    assert kinds[0] == "job_started" and "advanced" not in kinds
    assert kinds.count("step_started") == kinds.count("step_finished") >= 4 and "volume_judged" in kinds
    end = next(line for line in lines if line["type"] == "job_finished")
    assert (end["headline"], end["job_id"]) == ("PROVEN", report.report_id)
    assert [line["text"] for line in lines if line["type"] == "said"] == ["to be kept: 5"]
    times = [line["at"] for line in lines]
    assert times == sorted(times) and times[0][:10] == time.strftime("%Y-%m-%d", time.gmtime())


def test_the_log_is_bounded_and_rotates(state: Path) -> None:
    for n in range(7000):
        while not SCRIBE.do(
            lambda n=n: eventlog._append(state, [eventlog._line({"type": "x", "n": n, "p": "-" * 900})])
        ):
            time.sleep(0.01)
    assert eventlog.settle(30)
    files = sorted(path.name for path in state.iterdir())
    assert files == ["events.jsonl", *(f"events.jsonl.{n}" for n in range(1, 5))]
    assert all(path.stat().st_size <= 1 << 20 for path in state.iterdir())
    numbers = [line["n"] for line in eventlog.read_log(10_000) if "n" in line]
    assert numbers[-1] == 6999 and numbers == list(range(numbers[0], 7000))
    assert [line["n"] for line in eventlog.read_log(3)] == [6997, 6998, 6999]


def test_a_full_queue_drops_and_counts(state: Path) -> None:
    import threading

    go_on, scribe = threading.Event(), Scribe(most=3)
    results = [scribe.do(lambda: go_on.wait(10) and None) for _ in range(10)]
    assert results.count(True) in (3, 4) and scribe.dropped == results.count(False)
    assert not scribe.settle(0.1)
    go_on.set()
    assert scribe.settle(5)


def test_a_state_folder_that_cannot_be_written_fails_no_job(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("JURYMAST_STATE", str(blocked / "state"))
    _, report = jobs.backup(disk, tmp_path / "a.jmi")
    assert report.outcome is Outcome.OK and report.headline == "PROVEN"
    assert [p.code for _, p in report.problems] == ["report.not_kept"]
    assert kept.list_reports() == [] and eventlog.read_log() == []


def test_a_dead_disk_behind_the_state_folder_holds_no_job(disk: Path, tmp_path: Path) -> None:
    """Opening a FIFO that nobody reads hangs as a dead disk does."""
    state = tmp_path / "state"
    state.mkdir()
    os.mkfifo(state / eventlog.NAME)
    began = time.monotonic()
    done = subprocess.run(
        [*ARGV, "backup", str(disk), str(tmp_path / "a.jmi"), "--json"],
        env={**environment(), "JURYMAST_STATE": str(state)}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and result["headline"] == "PROVEN" and not done.stderr
    assert [p["code"] for p in result["problems"]] == ["report.not_kept"]
    assert time.monotonic() - began < 20
