"""One GPT header: checked when read, its checksum made when built. UEFI Specification 2.10, section 5.3.2."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Self

from formats.base.checksum import crc32
from formats.base.decode import decode
from formats.base.errors import ChecksumMismatch, Corrupt, Inconsistent, NotThisFormat
from formats.base.units import is_power_of_two
from formats.table import layout

SIGNATURE = b"EFI PART"
MAX_ENTRIES = 1024  # 128 is what everybody writes; the limit bounds memory at 4 MiB an array
MAX_ENTRY_SIZE = 4096  # bytes; 128 is what everybody writes
CRC_OFFSET = 0x10
ALTERNATE_OFFSET = 0x20


@dataclass(frozen=True, slots=True)
class Header:
    """A header whose own checksum was right. Every `_lba` counts sectors; `last_usable_lba` is inclusive.

    `sector`: the whole sector as found, so that what lies behind the known fields survives a rebuild.
    """

    sector: bytes
    header_size: int
    my_lba: int
    alternate_lba: int
    first_usable_lba: int
    last_usable_lba: int
    disk_guid: bytes
    entries_lba: int
    entry_count: int
    entry_size: int
    entries_crc: int

    @classmethod
    def from_sector(cls, sector: bytes, lba: int, source: str = "") -> Self:
        """Check and decode the header that was read at `lba`; `sector` is one whole logical sector.

        Raises NotThisFormat without the signature, ChecksumMismatch, Corrupt or Inconsistent when damaged.
        """
        sector_size = len(sector)
        where, at = f"GPT header at LBA {lba}", lba * sector_size
        if sector[:8] != SIGNATURE:
            raise NotThisFormat(where, at, "no signature", expected=SIGNATURE, found=sector[:8], source=source)
        raw = decode(layout.GptHeader, sector, where, at, source)
        size = int(raw.HeaderSize)
        if not layout.GptHeader.sizeof() <= size <= sector_size:
            raise Corrupt(where, at + 0x0C, "header size", expected=f"92..{sector_size}", found=size, source=source)
        actual = crc32(_without_crc(sector[:size]))
        if actual != raw.HeaderCRC32:
            raise ChecksumMismatch(
                where, at + CRC_OFFSET, "header CRC-32",
                expected=f"{int(raw.HeaderCRC32):#010x}", found=f"{actual:#010x}", source=source,
            )  # fmt: skip
        header = cls(
            sector=bytes(sector),
            header_size=size,
            my_lba=int(raw.MyLBA),
            alternate_lba=int(raw.AlternateLBA),
            first_usable_lba=int(raw.FirstUsableLBA),
            last_usable_lba=int(raw.LastUsableLBA),
            disk_guid=bytes(raw.DiskGUID),
            entries_lba=int(raw.PartitionEntryLBA),
            entry_count=int(raw.NumberOfPartitionEntries),
            entry_size=int(raw.SizeOfPartitionEntry),
            entries_crc=int(raw.PartitionEntryArrayCRC32),
        )
        header._check(where, at, lba, source)
        return header

    def _check(self, where: str, at: int, lba: int, source: str) -> None:
        if self.my_lba != lba:
            raise Inconsistent(where, at + 0x18, "MyLBA", expected=lba, found=self.my_lba, source=source)
        size = self.entry_size
        if not 128 <= size <= MAX_ENTRY_SIZE or not is_power_of_two(size):
            raise Corrupt(
                where,
                at + 0x54,
                "entry size",
                expected=f"128 * 2^n up to {MAX_ENTRY_SIZE}",
                found=size,
                source=source,
            )
        if not 1 <= self.entry_count <= MAX_ENTRIES:
            raise Corrupt(
                where, at + 0x50, "number of entries", expected=f"1..{MAX_ENTRIES}", found=self.entry_count,
                source=source,
            )  # fmt: skip
        if self.first_usable_lba > self.last_usable_lba + 1:
            raise Inconsistent(
                where, at + 0x28, "usable range runs backwards",
                expected=f"first <= {self.last_usable_lba + 1}", found=self.first_usable_lba, source=source,
            )  # fmt: skip
        if self.entries_lba < 2 or self.entries_lba <= lba < self.entries_lba + self.array_sectors:
            raise Inconsistent(
                where, at + 0x48, "the entry array lies over a header", found=self.entries_lba, source=source
            )

    @property
    def array_bytes(self) -> int:
        return self.entry_count * self.entry_size

    @property
    def array_sectors(self) -> int:
        """Whole sectors that the entry array takes."""
        return -(-self.array_bytes // len(self.sector))

    @property
    def guid(self) -> str:
        """The disk's GUID in capitals."""
        return guid_text(self.disk_guid)

    def moved(
        self, *, my_lba: int, alternate_lba: int, last_usable_lba: int, entries_lba: int, entries_crc: int
    ) -> Header:
        """The same header for another place or disk size, with its sector built and its CRC made."""
        raw = decode(layout.GptHeader, self.sector, "GPT header", self.my_lba * len(self.sector))
        raw.MyLBA, raw.AlternateLBA = my_lba, alternate_lba
        raw.LastUsableLBA, raw.PartitionEntryLBA = last_usable_lba, entries_lba
        raw.PartitionEntryArrayCRC32, raw.HeaderCRC32 = entries_crc, 0
        body = layout.GptHeader.build(raw) + self.sector[layout.GptHeader.sizeof() : self.header_size]
        sealed = body[:CRC_OFFSET] + crc32(body).to_bytes(4, "little") + body[CRC_OFFSET + 4 :]
        return replace(
            self,
            sector=sealed + self.sector[self.header_size :],
            my_lba=my_lba,
            alternate_lba=alternate_lba,
            last_usable_lba=last_usable_lba,
            entries_lba=entries_lba,
            entries_crc=entries_crc,
        )


def _without_crc(header: bytes) -> bytes:
    return header[:CRC_OFFSET] + bytes(4) + header[CRC_OFFSET + 4 :]


def guid_text(raw: bytes) -> str:
    """A mixed-endian GUID of 16 bytes as text in capitals, as sfdisk prints it."""
    return str(uuid.UUID(bytes_le=raw)).upper()
