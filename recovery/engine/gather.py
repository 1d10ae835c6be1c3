"""Reading the used bytes of a volume in big aligned batches, around the places that the medium does not give."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import NamedTuple

from formats.archive.index import block_ranges
from formats.base.errors import DeviceError
from formats.base.extent import Extent, ExtentList
from formats.base.source import BlockSource
from formats.base.units import KiB
from recovery.engine.settings import Settings

_GAP = 32 * KiB  # a gap below this is read through rather than around
_FIRST_STEP = 64 * KiB
_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM, errno.ESHUTDOWN, errno.EBADF})


class Batch(NamedTuple):
    """`data`: the volume's bytes from `start`, whole blocks (the last cut), zeros where nothing is used.

    `used`: how many of them are used. `unreadable`: byte ranges of the volume that stand as zeros.
    """

    start: int
    data: bytes
    used: int
    unreadable: tuple[Extent, ...]


class Reader:
    """Reads one volume. `where`: what it is doing now, for a message when the medium hangs."""

    def __init__(
        self,
        source: BlockSource,
        extents: ExtentList,
        settings: Settings,
        *,
        weak_read: Callable[[int, int], bytes] | None = None,
        check_alive: Callable[[], None] = lambda: None,
        pace: Callable[[int], None] | None = None,
    ) -> None:
        """`weak_read`: how to read small pieces around a bad place (past the page cache, if the source can).

        `check_alive`: raises when the medium is not there any more; asked whenever something cannot be read,
        because a disk that was pulled out answers like one that is full of bad sectors. `pace`: gets the bytes of
        each read before it is begun, and returns when it may be.
        """
        self._source, self._extents, self._settings = source, extents, settings
        self._weak_read = weak_read or source.read_at
        self._check_alive = check_alive
        self._pace = pace
        self.where = ""

    def batches(self) -> Iterator[Batch]:
        """All blocks that the extents touch, ascending. Raises DeviceError when the medium is gone altogether."""
        step = self._settings.block_size
        per_batch = max(1, self._settings.batch // step)
        for first, end in block_ranges(self._extents, step):
            for block in range(first, end, per_batch):
                start = block * step
                stop = min(min(block + per_batch, end) * step, self._source.size)
                yield self._batch(start, stop)

    def _batch(self, start: int, stop: int) -> Batch:
        pieces = list(self._extents.overlapping(start, stop))
        used = sum(e.end - e.start for e in pieces)
        bad: list[Extent] = []
        if used == stop - start:
            return Batch(start, self._read(start, stop, bad), used, tuple(bad))
        out: list[bytes] = []
        at = start
        for group in _groups(pieces):
            low, high = group[0].start, group[-1].end
            data = self._read(low, high, bad) if len(group) == 1 else self._read_group(group, bad)
            out.append(bytes(low - at))
            out.append(data)
            at = high
        out.append(bytes(stop - at))
        return Batch(start, b"".join(out), used, tuple(bad))

    def _read_group(self, group: list[Extent], bad: list[Extent]) -> bytes:
        """Extents with small gaps: one read, then the gaps blanked. A bad place in a gap costs nothing."""
        low, high = group[0].start, group[-1].end
        try:
            self._begin(f"reading {high - low} bytes at offset {low} of {self._source.name}", high - low)
            data = bytearray(self._source.read_at(low, high - low))
        except DeviceError:
            data = bytearray(high - low)
            for start, end in group:
                data[start - low : end - low] = self._read(start, end, bad)
            return bytes(data)
        at = low
        for start, end in group:
            data[at - low : start - low] = bytes(start - at)
            at = end
        return bytes(data)

    def _read(self, start: int, end: int, bad: list[Extent]) -> bytes:
        try:
            self._begin(f"reading {end - start} bytes at offset {start} of {self._source.name}", end - start)
            return self._source.read_at(start, end - start)
        except DeviceError as error:
            if error.errno in _GONE:
                raise
            self._check_alive()
            return self._read_around(start, end, _FIRST_STEP, bad)

    def _begin(self, where: str, length: int) -> None:
        """Say what is read now, when it may be."""
        if self._pace:
            self.where = "kept to the bandwidth that was asked for"
            self._pace(length)
        self.where = where

    def _read_around(self, start: int, end: int, step: int, bad: list[Extent]) -> bytes:
        """Smaller and smaller pieces, down to the sector; what stays unreadable becomes zeros and is noted."""
        sector = self._source.sector_size
        pieces = []
        for low in range(start, end, step):
            high = min(low + step, end)
            self.where = f"reading around a bad place: {high - low} bytes at offset {low} of {self._source.name}"
            data = self._try(low, high - low, self._settings.retries if step <= sector else 0)
            if data is None and step > sector:
                data = self._read_around(low, high, max(sector, step // 8), bad)
            elif data is None:
                data = bytes(high - low)
                if bad and bad[-1].end == low:
                    bad[-1] = Extent(bad[-1].start, high)
                else:
                    bad.append(Extent(low, high))
            pieces.append(data)
        return b"".join(pieces)

    def _try(self, offset: int, length: int, retries: int) -> bytes | None:
        for _ in range(1 + retries):
            try:
                return self._weak_read(offset, length)
            except DeviceError as error:
                if error.errno in _GONE:
                    raise
        return None


def _groups(pieces: list[Extent]) -> Iterator[list[Extent]]:
    group: list[Extent] = []
    for piece in pieces:
        if group and piece.start - group[-1].end > _GAP:
            yield group
            group = []
        group.append(piece)
    if group:
        yield group
