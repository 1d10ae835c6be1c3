"""Walking all metadata: what every record in use refers to, and whether directories and record lists are whole."""

from __future__ import annotations

from collections.abc import Iterator

from formats.base.errors import Corrupt, FormatError, RecoveryError
from formats.base.extent import Extent
from formats.base.problem import Severity
from formats.base.units import MiB
from fs.api import Reference
from fs.ntfs.attribute import (
    ATTRIBUTE_LIST,
    FULL_HEAD,
    HEAD,
    HEAD_BYTES,
    INDEX_ALLOCATION,
    NON_RESIDENT_BYTES,
    SPAN,
    Attribute,
    attribute_label,
    length_fault,
    span_fault,
    utf16,
)
from fs.ntfs.findings import Findings, Tally
from fs.ntfs.index import Index
from fs.ntfs.mft import Budget, Mft
from fs.ntfs.runlist import HOLE, decode_runs
from fs.ntfs.scan import Item, Scan, walk_attributes

FREE_BYTES = 64 * MiB  # what a walk may read beyond the size of the volume


class RunScan:
    """One pass over all records for their runs. Damage becomes problems, named by record, attribute and offset."""

    def __init__(self, mft: Mft, findings: Findings) -> None:
        self.mft = mft
        self.scan = Scan(mft, findings)
        self._faults = Tally(findings, Severity.ERROR, "ntfs.run_list", "attributes have damaged run lists")
        self._clusters = mft.geometry.clusters

    def close(self) -> None:
        self.scan.close()
        self._faults.close()

    def items(self) -> Iterator[tuple[Item, list[int]]]:
        """Every sound record in use, with the places of its non-resident attributes and its attribute list."""
        for item in self.scan.items():
            slab, at, number, _, _, first, end = item
            try:
                found = walk_attributes(slab, first, end)
            except Corrupt as error:
                where = self.mft.record_offset(number)
                text = f"MFT record {number} at offset {where + error.offset - at:#x}: {error.detail}."
                self.scan.damaged.add(text, where)
                found = self._sound_part(slab, first, error.offset)
            if found:
                yield item, found

    @staticmethod
    def _sound_part(slab: bytearray, first: int, broken: int) -> list[int]:
        """What stands before the attribute that is damaged."""
        found = []
        at = first
        while at < broken:
            if slab[at + 8] or slab[at] == ATTRIBUTE_LIST:
                found.append(at)
            at += int.from_bytes(slab[at + 4 : at + 8], "little")
        return found

    def runs(self, item: Item, here: int) -> list[tuple[int, int, int]]:
        """The runs of the non-resident attribute at `here`: (vcn, lcn, length), cut to the volume."""
        slab = item[0]
        if not slab[here + 8]:
            return []
        _, length = HEAD.unpack_from(slab, here)
        runs: list[tuple[int, int, int]] = []
        if length < NON_RESIDENT_BYTES:
            fault = f"it is not resident and has {length} bytes"
        else:
            lowest, highest, pairs = SPAN.unpack_from(slab, here + HEAD_BYTES)
            fault = span_fault(lowest, highest, pairs, length)
            if not fault:
                runs, fault = decode_runs(slab, here + pairs, here + length, lowest, self._clusters)
                fault = fault or length_fault(runs, lowest, highest)
                if highest - lowest >= self._clusters and self._stored(runs) > self._clusters:
                    fault, runs = "it claims more clusters than the volume has", []
        if fault:
            _, at, number, _, _, _, _ = item
            where = self.mft.record_offset(number) + here - at
            label = self.label(slab, here)
            self._faults.add(f"MFT record {number} {label} at offset {where:#x}: {fault}.", where)
        return runs

    @staticmethod
    def _stored(runs: list[tuple[int, int, int]]) -> int:
        return sum(count for _, lcn, count in runs if lcn != HOLE)

    @staticmethod
    def label(slab: bytearray, here: int) -> str:
        """How reports name the attribute at `here`."""
        kind, length, _, name_length, name_offset, _, _ = FULL_HEAD.unpack_from(slab, here)
        if not name_length:
            return attribute_label(kind, "")
        name = bytes(slab[here + name_offset : here + min(name_offset + 2 * name_length, length)])
        return attribute_label(kind, utf16(name[: len(name) & ~1]))


def references(mft: Mft, findings: Findings, limit: int) -> Iterator[Reference]:
    """Every extent of every record in use, cut at `limit` bytes; damage goes to `findings`."""
    cluster = mft.geometry.cluster_size
    walk = RunScan(mft, findings)
    tree = Trees(mft, findings)
    for item, places in walk.items():
        slab, _, number, _, base, _, _ = item
        owner = f"MFT record {number} " if not base else f"MFT record {number}, a part of {base}, "
        deeper = False
        for here in places:
            kind, _ = HEAD.unpack_from(slab, here)
            deeper = deeper or kind in (INDEX_ALLOCATION, ATTRIBUTE_LIST)
            runs = walk.runs(item, here)
            if not runs:
                continue
            label = owner + walk.label(slab, here)
            for _, lcn, count in runs:
                start, end = lcn * cluster, min((lcn + count) * cluster, limit)
                if lcn != HOLE and start < end:
                    yield Reference(Extent(start, end), label)
        if deeper and not base:
            tree.check(number)
    tree.close()
    walk.close()


class Trees:
    """Attribute lists and index blocks: what must be read besides the records to say that they are whole."""

    def __init__(self, mft: Mft, findings: Findings) -> None:
        self._mft, self._findings = mft, findings
        geometry = mft.geometry
        size = min(geometry.clusters * geometry.cluster_size, mft.source.size)
        self._budget = Budget(size + mft.count * geometry.record_size + FREE_BYTES)
        self._lists = Tally(findings, Severity.ERROR, "ntfs.attribute_list", "files have lost parts of their records")
        self._blocks = Tally(findings, Severity.ERROR, "ntfs.index", "blocks of directories are damaged")
        self.blocks = 0

    def close(self) -> None:
        self._lists.close()
        self._blocks.close()

    def check(self, number: int) -> None:
        """Gather the attributes of file `number`; check the blocks of its indexes when it has any."""
        if self._budget.spent_out:
            self._findings.add(
                Severity.ERROR,
                "ntfs.walk_limit",
                "Directories and attribute lists refer to more bytes than the volume has: several claim the same "
                "clusters. From some point on they were not checked.",
            )
            return
        where = self._mft.record_offset(number)
        try:
            found = self._mft.attributes(number, self._budget, data_runs=False)
        except RecoveryError as error:
            self._lists.add(f"MFT record {number} is not whole: {error}.", where)
            return
        names = dict.fromkeys(part.name for part in found if part.type == INDEX_ALLOCATION)
        for name in names:
            self._check_index(number, found, name, where)

    def _check_index(self, number: int, found: list[Attribute], name: str, where: int) -> None:
        try:
            index = Index(self._mft, number, found, name)
            for place, block in index.blocks(self._budget):
                self.blocks += 1
                if isinstance(block, RecoveryError):
                    self._blocks.add(f"{block}.", place)
        except RecoveryError as error:
            place = error.offset if isinstance(error, FormatError) and error.offset else where
            self._blocks.add(f"{error}.", place)
