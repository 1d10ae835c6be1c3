"""Trips of images that nobody can trust, in a process of its own: what hangs is killed, and fails its test alone.

The child reads one JSON request a line and answers with one: see travel().
"""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, Self

from formats.base.errors import RecoveryError
from formats.base.extent import ExtentList
from formats.base.source import FileSource
from formats.table.detect import read_table
from recovery.engine.events import Outcome
from tests.trip.compare import copy, first_difference, first_stray
from tests.trip.engine import backup, held, restore, verify

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 10.0
ROOM = 2 << 30  # bytes that must be free in memory for scratch files to lie there
MEMORY = 300 << 20  # peak resident bytes of the child, interpreter and all libraries included


class Hung(AssertionError):
    """No answer within SECONDS."""


class Patient:
    """The child. Use as a context manager; it comes back to life after a case that killed it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def travel(self, source: Path, **how: Any) -> dict[str, Any]:
        """See the function travel() for `how` and the answer. Raises AssertionError for all that must not be."""
        process = self._process or self._start()
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps({"source": str(source), **how}).encode() + b"\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], SECONDS)[0]:
            self.close()
            raise Hung(f"{source} {how}: no end after {SECONDS} seconds")
        line = process.stdout.readline()
        if not line:
            self.close()
            raise AssertionError(f"{source} {how}: the process died with {process.returncode}")
        answer: dict[str, Any] = json.loads(line)
        assert not answer["wrong"], f"{source} {how}: {answer['wrong']}"
        assert answer["memory"] < MEMORY, f"{source} {how}: {answer['memory'] >> 20} MiB"
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "tests.trip.patient"]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def scratch_folder() -> str | None:
    """Where many small trips do not wait for a disk; None: where temporary files lie by default."""
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return None
    return "/dev/shm" if found.f_bavail * found.f_frsize > ROOM else None


def damage(path: Path, seed: int, flips: int, within: list[tuple[int, int]], cut: int | None) -> None:
    """Flip bits of `flips` bytes somewhere in the ranges `within`, and shorten the file to `cut` bytes."""
    rng = random.Random(seed)
    with path.open("r+b") as file:
        for _ in range(flips):
            start, end = rng.choice(within)
            at = rng.randrange(start, end)
            file.seek(at)
            old = file.read(1)[0]
            file.seek(at)
            file.write(bytes([rng.choice((old ^ 1 << rng.randrange(8), rng.randrange(256), 0, 255))]))
        if cut is not None:
            file.truncate(cut)


def travel(
    source: Path,
    seed: int = 0,
    flips: int = 0,
    within: list[tuple[int, int]] | None = None,
    cut: int | None = None,
    keep: str = "",
) -> dict[str, Any]:
    """Damage a copy of `source` as said, back it up, verify, restore (to `keep`, if that is given), compare.

    `outcome` "error": the backup was refused before anything began. `refused`: why the restore was, '' if it was not.
    `wrong`: what must not be.
    """
    answer: dict[str, Any] = {
        "outcome": "",
        "error": "",
        "proofs": [],
        "kinds": [],
        "problems": [],
        "refused": "",
        "wrong": "",
    }
    with tempfile.TemporaryDirectory(prefix="trip-", dir=scratch_folder()) as scratch:
        place = Path(scratch)
        if flips or cut is not None:
            source = copy(source, place / "source.img")
            damage(source, seed, flips, within or [(0, source.stat().st_size)], cut)
        archive, target = place / "a.jmi", Path(keep) if keep else place / "target.img"
        try:
            report = backup(source, archive)
        except RecoveryError as error:
            return {**answer, "outcome": "error", "error": str(error)}
        answer["outcome"], answer["error"] = report.outcome.value, report.error
        answer["proofs"] = [v.proof for v in report.volumes]
        answer["kinds"] = [v.file_system for v in report.volumes]
        answer["problems"] = [p.code for _, p in report.problems]
        if report.outcome not in (Outcome.OK, Outcome.LOSSES):
            answer["wrong"] = f"no archive: {report.error}"
            return answer
        checked = verify(archive)
        if checked.damaged_archive or [v.proof for v in checked.volumes] != answer["proofs"]:
            answer["wrong"] = f"verify: {checked.error} {[(v.proof, v.text) for v in checked.volumes]}"
        try:
            restored = restore(archive, target)
        except RecoveryError as error:
            answer["refused"] = str(error)
            return answer
        if restored.outcome is not Outcome.OK:
            answer["wrong"] += f" restore: {restored.error}"
            return answer
        kept = held(archive)
        own = table_bytes(source, target.stat().st_size)
        different, stray = first_difference(source, target, kept.subtract(own)), first_stray(target, kept.union(own))
        if (different, stray) != (None, None):
            answer["wrong"] += f" restored bytes differ at {different}, are not zero at {stray}"
    return answer


def table_bytes(disk: Path, target_size: int) -> ExtentList:
    """Where a damaged partition table of `disk` is written anew on a target instead of as it was."""
    with FileSource(disk) as source:
        table = read_table(source)
        if not table.problems:
            return ExtentList()
        tail = max(0, target_size - 34 * table.sector_size)
        return ExtentList(r.extent for r in table.regions).union([(0, 34 * 512), (tail, target_size)])


def _peak() -> int:
    """The highest resident size in bytes since the last call."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def main() -> None:
    for line in sys.stdin:
        started = time.monotonic()
        request = json.loads(line)
        try:
            answer = travel(Path(request.pop("source")), **request)
        except Exception:
            answer = {"outcome": "traceback", "wrong": traceback.format_exc()}
        answer["seconds"], answer["memory"] = time.monotonic() - started, _peak()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
