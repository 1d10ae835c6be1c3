"""A volume of an archive that never passes zeros off as data: what is not there is an error, not a hole."""

from __future__ import annotations

from formats.archive.reader import ArchiveReader
from formats.base.errors import Corrupt, Inconsistent
from formats.base.extent import ExtentList

_RANGES_KEPT = 16


class HeldVolume:
    """A BlockSource over a volume of an archive.

    Reading what the archive does not hold raises Inconsistent, reading what the source's medium did not give when
    it was imaged (zeros stand there) or what the archive lost raises Corrupt. `lenient`, for as long as it is set,
    gives zeros for what was never stored: recognising a file system looks at places that nobody uses.
    """

    def __init__(self, reader: ArchiveReader, volume: int, *, lenient: bool = False) -> None:
        self._all = reader.volume(volume)
        self._map = reader.map(volume)
        self._reader, self._volume = reader, volume
        self._near: list[tuple[int, int, ExtentList]] = []  # what is unreadable, by ranges, the one used last in front
        self.lenient = lenient
        self.name, self.size, self.sector_size = self._all.name, self._all.size, self._all.sector_size

    def read_at(self, offset: int, length: int) -> bytes:
        end = offset + length
        if not self.lenient and length and not self._map.covers(offset, end):
            raise Inconsistent("read", offset, f"{length} bytes are not in the archive", source=self.name)
        at = offset
        while at < end:
            _, stop, unreadable = self._unreadable(at)
            if len(unreadable) and unreadable.touches(at, end):
                where = next(unreadable.overlapping(at, end))
                raise Corrupt(
                    "read", where.start, "the disk could not be read there when it was imaged", source=self.name
                )
            at = stop
        return self._all.read_at(offset, length)

    def _unreadable(self, offset: int) -> tuple[int, int, ExtentList]:
        """See ArchiveReader.unreadable_near(). Asked when it is needed: opening must not load the whole index."""
        known = self._near  # replaced and never changed, for several threads read
        for near in known:
            if near[0] <= offset < near[1]:
                if near is not known[0]:
                    self._near = [near, *(other for other in known if other is not near)]
                return near
        found = self._reader.unreadable_near(self._volume, offset)
        self._near = [found, *known[: _RANGES_KEPT - 1]]
        return found

    def missing(self, start: int, end: int) -> int:
        """How many bytes of [start, end) cannot be given, as far as the index knows: no block is read for it."""
        gone = self._map.clip(start, end).complement(end).clip(start, end)
        at = start
        while at < end:
            _, stop, unreadable = self._unreadable(at)
            gone = gone.union(unreadable.overlapping(at, min(stop, end)))
            at = stop
        if self._reader.problems:  # else no block is lost
            step = self._reader.block_size
            for block in range(start // step, -(-end // step)):
                if self._reader.find(self._volume, block).lost:
                    gone = gone.union([(max(start, block * step), min(end, (block + 1) * step))])
        return gone.clip(start, end).total

    def extents_known(self) -> ExtentList | None:
        return self._map
