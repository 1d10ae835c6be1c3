"""An exFAT volume: identity, what is in use, and what its directories refer to."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from formats.base.errors import Corrupt, DeviceError, FormatError, Inconsistent
from formats.base.extent import Extent
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from fs.api import Identity, PagingFile, Reference
from fs.clusters import BrokenChain
from fs.exfat.boot import FAT0, MEDIA_FAILURE, VOLUME_DIRTY, Boot, read_boot
from fs.exfat.directory import ALLOCATION, BITMAP, END, ENTRY_SIZE, LABEL, MAX_ENTRIES
from fs.exfat.table import AllocationBitmap, ScatteredBytes, chains
from fs.exfat.walk import Walk
from fs.findings import Findings, Log

READ_BYTES = 64 << 10
MAX_MISSING = 200_000  # runs that are in use but not in the bitmap; no real volume has so many
MAX_LABEL = 11


@dataclass(frozen=True, slots=True)
class _Root:
    """What the root directory says about the volume. `bitmaps`: (flags, first cluster, bytes)."""

    label: str
    bitmaps: tuple[tuple[int, int, int], ...]


def open_volume(source: BlockSource) -> ExfatVolume:
    """Recognise an exFAT volume that begins at byte 0 of `source`.

    Raises NotThisFormat when it is none, Truncated when it is larger than `source`, Corrupt or Inconsistent when
    both boot regions are damaged, Unsupported for another major revision, DeviceError when it cannot be read.
    """
    findings = Findings()
    log = findings.start("open")
    return ExfatVolume(source, read_boot(source, log), findings, log)


class ExfatVolume:
    """Implements fs.api.FileSystem. Made by open_volume()."""

    map_follows_references = True

    def __init__(self, source: BlockSource, boot: Boot, findings: Findings, log: Log) -> None:
        self._source, self._boot, self._findings = source, boot, findings
        self._check_flags(log)
        root = self._read_root(log)
        self._bitmap: AllocationBitmap | Corrupt | DeviceError
        try:
            self._bitmap = self._open_bitmap(root, log)
        except (Corrupt, DeviceError) as error:
            log.add(Severity.ERROR, "exfat.no_bitmap", f"the allocation bitmap cannot be used: {error}")
            self._bitmap = error
        serial = f"{boot.serial:08X}"
        self._identity = Identity(
            kind="exfat",
            label=root.label,
            uuid=f"{serial[:4]}-{serial[4:]}" if boot.serial else "",
            block_size=boot.cluster_size,
            size=boot.end,
        )

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def boot(self) -> Boot:
        return self._boot

    @property
    def problems(self) -> Sequence[Problem]:
        return self._findings.problems()

    def paging_files(self) -> Sequence[PagingFile]:
        """None: Windows does not page to exFAT."""
        return ()

    def _check_flags(self, log: Log) -> None:
        boot = self._boot
        if boot.flags & VOLUME_DIRTY:
            text = "the volume was not unmounted cleanly; files may be incomplete"
            log.add(Severity.WARNING, "exfat.dirty", text, 0x6A)
        if boot.flags & MEDIA_FAILURE:
            log.add(Severity.WARNING, "exfat.media_failure", "the system met disk errors on this volume", 0x6A)
        if boot.active_fat:
            log.add(Severity.INFO, "exfat.second_fat", "the second FAT and bitmap are the active ones", 0x6A)
        at = boot.fat_offset + boot.active_fat * boot.fat_size
        try:
            first = int.from_bytes(self._source.read_at(at, 4), "little")
        except DeviceError as error:
            log.add(Severity.ERROR, "exfat.table_unreadable", f"the FAT cannot be read: {error}", at)
            return
        if first != FAT0:
            text = f"the FAT begins with {first:#010x} instead of {FAT0:#010x}"
            log.add(Severity.WARNING, "exfat.first_entry", text, at)

    def _read_root(self, log: Log) -> _Root:
        """Look through the root directory for the bitmaps and the label. Faults of the rest are not looked for."""
        boot = self._boot
        label, left = "", MAX_ENTRIES * ENTRY_SIZE
        bitmaps: list[tuple[int, int, int]] = []
        try:
            for low, high in chains(self._source, boot).follow(boot.root_cluster):
                end = boot.cluster_offset(high)
                for at in range(boot.cluster_offset(low), end, READ_BYTES):
                    size = min(READ_BYTES, end - at, left)
                    left -= size
                    data = self._source.read_at(at, size)
                    kinds = data[::ENTRY_SIZE]
                    stop = kinds.find(END)
                    for index, kind in enumerate(kinds[: stop if stop >= 0 else None]):
                        entry = data[index * ENTRY_SIZE : (index + 1) * ENTRY_SIZE]
                        if kind == BITMAP and len(bitmaps) < 2:
                            _, flags, _, cluster, length = ALLOCATION.unpack(entry)
                            bitmaps.append((flags & 1, cluster, length))
                        elif kind == LABEL and not label:
                            units = min(entry[1], MAX_LABEL)
                            label = entry[2 : 2 + 2 * units].decode("utf-16-le", "replace")
                    if stop >= 0 or left <= 0:
                        return _Root(label, tuple(bitmaps))
        except (BrokenChain, DeviceError, FormatError) as error:
            log.add(Severity.WARNING, "exfat.root_unreadable", f"the root directory cannot be read on: {error}")
        return _Root(label, tuple(bitmaps))

    def _open_bitmap(self, root: _Root, log: Log) -> AllocationBitmap:
        """The bitmap of the active FAT. Raises Inconsistent or DeviceError."""
        boot, name = self._boot, self._source.name
        where = boot.cluster_offset(boot.root_cluster)
        found = [b for b in root.bitmaps if b[0] == boot.active_fat]
        if not found:
            raise Inconsistent("exFAT root directory", where, "it has no entry for the active bitmap", source=name)
        _, first, length = found[0]
        needed = (boot.clusters + 7) // 8
        if length < needed:
            raise Inconsistent(
                "exFAT allocation bitmap", where, "it is too small for the volume",
                expected=f"{needed} bytes", found=length, source=name,
            )  # fmt: skip
        if length > needed:
            text = f"the bitmap has {length} bytes, {needed} are needed; the surplus is ignored"
            log.add(Severity.WARNING, "exfat.bitmap_size", text, where)
        extents: list[Extent] = []
        size = 0
        try:
            table = chains(self._source, boot)
            count = -(-needed // boot.cluster_size)
            if table.entry(first) == 0 and first + count <= boot.limit:
                text = "the bitmap has no chain in the FAT; it was read as contiguous, as drivers do"
                log.add(Severity.WARNING, "exfat.bitmap_chain", text, boot.cluster_offset(first))
                extents.append(Extent(boot.cluster_offset(first), boot.cluster_offset(first + count)))
                size = extents[0].length
            else:
                for low, high in table.follow(first):
                    extents.append(Extent(boot.cluster_offset(low), boot.cluster_offset(high)))
                    size += extents[-1].length
                    if size >= needed:
                        break
        except BrokenChain as broken:
            raise Inconsistent("exFAT allocation bitmap", where, f"its chain {broken.detail}", source=name) from broken
        if size < needed:
            raise Inconsistent(
                "exFAT allocation bitmap", where, "its chain is too short",
                expected=f"{needed} bytes", found=size, source=name,
            )  # fmt: skip
        return AllocationBitmap(ScatteredBytes(self._source, extents), boot.clusters)

    def allocated(self) -> Iterator[Extent]:
        """See fs.api. In use: all below the cluster heap, the clusters of the bitmap, those that directories refer
        to although the bitmap lacks them, and what lies behind the last cluster.

        Walks all directories first. Raises Inconsistent or DeviceError when there is no usable bitmap.
        """
        boot = self._boot
        log = self._findings.start("allocated")
        if isinstance(self._bitmap, Exception):
            raise self._bitmap
        lag, count = self._not_in_bitmap(self._bitmap, log)
        if count:
            text = f"{count} clusters are in use but free in the bitmap; they are kept too"
            log.add(Severity.WARNING, "exfat.bitmap_lag", text, boot.cluster_offset(lag[0][0]))
        start, end = 0, boot.heap_offset
        for low, high in heapq.merge(self._bitmap.used(), lag):
            first, last = boot.cluster_offset(low), boot.cluster_offset(high)
            if first > end:
                yield Extent(start, end)
                start = first
            end = max(end, last)
        tail = boot.cluster_offset(boot.limit)
        if end < tail < boot.end:
            yield Extent(start, end)
            start = tail
        yield Extent(start, boot.end if end >= tail or start == tail else end)

    def _not_in_bitmap(self, bitmap: AllocationBitmap, log: Log) -> tuple[list[tuple[int, int]], int]:
        """Runs of clusters that the directories refer to and the bitmap lacks, ascending; and their number."""
        boot = self._boot
        found: list[tuple[int, int]] = []
        count = 0
        for reference in Walk(self._source, boot, log).references():
            start, end = reference.extent
            if start < boot.heap_offset:
                continue
            low = (start - boot.heap_offset) // boot.cluster_size + 2
            for run in bitmap.missing(low, low + (end - start) // boot.cluster_size):
                found.append(run)
                count += run[1] - run[0]
                if len(found) > MAX_MISSING:
                    where = boot.cluster_offset(run[0])
                    raise Inconsistent(
                        "exFAT allocation bitmap", where, "it has nothing to do with the directories",
                        source=self._source.name,
                    )  # fmt: skip
        found.sort()
        return found, count

    def references(self) -> Iterator[Reference]:
        """See fs.api. Walks all directories; `owner` is the path. Limits: see fs.exfat.walk."""
        yield from Walk(self._source, self._boot, self._findings.start("references")).references()
