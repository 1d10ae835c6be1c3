"""Read a GPT: both copies, their checksums, the entries. UEFI Specification 2.10, section 5.3.

Where the backup is looked for: where the primary points to, the last sector of the disk, and the end that the
protective MBR claims (a disk that grew after it was partitioned). The header's own MyLBA must agree.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from formats.base.checksum import crc32
from formats.base.errors import ChecksumMismatch, FormatError, Inconsistent, RecoveryError
from formats.base.extent import Extent
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from formats.table import model
from formats.table.gpt_header import ALTERNATE_OFFSET, SIGNATURE, Header, guid_text
from formats.table.model import Partition, PartitionTable, Provenance, RawRegion, Scheme
from formats.table.types import gpt_type_name

FAST_ENTRY = struct.Struct("<16s16sQQQ72s")  # layout.GptEntry


@dataclass(frozen=True, slots=True)
class Copy:
    """One of the two copies as far as it could be read. `sector` is empty when there is no signature at `lba`."""

    lba: int
    sector: bytes = b""
    header: Header | None = None
    array: bytes = b""  # whole sectors
    error: RecoveryError | None = None

    @property
    def alternate_lba(self) -> int | None:
        """Where this copy says that the other is; a hint only when the header is damaged."""
        if len(self.sector) < ALTERNATE_OFFSET + 8:
            return None
        return int.from_bytes(self.sector[ALTERNATE_OFFSET : ALTERNATE_OFFSET + 8], "little")

    def sound(self) -> Header | None:
        """The header when the whole copy is good."""
        return self.header if self.error is None else None

    def regions(self, header_name: str, entries_name: str) -> Iterator[RawRegion]:
        size = len(self.sector)
        if self.sector:
            yield RawRegion(Extent(self.lba * size, (self.lba + 1) * size), self.sector, header_name)
        if self.header and self.array:
            start = self.header.entries_lba * size
            yield RawRegion(Extent(start, start + len(self.array)), self.array, entries_name)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both copies, and the size that the LBAs were counted in."""

    primary: Copy
    backup: Copy
    sector_size: int
    last_lba: int

    @property
    def usable(self) -> bool:
        return self.primary.sound() is not None or self.backup.sound() is not None


@dataclass(frozen=True, slots=True)
class Entry:
    """A used entry. `first_lba` and `last_lba` are inclusive and unchecked; `index` is 0-based."""

    index: int
    type_guid: bytes
    unique_guid: bytes
    first_lba: int
    last_lba: int
    attributes: int
    raw_name: bytes


def read_copy(source: BlockSource, lba: int, sector_size: int) -> Copy:
    """Read the copy whose header is at `lba`. Never raises: what is wrong is in `error`."""
    sector = b""
    header = None
    try:
        sector = source.read_at(lba * sector_size, sector_size)
        header = Header.from_sector(sector, lba)
        start = header.entries_lba * sector_size
        length = header.array_sectors * sector_size
        if start + length > source.size:
            raise Inconsistent(
                f"GPT header at LBA {lba}", lba * sector_size + 0x48, "the entry array leaves the disk",
                expected=f"end <= {source.size}", found=start + length, source=source.name,
            )  # fmt: skip
        array = source.read_at(start, length)
        actual = crc32(array[: header.array_bytes])
        if actual != header.entries_crc:
            error = ChecksumMismatch(
                f"GPT entries of the header at LBA {lba}", start, "entry array CRC-32",
                expected=f"{header.entries_crc:#010x}", found=f"{actual:#010x}", source=source.name,
            )  # fmt: skip
            return Copy(lba, sector, header, array, error)
        return Copy(lba, sector, header, array)
    except RecoveryError as error:
        return Copy(lba, sector if sector[:8] == SIGNATURE else b"", header, b"", error)


def read_pair(source: BlockSource, sector_size: int, claimed_last_lba: int | None) -> Pair:
    """Both copies, LBAs counted in `sector_size` bytes. `claimed_last_lba`: the end of the protective partition."""
    last = source.size // sector_size - 1
    primary = read_copy(source, 1, sector_size)
    best: Copy | None = None
    for lba in dict.fromkeys((primary.alternate_lba, last, claimed_last_lba)):
        if lba is None or not 1 < lba <= last:
            continue
        found = read_copy(source, lba, sector_size)
        if best is None or (found.sector and not best.sector) or found.sound():
            best = found
        if found.sound():
            break
    if best is None:
        best = Copy(last, error=FormatError("backup GPT", 0, "the disk is too small", source=source.name))
    return Pair(primary, best, sector_size, last)


def used_entries(header: Header, array: bytes) -> Iterator[Entry]:
    """The entries in use, in order of their index."""
    for index in range(header.entry_count):
        at = index * header.entry_size
        kind, unique, first, last, attributes, name = FAST_ENTRY.unpack_from(array, at)
        if kind != bytes(16):
            yield Entry(index, kind, unique, first, last, attributes, name)


def decode_name(raw: bytes) -> str:
    """UTF-16LE up to the first NUL; a lone surrogate becomes U+FFFD."""
    for at in range(0, len(raw) - 1, 2):
        if raw[at] == raw[at + 1] == 0:
            raw = raw[:at]
            break
    return raw.decode("utf-16-le", errors="replace")


