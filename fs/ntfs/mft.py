"""The master file table: finding it, reading records by number, gathering the attributes of a file.

$MFT describes itself: record 0 lists its runs, and when they do not fit there, an attribute list names further
records that lie inside $MFT. So the runs that are known are used to read the records that make more known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from formats.base.errors import Corrupt, DeviceError, FormatError, Inconsistent, RecoveryError, Unsupported
from formats.base.problem import Severity
from formats.base.source import BlockSource
from fs.ntfs.attribute import (
    ATTRIBUTE_LIST,
    BITMAP,
    DATA,
    MAX_LIST,
    Attribute,
    ListEntry,
    attributes,
    list_entries,
)
from fs.ntfs.boot import Geometry
from fs.ntfs.findings import Findings
from fs.ntfs.record import FILE, RecordHeader, apply_fixups, parse_record
from fs.ntfs.stream import Stream, select

MFT, MIRROR, LOG, VOLUME, ROOT, BITMAP_FILE, BAD_CLUSTERS = 0, 1, 2, 3, 5, 6, 8
MAX_RUNS = 1_000_000  # of one file in memory, some 140 MB; the scan for the map needs none of them at once
MAX_STEPS = 64  # how often the parts of $MFT may lie in a part not known before; Windows needs one or two
MIRRORED = 4  # records that $MFTMirr repeats, at least


class Budget:
    """How many bytes one walk may read by following references. On a sound volume they belong to one owner each,
    so a walk that needs more than the volume holds has met a volume made to keep it busy."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def spend(self, length: int, what: str) -> None:
        """Raises Corrupt when the limit is passed."""
        self._left -= length
        if self._left < 0:
            raise Corrupt(what, 0, "the structures refer to more bytes than the volume has; the walk stops here")

    @property
    def spent_out(self) -> bool:
        return self._left < 0


