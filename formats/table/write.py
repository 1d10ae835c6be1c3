"""What to write so that a disk has a table again. Pure: nothing here writes.

A table that was intact goes back byte for byte. A damaged GPT is made whole from its sound copy, and on a disk of
another size the backup moves to the new end (UEFI Specification 2.10, section 5.3.2). Sector 0 is always last:
until it is written, the disk has no table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from formats.base.checksum import crc32
from formats.base.errors import Inconsistent, RecoveryError, Refused, Unsupported
from formats.base.extent import ExtentList
from formats.base.units import MiB
from formats.table import layout, model
from formats.table.gpt import used_entries
from formats.table.gpt_header import Header
from formats.table.mbr import BootRecord
from formats.table.model import PartitionTable, Provenance, Scheme
from formats.table.types import PROTECTIVE_TYPE

WIPE_BYTES = MiB  # holds both copies of a GPT in either sector size, and every label and superblock at an end
_LIMIT_32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class TableWrite:
    """Write `data` at `offset` bytes from the start of the disk. `what` names it for people."""

    offset: int
    data: bytes
    what: str


@dataclass(frozen=True, slots=True)
class _Half:
    """One sound copy of a GPT, taken from the regions. `array` is whole sectors."""

    header: Header
    array: bytes

    @property
    def last_lba_used(self) -> int:
        """The last LBA of any partition; 0 without partitions. Entries that run backwards hold nothing."""
        ends = (e.last_lba for e in used_entries(self.header, self.array) if e.last_lba >= e.first_lba)
        return max(ends, default=0)

    @property
    def sectors_needed(self) -> int:
        """The smallest disk for these partitions, their backup table behind them."""
        return max(self.last_lba_used + 1, self.header.first_usable_lba) + self.header.array_sectors + 1


def build_table(table: PartitionTable, target_size: int, target_sector_size: int) -> tuple[TableWrite, ...]:
    """What to write on a disk of `target_size` bytes, in the order in which it must be written.

    The same size and an intact table: exactly the bytes that were found. A table of scheme NONE needs nothing.
    Raises Unsupported when the sector sizes differ, Refused when something does not fit, Corrupt when the stored
    regions are damaged.
    """
    needed = minimum_size(table)
    if table.scheme is not Scheme.NONE and table.sector_size != target_sector_size:
        raise Unsupported(
            "partition table",
            f"moving from sectors of {table.sector_size} bytes to sectors of {target_sector_size}",
            "choose a target with the same logical sector size",
        )
    if target_size < needed:
        raise Refused(
            f"the target has {target_size} bytes, the partitions and their table need {needed}",
            f"choose a target that is {needed - target_size} bytes larger, or shrink the last partition first",
        )
    if table.scheme is Scheme.NONE:
        return ()
    if table.scheme is Scheme.MBR:
        if table.region(model.SECTOR_ZERO) is None:
            raise Inconsistent("MBR", 0, "the table's regions do not hold sector 0")
        return tuple(_as_found(table, (model.EBR, model.SECTOR_ZERO)))
    if target_size // table.sector_size == table.disk_size // table.sector_size and _intact(table):
        return tuple(
            _as_found(
                table,
                (
                    model.BACKUP_ENTRIES,
                    model.BACKUP_HEADER,
                    model.PRIMARY_ENTRIES,
                    model.PRIMARY_HEADER,
                    model.SECTOR_ZERO,
                ),
            )
        )
    return tuple(_rebuilt(table, target_size // table.sector_size - 1))


def minimum_size(table: PartitionTable) -> int:
    """The smallest disk, in bytes, that holds all partitions and the table itself.

    Scheme NONE: the size of the disk as it was, for what fills it is not known here. Raises Corrupt when the
    stored regions of a GPT are damaged.
    """
    if table.scheme is Scheme.NONE:
        return table.disk_size
    if table.scheme is Scheme.MBR:
        ends = [p.extent.end for p in table.partitions] + [c.end for c in table.containers]
        return max(ends + [r.extent.end for r in table.regions], default=0)
    needed = _sound_half(table).sectors_needed * table.sector_size
    return min(needed, table.disk_size) if needed > table.disk_size and _intact(table) else needed


def wipe_extents(target_size: int, sector_size: int) -> ExtentList:
    """What to zero on a disk of `target_size` bytes so that no old table is recognised on it.

    A MiB at either end, in whole sectors: sector 0, both copies of a GPT in 512 and 4096-byte sectors, labels of
    other systems, and most superblocks (ext, XFS, LVM, RAID, Btrfs) that would make a half-restored disk plausible.
    """
    if target_size <= 0 or sector_size <= 0:
        return ExtentList()
    tail = max(0, target_size - WIPE_BYTES) // sector_size * sector_size
    return ExtentList([(0, min(WIPE_BYTES, target_size)), (tail, target_size)])


def _as_found(table: PartitionTable, order: tuple[str, ...]) -> Iterator[TableWrite]:
    for what in order:
        for region in table.regions:
            if region.what == what:
                yield TableWrite(region.extent.start, region.data, what)


def _half(table: PartitionTable, side: Provenance) -> _Half:
    """That copy from the regions. Raises Corrupt when it is missing or not sound."""
    primary = side is Provenance.PRIMARY
    head = table.region(model.PRIMARY_HEADER if primary else model.BACKUP_HEADER)
    body = table.region(model.PRIMARY_ENTRIES if primary else model.BACKUP_ENTRIES)
    if head is None or body is None or head.extent.length != table.sector_size:
        raise Inconsistent(f"{side} GPT", 0, "the table's regions do not hold it")
    header = Header.from_sector(head.data, head.extent.start // table.sector_size)
    if (
        body.extent.start != header.entries_lba * table.sector_size
        or len(body.data) != header.array_sectors * table.sector_size
        or crc32(body.data[: header.array_bytes]) != header.entries_crc
    ):
        raise Inconsistent(f"{side} GPT entries", body.extent.start, "they are not those that the header names")
    return _Half(header, body.data)


def _sound_half(table: PartitionTable) -> _Half:
    return _half(table, table.provenance)


def _half_or_none(table: PartitionTable, side: Provenance) -> _Half | None:
    try:
        return _half(table, side)
    except RecoveryError:
        return None


def _intact(table: PartitionTable) -> bool:
    """True when both copies are sound, agree, lie where they belong, and sector 0 points to them."""
    last = table.disk_size // table.sector_size - 1
    primary, backup = _half_or_none(table, Provenance.PRIMARY), _half_or_none(table, Provenance.BACKUP)
    if primary is None or backup is None or _protective_sector(table) is None:
        return False
    a, b = primary.header, backup.header
    return (
        (a.my_lba, a.alternate_lba, b.my_lba, b.alternate_lba) == (1, last, last, 1)
        and (a.disk_guid, a.first_usable_lba, a.last_usable_lba, a.entry_count, a.entry_size)
        == (b.disk_guid, b.first_usable_lba, b.last_usable_lba, b.entry_count, b.entry_size)
        and primary.array[: a.array_bytes] == backup.array[: b.array_bytes]
    )


def _protective_sector(table: PartitionTable) -> BootRecord | None:
    """Sector 0 when it ends in 55AA and has a record of type EE."""
    region = table.region(model.SECTOR_ZERO)
    if region is None or region.data[510:512] != b"\x55\xaa":
        return None
    boot = BootRecord.from_sector(region.data, 0, "protective MBR")
    return boot if boot.protective else None


def _rebuilt(table: PartitionTable, last: int) -> Iterator[TableWrite]:
    """A whole GPT for a disk whose last LBA is `last`, from the sound copy."""
    size = table.sector_size
    half = _sound_half(table)
    used, sectors = half.header, half.header.array_sectors
    backup = _half_or_none(table, Provenance.BACKUP)
    entries_lba = _primary_entries_lba(table)
    if entries_lba + sectors > used.first_usable_lba:
        raise Refused(
            f"the {sectors} sectors of the primary GPT entries do not fit between LBA {entries_lba} and "
            f"the first usable LBA {used.first_usable_lba}"
        )
    backup_lba = last - sectors
    if backup and backup.header.my_lba == last and backup.header.array_sectors == sectors:
        found_lba = backup.header.entries_lba
        backup_lba = found_lba if found_lba > half.last_lba_used else backup_lba
    # A range that was made smaller on purpose stays so on the same disk, unless a partition already leaves it.
    placed = used.alternate_lba if used.my_lba == 1 else used.my_lba
    wanted = max(used.last_usable_lba, half.last_lba_used) if placed == last else backup_lba - 1
    last_usable = min(wanted, backup_lba - 1)
    if half.last_lba_used > last_usable or used.first_usable_lba > last_usable + 1:
        raise Refused(
            f"partitions or the first usable sector reach LBA {max(half.last_lba_used, used.first_usable_lba)}, "
            f"and the backup GPT of a disk of {(last + 1) * size} bytes begins at LBA {backup_lba}",
            f"the target must have at least {half.sectors_needed * size} bytes",
        )
    checksum = crc32(half.array[: used.array_bytes])
    first = used.moved(
        my_lba=1,
        alternate_lba=last,
        last_usable_lba=last_usable,
        entries_lba=entries_lba,
        entries_crc=checksum,
    )
    second = used.moved(
        my_lba=last,
        alternate_lba=1,
        last_usable_lba=last_usable,
        entries_lba=backup_lba,
        entries_crc=checksum,
    )
    yield TableWrite(backup_lba * size, half.array, model.BACKUP_ENTRIES)
    yield TableWrite(last * size, second.sector, model.BACKUP_HEADER)
    yield TableWrite(entries_lba * size, half.array, model.PRIMARY_ENTRIES)
    yield TableWrite(size, first.sector, model.PRIMARY_HEADER)
    yield TableWrite(0, _sector_zero(table, last), model.SECTOR_ZERO)


def _primary_entries_lba(table: PartitionTable) -> int:
    """Where the primary entries were if its header can still be believed, else LBA 2."""
    head = table.region(model.PRIMARY_HEADER)
    if head is not None:
        try:
            return Header.from_sector(head.data, 1).entries_lba
        except RecoveryError:
            return 2
    return 2


def _sector_zero(table: PartitionTable, last: int) -> bytes:
    """Sector 0 for a disk whose last LBA is `last`: boot code, signature and a hybrid's records stay."""
    region = table.region(model.SECTOR_ZERO)
    found = region.data if region else bytes(table.sector_size)
    boot = _protective_sector(table)
    if boot is not None and boot.hybrid:
        return found
    sectors = min(last, _LIMIT_32)
    record = {
        "BootIndicator": 0,
        "StartingCHS": b"\x00\x02\x00",
        "OSType": PROTECTIVE_TYPE,
        "EndingCHS": _chs(last),
        "StartingLBA": 1,
        "SizeInLBA": sectors,
    }
    slot = 0
    if boot is not None and boot.protective is not None:
        slot = boot.protective.slot
        if boot.protective.start_sectors != 1:
            return found  # a layout of its own; its extent is not ours to judge
        record["BootIndicator"] = boot.protective.indicator
    records = found[layout.MBR_ENTRIES_OFFSET : 510] if boot else bytes(64)
    built = layout.PartitionRecord.build(record)
    records = records[: 16 * slot] + built + records[16 * (slot + 1) :]
    return bytes(found[: layout.MBR_ENTRIES_OFFSET] + records + b"\x55\xaa" + found[512:])


def _chs(lba: int) -> bytes:
    """CHS of an LBA with 255 heads and 63 sectors; FFFFFF when it cannot be said (UEFI 2.10, 5.2.3)."""
    cylinder, rest = divmod(lba, 255 * 63)
    if cylinder > 1023:
        return b"\xff\xff\xff"
    head, sector = divmod(rest, 63)
    return bytes((head, (sector + 1) | (cylinder >> 2 & 0xC0), cylinder & 0xFF))
