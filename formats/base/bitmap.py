"""Allocation bitmaps, slab by slab, to extents. The only module that imports bitarray.

Speed comes from real bitmaps being runs: bitarray finds the borders in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from bitarray import bitarray
from bitarray.util import intervals

BitOrder = Literal["little", "big"]
SLAB_BYTES = 4 << 20  # 32 Mbit at a time


def bit_runs(data: bytes, bits: int, order: BitOrder = "little", value: int = 1) -> Iterator[tuple[int, int]]:
    """Runs of `value` among the first `bits` bits of `data`, as (first, end) bit numbers, half-open.

    `order` "little": bit 0 of byte 0 comes first (NTFS, ext, exFAT). Surplus bits are ignored.
    Raises ValueError when `data` is shorter than `bits`.
    """
    if len(data) * 8 < bits:
        raise ValueError(f"bitmap of {len(data)} bytes for {bits} bits")
    field = bitarray(endian=order)
    field.frombytes(data)
    del field[bits:]
    for found, first, end in intervals(field):
        if found == value:
            yield first, end


class Bitmap:
    """A writable bitmap in memory, for slabs that are looked at more than once."""

    def __init__(self, data: bytes, bits: int, order: BitOrder = "little") -> None:
        self._field = bitarray(endian=order)
        self._field.frombytes(data)
        del self._field[bits:]
        self._field.extend([0] * (bits - len(self._field)))

    def __len__(self) -> int:
        return len(self._field)

    def all_set(self, first: int, end: int) -> bool:
        """True when every bit of [first, end) is set."""
        return self._field.find(0, first, end) < 0

    def set(self, first: int, end: int) -> None:
        """Set every bit of [first, end)."""
        self._field[first:end] = 1

    def clear(self, first: int, end: int) -> None:
        """Clear every bit of [first, end)."""
        self._field[first:end] = 0

    def subtract(self, other: Bitmap) -> None:
        """Clear every bit that is set in `other`, which must have the same length."""
        self._field &= ~other._field

    def count(self) -> int:
        return self._field.count(1)

    def runs(self, value: int = 1) -> Iterator[tuple[int, int]]:
        """Runs of `value` as (first, end), half-open."""
        for found, first, end in intervals(self._field):
            if found == value:
                yield first, end
