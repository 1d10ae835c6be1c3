"""The bytes of one attribute: a resident value, or runs of clusters put together from all its parts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from formats.base.errors import Corrupt, Truncated
from formats.base.extent import Extent
from formats.base.source import BlockSource
from fs.ntfs.attribute import COMPRESSED, ENCRYPTED, Attribute
from fs.ntfs.runlist import HOLE


class Stream:
    """A read-only view of an attribute. Offsets and sizes are bytes from its start.

    Holes and what lies behind `initialized` read as zeros. Compressed and encrypted data are given as stored.
    """

    def __init__(
        self,
        source: BlockSource,
        cluster_size: int,
        parts: Sequence[Attribute],
        name: str,
        *,
        partial: bool = False,
    ) -> None:
        """`parts` of one attribute, in any order. `name` is for errors. `partial`: parts at the end may be missing.

        Raises Corrupt when the parts do not follow one another without a gap, or a run list is damaged.
        """
        self._source, self._cluster, self.name = source, cluster_size, name
        ordered = sorted(parts, key=lambda part: part.lowest_vcn)
        first = ordered[0]
        self.flags = first.flags
        self.compression_unit = first.compression_unit
        self.value = first.value
        self.size = first.data_size
        self.initialized = first.initialized_size
        self._vcns: list[int] = []
        self._runs: list[tuple[int, int, int]] = []
        vcn = 0
        for part in ordered:
            if (part.value is None) != (self.value is None) or (self.value is not None and part is not first):
                raise Corrupt(name, part.offset, "resident and non-resident parts, or several values")
            if part.fault:
                raise Corrupt(name, part.offset, f"in MFT record {part.record}: {part.fault}")
            if part.lowest_vcn != vcn:
                detail = f"the part in MFT record {part.record} does not follow the one before"
                raise Corrupt(name, part.offset, detail, expected=f"cluster {vcn}", found=part.lowest_vcn)
            vcn = max(vcn, part.highest_vcn + 1)
            for run in part.runs:
                self._vcns.append(run[0])
                self._runs.append(run)
        self.allocated = vcn * cluster_size
        if partial:
            self.size = min(self.size, self.allocated)
            self.initialized = min(self.initialized, self.size)
        if self.value is not None:
            self.initialized = self.allocated = self.size
        elif not 0 <= self.initialized <= self.size <= self.allocated:
            sizes = f"{self.initialized} / {self.size} / {self.allocated}"
            raise Corrupt(name, first.offset, f"initialized / data / allocated size are {sizes} bytes")

    @property
    def as_stored(self) -> bool:
        """True when the clusters hold the data themselves: neither compressed nor encrypted."""
        return not self.flags & (COMPRESSED | ENCRYPTED)

    @property
    def compressed(self) -> bool:
        return bool(self.flags & COMPRESSED)

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & ENCRYPTED)

    @property
    def resident(self) -> bool:
        return self.value is not None

    def extents(self) -> Iterator[Extent]:
        """Where the clusters lie on the volume, in the order of the attribute, without holes."""
        size = self._cluster
        for _, lcn, length in self._runs:
            if lcn != HOLE:
                yield Extent(lcn * size, (lcn + length) * size)

    def solid(self, length: int) -> bool:
        """True when the first `length` bytes are stored and initialised: no hole among them."""
        if self.initialized < length:
            return False
        return all(lcn != HOLE for vcn, lcn, _ in self._runs if vcn * self._cluster < length)

    def locate(self, offset: int) -> int:
        """Where byte `offset` lies on the volume; -1 in a hole or a resident value."""
        for start, _, place in self.pieces(offset, offset + 1):
            return place + offset - start if place >= 0 else -1
        return -1

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises Truncated when they leave the attribute, DeviceError by the medium."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise Truncated(self.name, offset, f"{length} bytes leave the attribute of {self.size} bytes")
        if self.value is not None:
            return self.value[offset : offset + length]
        stop = min(offset + length, self.initialized)
        pieces: list[bytes] = []
        for start, end, place in self.pieces(offset, stop):
            if place < 0:
                pieces.append(bytes(end - start))
            else:
                pieces.append(self._source.read_at(place, end - start))
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return data if len(data) == length else data + bytes(length - len(data))

    def stored_at(self, place: int, length: int) -> bytes:
        """Bytes of the volume itself, such as pieces() names. Raises Truncated or DeviceError."""
        return self._source.read_at(place, length)

    def pieces(self, offset: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """(start, end, place on the volume or -1) of every run that [offset, stop) meets, cut to it. All are bytes."""
        cluster = self._cluster
        i = max(bisect_right(self._vcns, offset // cluster) - 1, 0)
        while i < len(self._runs):
            vcn, lcn, length = self._runs[i]
            start, end = vcn * cluster, (vcn + length) * cluster
            if start >= stop:
                return
            low, high = max(start, offset), min(end, stop)
            if low < high:
                yield low, high, -1 if lcn == HOLE else lcn * cluster + low - start
            i += 1


def select(found: Iterable[Attribute], kind: int, name: str = "") -> list[Attribute]:
    """The parts of the attribute of this type and name."""
    return [part for part in found if part.type == kind and part.name == name]
