"""Read an MBR and its chains of EBRs, numbered as Linux numbers them (block/partitions/msdos.c, Linux 6.x).

Rules taken from there: primary slots are 1..4; each extended partition is followed in the order of the slots, its
logicals get the next numbers from 5 in the order of the chain (not of the disk); a record with size 0 is empty,
whatever its type; data records of an EBR count from that EBR, links count from the start of the extended
partition; the 3rd and 4th record of an EBR count only when they stay inside. CHS values are never used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from formats.base.decode import decode
from formats.base.errors import RecoveryError
from formats.base.extent import Extent
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from formats.table import layout, model
from formats.table.model import Partition, PartitionTable, Provenance, RawRegion, Scheme
from formats.table.types import EXTENDED_TYPES, PROTECTIVE_TYPE, mbr_type_name

MAX_NUMBER = 256  # Linux: DISK_MAX_PARTS
MAX_EMPTY_LINKS = 100  # Linux gives up after as many EBRs in a row without a partition; here it is their sum
MBR_BYTES = 512


@dataclass(frozen=True, slots=True)
class Record:
    """A partition record. `slot` 0..3; `start_sectors` as stored, so relative in an EBR."""

    slot: int
    indicator: int
    kind: int
    start_sectors: int
    sectors: int

    @property
    def used(self) -> bool:
        return self.sectors > 0

    @property
    def extended(self) -> bool:
        return self.used and self.kind in EXTENDED_TYPES


@dataclass(frozen=True, slots=True)
class BootRecord:
    """The table part of a sector that ends in 55AA. `signature`: the disk's id (0: none)."""

    signature: int
    records: tuple[Record, ...]

    @classmethod
    def from_sector(cls, sector: bytes, offset: int, structure: str, source: str = "") -> BootRecord:
        """Decode the first 512 bytes of `sector`. Raises Corrupt or Truncated without 55AA."""
        raw = decode(layout.MasterBootRecord, sector[:MBR_BYTES], structure, offset, source)
        return cls(
            int(raw.UniqueMBRDiskSignature),
            tuple(
                Record(i, int(r.BootIndicator), int(r.OSType), int(r.StartingLBA), int(r.SizeInLBA))
                for i, r in enumerate(raw.PartitionRecord)
            ),
        )

    @property
    def indicators_valid(self) -> bool:
        """False when a record begins with a byte that no partition record begins with."""
        return all(r.indicator in (0x00, 0x80) for r in self.records)

    @property
    def used(self) -> tuple[Record, ...]:
        return tuple(r for r in self.records if r.used)

    @property
    def protective(self) -> Record | None:
        """The record of type EE that says that a GPT rules this disk."""
        if not self.indicators_valid:
            return None
        return next((r for r in self.used if r.kind == PROTECTIVE_TYPE), None)

    @property
    def hybrid(self) -> bool:
        """Beside the protective record there are others (type 0 is a mere boot flag of ISO images)."""
        return self.protective is not None and any(r.kind not in (0, PROTECTIVE_TYPE) for r in self.used)


