"""The boot regions of exFAT: main, backup, checksum.

Source: exFAT specification, sections 3.1 (boot sector), 3.4 (boot checksum) and 3.2 (backup region at sector 12).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from formats.base.decode import decode
from formats.base.errors import (
    ChecksumMismatch,
    DeviceError,
    FormatError,
    Inconsistent,
    NotThisFormat,
    Truncated,
    Unsupported,
)
from formats.base.problem import Severity
from formats.base.source import BlockSource
from formats.base.units import align_up
from fs.bootsector import sector_owner, volume_owner
from fs.clusters import FIRST_CLUSTER
from fs.exfat.layout import BOOT_SIGNATURE, FILE_SYSTEM_NAME, BootSector
from fs.findings import Log

BOOT_BYTES = 512
BACKUP_SECTOR = 12
CHECKED_SECTORS = 11  # sector 11 of the region repeats their checksum
UNCHECKED_BYTES = (106, 107, 112)  # VolumeFlags and PercentInUse change while mounted
MAX_CLUSTERS = 0xFFFFFFF5  # 2**32 - 11, section 3.1.9
MAX_CLUSTER_SHIFT = 25  # 32 MiB, section 3.1.15
FAT0 = 0xFFFFFFF8  # section 4.1.1
ACTIVE_FAT, VOLUME_DIRTY, MEDIA_FAILURE = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Boot:
    """Checked geometry. Bytes unless the name says otherwise; offsets from the start of the volume."""

    sector_size: int
    cluster_size: int
    fat_offset: int
    fat_size: int
    fat_count: int
    heap_offset: int
    clusters: int
    root_cluster: int
    serial: int
    flags: int
    end: int

    @property
    def active_fat(self) -> int:
        """0 or 1; always 0 when there is one FAT (section 3.1.13.1)."""
        return self.flags & ACTIVE_FAT if self.fat_count == 2 else 0

    @property
    def limit(self) -> int:
        """The first cluster number that does not exist."""
        return self.clusters + FIRST_CLUSTER

    def cluster_offset(self, cluster: int) -> int:
        """Offset of a cluster; `limit` gives the end of the last one."""
        return self.heap_offset + (cluster - FIRST_CLUSTER) * self.cluster_size


def boot_checksum(region: bytes) -> int:
    """The checksum of the first 11 sectors of a boot region (section 3.4, figure 1)."""
    total = 0
    for index, byte in enumerate(region):
        if index not in UNCHECKED_BYTES:
            total = ((total << 31 | total >> 1) + byte) & 0xFFFFFFFF
    return total


def parse_boot(sector: bytes, at: int, volume_size: int, source: str) -> Boot:
    """Decode and check the first 512 bytes of a boot sector read at byte `at`.

    Raises NotThisFormat without the name EXFAT, Corrupt or Inconsistent for impossible fields, Unsupported for
    another major revision, Truncated when the file system is larger than `volume_size` bytes.
    """
    name = "exFAT boot sector"
    raw = decode(BootSector, sector, name, at, source)
    if raw.FileSystemName != FILE_SYSTEM_NAME:
        raise NotThisFormat(name, at + 3, "no name", source=source, expected="EXFAT", found=raw.FileSystemName)

    def check(sound: bool, field: str, where: int, expected: object, found: object) -> None:
        if not sound:
            raise Inconsistent(name, at + where, field, expected=expected, found=found, source=source)

    check(raw.BootSignature == BOOT_SIGNATURE, "BootSignature", 0x1FE, "0xaa55", hex(raw.BootSignature))
    check(not any(raw.MustBeZero), "MustBeZero", 0x0B, "zeros", raw.MustBeZero.hex())
    if raw.FileSystemRevision >> 8 != 1:
        revision = f"revision {raw.FileSystemRevision >> 8}.{raw.FileSystemRevision & 0xFF:02}"
        raise Unsupported("exFAT", revision)
    shift, more = raw.BytesPerSectorShift, raw.SectorsPerClusterShift
    check(9 <= shift <= 12, "BytesPerSectorShift", 0x6C, "9 to 12", shift)
    check(shift + more <= MAX_CLUSTER_SHIFT, "SectorsPerClusterShift", 0x6D, f"up to {25 - shift}", more)
    check(raw.NumberOfFats in (1, 2), "NumberOfFats", 0x6E, "1 or 2", raw.NumberOfFats)
    check(1 <= raw.ClusterCount <= MAX_CLUSTERS, "ClusterCount", 0x5C, f"1 to {MAX_CLUSTERS}", raw.ClusterCount)
    check(raw.FatOffset >= 24, "FatOffset", 0x50, "24 or more", raw.FatOffset)
    needed = align_up((raw.ClusterCount + FIRST_CLUSTER) * 4, 1 << shift) >> shift
    check(raw.FatLength >= needed, "FatLength", 0x54, f"{needed} or more", raw.FatLength)
    fat_end = raw.FatOffset + raw.FatLength * raw.NumberOfFats
    check(raw.ClusterHeapOffset >= fat_end, "ClusterHeapOffset", 0x58, f"{fat_end} or more", raw.ClusterHeapOffset)
    heap_end = raw.ClusterHeapOffset + (raw.ClusterCount << more)
    check(raw.VolumeLength >= heap_end, "VolumeLength", 0x48, f"{heap_end} or more", raw.VolumeLength)
    last = raw.ClusterCount + 1
    root = raw.FirstClusterOfRootDirectory
    check(FIRST_CLUSTER <= root <= last, "FirstClusterOfRootDirectory", 0x60, f"2 to {last}", root)
    end = raw.VolumeLength << shift
    if end > volume_size:
        raise Truncated("exFAT volume", at + 0x48, f"it claims {end} bytes of {volume_size}", source=source)
    return Boot(
        sector_size=1 << shift,
        cluster_size=1 << shift + more,
        fat_offset=raw.FatOffset << shift,
        fat_size=raw.FatLength << shift,
        fat_count=raw.NumberOfFats,
        heap_offset=raw.ClusterHeapOffset << shift,
        clusters=raw.ClusterCount,
        root_cluster=root,
        serial=raw.VolumeSerialNumber,
        flags=raw.VolumeFlags,
        end=end,
    )


def read_region(source: BlockSource, at: int) -> Boot:
    """The boot region that begins at byte `at`, with its checksum verified.

    Raises what parse_boot() raises, ChecksumMismatch, and DeviceError.
    """
    boot = parse_boot(source.read_at(at, BOOT_BYTES), at, source.size, source.name)
    size = boot.sector_size
    region = source.read_at(at, (CHECKED_SECTORS + 1) * size)
    found = int.from_bytes(region[CHECKED_SECTORS * size :][:4], "little")
    expected = boot_checksum(region[: CHECKED_SECTORS * size])
    if found != expected:
        raise ChecksumMismatch(
            "exFAT boot checksum", at + CHECKED_SECTORS * size, "it does not match the boot region",
            expected=hex(expected), found=hex(found), source=source.name,
        )  # fmt: skip
    return boot


def _find_backup(source: BlockSource) -> tuple[Boot, int] | None:
    """A sound backup region whose FAT begins as it must, and its offset."""
    for shift in range(9, 13):
        at = BACKUP_SECTOR << shift
        try:
            boot = read_region(source, at)
            entry = int.from_bytes(source.read_at(boot.fat_offset, 4), "little")
        except (DeviceError, FormatError, Unsupported):
            continue
        if boot.sector_size == 1 << shift and entry == FAT0:
            return boot, at
    return None


def read_boot(source: BlockSource, log: Log) -> Boot:
    """The main boot region, or the backup when the main one is damaged and the volume is no other format's.

    Raises NotThisFormat when there is neither; otherwise what the main region raised.
    """
    if source.size < BOOT_BYTES:
        raise NotThisFormat("exFAT boot sector", 0, f"the source has only {source.size} bytes", source=source.name)
    sector: bytes | None = None
    trouble: DeviceError | FormatError
    try:
        sector = source.read_at(0, BOOT_BYTES)
        return read_region(source, 0)
    except (DeviceError, FormatError) as error:
        trouble = error
    named = sector is not None and sector[3:11] == FILE_SYSTEM_NAME
    if sector is not None and not named:
        # A jump and the signature without the name: somebody else's boot sector, perhaps FAT.
        bootable = sector[0] in (0xEB, 0xE9) and sector[510:512] == b"\x55\xaa"
        if bootable or sector_owner(sector) or volume_owner(source):
            raise trouble
    found = _find_backup(source)
    if found is None:
        raise trouble
    boot, at = found
    if named and sector is not None:
        # The flags of the backup are stale (section 3.1.13); those of the main sector may be newer.
        boot = replace(boot, flags=int.from_bytes(sector[0x6A:0x6C], "little"))
    text = f"the main boot region is damaged ({trouble}); the backup at {at:#x} was used"
    log.add(Severity.WARNING, "exfat.backup_boot_region", text, at)
    return boot
