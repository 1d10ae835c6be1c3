"""Which segment tells about a block: the spans of an archive, newest first, with few segments in memory."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import NamedTuple, Protocol

from formats.archive.segment import Segment, Span, Stored
from formats.base.errors import Inconsistent
from formats.base.extent import ExtentList

_ENTRY = struct.Struct("<QIIQQ")
_SEGMENTS_IN_MEMORY = 48  # some 200 KB each


class SpanRef(NamedTuple):
    """One line of the INDEX. `checkpoint`: archive offset; blocks half-open."""

    checkpoint: int
    volume: int
    overlay: bool
    first_block: int
    end_block: int

    def pack(self) -> bytes:
        return _ENTRY.pack(*self)


def unpack_index(plain: bytes, offset: int, blocks: Sequence[int]) -> list[SpanRef]:
    """The lines of an INDEX record at archive offset `offset`; `blocks`: of each volume. Raises Inconsistent."""
    if len(plain) % _ENTRY.size:
        raise Inconsistent("INDEX", offset, f"{len(plain)} bytes are no whole number of entries")
    refs = []
    for checkpoint, volume, overlay, first, end in _ENTRY.iter_unpack(plain):
        if volume >= len(blocks) or not first <= end <= blocks[volume]:
            raise Inconsistent("INDEX", offset, f"entry of volume {volume}, blocks [{first}, {end})")
        refs.append(SpanRef(checkpoint, volume, bool(overlay), first, end))
    return refs


class SegmentLoader(Protocol):
    """Fetches the segment that the checkpoint at an archive offset holds. Raises RecoveryError."""

    def __call__(self, checkpoint: int) -> Segment: ...


class VolumeIndex:
    """The spans of one volume. Thread-safe."""

    def __init__(self, refs: list[SpanRef], load: SegmentLoader, cache: SegmentCache) -> None:
        self._load, self._cache = load, cache
        self._overlays = [ref for ref in refs if ref.overlay]
        self._base = _flatten([ref for ref in refs if not ref.overlay])
        self._firsts = [first for first, _, _ in self._base]

    def spans(self, ref: SpanRef) -> list[Span]:
        """The spans that `ref` stands for, in full."""
        segment = self._cache.get(ref.checkpoint, self._load)
        return [
            s
            for s in segment.spans
            if s.volume == ref.volume and s.overlay == ref.overlay and s.first_block == ref.first_block
        ]

    def find(self, block: int) -> Stored | bool:
        """Where `block` is stored; True when it is zero; False when no span knows it."""
        for ref in reversed(self._overlays):
            if ref.first_block <= block < ref.end_block:
                for span in self.spans(ref):
                    where = span.stored(block)
                    if where is not None:
                        return where
                    if span.is_zero(block):
                        return True
        i = bisect_right(self._firsts, block) - 1
        if i >= 0 and block < self._base[i][1]:
            for span in self.spans(self._base[i][2]):
                where = span.stored(block)
                if where is not None:
                    return where
                if span.is_zero(block):
                    return True
        return False

    def around(self, block: int) -> tuple[int, int, list[Span]]:
        """(first, end, spans): the base range or the gap that holds `block`, half-open, and what can tell of it.

        Besides its own spans those of the base range before it: a writer hears of unreadable bytes a batch ahead of
        their blocks, and a window may end in between.
        """
        i = bisect_right(self._firsts, block) - 1
        near = self._base[max(0, i - 1) : i + 1]
        if i >= 0 and block < self._base[i][1]:
            first, end = self._base[i][:2]
        else:  # a gap
            first = self._base[i][1] if i >= 0 else 0
            end = self._base[i + 1][0] if i + 1 < len(self._base) else 1 << 62
        spans = [span for _, _, ref in near for span in self.spans(ref)]
        for late in self._overlays:
            if late.first_block < end and first < late.end_block:
                spans += self.spans(late)
        return first, end, spans

    def ranges(self) -> Iterator[tuple[int, int, list[Span]]]:
        """(first, end, spans oldest first) over all base ranges, ascending, with the overlays that reach in."""
        for first, end, ref in self._base:
            spans = self.spans(ref)
            for late in self._overlays:
                if late.first_block < end and first < late.end_block:
                    spans = spans + self.spans(late)
            yield first, end, spans


def _flatten(refs: list[SpanRef]) -> list[tuple[int, int, SpanRef]]:
    """Disjoint ascending ranges in which the newest base span holds."""
    out: list[tuple[int, int, SpanRef]] = []
    for ref in refs:
        if out and ref.first_block < out[-1][1]:
            kept = []
            for first, end, old in out:
                if end <= ref.first_block or first >= ref.end_block:
                    kept.append((first, end, old))
                    continue
                if first < ref.first_block:
                    kept.append((first, ref.first_block, old))
                if ref.end_block < end:
                    kept.append((ref.end_block, end, old))
            out = sorted([*kept, (ref.first_block, ref.end_block, ref)])
        elif ref.first_block < ref.end_block:
            out.append((ref.first_block, ref.end_block, ref))
    return out


class SegmentCache:
    """The segments used last. Thread-safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Segment] = OrderedDict()
        self._lock = Lock()

    def get(self, checkpoint: int, load: SegmentLoader) -> Segment:
        with self._lock:
            segment = self._kept.get(checkpoint)
            if segment is not None:
                self._kept.move_to_end(checkpoint)
                return segment
        segment = load(checkpoint)
        with self._lock:
            self._kept[checkpoint] = segment
            while len(self._kept) > _SEGMENTS_IN_MEMORY:
                self._kept.popitem(last=False)
        return segment


def block_ranges(extents: ExtentList, block_size: int) -> ExtentList:
    """Numbers of the blocks that `extents` (bytes) touch, as ranges."""
    return ExtentList((start // block_size, -(-end // block_size)) for start, end in extents)
