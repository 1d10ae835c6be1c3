"""Where the content of a file lies on the volume, as fs.tree.Run."""

from __future__ import annotations

from collections.abc import Iterator

from fs.ntfs.data import UnitReader, WofReader, stored_pieces
from fs.ntfs.stream import Stream
from fs.tree import Run, RunKind

TABLE_STEP = 4096  # chunks of a WOF file whose places are read at once


def plain_runs(stream: Stream) -> Iterator[Run]:
    """Data stored as they are; what lies behind the initialised size is UNWRITTEN."""
    if stream.resident:
        return
    at = 0
    for start, end, place in stream.pieces(0, stream.size):
        if start > at:
            yield Run(at, None, start - at, RunKind.HOLE)
        at = end
        if place < 0:
            yield Run(start, None, end - start, RunKind.HOLE)
            continue
        middle = min(max(start, stream.initialized), end)
        if start < middle:
            yield Run(start, place, middle - start, RunKind.DATA, middle - start)
        if middle < end:
            yield Run(middle, place + middle - start, end - middle, RunKind.UNWRITTEN, end - middle)
    if at < stream.size:
        yield Run(at, None, stream.size - at, RunKind.HOLE)


def unit_runs(stream: Stream, reader: UnitReader) -> Iterator[Run]:
    """Data compressed in units; neighbouring units that are holes, or stored as they are, become one run."""
    unit, size = reader.unit, stream.size
    at = 0  # a border of units
    while at < size and not stream.resident:
        low, high, place = next(stream.pieces(at, size), (size, size, -1))
        end = size if min(low, high) >= size else high // unit * unit  # how far it fills whole units
        if place < 0 and high >= size:
            end = size
        if end > at:
            if place < 0:
                yield Run(at, None, end - at, RunKind.HOLE)
            else:
                yield Run(at, place, end - at, RunKind.DATA, end - at)
            at = end
            continue
        end = min(at + unit, size)
        stored = stored_pieces(stream, at, at + unit)
        if sum(last - first for first, last in stored) < unit:
            yield from encoded(at, end, stored)
        else:
            here = at
            for first, last in stored:
                length = min(last - first, end - here)
                if length > 0:
                    yield Run(here, first, length, RunKind.DATA, length)
                here += length
        at = end


def wof_runs(stored: Stream, reader: WofReader) -> Iterator[Run]:
    """A file that WOF compressed: its chunks lie in another stream. The table of chunks counts to the first one.

    Raises Corrupt or DeviceError when the table is damaged or cannot be read.
    """
    if stored.resident:
        return
    for first in range(0, reader.count, TABLE_STEP):
        stop = min(first + TABLE_STEP, reader.count)
        bounds = reader.bounds(first, stop)
        for i in range(stop - first):
            at = (first + i) * reader.chunk
            begin = 0 if first + i == 0 else bounds[i]
            places = [
                (place, place + high - low) for low, high, place in stored.pieces(begin, bounds[i + 1]) if place >= 0
            ]
            yield from encoded(at, min(at + reader.chunk, reader.size), places)


def encoded(at: int, end: int, places: list[tuple[int, int]]) -> Iterator[Run]:
    """Bytes [at, end) of a file come out of `places`: each gets a share of them, as Run wants one place each."""
    total = sum(last - first for first, last in places)
    if not total:
        yield Run(at, None, end - at, RunKind.HOLE)
        return
    begin, done = at, 0
    for first, last in places:
        done += last - first
        stop = at + (end - at) * done // total
        if stop > begin:
            yield Run(begin, first, stop - begin, RunKind.ENCODED, last - first)
        begin = stop
