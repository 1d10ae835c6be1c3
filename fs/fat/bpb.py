"""The boot sector of a FAT volume: recognising it strictly, and turning it into checked numbers.

FAT has no magic, so the whole BPB must be plausible. Sources: fatgen103, sections "Boot Sector and BPB Structure"
and "FAT Type Determination"; what the volume must show beyond that is what blkid(8) of util-linux 2.38 asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

from formats.base.decode import decode
from formats.base.errors import Inconsistent, NotThisFormat, Truncated, Unsupported
from formats.base.units import align_up, is_power_of_two
from fs.bootsector import sector_owner
from fs.clusters import FIRST_CLUSTER
from fs.fat.layout import BPB16_SIZE, BPB32_SIZE, BpbCommon, BpbFat16, BpbFat32

BOOT_BYTES = 512  # what is read of sector 0; the rest of a larger sector is boot code
FAT12_LIMIT = 4085  # clusters; from here on FAT16
FAT16_LIMIT = 65525  # clusters; from here on FAT32
FAT32_LIMIT = 0x0FFFFFF5  # clusters that 28-bit entries can number
MAX_FATS = 16  # the active one is named by four bits
MEDIA = frozenset((0xF0, *range(0xF8, 0x100)))
_TYPE_NAMES = (b"FAT12   ", b"FAT16   ", b"FAT     ", b"MSDOS")


@dataclass(frozen=True, slots=True)
class Bpb:
    """Checked geometry. Bytes unless the name says otherwise; offsets count from the start of the volume.

    `bits`: 12, 16 or 32. `clusters`: data clusters that the FAT can number; numbers run from 2.
    `fat_size`: one FAT, whole sectors. `end`: what the file system claims. `serial`: as stored, b'' when absent.
    """

    bits: int
    sector_size: int
    cluster_size: int
    fat_offset: int
    fat_size: int
    fat_count: int
    active_fat: int
    mirrored: bool
    root_offset: int
    root_entries: int
    root_cluster: int
    data_offset: int
    clusters: int
    claimed_clusters: int
    end: int
    media: int
    state: int
    fsinfo_sector: int
    backup_sector: int
    serial: bytes
    label: bytes

    def fat_start(self, copy: int) -> int:
        """Offset of FAT number `copy`, 0-based."""
        return self.fat_offset + copy * self.fat_size

    def cluster_offset(self, cluster: int) -> int:
        """Offset of a data cluster; `clusters` + 2 gives the end of the last one."""
        return self.data_offset + (cluster - FIRST_CLUSTER) * self.cluster_size

    @property
    def limit(self) -> int:
        """The first cluster number that does not exist."""
        return self.clusters + FIRST_CLUSTER

    @property
    def small_fat32(self) -> bool:
        """FAT32 by its fields although it has as few clusters as FAT12 or FAT16 would have."""
        return self.bits == 32 and self.claimed_clusters < FAT16_LIMIT


def _refuse(at: int, detail: str, source: str, expected: object = None, found: object = None) -> NotThisFormat:
    return NotThisFormat("FAT boot sector", at, detail, source=source, expected=expected, found=found)


def _check_marks(sector: bytes, at: int, source: str) -> None:
    """Raise NotThisFormat unless the sector says FAT in some way and does not say anything else."""
    owner = sector_owner(sector)
    if owner is not None:
        raise _refuse(at, f"this is {owner}", source)
    named = sector[0x52:0x5A] == b"FAT32   " or sector[0x52:0x57] == b"MSWIN"
    named = named or any(sector[0x36 : 0x36 + len(name)] == name for name in _TYPE_NAMES)
    # Without the name of a type (DOS 3 and some cameras write none): a jump and the signature.
    if not named and (sector[0] not in (0xEB, 0xE9) or sector[510:512] != b"\x55\xaa"):
        raise _refuse(at, "no FAT type name, and no jump with the signature 55 AA", source)


def parse_bpb(sector: bytes, at: int, volume_size: int, source: str) -> Bpb:
    """Decode and check the first 512 bytes of a boot sector that was read at byte `at`.

    Raises NotThisFormat when a field is not as in FAT, Unsupported for an unknown FAT32 version, Truncated when
    the file system is larger than `volume_size` bytes, Inconsistent when a pointer of a FAT32 volume leads outside.
    """
    if len(sector) < BOOT_BYTES:
        raise _refuse(at, "too short", source, BOOT_BYTES, len(sector))
    _check_marks(sector, at, source)
    raw = decode(BpbCommon, sector[:0x24], "FAT boot sector", at, source)
    bytes_per_sector, per_cluster = raw.BPB_BytsPerSec, raw.BPB_SecPerClus
    if bytes_per_sector not in (512, 1024, 2048, 4096):
        raise _refuse(at + 0x0B, "BPB_BytsPerSec", source, "512 to 4096", bytes_per_sector)
    if not is_power_of_two(per_cluster):
        raise _refuse(at + 0x0D, "BPB_SecPerClus", source, "a power of two", per_cluster)
    if raw.BPB_RsvdSecCnt == 0:
        raise _refuse(at + 0x0E, "BPB_RsvdSecCnt is 0", source)
    if not 1 <= raw.BPB_NumFATs <= MAX_FATS:
        raise _refuse(at + 0x10, "BPB_NumFATs", source, f"1 to {MAX_FATS}", raw.BPB_NumFATs)
    if raw.BPB_Media not in MEDIA:
        raise _refuse(at + 0x15, "BPB_Media", source, "0xf0 or 0xf8 to 0xff", hex(raw.BPB_Media))

    wide = raw.BPB_FATSz16 == 0
    size = BPB32_SIZE if wide else BPB16_SIZE
    extra = decode(BpbFat32 if wide else BpbFat16, sector[0x24:size], "FAT boot sector", at + 0x24, source)
    fat_sectors = extra.BPB_FATSz32 if wide else raw.BPB_FATSz16
    if fat_sectors == 0:
        raise _refuse(at + 0x24, "no size of the FAT", source)
    if wide != (raw.BPB_RootEntCnt == 0):
        raise _refuse(at + 0x11, "BPB_RootEntCnt does not fit BPB_FATSz16", source, found=raw.BPB_RootEntCnt)
    total_sectors = raw.BPB_TotSec16 or raw.BPB_TotSec32
    root_sectors = align_up(raw.BPB_RootEntCnt * 32, bytes_per_sector) // bytes_per_sector
    root_sector = raw.BPB_RsvdSecCnt + raw.BPB_NumFATs * fat_sectors
    data_sector = root_sector + root_sectors
    claimed = (total_sectors - data_sector) // per_cluster
    if claimed < 1:
        raise _refuse(at + 0x13, "no room for one cluster", source, f"over {data_sector} sectors", total_sectors)
    bits = 32 if wide else 12 if claimed < FAT12_LIMIT else 16
    most = {12: FAT12_LIMIT - 1, 16: FAT16_LIMIT - 1, 32: FAT32_LIMIT}[bits]
    if claimed > most:
        raise _refuse(at + 0x13, f"more clusters than FAT{bits} can have", source, most, claimed)
    # As Linux does: clusters that the FAT has no entry for do not exist. They are imaged, for want of knowledge.
    clusters = min(claimed, fat_sectors * bytes_per_sector * 8 // bits - FIRST_CLUSTER)
    if clusters < 1:
        raise _refuse(at + 0x16, "the FAT has no room for one cluster", source)
    end = total_sectors * bytes_per_sector
    if end > volume_size:
        raise Truncated("FAT volume", at + 0x13, f"it claims {end} bytes of {volume_size}", source=source)

    active, mirrored = 0, True
    if wide:
        if extra.BPB_FSVer:
            raise Unsupported("FAT32 boot sector", f"version {extra.BPB_FSVer >> 8}.{extra.BPB_FSVer & 0xFF}")
        mirrored = not extra.BPB_ExtFlags & 0x80
        active = 0 if mirrored else extra.BPB_ExtFlags & 0x0F
        if active >= raw.BPB_NumFATs:
            raise Inconsistent(
                "FAT32 boot sector", at + 0x28, "the active FAT does not exist",
                expected=f"below {raw.BPB_NumFATs}", found=active, source=source,
            )  # fmt: skip
        if not FIRST_CLUSTER <= extra.BPB_RootClus < clusters + FIRST_CLUSTER:
            raise Inconsistent(
                "FAT32 boot sector", at + 0x2C, "the root directory lies outside",
                expected=f"cluster 2 to {clusters + 1}", found=extra.BPB_RootClus, source=source,
            )  # fmt: skip
    signature = extra.BS_BootSig
    return Bpb(
        bits=bits,
        sector_size=bytes_per_sector,
        cluster_size=per_cluster * bytes_per_sector,
        fat_offset=raw.BPB_RsvdSecCnt * bytes_per_sector,
        fat_size=fat_sectors * bytes_per_sector,
        fat_count=raw.BPB_NumFATs,
        active_fat=active,
        mirrored=mirrored,
        root_offset=root_sector * bytes_per_sector,
        root_entries=raw.BPB_RootEntCnt,
        root_cluster=extra.BPB_RootClus if wide else 0,
        data_offset=data_sector * bytes_per_sector,
        clusters=clusters,
        claimed_clusters=claimed,
        end=end,
        media=raw.BPB_Media,
        state=extra.BS_Reserved1 if signature in (0x28, 0x29) else 0,
        fsinfo_sector=extra.BPB_FSInfo if wide else 0,
        backup_sector=extra.BPB_BkBootSec if wide else 0,
        serial=extra.BS_VolID if signature in (0x28, 0x29) else b"",
        label=extra.BS_VolLab if signature == 0x29 else b"",
    )
