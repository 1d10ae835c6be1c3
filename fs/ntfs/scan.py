"""Reading every MFT record once, fast: the loop that a map or a walk of a large volume spends its time in.

Records come in slabs of 1 MiB. A healthy record costs one header, one comparison a sector, and one step an
attribute; whatever is not as it must be goes the slow way, through record.py and attribute.py, to be named.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from formats.base.errors import Corrupt, DeviceError, RecoveryError, Truncated
from formats.base.problem import Severity
from formats.base.units import MiB
from fs.ntfs.attribute import ATTRIBUTE_LIST, END, HEAD, RESIDENT_BYTES
from fs.ntfs.findings import Findings, Tally
from fs.ntfs.mft import Mft
from fs.ntfs.record import FILE, FIRST_ATTRIBUTE, IN_USE, RECORD, RECORD_MASK, STRIDE, apply_fixups, parse_record

SLAB = MiB

# One record in use: its slab and place in it, number, flags, base record, first attribute and end (both bytes in
# the slab). Plain, for there are millions.
Item = tuple[bytearray, int, int, int, int, int, int]


class Scan:
    """One pass over the table. Damage becomes problems; call close() at the end to report their number."""

    def __init__(self, mft: Mft, findings: Findings) -> None:
        self._mft = mft
        self.damaged = Tally(
            findings, Severity.ERROR, "ntfs.mft_record", "MFT records in use are damaged or cannot be read"
        )
        self.records = 0

    def close(self) -> None:
        self.damaged.close()

    def slabs(self) -> Iterator[tuple[int, bytearray]]:
        """(number of the first record, whole records); parts that cannot be read are reported and left out."""
        mft, size = self._mft, self._mft.geometry.record_size
        step = SLAB // size
        for first in range(0, mft.count, step):
            yield from self._read(first, min(step, mft.count - first))

    def _read(self, first: int, count: int) -> Iterator[tuple[int, bytearray]]:
        """Read records; after a failure each half by itself, so that one bad sector costs one record."""
        size = self._mft.geometry.record_size
        try:
            yield first, bytearray(self._mft.stream.read_at(first * size, count * size))
        except (DeviceError, Truncated) as error:
            if count > 1:
                yield from self._read(first, count // 2)
                yield from self._read(first + count // 2, count - count // 2)
            elif self._mft.recorded_in_use(first):
                self.damaged.add(f"MFT record {first} cannot be read: {error}.", self._mft.record_offset(first))

    def items(self) -> Iterator[Item]:
        """Every sound record in use."""
        size = self._mft.geometry.record_size
        strides = size // STRIDE
        words = strides + 1
        # The last word of every sector at once: each must be the update sequence number.
        tails = struct.Struct("<" + f"{STRIDE - 2}x2s" * strides).unpack_from
        header = RECORD.unpack_from
        last_usa = STRIDE - 2 - 2 * words
        for number, slab in self.slabs():
            for at in range(0, len(slab), size):
                magic, usa, count, _, _, _, first, flags, end, _, base = header(slab, at)
                if magic != FILE or count != words or usa > last_usa or usa < 8 or usa & 1:
                    if self._damaged(number, slab, at):
                        self.records += 1
                elif flags & IN_USE:
                    word = slab[at + usa : at + usa + 2]
                    ok = tails(slab, at).count(word) == strides
                    if ok and FIRST_ATTRIBUTE <= first <= end - 4 and end <= size and not first & 7:
                        if end > STRIDE - 2:
                            for i in range(1, words):
                                tail, saved = at + i * STRIDE - 2, at + usa + 2 * i
                                slab[tail : tail + 2] = slab[saved : saved + 2]
                        self.records += 1
                        yield slab, at, number, flags, base & RECORD_MASK, at + first, at + end
                    elif self._damaged(number, slab, at):
                        self.records += 1
                number += 1

    def _damaged(self, number: int, slab: bytearray, at: int) -> bool:
        """Name what is wrong with a record, unless it is free; free records may hold anything."""
        mft, size = self._mft, self._mft.geometry.record_size
        if not mft.recorded_in_use(number):
            return False
        name, where = f"MFT record {number}", mft.record_offset(number)
        data = slab[at : at + size]
        try:
            apply_fixups(data, 0, size, FILE, name, where)
            parse_record(data, 0, size, name, where)
        except RecoveryError as error:
            self.damaged.add(f"{error}.", where)
            return True
        return False


def walk_attributes(data: bytearray, at: int, end: int) -> list[int]:
    """Where the non-resident attributes and a resident attribute list lie among those in data[at:end].

    Raises Corrupt, with an offset relative to `data`, when one leaves the record.
    """
    found: list[int] = []
    unpack = HEAD.unpack_from
    while at + 8 <= end:
        kind, length = unpack(data, at)
        if kind == END:
            return found
        following: int = at + length
        if length < RESIDENT_BYTES or length & 7 or following > end:
            raise Corrupt("attribute", at, f"its length is {length}")
        if data[at + 8] or kind == ATTRIBUTE_LIST:
            found.append(at)
        at = following
    if data[at:end] != b"\xff\xff\xff\xff":
        raise Corrupt("attribute", at, "the attributes have no end mark")
    return found
