"""Segments: the index of one window of the archive. See FORMAT.md, "Segments"."""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from formats.base.errors import Corrupt, Inconsistent, Truncated
from formats.base.extent import ExtentList

_SEGMENT = struct.Struct("<QQII")
_SPAN = struct.Struct("<IIQQIIII")
_MAX_COUNT = 1 << 22  # entries of one column: 64 MiB of payload hold no more


def u64_bytes(values: Iterable[int]) -> bytes:
    """Values as little-endian u64."""
    out = array("Q", values)
    if sys.byteorder == "big":
        out.byteswap()
    return out.tobytes()


def u64_array(data: bytes) -> array[int]:
    """Little-endian u64 as an array."""
    out = array("Q")
    out.frombytes(data)
    if sys.byteorder == "big":
        out.byteswap()
    return out


def pack_pairs(extents: Iterable[tuple[int, int]]) -> bytes:
    """(start, end) pairs as u64."""
    return u64_bytes(value for pair in extents for value in pair)


def unpack_pairs(data: bytes, structure: str, offset: int) -> ExtentList:
    """Ascending, disjoint, not touching pairs. Raises Inconsistent otherwise."""
    values = u64_array(data)
    starts, ends = values[0::2], values[1::2]
    last = -1
    for start, end in zip(starts, ends, strict=True):
        if not last < start < end:
            raise Inconsistent(structure, offset, f"extent [{start}, {end}) behind one that ends at {last}")
        last = end
    return ExtentList.of_arrays(starts, ends)


class Stored(NamedTuple):
    """Where a block is: archive offset of its BLOCK record, and the digest that it must have."""

    offset: int
    digest: bytes


