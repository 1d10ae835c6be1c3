"""Real jobs that are paused: nothing is read or written meanwhile, locks are kept, and all ends as without a pause."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recovery.engine.cancel import CancelToken
from recovery.engine.events import Advanced, Event, Outcome, Paused, Resumed, Stalled
from recovery.engine.plan import Plan
from recovery.engine.planners.backup import BackupRequest
from recovery.engine.planners.clone import CloneRequest
from recovery.engine.planners.restore import RestoreRequest
from recovery.engine.prepare import plan_verify, prepare_backup, prepare_clone, prepare_restore
from recovery.engine.settings import Settings
from tests.support import jobs, little
from tests.support.command import running, step
from tests.support.faulty import bad_sectors

PROC = 4096  # bytes that looking at /proc itself may read


def moved() -> int:
    """Bytes that this process has read and written so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("rchar", "wchar")))


def paused_once(plan: Plan[Any], meanwhile: Callable[[], object] = lambda: None) -> Outcome:
    """Pause a plan at its first progress, and do `meanwhile`. Asserts that nothing moves until it goes on."""
    token, events, held = CancelToken(), list[Event](), list[int]()

    def watch() -> None:
        while not any(isinstance(event, Paused) for event in events):
            time.sleep(0.01)
        time.sleep(0.3)  # what was at a piece of work finishes that
        meanwhile()
        held.append(moved())
        count = len(events)
        time.sleep(0.8)
        held.append(moved())
        assert len(events) == count
        token.resume()

    watcher = threading.Thread(target=watch, daemon=True)

    def hook(event: Event) -> None:
        events.append(event)
        if isinstance(event, Advanced) and not watcher.is_alive() and not held:
            token.pause()
            watcher.start()

    _, report = jobs.carry_out(plan, hook, settings=Settings(stall_seconds=0.5), cancel=token)
    watcher.join(10)
    assert held[1] - held[0] <= PROC, held
    kinds = [type(event) for event in events]
    assert kinds.count(Paused) == kinds.count(Resumed) == 1 and Stalled not in kinds
    return report.outcome


@pytest.mark.parametrize("job", ["backup", "restore", "clone", "verify"])
def test_a_paused_job_moves_no_byte_and_ends_well(job: str, disk: Path, archive: Path, tmp_path: Path) -> None:
    to = tmp_path / "to"
    plans = {
        "backup": lambda: prepare_backup(BackupRequest((str(disk),), str(to))),
        "restore": lambda: prepare_restore(RestoreRequest(str(archive), str(to))),
        "clone": lambda: prepare_clone(CloneRequest(str(disk), str(to))),
        "verify": lambda: plan_verify(str(archive), files=True),
    }
    others: list[Outcome] = []

    def another() -> None:
        if job == "backup":  # the lock of the archive is kept
            others.append(jobs.backup(disk, to)[1].outcome)

    assert paused_once(plans[job](), another) is Outcome.OK
    assert others == [Outcome.REFUSED] * (job == "backup")
    if job in ("restore", "clone"):
        assert little.digest(to) == little.digest(disk)
    elif job == "backup":
        assert jobs.verify(to)[1].outcome is Outcome.OK


def test_a_paused_job_can_be_stopped_and_leaves_nothing(disk: Path, tmp_path: Path) -> None:
    token = CancelToken()

    def hook(event: Event) -> None:
        if isinstance(event, Advanced):
            token.pause()
        elif isinstance(event, Paused):
            threading.Timer(0.3, token.cancel).start()

    plan = prepare_backup(BackupRequest((str(disk),), str(tmp_path / "a.jmi")))
    began = time.monotonic()
    _, report = jobs.carry_out(plan, hook, cancel=token)
    assert report.outcome is Outcome.CANCELLED and time.monotonic() - began < 5
    assert not list(tmp_path.iterdir())


@pytest.mark.root
@pytest.mark.parametrize("how", ["USR1", "TSTP"])
def test_the_command_pauses_by_signal(how: str, disk: Path, tmp_path: Path) -> None:
    with (
        bad_sectors(disk, [], tmp_path, delay_ms=4) as source,
        running("backup", source, tmp_path / "a.jmi", log=tmp_path / "log") as started,
    ):
        assert started.wait_for(step(2)) is not None
        began = time.monotonic()
        if how == "USR1":
            started.send(signal.SIGUSR1)
            assert started.wait_for(lambda line: line["type"] == "paused") is not None
        else:
            started.send(signal.SIGTSTP)
        stat = Path(f"/proc/{started.process.pid}/stat")
        while how == "TSTP" and stat.read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() - began < 60
            time.sleep(0.02)
        # Stopped from outside for more than the five seconds after which a disk is said to hang.
        time.sleep(5.5 if how == "TSTP" else 0.5)
        started.send(signal.SIGUSR1 if how == "USR1" else signal.SIGCONT)
        done = started.finish()
    assert done.code == 0 and done.told["headline"] == "PROVEN"
    kinds = [line["type"] for line in done.lines]
    assert "stalled" not in kinds and kinds.count("resumed") == (how == "USR1")