def assemble(source: BlockSource, pair: Pair, sector_zero: bytes, hybrid: bool) -> PartitionTable:
    """The table from a usable pair. Problems say what is wrong with the copies and with the entries."""
    copy = pair.primary if pair.primary.sound() else pair.backup
    header = copy.sound()
    if header is None:
        raise FormatError("GPT", pair.sector_size, "neither copy is usable", source=source.name)
    size = pair.sector_size
    regions = []
    if sector_zero:
        regions.append(RawRegion(Extent(0, len(sector_zero)), sector_zero, model.SECTOR_ZERO))
    regions += pair.primary.regions(model.PRIMARY_HEADER, model.PRIMARY_ENTRIES)
    regions += pair.backup.regions(model.BACKUP_HEADER, model.BACKUP_ENTRIES)
    partitions: list[Partition] = []
    problems = list(_copy_problems(pair))
    for entry in used_entries(header, copy.array):
        at = header.entries_lba * size + entry.index * header.entry_size
        number = entry.index + 1
        start, end = entry.first_lba * size, (entry.last_lba + 1) * size
        fault = _entry_problem(entry, header, at, start, end, source.size)
        if fault:
            problems.append(fault)
        if entry.last_lba < entry.first_lba or start >= source.size:
            continue
        type_guid = guid_text(entry.type_guid)
        partitions.append(
            Partition(
                number=number,
                extent=Extent(start, min(end, source.size)),
                type_code=type_guid,
                type_name=gpt_type_name(type_guid),
                unique_id=guid_text(entry.unique_guid),
                name=decode_name(entry.raw_name),
                attributes=entry.attributes,
                logical=False,
            )
        )
    return PartitionTable(
        scheme=Scheme.GPT,
        sector_size=size,
        disk_size=source.size,
        disk_id=header.guid,
        provenance=Provenance.PRIMARY if copy is pair.primary else Provenance.BACKUP,
        partitions=tuple(partitions),
        problems=tuple(problems),
        regions=tuple(regions),
        hybrid=hybrid,
        first_usable=min(header.first_usable_lba * size, source.size),
        last_usable=min((header.last_usable_lba + 1) * size, source.size),
    )


def _entry_problem(entry: Entry, header: Header, at: int, start: int, end: int, disk: int) -> Problem | None:
    who = f"partition {entry.index + 1} (LBA {entry.first_lba} to {entry.last_lba})"
    if entry.last_lba < entry.first_lba:
        return Problem(Severity.ERROR, "gpt.entry_inverted", f"{who} ends before it starts and is left out", at)
    if start >= disk:
        text = f"{who} starts behind the end of the disk ({disk} bytes) and is left out"
        return Problem(Severity.ERROR, "gpt.entry_beyond_disk", text, at)
    if end > disk:
        text = f"{who} needs {end} bytes of disk, there are {disk}: only the part on the disk is taken"
        return Problem(Severity.ERROR, "gpt.entry_cut", text, at)
    if entry.first_lba < header.first_usable_lba or entry.last_lba > header.last_usable_lba:
        text = f"{who} leaves the usable range, LBA {header.first_usable_lba} to {header.last_usable_lba}"
        return Problem(Severity.WARNING, "gpt.entry_outside_usable", text, at)
    return None


def _copy_problems(pair: Pair) -> Iterator[Problem]:
    size, last = pair.sector_size, pair.last_lba
    primary, backup = pair.primary.sound(), pair.backup.sound()
    if primary is None:
        text = f"the primary GPT is damaged ({pair.primary.error}); the backup is used"
        yield Problem(Severity.WARNING, "gpt.primary_damaged", text, size)
    if backup is None:
        code = "gpt.backup_damaged" if pair.backup.sector else "gpt.backup_missing"
        text = f"there is no usable backup GPT ({pair.backup.error}); the primary is used"
        yield Problem(Severity.WARNING, code, text, pair.backup.lba * size)
    if primary and backup and _content(pair.primary) != _content(pair.backup):
        text = "the two copies of the GPT say different things; the primary is used"
        yield Problem(Severity.WARNING, "gpt.copies_differ", text, pair.backup.lba * size)
    end_lba = primary.alternate_lba if primary else pair.backup.lba
    if end_lba > last:
        text = (
            f"the GPT was made for a disk of {(end_lba + 1) * size} bytes, this one has {(last + 1) * size}: "
            "its end is missing"
        )
        yield Problem(Severity.ERROR, "gpt.disk_shrunk", text, (last + 1) * size)
    elif end_lba < last:
        text = f"the backup GPT belongs to LBA {last}, the last of the disk; the GPT places it at LBA {end_lba}"
        yield Problem(Severity.WARNING, "gpt.backup_not_at_end", text, end_lba * size)
    header = primary or backup
    if header and end_lba <= last < header.last_usable_lba:
        text = f"the usable range ends at LBA {header.last_usable_lba}, the disk at LBA {last}"
        yield Problem(Severity.WARNING, "gpt.usable_beyond_disk", text, header.my_lba * size + 0x30)


def _content(copy: Copy) -> tuple[object, ...]:
    """What must be equal in both copies."""
    h = copy.header
    if h is None:
        return ()
    return (h.disk_guid, h.first_usable_lba, h.last_usable_lba, h.entry_size, copy.array[: h.array_bytes])
