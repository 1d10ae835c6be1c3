"""The file allocation table: what is in use, slab by slab; which clusters are bad; chains.

Source: fatgen103, section "FAT Data Structure". No step of Python per cluster on FAT16 and FAT32: a slab is cut
into its byte planes, and the planes are joined as large integers. FAT12 has fewer than 4085 entries.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress

from formats.base.errors import DeviceError
from formats.base.problem import Severity
from formats.base.source import BlockSource
from fs.clusters import FIRST_CLUSTER, Chains, nonzero_mask
from fs.fat.bpb import Bpb
from fs.findings import Log

SLAB_BYTES = 1 << 20
BAD = {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}
END = {12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}
_LOW_NIBBLE = bytes(i & 0x0F for i in range(256))
_LOW_NIBBLE_X4 = int.from_bytes(b"\xff\xff\xff\x0f" * (1 << 14), "little")
_IS_F7 = bytes(int(i == 0xF7) for i in range(256))
_IS_FF = bytes(int(i == 0xFF) for i in range(256))
_IS_XF = bytes(int(i & 0x0F == 0x0F) for i in range(256))
_NONZERO = bytes([0] + [1] * 255)


@dataclass(frozen=True, slots=True)
class Slab:
    """Entries from number `first` on: masks of one byte for each entry, 1 or 0."""

    first: int
    used: bytes
    bad: bytes | None


def borders(mask: bytes, start: int, step: int) -> list[int]:
    """Starts and ends, alternating, of the runs of 1 in a mask of 0 and 1; item i is `start` + i * `step`."""
    number = int.from_bytes(mask, "little")
    edges = (number ^ (number << 8)).to_bytes(len(mask) + 1, "little")
    return list(compress(range(start, start + (len(mask) + 1) * step, step), edges))


def unpack12(data: bytes, count: int) -> array[int]:
    """The first `count` entries of a FAT12: two to three bytes, straddling bytes and sectors."""
    values: array[int] = array("I", bytes(4 * count))
    for i in range(count):
        at = i + i // 2
        pair = data[at] | data[at + 1] << 8
        values[i] = pair >> 4 if i & 1 else pair & 0x0FFF
    return values


def widen(data: bytes, bits: int, count: int) -> bytes:
    """`count` entries of a FAT12 or FAT16 as 32-bit numbers; those of a FAT32 without their reserved bits."""
    if bits == 32:
        number = int.from_bytes(data, "little")
        mask = _LOW_NIBBLE_X4 & ((1 << (8 * len(data))) - 1)
        return (number & mask).to_bytes(len(data), "little")
    wide = bytearray(4 * count)
    if bits == 16:
        wide[0::4], wide[1::4] = data[0::2], data[1::2]
    else:
        values = unpack12(data, count)
        wide[0::4] = bytes(v & 0xFF for v in values)
        wide[1::4] = bytes(v >> 8 for v in values)
    return bytes(wide)


def masks(data: bytes, bits: int, count: int) -> tuple[bytes, bytes | None]:
    """Which entries are in use (neither free nor bad) and which are bad (None: not one)."""
    planes: tuple[bytes, ...]
    if bits == 12:
        data = widen(data, 12, count)
        used = nonzero_mask(data)
        mark, planes = b"\xf7\x0f", (data[0::4].translate(_IS_F7), data[1::4].translate(_IS_XF))
    elif bits == 16:
        joined = int.from_bytes(data[0::2], "little") | int.from_bytes(data[1::2], "little")
        used = joined.to_bytes(count, "little").translate(_NONZERO)
        mark, planes = b"\xf7\xff", (data[0::2].translate(_IS_F7), data[1::2].translate(_IS_FF))
    else:
        used = nonzero_mask(data, _LOW_NIBBLE) if data.count(0) != len(data) else bytes(count)
        mark, planes = b"\xf7\xff\xff", ()
        if mark in data:
            planes = (
                data[0::4].translate(_IS_F7), data[1::4].translate(_IS_FF),
                data[2::4].translate(_IS_FF), data[3::4].translate(_IS_XF),
            )  # fmt: skip
    if not planes or mark not in data:
        return used, None
    both = int.from_bytes(planes[0], "little")
    for plane in planes[1:]:
        both &= int.from_bytes(plane, "little")
    if not both:
        return used, None
    return (int.from_bytes(used, "little") ^ both).to_bytes(count, "little"), both.to_bytes(count, "little")


def first_difference(a: bytes, b: bytes) -> int:
    """Index of the first byte in which two different strings of equal length differ."""
    low, high = 0, len(a)
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


class FatTable:
    """The FATs of one volume. `log` takes what is found while reading."""

    def __init__(self, source: BlockSource, bpb: Bpb, log: Log) -> None:
        self._source, self._bpb = source, bpb
        self.log = log

    def _range(self, first: int, count: int) -> tuple[int, int]:
        """Where the entries lie in a FAT: offset and length in bytes. FAT12: `first` must be 0."""
        bits = self._bpb.bits
        return first * bits // 8, (count * bits + 7) // 8

    def _read(self, first: int, count: int) -> tuple[bytes, int]:
        """Bytes of the entries and the number of the copy that they come from.

        An unreadable part of the active FAT is taken from another copy, if they are mirrored.
        """
        bpb = self._bpb
        at, length = self._range(first, count)
        order = [bpb.active_fat] + [i for i in range(bpb.fat_count) if bpb.mirrored and i != bpb.active_fat]
        failure: DeviceError | None = None
        for copy in order:
            try:
                data = self._source.read_at(bpb.fat_start(copy) + at, length)
            except DeviceError as error:
                failure = failure or error
                continue
            if failure is not None:  # after a failure of an earlier copy
                self.log.add(
                    Severity.WARNING, "fat.copy_used",
                    f"FAT {bpb.active_fat + 1} cannot be read at {bpb.fat_start(bpb.active_fat) + at:#x};"
                    f" FAT {copy + 1} was used there", bpb.fat_start(bpb.active_fat) + at,
                )  # fmt: skip
            return data, copy
        raise failure or DeviceError(self._source.name, "read of a FAT", at, length, 0)

    def chains(self) -> Chains:
        """Chains in the active FAT."""
        bpb = self._bpb

        def load(first: int, count: int) -> bytes:
            if bpb.bits != 12:
                return widen(self._read(first, count)[0], bpb.bits, count)
            return widen(self._read(0, first + count)[0], 12, first + count)[4 * first :]

        return Chains(load, bpb.limit, END[bpb.bits], BAD[bpb.bits])

    def head(self, copy: int) -> tuple[int, int]:
        """Entries 0 and 1 of one FAT: the media byte and the state bits."""
        data = self._source.read_at(self._bpb.fat_start(copy), self._range(0, 2)[1])
        wide = widen(data, self._bpb.bits, 2)
        return int.from_bytes(wide[:4], "little"), int.from_bytes(wide[4:], "little")

    def slabs(self) -> Iterator[Slab]:
        """Masks of all entries, in order. Entries 0 and 1 are shown as free.

        Mirrored copies are compared. Where one differs, a cluster is in use when any copy says so: more may be
        imaged than needed, never less. Raises DeviceError when no copy can be read.
        """
        bpb = self._bpb
        step = bpb.limit if bpb.bits == 12 else SLAB_BYTES * 8 // bpb.bits
        told: set[int] = set()
        for first in range(0, bpb.limit, step):
            count = min(step, bpb.limit - first)
            data, origin = self._read(first, count)
            used, bad = masks(data, bpb.bits, count)
            if bpb.mirrored:
                for copy in range(bpb.fat_count):
                    if copy != origin:
                        used = self._with_copy(copy, origin, first, data, used, told)
            if first == 0:
                used = bytes(FIRST_CLUSTER) + used[FIRST_CLUSTER:]
                bad = bytes(FIRST_CLUSTER) + bad[FIRST_CLUSTER:] if bad is not None else None
            yield Slab(first, used, bad)

    def _with_copy(self, copy: int, origin: int, first: int, data: bytes, used: bytes, told: set[int]) -> bytes:
        """`used`, and what another copy of the FAT has in use besides. `told`: copies that were reported."""
        bpb = self._bpb
        at, length = self._range(first, len(used))
        place = bpb.fat_start(copy) + at
        try:
            other = self._source.read_at(place, length)
        except DeviceError:
            if copy not in told:
                told.add(copy)
                text = f"FAT {copy + 1} cannot be read at {place:#x}"
                self.log.add(Severity.WARNING, "fat.copy_unreadable", text, place)
            return used
        if other == data:
            return used
        if copy not in told:
            told.add(copy)
            differs = first_difference(data, other)
            self.log.add(
                Severity.WARNING, "fat.copies_differ",
                f"FAT {copy + 1} differs from FAT {origin + 1}, first at {place + differs:#x}"
                f" ({other[differs]:#04x} instead of {data[differs]:#04x});"
                f" what either has in use is kept", place + differs,
            )  # fmt: skip
        more = masks(other, bpb.bits, len(used))[0]
        joined = int.from_bytes(used, "little") | int.from_bytes(more, "little")
        return joined.to_bytes(len(used), "little")
