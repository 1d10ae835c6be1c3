"""Sources for tests: with a hole in the medium, with holes that are known, with a count of what was read."""

from __future__ import annotations

from collections.abc import Sequence

from formats.base.errors import DeviceError
from formats.base.extent import ExtentList
from formats.base.source import BlockSource


class BadSectorSource:
    """Another source that cannot be read in `bad`, (start, end) bytes; a read that touches one fails as a whole."""

    def __init__(self, source: BlockSource, bad: Sequence[tuple[int, int]]) -> None:
        self._source, self._bad = source, ExtentList(bad)
        self.name, self.size, self.sector_size = source.name, source.size, source.sector_size

    def read_at(self, offset: int, length: int) -> bytes:
        if self._bad.touches(offset, offset + length):
            raise DeviceError(self.name, "read", offset, length, 5)
        return self._source.read_at(offset, length)

    def extents_known(self) -> ExtentList | None:
        return None


class WatchedSource:
    """Another source, counting `reads` and `bytes_read`; `known` is what extents_known() answers."""

    def __init__(self, source: BlockSource, known: ExtentList | None = None) -> None:
        self._source, self._known = source, known
        self.name, self.size, self.sector_size = source.name, source.size, source.sector_size
        self.reads = self.bytes_read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        self.bytes_read += length
        return self._source.read_at(offset, length)

    def extents_known(self) -> ExtentList | None:
        return self._known
