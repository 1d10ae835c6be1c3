"""MFT records and other multi-sector structures: headers and fixups (update sequence arrays).

Source: ntfs-3g layout.h (MFT_RECORD, NTFS_RECORD). The fixup stride is 512 bytes on every medium; seen with
mkntfs 2022.10.3 -s 4096, whose 4096-byte records carry 9 words.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from formats.base.errors import Corrupt

STRIDE = 512
FILE, INDX, RSTR = b"FILE", b"INDX", b"RSTR"
IN_USE, DIRECTORY = 0x01, 0x02
FIRST_ATTRIBUTE = 0x30  # the header of NTFS 1.2 has 42 bytes, and three words of update sequence behind it
RECORD_MASK = (1 << 48) - 1  # a file reference is a record number and a 16 bit sequence number

# +0x04 usa_ofs, usa_count, +0x10 sequence_number, link_count, attrs_offset, flags, bytes_in_use, allocated, base
RECORD = struct.Struct("<4sHHQHHHHIIQ")
SEQUENCE = struct.Struct("<4sHH")


class RecordHeader(NamedTuple):
    """A checked MFT record header. `attributes` and `end` are bytes from the record's start."""

    sequence: int
    links: int
    attributes: int
    flags: int
    end: int
    base: int

    @property
    def in_use(self) -> bool:
        return bool(self.flags & IN_USE)


def apply_fixups(data: bytearray, at: int, size: int, magic: bytes, name: str, offset: int) -> None:
    """Check magic and update sequence of the `size` bytes at `at` and put the saved words back in place.

    `name` and `offset` (bytes on the volume) stand in the error. Raises Corrupt.
    """
    found, usa, count = SEQUENCE.unpack_from(data, at)
    if found != magic:
        raise Corrupt(name, offset, "signature", expected=magic, found=found)
    strides = size // STRIDE
    if count != strides + 1:
        raise Corrupt(name, offset + 6, "update sequence words", expected=strides + 1, found=count)
    if usa < SEQUENCE.size or usa & 1 or usa + 2 * count > STRIDE - 2:
        raise Corrupt(name, offset + 4, "the update sequence leaves the first sector", found=usa)
    number = data[at + usa : at + usa + 2]
    for i in range(strides):
        tail = at + (i + 1) * STRIDE - 2
        if data[tail : tail + 2] != number:
            raise Corrupt(
                name,
                offset + (i + 1) * STRIDE - 2,
                f"fixup of sector {i}: the record was written only in part",
                expected=number.hex(),
                found=data[tail : tail + 2].hex(),
            )
        saved = at + usa + 2 + 2 * i
        data[tail : tail + 2] = data[saved : saved + 2]


def parse_record(data: bytes | bytearray, at: int, size: int, name: str, offset: int) -> RecordHeader:
    """The header of the MFT record at `at`, fixups already applied. Raises Corrupt."""
    _, _, _, _, sequence, links, first, flags, end, _, base = RECORD.unpack_from(data, at)
    if not (FIRST_ATTRIBUTE <= first <= end - 4 and end <= size and not first & 7):
        text = f"attributes from {first} to {end} do not lie inside the {size} bytes of the record"
        raise Corrupt(name, offset + 0x14, text)
    return RecordHeader(sequence, links, first, flags, end, base & RECORD_MASK)
