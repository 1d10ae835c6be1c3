"""Peek: small reads all over a volume, each page read once, for probing.

A place that cannot be read, or that lies outside, gives b"": a signature that cannot be seen is not there. What
could not be read is remembered, so that the caller can say so.
"""

from __future__ import annotations

from formats.base.errors import DeviceError, Truncated
from formats.base.extent import Extent
from formats.base.source import BlockSource
from formats.base.units import KiB, MiB, align_down

PAGE = 4 * KiB
AHEAD = 512 * KiB  # the first bytes hold nearly every signature: one read instead of a hundred
LIMIT = MiB  # no structure that is read for recognising is larger


class Peek:
    """Cached reads of `source`. `unreadable`: the pages that the medium refused, in the order of asking."""

    def __init__(self, source: BlockSource) -> None:
        self.source = source
        self.size = source.size
        self.unreadable: list[Extent] = []
        self._pages: dict[int, bytes] = {}
        self._load(0, min(AHEAD, self.size))

    def get(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, or b"" when they are outside or unreadable."""
        if offset < 0 or not 0 < length <= LIMIT or offset + length > self.size:
            return b""
        first = align_down(offset, PAGE)
        pieces = []
        for start in range(first, offset + length, PAGE):
            if start not in self._pages:
                self._load(start, min(PAGE, self.size - start))
            page = self._pages[start]
            if not page:
                return b""
            pieces.append(page)
        return b"".join(pieces)[offset - first : offset - first + length]

    def _load(self, start: int, length: int) -> None:
        """Fill the cache; a long read that fails is taken apart into pages."""
        if not length:
            return
        try:
            data = self.source.read_at(start, length)
        except (DeviceError, Truncated):
            if length > PAGE:
                for page in range(start, start + length, PAGE):
                    self._load(page, min(PAGE, self.size - page))
            else:
                self._pages[start] = b""
                self.unreadable.append(Extent(start, start + length))
            return
        for at in range(0, length, PAGE):
            self._pages[start + at] = data[at : at + PAGE]
