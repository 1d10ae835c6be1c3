"""Extents: half-open byte ranges, and compact sorted lists of them.

An ExtentList keeps two machine-word arrays (16 bytes an extent), because a fragmented disk has millions.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from formats.base.units import KiB, align_down, align_up

MAX_EXTENTS = 2_000_000  # 32 MB of arrays; beyond it small gaps are imaged too (see ExtentBuilder)


class Extent(NamedTuple):
    """Bytes from `start` up to but not including `end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


class ExtentList:
    """Sorted, disjoint, never touching extents. Immutable once built."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        """`pairs` of (start, end) bytes in any order; overlapping and touching ones are merged."""
        builder = ExtentBuilder(limit=0)
        ordered = sorted(pairs)
        for start, end in ordered:
            builder.add(start, end)
        self._starts, self._ends = builder.arrays()

    @classmethod
    def of_arrays(cls, starts: array[int], ends: array[int]) -> ExtentList:
        """Take over arrays that are already sorted, disjoint and not touching."""
        new = cls.__new__(cls)
        new._starts, new._ends = starts, ends
        return new

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Extent]:
        return map(Extent, self._starts, self._ends)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExtentList):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    def __hash__(self) -> int:
        raise TypeError("an ExtentList is not hashable")

    def __repr__(self) -> str:
        head = ", ".join(f"[{e.start}, {e.end})" for e in list(self)[:4])
        return f"ExtentList({len(self)}: {head}{', …' if len(self) > 4 else ''})"

    @property
    def total(self) -> int:
        """Sum of the lengths in bytes."""
        return sum(self._ends) - sum(self._starts)

    @property
    def end(self) -> int:
        """End of the last extent in bytes, 0 when empty."""
        return self._ends[-1] if self._ends else 0

    def covers(self, start: int, end: int) -> bool:
        """True when every byte of [start, end) is inside."""
        if start >= end:
            return True
        i = bisect_right(self._starts, start) - 1
        return i >= 0 and self._ends[i] >= end

    def touches(self, start: int, end: int) -> bool:
        """True when at least one byte of [start, end) is inside."""
        i = bisect_right(self._ends, start)
        return i < len(self._starts) and self._starts[i] < end

    def overlapping(self, start: int, end: int) -> Iterator[Extent]:
        """The parts that lie in [start, end), cut to it, ascending."""
        starts, ends = self._starts, self._ends
        i = bisect_right(ends, start)
        n = len(starts)
        while i < n and starts[i] < end:
            yield Extent(max(starts[i], start), min(ends[i], end))
            i += 1

    def clip(self, start: int, end: int) -> ExtentList:
        """The part inside [start, end)."""
        if start >= end:
            return ExtentList()
        i, j = bisect_right(self._ends, start), bisect_left(self._starts, end)
        starts, ends = self._starts[i:j], self._ends[i:j]
        if starts:
            starts[0] = max(starts[0], start)
            ends[-1] = min(ends[-1], end)
        return ExtentList.of_arrays(starts, ends)

    def shift(self, by: int) -> ExtentList:
        """Every extent moved by `by` bytes."""
        return ExtentList.of_arrays(
            array("Q", (s + by for s in self._starts)), array("Q", (e + by for e in self._ends))
        )

    def union(self, other: Iterable[tuple[int, int]]) -> ExtentList:
        """Everything that is in one or the other."""
        return merge(self, other)

    def intersect(self, other: ExtentList) -> ExtentList:
        """Everything that is in both."""
        builder = ExtentBuilder(limit=0)
        small, large = (self, other) if len(self) < len(other) else (other, self)
        for start, end in small:
            for piece in large.overlapping(start, end):
                builder.add(*piece)
        return builder.build()

    def complement(self, size: int) -> ExtentList:
        """What is missing between 0 and `size` bytes."""
        builder = ExtentBuilder(limit=0)
        at = 0
        for start, end in self:
            if start >= size:
                break
            if start > at:
                builder.add(at, start)
            at = max(at, end)
        if at < size:
            builder.add(at, size)
        return builder.build()

    def subtract(self, other: ExtentList) -> ExtentList:
        """What is in this one and not in the other."""
        if not len(other):
            return self
        return self.intersect(other.complement(max(self.end, other.end)))

    def align_out(self, step: int, size: int) -> ExtentList:
        """Every extent widened to multiples of `step` bytes, cut at `size`."""
        builder = ExtentBuilder(limit=0)
        for start, end in self:
            builder.add(align_down(start, step), min(align_up(end, step), size))
        return builder.build()


class ExtentBuilder:
    """Collects extents in ascending order of start; touching and overlapping ones become one.

    Memory is bounded: past `limit` extents, gaps below a grain that doubles from 64 KiB are filled in. The
    result then holds more than was added, never less. `limit` 0 switches this off. `grain` tells, in bytes,
    how coarse it became (0: exact).
    """

    def __init__(self, limit: int = MAX_EXTENTS) -> None:
        self._starts: array[int] = array("Q")
        self._ends: array[int] = array("Q")
        self._limit = limit
        self.grain = 0

    def add(self, start: int, end: int) -> None:
        """Add [start, end). Raises ValueError when `start` lies before an earlier start or is negative."""
        if start >= end:
            if start > end:
                raise ValueError(f"extent [{start}, {end}) runs backwards")
            return
        if self._ends and start <= self._ends[-1] + self.grain:
            if start < self._starts[-1]:
                raise ValueError(f"extent at {start} comes after one at {self._starts[-1]}")
            if end > self._ends[-1]:
                self._ends[-1] = end
            return
        self._starts.append(start)
        self._ends.append(end)
        if self._limit and len(self._starts) > self._limit:
            self._coarsen()

    def _coarsen(self) -> None:
        while len(self._starts) > self._limit // 2:
            self.grain = self.grain * 2 or 64 * KiB
            starts: array[int] = array("Q")
            ends: array[int] = array("Q")
            for start, end in zip(self._starts, self._ends, strict=True):
                if ends and start <= ends[-1] + self.grain:
                    ends[-1] = max(ends[-1], end)
                else:
                    starts.append(start)
                    ends.append(end)
            self._starts, self._ends = starts, ends

    def arrays(self) -> tuple[array[int], array[int]]:
        return self._starts, self._ends

    def build(self) -> ExtentList:
        """The list; the builder must not be used afterwards."""
        return ExtentList.of_arrays(self._starts, self._ends)


def collect(extents: Iterable[tuple[int, int]], limit: int = MAX_EXTENTS) -> ExtentList:
    """An ExtentList from extents that come in ascending order, with bounded memory."""
    builder = ExtentBuilder(limit)
    for start, end in extents:
        builder.add(start, end)
    return builder.build()


def merge(*ascending: Iterable[tuple[int, int]]) -> ExtentList:
    """The union of several ascending streams of extents."""
    return collect(heapq.merge(*ascending))
