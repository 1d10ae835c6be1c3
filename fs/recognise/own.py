"""The formats that a parser of ours knows in full, recognised shallowly.

The registry needs this to name a volume whose parser refuses it, and to see that two formats claim one volume.
"""

from __future__ import annotations

from formats.base.errors import DeviceError, FormatError
from formats.base.problem import Problem, Severity
from formats.base.units import is_power_of_two
from fs.recognise import layout
from fs.recognise.model import Family, Found, Header, Signature, fields, fixed, header
from fs.recognise.peek import Peek
from fs.recognise.text import label_text, serial_text, uuid_text
from fs.swap.header import MARK_LENGTH, SwapHeader, read_header

FS = Family.FILESYSTEM

# ext4 disk layout, s_feature_*: what ext2 and ext3 may have; anything else makes it ext4 (as in blkid).
HAS_JOURNAL = 0x4
JOURNAL_DEV = 0x8
EXT2_INCOMPAT, EXT3_INCOMPAT, EXT3_RO_COMPAT = 0x2 | 0x10, 0x2 | 0x4 | 0x10, 0x1 | 0x2 | 0x4


def _ext(peek: Peek, offset: int) -> Found | None:
    head = header(layout.EXT, peek, offset, "ext superblock")
    if head is None or head.s_log_block_size > 6:
        return None
    blocks = head.s_blocks_count_lo
    if head.s_feature_incompat & 0x80:  # INCOMPAT_64BIT
        blocks |= head.s_blocks_count_hi << 32
    if not blocks or not head.s_blocks_per_group:
        return None
    block_size = 1024 << head.s_log_block_size
    return Found(
        kind=_ext_kind(head), label=label_text(head.s_volume_name), uuid=uuid_text(head.s_uuid),
        block_size=block_size, size=blocks * block_size,
    )  # fmt: skip


def _ext_kind(head: Header) -> str:
    if head.s_feature_incompat & JOURNAL_DEV:
        return "jbd"
    old = not head.s_feature_ro_compat & ~EXT3_RO_COMPAT
    if head.s_feature_compat & HAS_JOURNAL:
        return "ext3" if old and not head.s_feature_incompat & ~EXT3_INCOMPAT else "ext4"
    return "ext2" if old and not head.s_feature_incompat & ~EXT2_INCOMPAT else "ext4"


def _ntfs(peek: Peek, offset: int) -> Found | None:
    head = header(layout.NTFS, peek, offset, "NTFS boot sector")
    if head is None or not is_power_of_two(head.bytes_per_sector) or not 256 <= head.bytes_per_sector <= 4096:
        return None
    factor = head.sectors_per_cluster
    cluster = head.bytes_per_sector * factor if factor <= 0x80 else head.bytes_per_sector << (0x100 - factor & 0x1F)
    return Found(
        uuid=f"{head.volume_serial_number:016X}", block_size=cluster,
        size=head.number_of_sectors * head.bytes_per_sector,
    )  # fmt: skip


def _fat(peek: Peek, offset: int) -> Found | None:
    """Microsoft's FAT specification, 3.1 to 3.5; as for Linux, FATSz16 0 means FAT32 however few the clusters."""
    head = header(layout.FAT, peek, offset, "FAT boot sector")
    old = header(layout.FAT16, peek, offset, "FAT boot sector")
    if head is None or old is None or not _fat_is_sane(head):
        return None
    total = head.BPB_TotSec16 or head.BPB_TotSec32
    if not total:
        return None
    kind = "fat32"
    if head.BPB_FATSz16:
        root = -(-head.BPB_RootEntCnt * 32 // head.BPB_BytsPerSec)
        overhead = head.BPB_RsvdSecCnt + head.BPB_NumFATs * head.BPB_FATSz16 + root
        kind = "fat12" if (total - overhead) // head.BPB_SecPerClus < 4085 else "fat16"
    return Found(
        kind=kind, uuid=serial_text(head.BS_VolID if kind == "fat32" else old.BS_VolID),
        block_size=head.BPB_BytsPerSec * head.BPB_SecPerClus, size=total * head.BPB_BytsPerSec,
    )  # fmt: skip


def _fat_is_sane(head: Header) -> bool:
    return bool(
        is_power_of_two(head.BPB_BytsPerSec)
        and 512 <= head.BPB_BytsPerSec <= 4096
        and is_power_of_two(head.BPB_SecPerClus)
        and head.BPB_RsvdSecCnt
        and 1 <= head.BPB_NumFATs <= 4
        and (head.BPB_Media >= 0xF8 or head.BPB_Media == 0xF0)
        and (head.BPB_FATSz16 or head.BPB_FATSz32)
        and head.BS_OEMName not in (b"NTFS    ", b"EXFAT   ")
    )


def _swap(peek: Peek, _offset: int) -> Found | None:
    head = _swap_header(peek)
    return None if head is None or head.session else _swap_found(head)


def _suspended(peek: Peek, _offset: int) -> Found | None:
    head = _swap_header(peek)
    if head is None or not head.session:
        return None
    problem = Problem(
        Severity.WARNING,
        "swap.suspended",
        f"This swap space holds a suspended session ({head.session}), perhaps with unsaved work: it is "
        "stored whole, not left out.",
        head.page_size - MARK_LENGTH,
    )
    return _swap_found(head, (problem,))


def _swap_header(peek: Peek) -> SwapHeader | None:
    """Without the first page, or with a header that contradicts itself, only the parser can say more."""
    try:
        return read_header(peek.source)
    except (FormatError, DeviceError):
        return None


def _swap_found(head: SwapHeader, problems: tuple[Problem, ...] = ()) -> Found:
    return Found(label=head.label, uuid=head.uuid, block_size=head.page_size, size=head.size, problems=problems)


SIGNATURES = (
    Signature("ntfs", "NTFS", FS, fixed(0), 3, (b"NTFS    ",), _ntfs, parser="ntfs"),
    Signature(
        "exfat", "exFAT", FS, fixed(0), 3, (b"EXFAT   ",),
        fields(
            layout.EXFAT, check=lambda h: 9 <= h.BytesPerSectorShift <= 12 and h.SectorsPerClusterShift <= 25,
            block_size=lambda h: 1 << (h.BytesPerSectorShift + h.SectorsPerClusterShift),
            size=lambda h: h.VolumeLength << h.BytesPerSectorShift,
            serial=lambda h: h.VolumeSerialNumber,
        ),
        parser="exfat",
    ),
    Signature("vfat", "", FS, fixed(0), 0x1FE, (b"\x55\xaa",), _fat, parser="fat"),
    Signature("ext4", "", FS, fixed(1024), 0x38, (b"\x53\xef",), _ext, parser="ext"),
    Signature("swsuspend", "suspended swap", Family.OTHER, fixed(0), 0, (), _suspended, parser="swap"),
    Signature("swap", "swap", Family.OTHER, fixed(0), 0, (), _swap, parser="swap"),
)  # fmt: skip
