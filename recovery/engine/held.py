"""A volume of an archive that never passes zeros off as data: what is not there is an error, not a hole."""

from __future__ import annotations

from formats.archive.reader import ArchiveReader
from formats.base.errors import Corrupt, Inconsistent
from formats.base.extent import ExtentList


class HeldVolume:
    """A BlockSource over a volume of an archive.

    Reading what the archive does not hold raises Inconsistent, reading what the source's medium did not give when
    it was imaged (zeros stand there) or what the archive lost raises Corrupt. `lenient`, for as long as it is set,
    gives zeros for what was never stored: recognising a file system looks at places that nobody uses.
    """

    def __init__(self, reader: ArchiveReader, volume: int, *, lenient: bool = False) -> None:
        self._all = reader.volume(volume)
        self._map = reader.map(volume)
        self._unreadable = reader.unreadable(volume)
        self.lenient = lenient
        self.name, self.size, self.sector_size = self._all.name, self._all.size, self._all.sector_size

    def read_at(self, offset: int, length: int) -> bytes:
        end = offset + length
        if not self.lenient and length and not self._map.covers(offset, end):
            raise Inconsistent("read", offset, f"{length} bytes are not in the archive", source=self.name)
        if len(self._unreadable) and self._unreadable.touches(offset, end):
            where = next(self._unreadable.overlapping(offset, end))
            raise Corrupt(
                "read", where.start, "the disk could not be read there when it was imaged", source=self.name
            )  # fmt: skip
        return self._all.read_at(offset, length)

    def extents_known(self) -> ExtentList | None:
        return self._map
