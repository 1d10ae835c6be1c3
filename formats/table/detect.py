"""Which table rules a disk. The rules, in this order:

1. Sector 0 is the boot sector of an NTFS or exFAT volume (their names at +3), or of a FAT volume (a consistent
   BIOS parameter block): no table. A FAT boot sector that *also* lists well-formed partitions, all on the disk,
   none over sector 0, is an MBR: boot loaders of USB sticks carry such a block. The text "FAT32" means nothing.
2. A GPT rules when sector 0 ends in 55AA and has a record of type EE, or when it holds no partitions at all and
   LBA 1 carries the GPT signature; one of the copies must be sound. An MBR with partitions of its own and without
   an EE record beats a GPT, which is then an old one (as for Linux, Windows and sfdisk).
3. The GPT is looked for in the given sector size, and when none was given also in the other of 512 and 4096
   bytes: image files of 4Kn disks are common.
4. An EE record without a sound GPT: the other records, if there are any, are the table; else there is none, and
   the problem ``gpt.lost`` says why.
5. Sector 0 ends in 55AA, every record begins with 00 or 80, and it lists a partition that starts on the disk: MBR.
6. The same without such partitions: an empty MBR, unless a file system shows itself further behind (ext, XFS,
   Btrfs and others leave sector 0 to boot loaders): then there is no table.
7. Everything else: no table. A lone backup GPT, or a disk label of another kind, is reported, not used.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from formats.base.errors import DeviceError, RecoveryError, Unsupported
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from formats.base.units import is_power_of_two
from formats.table import gpt, mbr
from formats.table.mbr import MBR_BYTES, BootRecord
from formats.table.model import SECTOR_SIZES, PartitionTable, Provenance, Scheme

# Offset of the magic, magic, name. Only those that leave sector 0 to others or fill it themselves.
_SUPERBLOCKS = (
    (0x438, b"\x53\xef", "ext"),
    (0, b"XFSB", "XFS"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0x10040, b"_BHRfS_M", "Btrfs"),
    (0x400, b"\x10\x20\xf5\xf2", "F2FS"),
    (0x10034, b"ReIsEr", "ReiserFS"),
    (0x200, b"LABELONE", "LVM"),
    (0x1000, b"\xfc\x4e\x2b\xa9", "Linux RAID"),
    (0xFF6, b"SWAPSPACE2", "swap"),
)

# Disk labels that are recognised and not read.
_FOREIGN_LABELS = (
    (0, b"\x0b\xe5\xa9\x41", "SGI"),
    (508, b"\xda\xbe", "Sun"),
    (0, b"\xc9\xc2\xd4\xc1", "AIX"),
    (512, b"PM\x00\x00", "Apple partition map"),
    (512, b"\x57\x45\x56\x82", "BSD"),
    (64, b"\x57\x45\x56\x82", "BSD"),
)


def read_table(source: BlockSource, sector_size: int | None = None) -> PartitionTable:
    """Find and read the partition table of a disk or disk image.

    `sector_size` in bytes; None: the source's own, or the one in which a GPT shows itself. Damage is told in the
    result's problems. Raises Unsupported for other sector sizes than 512..4096, and DeviceError when sector 0
    cannot be read and no GPT is found.
    """
    own = source.sector_size if sector_size is None else sector_size
    if own not in SECTOR_SIZES:
        raise Unsupported("disk", f"a logical sector size of {own} bytes")
    if source.size < max(own, MBR_BYTES):
        return _no_table(source, own)
    sizes = [own]
    if sector_size is None:
        sizes += [s for s in (512, 4096) if s != own]
    table = _detect(source, own, sizes)
    return replace(table, problems=table.problems + tuple(mbr.overlap_problems(table)))


def _detect(source: BlockSource, own: int, sizes: list[int]) -> PartitionTable:
    unreadable: DeviceError | None = None
    try:
        zero = source.read_at(0, own)
    except DeviceError as error:
        zero, unreadable = b"", error
    boot = _boot_record(zero, source)
    problems: list[Problem] = []
    if boot and _volume_boot_sector(zero, boot, source.size // own):
        return _no_table(source, own)
    pair, evidence = _find_gpt(source, sizes, boot)
    own_partitions = boot is not None and boot.indicators_valid and bool(boot.used) and boot.protective is None
    if unreadable and pair and isinstance(pair.primary.error, DeviceError):
        evidence = True  # where the table begins nothing can be read: a sound copy at the end is what is left of it
    if pair and pair.usable and evidence and not own_partitions:
        return _gpt_table(source, pair, zero, boot, own, unreadable)
    if unreadable:
        raise unreadable
    if pair and own_partitions and pair.primary.sector:
        text = "LBA 1 still holds a GPT, but the MBR does not point to it: the MBR's partitions are taken"
        problems.append(Problem(Severity.WARNING, "gpt.stale", text, pair.sector_size))
    elif evidence and pair:
        text = f"the GPT is lost: primary: {pair.primary.error}; backup: {pair.backup.error}"
        problems.append(Problem(Severity.ERROR, "gpt.lost", text, pair.sector_size))
        if boot is None or not boot.hybrid:
            return _no_table(source, own, problems)
    elif pair and pair.backup.sound():
        text = "a backup GPT lies at the end of the disk, but nothing at its beginning points to it: it is not used"
        problems.append(Problem(Severity.WARNING, "gpt.orphan_backup", text, pair.backup.lba * pair.sector_size))
    return _mbr_or_nothing(source, own, zero, boot, problems)


def _mbr_or_nothing(
    source: BlockSource, own: int, zero: bytes, boot: BootRecord | None, problems: list[Problem]
) -> PartitionTable:
    label = _magic_at(source, _FOREIGN_LABELS)
    if boot is None or not boot.indicators_valid or label == "AIX":
        if label:
            text = f"this looks like a disk label of kind {label}, which is not read: the disk is taken as one volume"
            problems.append(Problem(Severity.WARNING, "table.unknown_label", text, 0))
        elif boot:
            text = "sector 0 ends in 55AA, but its records are no partitions: the disk is taken as one volume"
            problems.append(Problem(Severity.INFO, "mbr.not_a_table", text, 446))
        return _no_table(source, own, problems)
    on_disk = [r for r in boot.used if r.start_sectors * own < source.size]
    if not on_disk and _magic_at(source, _SUPERBLOCKS):
        return _no_table(source, own, problems)
    table = mbr.assemble(source, zero, boot, own)
    return replace(table, problems=tuple(problems) + table.problems)


def _gpt_table(
    source: BlockSource,
    pair: gpt.Pair,
    zero: bytes,
    boot: BootRecord | None,
    own: int,
    unreadable: DeviceError | None,
) -> PartitionTable:
    size = pair.sector_size
    problems = []
    if size != own:
        text = f"the GPT counts sectors of {size} bytes, the disk or image has {own}: {size} is taken"
        problems.append(Problem(Severity.INFO, "gpt.sector_size", text, size))
        try:
            zero = source.read_at(0, size)
        except DeviceError as error:
            zero, unreadable = b"", error
    if unreadable:
        problems.append(Problem(Severity.ERROR, "gpt.sector_zero_unreadable", str(unreadable), 0))
    elif boot is None or boot.protective is None:
        text = "there is no protective MBR in sector 0: systems do not see this GPT until it is written again"
        problems.append(Problem(Severity.WARNING, "gpt.no_protective_mbr", text, 0))
    hybrid = boot is not None and boot.hybrid
    if hybrid:
        text = "the MBR of this GPT disk lists partitions of its own (hybrid MBR); it is kept as it is"
        problems.append(Problem(Severity.INFO, "gpt.hybrid", text, 0))
    table = gpt.assemble(source, pair, zero, hybrid)
    return replace(table, problems=tuple(problems) + table.problems)


def _find_gpt(source: BlockSource, sizes: list[int], boot: BootRecord | None) -> tuple[gpt.Pair | None, bool]:
    """The first usable pair, else the first with a signature; and whether sector 0 or LBA 1 speaks for a GPT."""
    protective = boot.protective if boot else None
    claimed = protective.start_sectors + protective.sectors - 1 if protective else None
    fallback: gpt.Pair | None = None
    for size in sizes:
        if source.size < 2 * size:
            continue
        pair = gpt.read_pair(source, size, claimed)
        evidence = protective is not None or bool(pair.primary.sector)
        if pair.usable and evidence:
            return pair, True
        if fallback is None or (pair.primary.sector and not fallback.primary.sector):
            fallback = pair
    return fallback, protective is not None or bool(fallback and fallback.primary.sector)


def _boot_record(zero: bytes, source: BlockSource) -> BootRecord | None:
    if zero[510:512] != b"\x55\xaa":
        return None
    return BootRecord.from_sector(zero, 0, "MBR", source.name)


def _volume_boot_sector(zero: bytes, boot: BootRecord, disk_sectors: int) -> bool:
    """True for the boot sector of an NTFS, exFAT or FAT volume (rule 1)."""
    if zero[3:11] in (b"NTFS    ", b"EXFAT   "):
        return True
    return _fat_parameters(zero) and not _well_formed(boot, disk_sectors)


def _fat_parameters(zero: bytes) -> bool:
    """True when +0x0B holds a BIOS parameter block of FAT (Microsoft, FAT specification 1.03, BPB)."""
    sector, cluster = int.from_bytes(zero[11:13], "little"), zero[13]
    reserved, copies, media = int.from_bytes(zero[14:16], "little"), zero[16], zero[21]
    total = int.from_bytes(zero[19:21], "little") or int.from_bytes(zero[32:36], "little")
    fat = int.from_bytes(zero[22:24], "little") or int.from_bytes(zero[36:40], "little")
    return (
        sector in SECTOR_SIZES
        and is_power_of_two(cluster)
        and reserved > 0
        and copies in (1, 2)
        and (media == 0xF0 or media >= 0xF8)
        and total > 0
        and fat > 0
    )


def _well_formed(boot: BootRecord, disk_sectors: int) -> bool:
    """True when there are partitions, and all lie on the disk, behind sector 0, apart from one another."""
    ranges = sorted((r.start_sectors, r.start_sectors + r.sectors) for r in boot.used)
    return (
        boot.indicators_valid
        and bool(ranges)
        and all(start > 0 and end <= disk_sectors for start, end in ranges)
        and all(a[1] <= b[0] for a, b in pairwise(ranges))
        and all(r.kind != 0 for r in boot.used)
    )


def _magic_at(source: BlockSource, magics: tuple[tuple[int, bytes, str], ...]) -> str:
    """The name that belongs to the first magic found, or ''."""
    for offset, magic, name in magics:
        if offset + len(magic) > source.size:
            continue
        try:
            if source.read_at(offset, len(magic)) == magic:
                return name
        except RecoveryError:
            continue  # an unreadable place shows no magic
    return ""


def _no_table(source: BlockSource, sector_size: int, problems: list[Problem] | None = None) -> PartitionTable:
    return PartitionTable(
        scheme=Scheme.NONE,
        sector_size=sector_size,
        disk_size=source.size,
        disk_id="",
        provenance=Provenance.PRIMARY,
        partitions=(),
        problems=tuple(problems or ()),
        regions=(),
    )