@dataclass(slots=True)
class Span:
    """State of the blocks [first_block, end_block) of a volume. Columns as in FORMAT.md."""

    volume: int
    overlay: bool
    first_block: int
    end_block: int
    numbers: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    digests: bytearray = field(default_factory=bytearray)
    zero: ExtentList = field(default_factory=ExtentList)
    extents: ExtentList = field(default_factory=ExtentList)
    unreadable: ExtentList = field(default_factory=ExtentList)

    def stored(self, block: int) -> Stored | None:
        """The entry of `block`, None when it is not stored here."""
        i = bisect_left(self.numbers, block)
        if i == len(self.numbers) or self.numbers[i] != block:
            return None
        return Stored(self.offsets[i], bytes(self.digests[32 * i : 32 * i + 32]))

    def is_zero(self, block: int) -> bool:
        return self.zero.covers(block, block + 1)

    def tells(self, block: int) -> bool:
        """True when this span knows the state of `block`."""
        if not self.first_block <= block < self.end_block:
            return False
        return not self.overlay or self.is_zero(block) or self.stored(block) is not None

    def entries(self) -> Iterator[tuple[int, Stored]]:
        """(block, where) ascending."""
        for i, number in enumerate(self.numbers):
            yield number, Stored(self.offsets[i], bytes(self.digests[32 * i : 32 * i + 32]))

    def pack(self) -> bytes:
        head = _SPAN.pack(
            self.volume,
            self.overlay,
            self.first_block,
            self.end_block,
            len(self.numbers),
            len(self.zero),
            len(self.extents),
            len(self.unreadable),
        )
        return b"".join(
            (
                head,
                u64_bytes(self.numbers),
                u64_bytes(self.offsets),
                self.digests,
                pack_pairs(self.zero),
                pack_pairs(self.extents),
                pack_pairs(self.unreadable),
            )
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """`window_start`, `window_end`: archive offsets in bytes."""

    window_start: int
    window_end: int
    spans: tuple[Span, ...]

    def pack(self) -> bytes:
        head = _SEGMENT.pack(self.window_start, self.window_end, len(self.spans), 0)
        return head + b"".join(span.pack() for span in self.spans)

    @classmethod
    def unpack(cls, data: bytes, offset: int) -> Segment:
        """Parse `data`, which came from the record at archive offset `offset`. Raises Corrupt."""
        if len(data) < _SEGMENT.size:
            raise Truncated("segment", offset, "the head is cut")
        window_start, window_end, count, _ = _SEGMENT.unpack_from(data)
        at = _SEGMENT.size
        spans = []
        for index in range(count):
            name = f"segment span {index}"
            if at + _SPAN.size > len(data):
                raise Truncated(name, offset, "the head is cut")
            volume, overlay, first, end, stored, zeros, extents, unreadable = _SPAN.unpack_from(data, at)
            at += _SPAN.size
            if first > end or max(stored, zeros, extents, unreadable) > _MAX_COUNT:
                raise Inconsistent(name, offset, f"range [{first}, {end}), {stored} entries")
            sizes = (stored * 8, stored * 8, stored * 32, zeros * 16, extents * 16, unreadable * 16)
            if at + sum(sizes) > len(data):
                raise Truncated(name, offset, "its columns are cut")
            columns = []
            for size in sizes:
                columns.append(data[at : at + size])
                at += size
            numbers = u64_array(columns[0])
            if any(a >= b for a, b in pairwise(numbers)) or (stored and not first <= numbers[0] <= numbers[-1] < end):
                raise Inconsistent(name, offset, "block numbers are not ascending inside the range")
            spans.append(
                Span(
                    volume,
                    bool(overlay),
                    first,
                    end,
                    numbers,
                    u64_array(columns[1]),
                    bytearray(columns[2]),
                    *(unpack_pairs(column, name, offset) for column in columns[3:]),
                )
            )
        if at != len(data):
            raise Corrupt("segment", offset, f"{len(data) - at} bytes behind its last span")
        return cls(window_start, window_end, tuple(spans))


class SpanBuilder:
    """Collects the state of blocks of one volume inside one window.

    Blocks at or behind the range so far extend the base span; earlier ones go to an overlay span.
    """

    def __init__(self, volume: int, first_block: int) -> None:
        self.volume = volume
        self.first_block = self.next_block = first_block
        self._stored: dict[int, Stored] = {}
        self._zero: set[int] = set()
        self._late: dict[int, Stored | None] = {}
        self._unreadable: list[tuple[int, int]] = []

    @property
    def blocks(self) -> int:
        """How many blocks have an entry."""
        return len(self._stored) + len(self._zero) + len(self._late)

    def put(self, block: int, where: Stored | None) -> None:
        """`block` is stored at `where`, or zero (None). The last word on a block counts."""
        if block < self.first_block:
            self._late[block] = where
            return
        self.next_block = max(self.next_block, block + 1)
        if where is None:
            self._stored.pop(block, None)
            self._zero.add(block)
        else:
            self._zero.discard(block)
            self._stored[block] = where

    def unreadable(self, start: int, end: int) -> None:
        """Bytes [start, end) of the volume could not be read."""
        self._unreadable.append((start, end))

    def spans(self, extents: ExtentList, block_size: int, end_block: int) -> list[Span]:
        """The finished spans; the base span reaches to `end_block`. `extents`: the whole map of the volume."""
        out = []
        if end_block > self.first_block:
            span = self._span(False, self.first_block, end_block, self._stored, self._zero)
            span.extents = extents.clip(self.first_block * block_size, end_block * block_size)
            span.unreadable = ExtentList(self._unreadable)
            out.append(span)
        if self._late:
            stored = {block: where for block, where in self._late.items() if where is not None}
            zero = {block for block, where in self._late.items() if where is None}
            late = self._span(True, min(self._late), max(self._late) + 1, stored, zero)
            if not out:
                late.unreadable = ExtentList(self._unreadable)
            out.append(late)
        return out

    def _span(self, overlay: bool, first: int, end: int, stored: dict[int, Stored], zero: set[int]) -> Span:
        span = Span(self.volume, overlay, first, end, zero=ExtentList((b, b + 1) for b in zero))
        for number in sorted(stored):
            span.numbers.append(number)
            span.offsets.append(stored[number].offset)
            span.digests += stored[number].digest
        return span
