"""prune and schedule: only what enough newer, proven archives of the same series replace is deleted."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from formats.archive import model
from formats.archive.layout import FORMAT_VERSION
from recovery.engine.cancel import CancelToken
from recovery.engine.executor import execute
from recovery.engine.moments.course import MomentFacts, Moments
from recovery.engine.moments.model import MomentOptions
from recovery.engine.planners.backup import BackupRequest
from recovery.engine.prepare import prepare_backup
from recovery.engine.settings import Settings
from tests.support.command import here, jurymast
from tests.support.jobs import nothing
from tests.support.terminal import at_terminal
from tests.support.tools import need

PRUNE = ("--name", "pc-*.jmi", "--json")
ENDS = ("", ".report.json", ".report.txt")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "d.img"
    path.write_bytes(os.urandom(1 << 20) + bytes(1 << 20))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "archives"
    path.mkdir()
    return path


def make(image: Path, folder: Path, *names: str, good: bool = True, after: str = "", **wishes: Any) -> list[Path]:
    """Archives, each an hour younger than the one before: their times are whole seconds. `after`: a command."""
    made = []
    for name in names:
        path = folder / f"pc-{name}.jmi"
        plan = prepare_backup(BackupRequest((str(image),), str(path), **wishes))
        plan = replace(plan, created=plan.created - 86400 + 3600 * int(name))
        with Moments(MomentOptions(after_snapshot=after), MomentFacts("", ())) as moments:
            moments.before_freeze()
            report = execute(plan, Settings(), nothing, CancelToken(), moments)
        assert (report.headline == "PROVEN") == good, report.to_text()
        made.append(path)
    return made


def there(folder: Path) -> set[str]:
    return {p.name[3:].removesuffix(".jmi") for p in folder.glob("pc-*.jmi")}


def test_what_newer_proven_ones_replace_goes_with_all_its_files(image: Path, folder: Path) -> None:
    big = folder.parent / "big.img"
    big.write_bytes(os.urandom(3 << 20))
    image.write_bytes(big.read_bytes())
    make(image, folder, "1", split=1 << 20)
    make(image, folder, "2", "3")
    assert (folder / "pc-1.jmi.002").exists()
    dry = here("prune", folder, "--keep", "2", *PRUNE, "--dry-run", ok=0)
    assert dry.lines[-1]["confirm"] == "delete" and "pc-1.jmi" in dry.lines[-1]["losses"][0]["what"]
    assert there(folder) == {"1", "2", "3"}
    assert "Nobody is there" in here("prune", folder, "--keep", "2", *PRUNE, ok=3).words
    done = here("prune", folder, "--keep", "2", *PRUNE, "--check", "--yes", ok=0)
    assert [p["subject"] for p in done.problems("archive.deleted")] == [str(folder / "pc-1.jmi")]
    assert done.told["numbers"]["deleted_archives"] == 1
    assert sorted(p.name for p in folder.iterdir()) == [f"pc-{n}.jmi{e}" for n in "23" for e in ENDS]
    assert here("prune", folder, "--keep", "2", *PRUNE, ok=0).told["numbers"]["deleted_archives"] == 0


def test_what_is_not_proven_stands_in_for_nothing(image: Path, folder: Path) -> None:
    """Stored and not verified; with a failed command; damaged at its end; spoken against by a later check."""
    make(image, folder, "1", "2")
    make(image, folder, "3", good=False, verify=False)
    make(image, folder, "4", good=False, after="false")
    make(image, folder, "5", "6")
    with (folder / "pc-5.jmi").open("r+b") as file:
        file.truncate((folder / "pc-5.jmi").stat().st_size - 10)
    report = folder / "pc-6.jmi.report.json"
    report.write_text(json.dumps({**json.loads(report.read_text()), "outcome": "failed", "damaged_archive": True}))
    done = here("prune", folder, "--keep", "2", *PRUNE, "--yes", ok=0)
    assert there(folder) == {"1", "2", "3", "4", "5", "6"}
    why = " ".join(p["text"] for p in done.problems("archive.kept"))
    for words in ("NOT-VERIFIED", "a command that belongs to it failed", "cannot be opened", "report beside it says"):
        assert words in why
    here("prune", folder, "--keep", "1", *PRUNE, "--yes", ok=0)
    assert there(folder) == {"2", "3", "4", "5", "6"}


def test_a_full_check_finds_what_the_manifest_cannot_know(image: Path, folder: Path) -> None:
    make(image, folder, "1", "2")
    data = bytearray((folder / "pc-2.jmi").read_bytes())
    data[len(data) // 3] ^= 1
    (folder / "pc-2.jmi").write_bytes(data)
    here("prune", folder, "--keep", "1", *PRUNE, "--check", "--yes", ok=0)
    assert there(folder) == {"1", "2"}


def test_other_disks_and_other_names_are_another_series(image: Path, folder: Path) -> None:
    other = folder.parent / "other.img"
    other.write_bytes(image.read_bytes())
    make(image, folder, "1")
    make(other, folder, "2", "3")
    jurymast("backup", image, folder / "else.jmi", "--no-hooks")
    here("prune", folder, "--keep", "1", *PRUNE, "--yes", ok=0)
    assert there(folder) == {"1", "3"} and (folder / "else.jmi").exists()


def test_beside_something_that_is_not_understood_nothing_goes(
    image: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive of a later version may be an increment of any of them."""
    make(image, folder, "1", "2")
    with monkeypatch.context() as later:
        later.setattr(model, "FORMAT_VERSION", FORMAT_VERSION + 1)
        make(image, folder, "3")
    (folder / "pc-3.jmi").rename(folder / "else.jmi")
    done = here("prune", folder, "--keep", "1", *PRUNE, "--yes", ok=0)
    assert there(folder) == {"1", "2"}
    assert "cannot be understood by this version" in done.problems("archive.kept")[0]["text"]
    (folder / "else.jmi").unlink()
    here("prune", folder, "--keep", "1", *PRUNE, "--yes", ok=0)
    assert there(folder) == {"2"}


