"""The FAT of exFAT and its allocation bitmap.

Source: exFAT specification, sections 4.1 (FAT) and 7.1 (allocation bitmap).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from formats.base.bitmap import Bitmap, bit_runs
from formats.base.errors import Truncated
from formats.base.extent import Extent
from formats.base.source import BlockSource
from fs.clusters import FIRST_CLUSTER, Chains
from fs.exfat.boot import Boot

BAD_CLUSTER = 0xFFFFFFF7
END_OF_CHAIN = 0xFFFFFFF8  # the specification writes 0xFFFFFFFF; the values below it are no clusters either
SCAN_BYTES = 1 << 20
CHECK_BYTES = 64 << 10
CHECK_SLABS = 64


def chains(source: BlockSource, boot: Boot) -> Chains:
    """Chains in the active FAT. Errors of `source` pass through."""
    start = boot.fat_offset + boot.active_fat * boot.fat_size

    def load(first: int, count: int) -> bytes:
        return source.read_at(start + 4 * first, 4 * count)

    return Chains(load, boot.limit, END_OF_CHAIN, BAD_CLUSTER)


class ScatteredBytes:
    """The bytes of a file: its extents in logical order. Errors of `source` pass through."""

    def __init__(self, source: BlockSource, extents: Sequence[Extent]) -> None:
        self._source, self._extents = source, extents
        self._starts: list[int] = []
        self.size = 0
        for extent in extents:
            self._starts.append(self.size)
            self.size += extent.length

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`. Raises Truncated when they are not all there."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise Truncated("cluster chain", offset, f"{length} bytes from {offset} of {self.size}")
        pieces = []
        index = bisect_right(self._starts, offset) - 1
        while length:
            extent = self._extents[index]
            skip = offset - self._starts[index]
            size = min(length, extent.length - skip)
            pieces.append(self._source.read_at(extent.start + skip, size))
            offset, length, index = offset + size, length - size, index + 1
        return b"".join(pieces)


class AllocationBitmap:
    """Bit 0 stands for cluster 2. `content` must hold a bit for each of the `clusters`."""

    def __init__(self, content: ScatteredBytes, clusters: int) -> None:
        self._content, self._clusters = content, clusters
        self._cache: OrderedDict[int, tuple[bytes, Bitmap]] = OrderedDict()

    def used(self) -> Iterator[tuple[int, int]]:
        """Runs of clusters whose bit is set, as (first, end); runs may touch at the borders of a slab."""
        for base in range(0, self._clusters, SCAN_BYTES * 8):
            bits = min(SCAN_BYTES * 8, self._clusters - base)
            data = self._content.read(base // 8, (bits + 7) // 8)
            for first, end in bit_runs(data, bits):
                yield base + first + FIRST_CLUSTER, base + end + FIRST_CLUSTER

    def missing(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Runs of the existing clusters [first, end) whose bit is clear."""
        first, end = first - FIRST_CLUSTER, end - FIRST_CLUSTER
        step = CHECK_BYTES * 8
        while first < end:
            number = first // step
            base = number * step
            low, high = first - base, min(end - base, step)
            data, bits = self._slab(number)
            if not bits.all_set(low, high):
                start = low // 8  # whole bytes only: bit_runs() counts from the start of its data
                for a, b in bit_runs(data[start : (high + 7) // 8], high - start * 8, value=0):
                    a, b = max(a + start * 8, low), b + start * 8
                    if a < b:
                        yield base + a + FIRST_CLUSTER, base + b + FIRST_CLUSTER
            first = base + high

    def _slab(self, number: int) -> tuple[bytes, Bitmap]:
        slab = self._cache.get(number)
        if slab is None:
            base = number * CHECK_BYTES * 8
            bits = min(CHECK_BYTES * 8, self._clusters - base)
            data = self._content.read(base // 8, (bits + 7) // 8)
            slab = self._cache[number] = (data, Bitmap(data, bits))
            if len(self._cache) > CHECK_SLABS:
                self._cache.popitem(last=False)
        return slab
