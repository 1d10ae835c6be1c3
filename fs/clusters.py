"""Chains of clusters in a table of next-pointers, as FAT12/16/32 and exFAT have them.

A chain is followed run by run, not cluster by cluster: for each slab of the table one mask tells, found with
whole-slab arithmetic, which entries do *not* point to their neighbour; bytes.find() then jumps from break to break.
"""

from __future__ import annotations

import sys
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator

from formats.base.bitmap import Bitmap

SLAB_ENTRIES = 1 << 14  # 64 KiB of a 32-bit table: small, because files are scattered
CACHED_SLABS = 256  # about 20 MiB
FIRST_CLUSTER = 2  # entries 0 and 1 are not clusters (fatgen103 "FAT Data Structure", exFAT section 4.1)
VISIT_SLAB = 1 << 16
VISIT_SLABS = 8192  # 64 MiB of bitmaps = 2**29 clusters

_ONES = int.from_bytes(b"\x01\0\0\0" * SLAB_ENTRIES, "little")
_SUCCESSORS = int.from_bytes(b"".join(i.to_bytes(4, "little") for i in range(1, SLAB_ENTRIES + 1)), "little")
_NONZERO = bytes([0] + [1] * 255)


def u32_array(data: bytes) -> array[int]:
    """Little-endian 32-bit numbers. `data` must be whole numbers."""
    values: array[int] = array("I")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def nonzero_mask(data: bytes, high_bits: bytes | None = None) -> bytes:
    """One byte for each 32-bit number of `data`: 1 when it is not zero.

    `high_bits`: a translation of the top byte, for formats that reserve some of its bits.
    """
    top = data[3::4]
    if high_bits is not None:
        top = top.translate(high_bits)
    joined = int.from_bytes(data[0::4], "little")
    joined |= int.from_bytes(data[1::4], "little")
    joined |= int.from_bytes(data[2::4], "little")
    joined |= int.from_bytes(top, "little")
    return joined.to_bytes(len(data) // 4, "little").translate(_NONZERO)


class BrokenChain(Exception):
    """A chain that does not end as it should. Never leaves fs/: the walkers turn it into a Problem.

    `code`: free, bad, range, loop. `cluster`: the one where it breaks.
    """

    def __init__(self, code: str, cluster: int, detail: str) -> None:
        self.code, self.cluster, self.detail = code, cluster, detail
        super().__init__(detail)


class Chains:
    """The table behind a loader. `limit`: first cluster number that does not exist.

    `load(first, count)` returns that many decoded entries from number `first` as bytes, 4 each, little-endian,
    reserved bits already cleared; its errors pass through. Values from `end_mark` up end a chain; `bad_mark`
    marks a bad cluster.
    """

    def __init__(self, load: Callable[[int, int], bytes], limit: int, end_mark: int, bad_mark: int) -> None:
        self._load, self.limit, self._end_mark, self._bad_mark = load, limit, end_mark, bad_mark
        self._slabs: OrderedDict[int, tuple[array[int], bytes]] = OrderedDict()
        self.loads = 0

    def _slab(self, number: int) -> tuple[array[int], bytes]:
        slab = self._slabs.get(number)
        if slab is not None:
            self._slabs.move_to_end(number)
            return slab
        base = number * SLAB_ENTRIES
        count = min(SLAB_ENTRIES, self.limit - base)
        data = self._load(base, count)
        self.loads += 1
        mask_bits = (1 << (32 * count)) - 1
        wanted = (_SUCCESSORS + base * _ONES) & mask_bits
        differs = int.from_bytes(data, "little") ^ wanted
        breaks = nonzero_mask(differs.to_bytes(4 * count, "little"))
        # The last entry always counts as a break, so that find() below always finds one.
        slab = (u32_array(data), breaks[:-1] + b"\1")
        self._slabs[number] = slab
        if len(self._slabs) > CACHED_SLABS:
            self._slabs.popitem(last=False)
        return slab

    def entry(self, cluster: int) -> int:
        """The entry of an existing cluster. Raises BrokenChain when there is no such cluster."""
        if not FIRST_CLUSTER <= cluster < self.limit:
            raise BrokenChain("range", cluster, f"cluster {cluster} does not exist (2 to {self.limit - 1} do)")
        number, index = divmod(cluster, SLAB_ENTRIES)
        return self._slab(number)[0][index]

    def _last_of_run(self, cluster: int) -> tuple[int, int]:
        """The last cluster of the contiguous run that begins at `cluster`, and its entry."""
        while True:
            number, index = divmod(cluster, SLAB_ENTRIES)
            values, breaks = self._slab(number)
            index = breaks.find(1, index)
            cluster = number * SLAB_ENTRIES + index
            value = values[index]
            if value != cluster + 1 or value >= self.limit:
                return cluster, value
            cluster = value

    def follow(self, first: int) -> Iterator[tuple[int, int]]:
        """The runs of clusters of a chain as (first, end), half-open, in chain order.

        Every cluster that is yielded has an entry that is neither free nor bad. Raises BrokenChain where the
        chain breaks, at the latest after as many clusters as the table has. Errors of the loader pass through.
        """
        cluster, budget = first, self.limit
        while True:
            if not FIRST_CLUSTER <= cluster < self.limit:
                raise BrokenChain("range", cluster, f"leads to cluster {cluster}; 2 to {self.limit - 1} exist")
            last, value = self._last_of_run(cluster)
            if value == 0 or value == self._bad_mark:
                if cluster < last:
                    yield cluster, last
                kind = "bad" if value else "free"
                raise BrokenChain(kind, last, f"leads to cluster {last}, which the table calls {kind}")
            yield cluster, last + 1
            if value >= self._end_mark:
                return
            budget -= last + 1 - cluster
            if budget <= 0:
                raise BrokenChain("loop", cluster, "is longer than the volume")
            cluster = value


class Visited:
    """Which clusters some chain has claimed. Memory grows with what is claimed, up to 64 MiB.

    Past that, `full` is True and new regions are no longer remembered.
    """

    def __init__(self) -> None:
        self._free: dict[int, Bitmap] = {}
        self.full = False

    def claim(self, first: int, end: int) -> int | None:
        """Claim [first, end) up to the first cluster that is taken; that cluster, or None."""
        while first < end:
            number = first // VISIT_SLAB
            base = number * VISIT_SLAB
            low, high = first - base, min(end - base, VISIT_SLAB)
            slab = self._free.get(number)
            if slab is None:
                if len(self._free) >= VISIT_SLABS:
                    self.full = True
                    first = base + high
                    continue
                slab = self._free[number] = Bitmap(b"\xff" * (VISIT_SLAB // 8), VISIT_SLAB)
            if not slab.all_set(low, high):
                taken = _first_clear(slab, low, high)
                slab.clear(low, taken)
                return base + taken
            slab.clear(low, high)
            first = base + high
        return None


def _first_clear(bits: Bitmap, low: int, high: int) -> int:
    """The first clear bit of [low, high), which must have one."""
    while high - low > 1:
        middle = (low + high) // 2
        if bits.all_set(low, middle):
            low = middle
        else:
            high = middle
    return low