class Mft:
    """The table of one volume. Raises Corrupt (or DeviceError) when record 0 or the runs of $MFT are lost."""

    def __init__(self, source: BlockSource, geometry: Geometry, findings: Findings) -> None:
        self.source, self.geometry, self._findings = source, geometry, findings
        self._stream: Stream | None = None
        found = self._first_record()
        entries = self._entries(0, found)
        self._bootstrap(found, entries)
        self.bitmap = self._record_bitmap(found)

    @property
    def stream(self) -> Stream:
        if self._stream is None:
            raise Corrupt("$MFT", self.record_offset(0), "it is needed before it was found")
        return self._stream

    @property
    def count(self) -> int:
        """Records that were ever written: what lies behind the initialised size is not a record."""
        return min(self.stream.initialized, self.stream.size) // self.geometry.record_size

    def record_offset(self, number: int) -> int:
        """Where record `number` lies, in bytes on the volume."""
        geometry = self.geometry
        if self._stream is not None:
            return max(self._stream.locate(number * geometry.record_size), 0)
        return geometry.mft_lcn * geometry.cluster_size + number * geometry.record_size

    def record(self, number: int) -> tuple[bytearray, RecordHeader]:
        """Record `number` with fixups applied. Raises Corrupt, Truncated or DeviceError."""
        size = self.geometry.record_size
        if number >= self.count:
            where = self.record_offset(0)
            raise Inconsistent(f"MFT record {number}", where, "$MFT has no such record", expected=self.count)
        data = bytearray(self.stream.read_at(number * size, size))
        return data, self._checked(data, number, self.record_offset(number))

    def own_attributes(
        self, number: int, data: bytearray, header: RecordHeader, *, data_runs: bool = True
    ) -> list[Attribute]:
        """The attributes that stand in this record itself. Raises Corrupt.

        `data_runs` False leaves out the runs of $DATA, of which a fragmented file has very many.
        """
        where, clusters = self.record_offset(number), self.geometry.clusters
        found = attributes(data, 0, header.attributes, header.end, number, clusters, where)
        if data_runs:
            return list(found)
        return [replace(part, runs=()) if part.type == DATA and part.runs else part for part in found]

    def attributes(self, number: int, budget: Budget | None = None, *, data_runs: bool = True) -> list[Attribute]:
        """All attributes of the file whose base record is `number`, those in extension records included.

        Raises Corrupt, Inconsistent or DeviceError when the record or one that its attribute list names is lost.
        """
        data, header = self.record(number)
        found = self.own_attributes(number, data, header, data_runs=data_runs)
        return self.gather(number, found, budget, data_runs=data_runs)

    def gather(
        self, number: int, found: list[Attribute], budget: Budget | None = None, *, data_runs: bool = True
    ) -> list[Attribute]:
        """`found` in base record `number`, completed from the records that its attribute list names."""
        entries = self._entries(number, found, budget)
        extra = dict.fromkeys(entry.record for entry in entries if entry.record != number)
        if not extra:
            return found
        sequences = {entry.record: entry.sequence for entry in entries}
        whole = list(found)
        runs = sum(len(part.runs) for part in found)
        for other in extra:
            if budget is not None:
                budget.spend(self.geometry.record_size, f"attribute list of MFT record {number}")
            parts = self._extension(other, number, sequences[other], data_runs=data_runs)
            whole += parts
            runs += sum(len(part.runs) for part in parts)
            if runs > MAX_RUNS:
                raise Unsupported(f"MFT record {number}", f"a file in more than {MAX_RUNS} pieces")
        present = {(part.record, part.type, part.name, part.lowest_vcn) for part in whole}
        for entry in entries:
            if (entry.record, entry.type, entry.name, entry.lowest_vcn) not in present:
                raise Inconsistent(
                    f"attribute list of MFT record {number}",
                    self.record_offset(number),
                    f"MFT record {entry.record} has no attribute {entry.type:#x} from cluster {entry.lowest_vcn}",
                )
        return whole

    def open(self, found: Iterable[Attribute], kind: int, number: int, name: str = "") -> Stream | None:
        """The stream of one attribute among those of file `number`; None when it has none. Raises Corrupt."""
        parts = select(found, kind, name)
        if not parts:
            return None
        label = f"MFT record {number} {parts[0].label}"
        return Stream(self.source, self.geometry.cluster_size, parts, label)

    def recorded_in_use(self, number: int) -> bool:
        """What the bitmap of $MFT says about a record; True when the bitmap cannot tell."""
        if self.bitmap is None:
            return True
        try:
            return bool(self.bitmap.read_at(number >> 3, 1)[0] >> (number & 7) & 1)
        except RecoveryError:
            return True

    def _checked(self, data: bytearray, number: int, where: int) -> RecordHeader:
        name = f"MFT record {number}"
        apply_fixups(data, 0, len(data), FILE, name, where)
        return parse_record(data, 0, len(data), name, where)

    def _first_record(self) -> list[Attribute]:
        """The attributes of record 0, from $MFTMirr when $MFT's own is damaged."""
        geometry = self.geometry
        first: FormatError | DeviceError | None = None
        for lcn in (geometry.mft_lcn, geometry.mirror_lcn):
            where = lcn * geometry.cluster_size
            try:
                data = bytearray(self.source.read_at(where, geometry.record_size))
                header = self._checked(data, 0, where)
                found = list(attributes(data, 0, header.attributes, header.end, 0, geometry.clusters, where))
                if not header.in_use or not select(found, DATA):
                    raise Corrupt("MFT record 0", where, "it is not the record of $MFT")
            except (FormatError, DeviceError) as error:
                first = first or error
                continue
            if first is not None:
                text = f"The first record of the file table is damaged; its copy in $MFTMirr was used: {first}."
                self._findings.add(Severity.ERROR, "ntfs.mft_record_0", text, geometry.mft_lcn * geometry.cluster_size)
            return found
        if first is None:  # the loop ends without a return only after an error
            raise Corrupt("MFT record 0", geometry.mft_lcn * geometry.cluster_size, "it cannot be read")
        raise first

    def _bootstrap(self, found: list[Attribute], entries: list[ListEntry]) -> None:
        """Put the runs of $MFT together, in order of vcn: each part may lie where the parts before it lead."""
        parts = [part for part in select(found, DATA) if part.lowest_vcn == 0]
        self._use(parts)
        read: dict[int, list[Attribute]] = {0: found}
        steps = runs = 0
        wanted = sorted((e for e in entries if e.type == DATA and not e.name), key=lambda e: e.lowest_vcn)
        for entry in wanted:
            if entry.lowest_vcn == 0:
                continue
            if entry.record not in read:
                if entry.record >= self.count:
                    steps += 1
                    self._use(parts)
                read[entry.record] = self._extension(entry.record, 0, entry.sequence)
                runs += sum(len(part.runs) for part in read[entry.record])
            if steps > MAX_STEPS or runs > MAX_RUNS:
                raise Corrupt("$MFT", self.record_offset(0), "its attribute list leads from record to record")
            new = [part for part in select(read[entry.record], DATA) if part.lowest_vcn == entry.lowest_vcn]
            if len(new) != 1:
                where = self.record_offset(entry.record)
                raise Inconsistent("$MFT", where, f"MFT record {entry.record} lacks the listed part of $DATA")
            parts += new
        self._use(parts)
        expected = parts[0].data_size
        if expected > self.stream.allocated:
            where, text = self.record_offset(0), "its runs end early"
            raise Inconsistent("$MFT", where, text, expected=expected, found=self.stream.allocated)

    def _use(self, parts: list[Attribute]) -> None:
        """Take `parts` as the runs of $MFT that are known so far."""
        geometry = self.geometry
        where = geometry.mft_lcn * geometry.cluster_size
        if not parts:
            raise Corrupt("$MFT", where, "record 0 does not hold the first part of $DATA")
        stream = Stream(self.source, geometry.cluster_size, parts, "$MFT", partial=True)
        total = sum(extent.length for extent in stream.extents())
        if stream.resident or not stream.as_stored or total > geometry.clusters * geometry.cluster_size:
            raise Corrupt("$MFT", where, "its $DATA is not a plain list of clusters")
        if not stream.solid(stream.initialized) or stream.initialized < geometry.record_size:
            raise Corrupt("$MFT", where, "its $DATA has holes or is empty")
        self._stream = stream

    def _extension(self, other: int, base: int, sequence: int, *, data_runs: bool = True) -> list[Attribute]:
        """The attributes in extension record `other` of file `base`. Raises Inconsistent when it is not one."""
        data, header = self.record(other)
        if not header.in_use or header.base != base or header.sequence != sequence:
            raise Inconsistent(
                f"MFT record {other}",
                self.record_offset(other),
                f"the attribute list of MFT record {base} names it as a part",
                expected=f"in use, of record {base}, sequence {sequence}",
                found=f"flags {header.flags:#x}, of record {header.base}, sequence {header.sequence}",
            )
        return self.own_attributes(other, data, header, data_runs=data_runs)

    def _entries(self, number: int, found: list[Attribute], budget: Budget | None = None) -> list[ListEntry]:
        """The lines of the attribute list of file `number`; empty when it has none."""
        stream = self.open(found, ATTRIBUTE_LIST, number)
        if stream is None:
            return []
        where = self.record_offset(number)
        if stream.size > MAX_LIST or not stream.as_stored:
            text = "its size in bytes, or it is compressed"
            raise Corrupt(stream.name, where, text, expected=f"at most {MAX_LIST}", found=stream.size)
        if budget is not None:
            budget.spend(stream.size, stream.name)
        return list(list_entries(stream.read_at(0, stream.size), number, where))

    def _record_bitmap(self, found: list[Attribute]) -> Stream | None:
        """The bitmap of records in use. It only tells damage from free records, so its loss is not fatal."""
        try:
            return self.open(self.gather(0, found), BITMAP, MFT)
        except RecoveryError as error:
            text = f"The list of used records of the file table is damaged: {error}."
            self._findings.add(Severity.ERROR, "ntfs.mft_bitmap", text, self.record_offset(0))
            return None
