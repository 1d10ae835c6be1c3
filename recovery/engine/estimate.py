"""How large an archive will be: some blocks of the source, drawn at random, compressed as a backup would do it.

The range is an honest one. Three things widen it: the spread of what was drawn; what may hide between the samples (when
none of n samples is of some kind, up to 3/n of all blocks may be, with 95 % certainty); and that data which repeat are
stored once, which a sample cannot see: the archive may always be smaller.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from formats.archive.index import block_ranges
from formats.archive.layout import DEFAULT_BLOCK, HEADER_SIZE
from formats.archive.record import compress
from formats.base.errors import Cancelled, RecoveryError
from formats.base.extent import Extent, ExtentList
from formats.base.source import BlockSource
from formats.base.zeros import is_zero
from recovery.engine.bounded import ask_all
from recovery.engine.inspection import DiskReport

SAMPLES = 64
PATIENCE = 2.0  # seconds for one disk
_LEVEL = 1
_SPREAD = 2.6  # standard errors: 99 % when the mean is about normal
_RARE = 3.0  # "rule of three", see above
_PER_BLOCK = HEADER_SIZE + 160  # a record's header, its index entries (twice, and in a checkpoint)
_FIXED = 2 << 20  # maps, manifest and index at both ends of a small archive
_SURE = 4  # that many times too large: not even much repetition makes it fit


@dataclass(frozen=True, slots=True)
class Expected:
    """Bytes of an archive: most likely from `low` to `high`, never more than `at_most`. `samples`: blocks looked at."""

    low: int
    high: int
    at_most: int
    samples: int

    def __add__(self, other: Expected) -> Expected:
        return Expected(
            self.low + other.low, self.high + other.high, self.at_most + other.at_most, self.samples + other.samples
        )

    def to_json(self) -> dict[str, int]:
        return {"low": self.low, "high": self.high, "at_most": self.at_most, "samples": self.samples}

    def fits(self, free: int) -> bool:
        """Even in the worst case of what is expected."""
        return min(self.high, self.at_most) <= free

    def cannot_fit(self, free: int) -> bool:
        """Certain enough to refuse it."""
        return self.samples > 0 and self.low > _SURE * max(0, free)


class _Parts:
    """The blocks of several volumes of one disk, numbered through."""

    def __init__(self, parts: Iterable[tuple[Extent, ExtentList]]) -> None:
        self._ranges: list[tuple[int, int, int, Extent, ExtentList]] = []  # first number, end number, first block
        self.count = 0
        for extent, used in parts:
            for start, end in block_ranges(used, DEFAULT_BLOCK):
                self._ranges.append((self.count, self.count + end - start, start, extent, used))
                self.count += end - start

    def read(self, source: BlockSource, number: int) -> bytes:
        """Block `number` as the archive will hold it: zeros where nothing is used."""
        low, high = 0, len(self._ranges)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._ranges[middle][0] <= number else (low, middle)
        first, _, block, extent, used = self._ranges[low]
        at = (block + number - first) * DEFAULT_BLOCK
        end = min(at + DEFAULT_BLOCK, extent.length)
        data = bytearray(end - at)
        for piece in used.overlapping(at, end):
            data[piece.start - at : piece.end - at] = source.read_at(extent.start + piece.start, piece.length)
        return bytes(data)


def expected_size(
    source: BlockSource, report: DiskReport, *, with_areas: bool, check: Callable[[], None] = lambda: None
) -> Expected:
    """Of one inspected disk. Takes PATIENCE at most, also when the disk hangs. Raises only Cancelled.

    `with_areas`: the whole disk is backed up, with what lies between the partitions.
    """
    parts = [(volume.extent, volume.map.extents) for volume in report.volumes if volume.map is not None]
    if with_areas:
        parts.append((Extent(0, report.size), report.areas))
    blocks = _Parts(parts)
    used = sum(extents.total for _, extents in parts)
    at_most = used + used // 64 + blocks.count * _PER_BLOCK + _FIXED
    return _range(_sample(source, blocks, check), blocks.count, at_most)


def _sample(source: BlockSource, blocks: _Parts, check: Callable[[], None]) -> list[float]:
    """Stored bytes of some blocks; fewer when time is over. In the order of chance, so that fewer are fair as well."""
    chance = random.Random(blocks.count)  # the same disk gives the same answer
    numbers = chance.sample(range(blocks.count), min(SAMPLES, blocks.count))
    found: list[float] = []
    seen: set[int] = set()
    over = threading.Event()

    def work() -> None:
        for number in numbers:
            if over.is_set():
                return
            check()
            try:
                data = blocks.read(source, number)
            except RecoveryError:  # a bad sector is no reason to know nothing
                continue
            known = hash(data) in seen  # stored once; among all blocks of a large disk this is rarely seen
            seen.add(hash(data))
            found.append(0.0 if known or is_zero(data) else float(len(compress(data, _LEVEL))))

    try:
        answer = ask_all({"": work}, PATIENCE)[""]
    finally:
        over.set()
    if isinstance(answer, Cancelled):
        raise answer
    check()
    return list(found)


def _range(found: Sequence[float], count: int, at_most: int) -> Expected:
    overhead = count * _PER_BLOCK + _FIXED
    if not found:
        return Expected(0, at_most, at_most, 0)
    n = len(found)
    mean = sum(found) / n
    if n >= count:  # everything was looked at
        return Expected(int(mean * n), min(at_most, int(mean * n) + overhead), at_most, n)
    deviation = math.sqrt(sum((size - mean) ** 2 for size in found) / (n - 1)) if n > 1 else mean
    error = _SPREAD * deviation / math.sqrt(n)
    rare = min(1.0, _RARE / n)
    low = max(0.0, (mean - error) * (1 - rare))
    high = min(float(DEFAULT_BLOCK), mean + error + rare * (DEFAULT_BLOCK - mean))
    return Expected(int(low * count), min(at_most, int(high * count) + overhead), at_most, n)