class _Reader:
    """Collects partitions, regions and problems while the chains are followed."""

    def __init__(self, source: BlockSource, sector_size: int, disk_id: str) -> None:
        self._source, self._sector_size, self._disk_id = source, sector_size, disk_id
        self.partitions: list[Partition] = []
        self.problems: list[Problem] = []
        self.regions: list[RawRegion] = []
        self.containers: list[Extent] = []
        self._next = 5
        self._seen = {0}
        self._empty = 0

    def _say(self, severity: Severity, code: str, text: str, offset: int) -> None:
        self.problems.append(Problem(severity, f"mbr.{code}", text, offset))

    def _cut(self, start: int, end: int, who: str, offset: int) -> Extent | None:
        """The part on the disk; None, with a problem, when there is none."""
        size = self._source.size
        if start >= size:
            text = f"{who} starts at byte {start}, behind the end of the disk ({size} bytes), and is left out"
            self._say(Severity.ERROR, "beyond_disk", text, offset)
            return None
        if end > size:
            text = f"{who} needs {end} bytes of disk, there are {size}: only the part on the disk is taken"
            self._say(Severity.ERROR, "cut", text, offset)
        return Extent(start, min(end, size))

    def _put(self, number: int, record: Record, base: int, offset: int) -> None:
        start = base + record.start_sectors * self._sector_size
        extent = self._cut(start, start + record.sectors * self._sector_size, f"partition {number}", offset)
        if extent is None:
            return
        self.partitions.append(
            Partition(
                number=number,
                extent=extent,
                type_code=f"0x{record.kind:02X}",
                type_name=mbr_type_name(record.kind),
                unique_id=f"{self._disk_id}-{number:02x}" if self._disk_id else "",
                name="",
                attributes=record.indicator,
                logical=number > 4,
            )
        )

    def read(self, boot: BootRecord) -> None:
        extended_seen = 0
        for record in boot.used:
            number = record.slot + 1
            offset = layout.MBR_ENTRIES_OFFSET + 16 * record.slot
            if not record.extended:
                self._put(number, record, 0, offset)
                continue
            start = record.start_sectors * self._sector_size
            end = start + record.sectors * self._sector_size
            container = self._cut(start, end, f"extended partition {number}", offset)
            extended_seen += 1
            if extended_seen > 1:
                text = f"partition {number} is a further extended partition; it is followed, as Linux does"
                self._say(Severity.WARNING, "several_extended", text, offset)
            if container:
                self.containers.append(container)
                self._follow(container)

    def _follow(self, container: Extent) -> None:
        at = container.start
        allowed = container.length
        while True:
            if at in self._seen:
                self._say(Severity.ERROR, "ebr_loop", f"the chain of EBRs comes back to byte {at}; it ends here", at)
                return
            self._seen.add(at)
            sector = self._ebr_sector(at)
            if sector is None:
                return
            try:
                boot = BootRecord.from_sector(sector, at, f"EBR of partition {self._next}")
            except RecoveryError as error:
                self._say(Severity.ERROR, "ebr_signature", f"{error}: the chain ends here", at)
                return
            if not container.start <= at < container.end:
                text = f"the EBR at byte {at} lies outside its extended partition {tuple(container)}"
                self._say(Severity.WARNING, "ebr_outside", text, at)
            self.regions.append(RawRegion(Extent(at, at + len(sector)), sector, model.EBR))
            found = self._logicals(boot, at, allowed, container)
            if self._next > MAX_NUMBER:
                self._say(Severity.ERROR, "too_many", f"more than {MAX_NUMBER} partitions; the rest is left out", at)
                return
            self._empty += not found
            link = next((r for r in boot.used if r.extended), None)
            if link is None:
                return
            if self._empty > MAX_EMPTY_LINKS:
                text = f"{self._empty} EBRs hold no partition; the chain is not followed further"
                self._say(Severity.ERROR, "ebr_empty", text, at)
                return
            at = container.start + link.start_sectors * self._sector_size
            allowed = link.sectors * self._sector_size

    def _ebr_sector(self, at: int) -> bytes | None:
        if at + self._sector_size > self._source.size:
            text = f"the chain of EBRs leads to byte {at}, behind the end of the disk ({self._source.size} bytes)"
            self._say(Severity.ERROR, "ebr_beyond_disk", text, at)
            return None
        try:
            return self._source.read_at(at, self._sector_size)
        except RecoveryError as error:
            self._say(Severity.ERROR, "ebr_unreadable", f"an EBR cannot be read: {error}: the chain ends here", at)
            return None

    def _logicals(self, boot: BootRecord, at: int, allowed: int, container: Extent) -> int:
        """Add the data partitions of one EBR; how many there were. `allowed`: bytes that the EBR may govern."""
        count = 0
        for record in boot.used:
            if record.extended or self._next > MAX_NUMBER:
                continue
            first = record.start_sectors * self._sector_size
            end = first + record.sectors * self._sector_size
            if record.slot >= 2 and (end > allowed or at + first < container.start or at + end > container.end):
                continue  # often garbage: see the module's docstring
            offset = at + layout.MBR_ENTRIES_OFFSET + 16 * record.slot
            if at + first < container.start or at + end > container.end:
                text = f"partition {self._next} leaves its extended partition {tuple(container)}"
                self._say(Severity.WARNING, "logical_outside", text, offset)
            self._put(self._next, record, at, offset)
            self._next += 1
            count += 1
        return count


def assemble(source: BlockSource, sector_zero: bytes, boot: BootRecord, sector_size: int) -> PartitionTable:
    """The table from a sector 0 that detect.py took for an MBR. Protective records are left out."""
    disk_id = f"{boot.signature:08x}" if boot.signature else ""
    reader = _Reader(source, sector_size, disk_id)
    reader.regions.append(RawRegion(Extent(0, len(sector_zero)), sector_zero, model.SECTOR_ZERO))
    reader.read(BootRecord(boot.signature, tuple(r for r in boot.records if r.kind != PROTECTIVE_TYPE)))
    return PartitionTable(
        scheme=Scheme.MBR,
        sector_size=sector_size,
        disk_size=source.size,
        disk_id=disk_id,
        provenance=Provenance.PRIMARY,
        partitions=tuple(sorted(reader.partitions, key=lambda p: p.number)),
        problems=tuple(reader.problems),
        regions=tuple(reader.regions),
        containers=tuple(reader.containers),
    )


def overlap_problems(table: PartitionTable) -> Iterator[Problem]:
    """Partitions that share bytes with each other, with an extended partition of others, or with the table."""
    plain = [(p.extent, f"partition {p.number}") for p in table.partitions if not p.logical]
    boxes = [(c, "the extended partition") for c in table.containers]
    logical = [(p.extent, f"partition {p.number}") for p in table.partitions if p.logical]
    for group in (plain + boxes, logical):
        last: tuple[Extent, str] | None = None
        for extent, who in sorted(group):
            if last and extent.start < last[0].end:
                text = f"{who} and {last[1]} share bytes {extent.start} to {min(extent.end, last[0].end)}"
                yield Problem(Severity.WARNING, "table.overlap", text, extent.start)
            if last is None or extent.end > last[0].end:
                last = (extent, who)
    for extent, who in plain + logical:
        for region in table.regions:
            if extent.start < region.extent.end and region.extent.start < extent.end:
                text = f"{who} covers a sector of the table itself ({region.what})"
                yield Problem(Severity.WARNING, "table.partition_over_table", text, region.extent.start)
                break
