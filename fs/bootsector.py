"""Whose boot sector is this? Marks of formats that may not be mistaken for FAT or exFAT.

Needed before a *backup* boot sector is trusted: a volume that was formatted anew often still has the backup of
its former life. Sources: the formats' own specifications; offsets as in the magic tables of file(1) and blkid(8).
"""

from __future__ import annotations

from formats.base.errors import DeviceError, FormatError
from formats.base.source import BlockSource

BITLOCKER_TO_GO = bytes.fromhex("3bd66749292ed84a8399f6a339e3d001")  # at +0x1a8 of a FAT-like boot sector

SECTOR_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
    (3, b"-FVE-FS-", "BitLocker"),
    (3, b"ReFS", "ReFS"),
    (0x1A8, BITLOCKER_TO_GO, "BitLocker"),
    (0x36, b"JFS     ", "JFS"),
    (0x36, b"HPFS    ", "HPFS"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0, b"XFSB", "XFS"),
    (0, b"hsqs", "SquashFS"),
)
VOLUME_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (512, b"EFI PART", "a GPT"),
    (4096, b"EFI PART", "a GPT"),
    (512, b"LABELONE", "an LVM member"),
    (1080, b"\x53\xef", "ext2/3/4"),
    (1024, b"H+", "HFS+"),
    (1024, b"HX", "HFS+"),
    (1024, b"\x10\x20\xf5\xf2", "F2FS"),
    (4086, b"SWAPSPACE2", "swap"),
    (4096, b"\xfc\x4e\x2b\xa9", "a RAID member"),
    (32769, b"CD001", "ISO 9660"),
    (65600, b"_BHRfS_M", "Btrfs"),
)


def has_partitions(sector: bytes) -> bool:
    """True when bytes 446 to 509 of the 512 in `sector` are a partition table with at least one partition.

    Boot code and messages, which FAT has there, do not look like that: each entry starts with 0x00 or 0x80.
    """
    used = 0
    for at in range(446, 510, 16):
        entry = sector[at : at + 16]
        if entry[0] not in (0, 0x80):
            return False
        start, count = int.from_bytes(entry[8:12], "little"), int.from_bytes(entry[12:16], "little")
        if entry[4] and start and count:
            used += 1
        elif any(entry[4:]):
            return False
    return used > 0 and sector[510:512] == b"\x55\xaa"


def sector_owner(sector: bytes) -> str | None:
    """The format that the first sector itself names, other than FAT; None when it names none."""
    for at, mark, name in SECTOR_MARKS:
        if sector[at : at + len(mark)] == mark:
            return name
    return "a partition table" if has_partitions(sector) else None


def volume_owner(source: BlockSource) -> str | None:
    """The format that marks behind the first sector name; None when there are none that can be read."""
    for at, mark, name in VOLUME_MARKS:
        if at + len(mark) > source.size:
            continue
        try:
            found = source.read_at(at, len(mark))
        except (DeviceError, FormatError):
            continue
        if found == mark:
            return name
    return None
