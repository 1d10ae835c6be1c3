"""The expected size of an archive, against archives that were really made."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from formats.base.errors import Cancelled, DeviceError, Refused
from formats.base.source import MemorySource
from recovery.engine.estimate import Expected, expected_size
from recovery.engine.inspection import inspect_source
from recovery.engine.planners.backup import BackupRequest, Room, plan_backup
from recovery.engine.prepare import prepare_backup
from recovery.words import plan_text
from tests.support import little
from tests.support.command import here

MiB = 1 << 20
GiB = 1 << 30
WORDS = [b"disk", b"backup", b"restore", b"partition", b"archive", b"block", b"plan", b"source", b"target", b"table"]


def text(rng: random.Random, size: int) -> bytes:
    """Such as logs: a third or less when it is compressed."""
    return b" ".join(b"%s %d" % (rng.choice(WORDS), rng.randrange(10_000)) for _ in range(size // 11))[:size]


def content(kind: str, size: int, rng: random.Random) -> bytes:
    if kind == "random":
        return rng.randbytes(size)
    if kind == "text":
        piece = text(rng, 4 * MiB)
        return b"".join(bytes([n]) + piece[n * 997 :] + piece[: n * 997] for n in range(size // len(piece)))
    if kind == "zeros":
        return bytes(size)
    parts = [text(rng, 96 << 10) + rng.randbytes(rng.randrange(1 << 20)) + bytes(rng.randrange(1 << 19))
             for _ in range(size // MiB)]  # fmt: skip
    return b"".join(parts)[:size]


@pytest.mark.parametrize("kind", ["random", "text", "mixed", "zeros"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_real_size_lies_in_the_range(tmp_path: Path, kind: str, seed: int) -> None:
    """The content is not known to Jurymast, so all of it is stored: 160 blocks, of which 64 are looked at."""
    image, to = tmp_path / "a.img", tmp_path / "a.jmi"
    image.write_bytes(b"no file system" + content(kind, 40 * MiB, random.Random(seed)))
    plan = here("backup", image, to, "--no-verify", "--json", ok=0).lines
    expected = next(line for line in plan if line["type"] == "plan")["expected"]
    real = to.stat().st_size
    assert expected["low"] <= real <= expected["high"] <= expected["at_most"], (expected, real)
    assert expected["samples"] == 64
    assert expected["high"] - expected["low"] <= 0.5 * image.stat().st_size + 4 * MiB, "a range that says something"
    if kind == "text":
        assert expected["high"] < 0.7 * image.stat().st_size


def test_of_a_file_system_only_what_is_used_counts(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    little.fill(tree, total=16 * MiB)
    image, to = little.ext4(tmp_path / "a.img", tree, size=400 * MiB), tmp_path / "a.jmi"
    lines = here("backup", image, to, "--json", ok=0).lines
    expected = next(line for line in lines if line["type"] == "plan")["expected"]
    assert expected["low"] <= to.stat().st_size <= expected["high"] <= expected["at_most"] < 100 * MiB
    assert expected["free"] > 0


def test_a_little_disk_is_looked_at_as_a_whole(tmp_path: Path) -> None:
    image, to = tmp_path / "a.img", tmp_path / "a.jmi"
    block = random.Random(5).randbytes(256 << 10)
    image.write_bytes(block * 8)  # stored once
    expected = prepare_backup(BackupRequest((str(image),), str(to))).work.expected
    assert expected is not None and expected.samples == 8
    here("backup", image, to, "--json", ok=0)
    assert expected.low <= to.stat().st_size <= expected.high < 8 * len(block) + 3 * MiB and expected.low < 2 * len(
        block
    )


class Slow(MemorySource):
    """Hangs once the whole was inspected; `broken`: gives an error instead."""

    def __init__(self, data: bytes, *, broken: bool = False) -> None:
        super().__init__(data)
        self.trouble, self.broken = False, broken
        self.freed = threading.Event()

    def read_at(self, offset: int, length: int) -> bytes:
        if self.trouble:
            if self.broken:
                raise DeviceError("slow", "read", offset, length, 5)
            self.freed.wait(60)
        return super().read_at(offset, length)


@pytest.mark.parametrize("broken", [False, True])
def test_a_disk_that_hangs_or_fails_costs_two_seconds_and_no_more(broken: bool) -> None:
    source = Slow(random.Random(1).randbytes(8 * MiB), broken=broken)
    report = inspect_source(source)
    source.trouble = True
    began = time.monotonic()
    expected = expected_size(source, report, with_areas=True)
    assert time.monotonic() - began < 4
    source.freed.set()
    assert expected.samples == 0 and expected.low == 0 and expected.high == expected.at_most >= 8 * MiB
    assert not expected.cannot_fit(0), "nothing is known"


def test_it_can_be_cancelled() -> None:
    source = Slow(random.Random(1).randbytes(8 * MiB))
    report = inspect_source(source)

    def stop() -> None:
        raise Cancelled("Stopped on request.")

    with pytest.raises(Cancelled):
        expected_size(source, report, with_areas=True, check=stop)


def planned(expected: Expected, free: int, *, fat: bool = False, split: int = 0) -> tuple[str, tuple[str, ...]]:
    request = BackupRequest(("/dev/sdx",), "/mnt/a.jmi", split=split)
    plan = plan_backup(request, [], archive_on_source=False, twice=False, room=Room(expected, free, fat))
    return plan_text(plan), plan.warnings


def test_what_may_not_fit_is_warned_of_and_only_what_cannot_is_refused() -> None:
    expected = Expected(12 * GiB, 15 * GiB, 40 * GiB, 64)
    words, warnings = planned(expected, 20 * GiB)
    assert "about 12.0 GiB to 15.0 GiB expected, at most 40.0 GiB; 20.0 GiB free" in words and warnings == ()
    assert "may not fit: up to 15.0 GiB" in planned(expected, 14 * GiB)[1][0]
    assert "hardly fit: at least 12.0 GiB" in planned(expected, 5 * GiB)[1][0]
    with pytest.raises(Refused, match=r"cannot fit: about 12\.0 GiB") as told:
        planned(expected, 2 * GiB)
    assert "larger destination" in told.value.advice
    assert planned(Expected(0, 40 * GiB, 40 * GiB, 0), 2 * GiB)[1], "nothing is known: warned, not refused"


def test_fat_holds_no_file_of_4_gib() -> None:
    large, unsure = Expected(12 * GiB, 15 * GiB, 40 * GiB, 64), Expected(3 * GiB, 5 * GiB, 40 * GiB, 64)
    with pytest.raises(Refused, match="FAT") as told:
        planned(large, 100 * GiB, fat=True)
    assert "--split 4G" in told.value.advice
    assert "FAT" in planned(unsure, 100 * GiB, fat=True)[1][0]
    assert planned(large, 100 * GiB, fat=True, split=4 * GiB)[1] == ()


def test_a_full_place_is_refused_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "a.img"
    image.write_bytes(random.Random(7).randbytes(40 * MiB))
    monkeypatch.setattr("recovery.engine.prepare.free_below", lambda _: 5 * MiB)
    words = here("backup", image, tmp_path / "a.jmi", "--json", ok=3).words
    assert "cannot fit" in words and "5.0 MiB are free" in words and not (tmp_path / "a.jmi").exists()
