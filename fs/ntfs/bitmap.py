"""$Bitmap: which clusters are in use, slab by slab, and which runs it has forgotten.

Runs come in MFT order, which is random on the disk; so they are sorted into one bucket per slab of the bitmap
first, and each slab is then read once per some millions of runs, not once per run.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from formats.base.bitmap import Bitmap, bit_runs
from formats.base.errors import Corrupt, Inconsistent
from formats.base.extent import ExtentList, merge
from formats.base.problem import Severity
from formats.base.units import MiB
from fs.ntfs.attribute import DATA
from fs.ntfs.findings import Findings
from fs.ntfs.mft import BITMAP_FILE, Mft

SLAB_BYTES = 4 * MiB
SLAB_BITS = SLAB_BYTES * 8
LENGTH_BITS = 26  # a run inside a slab: first cluster << 26 | length, in one 64-bit word
LENGTH_MASK = (1 << LENGTH_BITS) - 1
MAX_PENDING = 2_000_000  # runs: 16 MB
MAX_SLAB_RUNS = 400_000  # past it a slab is mapped in groups of clusters: more is copied, never less
_ANY = bytes([0]) + b"\xff" * 255  # a byte with any bit set becomes eight set bits


class ClusterMap:
    """$Bitmap of one volume, for the first `clusters` clusters. Raises Corrupt when it cannot be decoded."""

    def __init__(self, mft: Mft, clusters: int, findings: Findings) -> None:
        self.clusters, self._findings = clusters, findings
        where = mft.record_offset(BITMAP_FILE)
        stream = mft.open(mft.attributes(BITMAP_FILE), DATA, BITMAP_FILE)
        if stream is None:
            raise Corrupt("$Bitmap", where, "MFT record 6 has no $DATA")
        self.bytes = -(-clusters // 8)
        needed = -(-mft.geometry.clusters // 8)
        if stream.size < needed:
            text = "it is too small for the volume"
            raise Inconsistent("$Bitmap", where, text, expected=f"{needed} bytes", found=stream.size)
        if not stream.as_stored or not stream.solid(needed):
            raise Corrupt("$Bitmap", where, "it is compressed, encrypted or has holes")
        self._stream = stream

    def extents(self) -> Iterator[tuple[int, int]]:
        """Runs of used clusters as (first, end), ascending; two may touch where slabs meet."""
        for index in range(-(-self.bytes // SLAB_BYTES)):
            first, data, bits = self._slab(index)
            if data.count(0) == len(data):
                continue
            grain = 0
            while _borders(data) > 2 * MAX_SLAB_RUNS:
                grain = grain * 8 or 1
                data = coarsen(data, grain)
            if grain:
                text = (
                    "The map of used clusters is so fragmented that free gaps are stored with it in places; "
                    "nothing is left out."
                )
                self._findings.add(Severity.INFO, "ntfs.map_coarse", text)
            for start, end in bit_runs(data, bits):
                yield first + start, first + end

    def _slab(self, index: int) -> tuple[int, bytes, int]:
        """(first cluster, bytes, bits) of a slab."""
        at = index * SLAB_BYTES
        data = self._stream.read_at(at, min(SLAB_BYTES, self.bytes - at))
        return at * 8, data, min(SLAB_BITS, self.clusters - at * 8)

    def slab(self, index: int) -> tuple[int, Bitmap]:
        """(first cluster, bits) of a slab."""
        first, data, bits = self._slab(index)
        return first, Bitmap(data, bits)


class Claims:
    """Clusters that records use, held against $Bitmap. `missing`: those that it does not know, in clusters."""

    def __init__(self, clusters: ClusterMap) -> None:
        self._map = clusters
        self._buckets: dict[int, array[int]] = {}
        self._pending = 0
        self.missing = ExtentList()

    def add(self, first: int, end: int) -> None:
        """A record uses the clusters [first, end); what lies behind the source is left out."""
        if end > self._map.clusters:
            end = self._map.clusters
        while first < end:
            index, at = divmod(first, SLAB_BITS)
            length = end - first
            if length > SLAB_BITS - at:
                length = SLAB_BITS - at
            bucket = self._buckets.get(index)
            if bucket is None:
                bucket = self._buckets[index] = array("Q")
            bucket.append(at << LENGTH_BITS | length)
            self._pending += 1
            first += length
        if self._pending > MAX_PENDING:
            self.flush()

    def flush(self) -> None:
        """Compare what was added so far. Raises what reading $Bitmap raises."""
        if self._pending:
            self.missing = merge(self.missing, self._compare())
            self._buckets.clear()
            self._pending = 0

    def _compare(self) -> Iterator[tuple[int, int]]:
        for index in sorted(self._buckets):
            base, known = self._map.slab(index)
            forgotten: Bitmap | None = None
            for packed in self._buckets[index]:
                first = packed >> LENGTH_BITS
                end = first + (packed & LENGTH_MASK)
                if not known.all_set(first, end):
                    if forgotten is None:
                        forgotten = Bitmap(b"", len(known))
                    forgotten.set(first, end)
            if forgotten is not None:
                forgotten.subtract(known)
                for first, end in forgotten.runs():
                    yield base + first, base + end


def _borders(data: bytes) -> int:
    """How often neighbouring bits differ, counted in C."""
    number = int.from_bytes(data, "little")
    return (number ^ (number >> 1)).bit_count()


def coarsen(data: bytes, grain: int) -> bytes:
    """Set all bits of every group of `grain` bytes of which one has a bit set."""
    groups = -(-len(data) // grain)
    padded = data.ljust(groups * grain, b"\0")
    whole = 0
    for i in range(grain):
        whole |= int.from_bytes(padded[i::grain], "little")
    marks = whole.to_bytes(groups, "little").translate(_ANY)
    result = bytearray(groups * grain)
    for i in range(grain):
        result[i::grain] = marks
    return bytes(result[: len(data)])