def test_a_deletion_that_was_killed_is_finished_by_the_next(image: Path, folder: Path) -> None:
    make(image, folder, "1", "2")
    first = folder / "pc-1.jmi"
    first.rename(folder / "pc-1.jmi.deleting")
    (folder / "pc-1.jmi.002").write_bytes(b"part")
    here("prune", folder, "--keep", "1", *PRUNE, "--yes", ok=0)
    assert sorted(p.name for p in folder.iterdir()) == [f"pc-2.jmi{e}" for e in ENDS]


def test_a_person_types_the_word(image: Path, folder: Path) -> None:
    make(image, folder, "1", "2")
    argv = ("prune", folder, "--name", "pc-*.jmi", "--keep", "1")
    shown = at_terminal(*argv, answers=[("type 'delete'", "yes\n")])
    assert shown.code == 3 and there(folder) == {"1", "2"}
    shown = at_terminal(*argv, answers=[("type 'delete'", "delete\n")])
    assert shown.code == 0 and there(folder) == {"2"} and "RETENTION DONE" in shown.text


def test_a_schedule_from_its_making_to_its_end(image: Path, folder: Path) -> None:
    need("systemd-analyze")
    units = folder.parent / "units"
    units.mkdir()
    where = ("--unit-dir", units, "--json")
    command = 'echo "a b" 100%'
    wish = ("--", image, folder / "pc-{date}.jmi", "--no-hooks", "--level", "-3", "--before-snapshot", command)
    more = ("--calendar", "Mon..Fri 02:00", "--random-delay", "30m", "--bandwidth", "50M", "--keep", "1")
    done = jurymast("schedule", "add", "nightly", *more, *where, *wish, ok=0)
    assert done.told["started"] is False and done.told["next"]
    service = (units / "jurymast-nightly.service").read_text()
    timer = (units / "jurymast-nightly.timer").read_text()
    for line in ("IOSchedulingClass=best-effort", "IOSchedulingPriority=7", "Nice=10", "CPUWeight=20", "Type=oneshot"):
        assert line in service.splitlines()
    for line in ("OnCalendar=Mon..Fri 02:00", "Persistent=true", "RandomizedDelaySec=1800"):
        assert line in timer.splitlines()
    assert "exists already" in jurymast("schedule", "add", "nightly", *more, *where, *wish, ok=3).words
    assert [s["name"] for s in jurymast("schedule", "list", *where, ok=0).told["schedules"]] == ["nightly"]
    shown = jurymast("schedule", "show", "nightly", *where, ok=0).told["schedule"]
    assert set(shown["options"]) == {"--level=-3", "--no-hooks", f"--before-snapshot={command}", "--bandwidth=52428800"}
    first = jurymast("schedule", "run", "nightly", *where, ok=0).told
    assert first["commands"][0]["output"] == "a b 100%\n" and first["retention"]["numbers"]["deleted_archives"] == 0
    time.sleep(1.1)
    second = jurymast("schedule", "run", "nightly", *where, ok=0).told
    assert second["retention"]["numbers"]["deleted_archives"] == 1
    assert [str(p) for p in folder.glob("*.jmi")] == second["paths"]
    jurymast("schedule", "remove", "nightly", *where, ok=0)
    assert list(units.iterdir()) == []
    assert "no schedule" in jurymast("schedule", "run", "nightly", *where, ok=3).words


def test_schedules_that_make_no_sense_leave_nothing(image: Path, folder: Path) -> None:
    units = folder.parent / "units"
    units.mkdir()
    good = ("--", str(image), str(folder / "a-{date}.jmi"))
    for name, calendar, wish, code in (
        ("../x", "daily", good, 3),
        ("a", "no day at all", good, 3),
        ("a", "daily\nExecStart=/bin/false", good, 3),
        ("a", "daily", ("--", str(image), str(folder / "a.jmi")), 3),
        ("a", "daily", ("--", str(image), "-"), 2),
        ("a", "daily", (*good, "--nonsense"), 2),
        ("a", "daily", (*good, "--json"), 2),
    ):
        done = here("schedule", "add", name, "--calendar", calendar, "--unit-dir", units, "--json", *wish)
        assert done.code == code, (name, calendar, wish, done.text)
        assert list(units.iterdir()) == []


def test_without_systemd_it_says_so(image: Path, folder: Path) -> None:
    if Path("/run/systemd/system").exists():
        pytest.skip("systemd runs this machine")
    done = jurymast("schedule", "add", "a", "--calendar", "daily", "--json", "--", image, folder / "a-{date}.jmi", ok=3)
    assert "systemd" in done.words and "cron" in done.words
