"""The walk over a FAT directory tree: every chain that a directory entry points to.

Iterative. A cluster is claimed once, so that no loop and no cross-link is followed twice. Limits: 65536 entries
in a directory, MAX_FILES entries and MAX_PENDING waiting directories in all, MAX_LOADS reads of the FAT.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from formats.base.errors import DeviceError, FormatError
from formats.base.extent import Extent
from formats.base.problem import Severity
from formats.base.source import BlockSource
from formats.base.units import MiB
from fs.api import Reference
from fs.clusters import BrokenChain, Visited
from fs.fat.bpb import Bpb
from fs.fat.directory import ENTRY_SIZE, MAX_ENTRIES, DirectoryParser, Entry
from fs.fat.names import join
from fs.fat.table import FatTable
from fs.findings import Log

MAX_FILES = 20_000_000
MAX_PENDING = 500_000
MAX_LOADS = 4_000_000
READ_BYTES = 1 * MiB
LOOP_RUNS = 100_000  # how far a chain is followed again, to tell a loop from a cross-link


class LimitReached(Exception):
    """The walk was ended to bound its time or memory. Does not leave this module."""


class Walk:
    """One pass over the tree. `log` takes the problems."""

    def __init__(self, source: BlockSource, bpb: Bpb, table: FatTable, log: Log) -> None:
        self._source, self._bpb, self._log = source, bpb, log
        self._chains = table.chains()
        self._visited = Visited()
        self._files = 0
        self._sound = True  # the chain that _runs() followed last had no fault
        self._pending: list[tuple[int, str]] = []

    def _error(self, code: str, text: str, offset: int | None = None) -> None:
        self._log.add(Severity.ERROR, code, text, offset)

    def references(self) -> Iterator[Reference]:
        """Everything that metadata point to. Problems go to the log; ends for every input."""
        bpb = self._bpb
        yield Reference(Extent(0, bpb.data_offset), "boot sector, FATs and root directory")
        try:
            if bpb.bits == 32:
                yield from self._directory(bpb.root_cluster, "\\")
            else:
                yield from self._fixed_root()
            while self._pending:
                yield from self._directory(*self._pending.pop())
        except LimitReached as limit:
            self._error("fat.walk_limit", str(limit))
        if self._visited.full:
            self._log.add(Severity.WARNING, "fat.walk_limit", "too many clusters to look for all cross-links")

    def _fixed_root(self) -> Iterator[Reference]:
        bpb = self._bpb
        parser = DirectoryParser(wide=False)
        yield from self._entries(parser, bpb.root_offset, bpb.root_entries * ENTRY_SIZE, "\\")

    def _directory(self, first: int, path: str) -> Iterator[Reference]:
        """The chain of a directory and everything its entries point to."""
        parser = DirectoryParser(wide=self._bpb.bits == 32)
        for run in self._runs(first, f"directory {path}"):
            yield Reference(run, path)
            if not parser.ended:
                yield from self._entries(parser, run.start, run.length, path)
        if parser.too_long:
            text = f"directory {path} has more than {MAX_ENTRIES} entries; the rest was not looked at"
            self._error("fat.directory_too_long", text, self._place(first))

    def _entries(self, parser: DirectoryParser, start: int, length: int, path: str) -> Iterator[Reference]:
        """Read one contiguous part of a directory and follow its entries."""
        for at in range(start, start + length, READ_BYTES):
            size = min(READ_BYTES, start + length - at)
            try:
                data = self._source.read_at(at, size)
            except (DeviceError, FormatError) as error:
                self._error("fat.directory_unreadable", f"directory {path} at {at:#x}: {error}", at)
                parser.skip(size // ENTRY_SIZE)
                continue
            for entry in parser.feed(data):
                yield from self._entry(entry, path)
            if parser.ended:
                return

    def _entry(self, entry: Entry, parent: str) -> Iterator[Reference]:
        if entry.is_label:
            return
        self._files += 1
        if self._files > MAX_FILES:
            raise LimitReached(f"more than {MAX_FILES} files; the rest was not looked at")
        path = join(parent, entry.name)
        if entry.is_directory:
            if entry.cluster == 0:
                self._error("fat.no_cluster", f"directory {path} has no cluster")
            elif len(self._pending) >= MAX_PENDING:
                raise LimitReached(f"more than {MAX_PENDING} directories side by side; the rest was not looked at")
            else:
                self._pending.append((entry.cluster, path))
            return
        if entry.cluster == 0:
            if entry.size:
                self._error("fat.no_cluster", f"{path} has {entry.size} bytes but no cluster")
            return
        length = 0
        for run in self._runs(entry.cluster, path):
            length += run.length
            yield Reference(run, path)
        if self._sound and length < entry.size:
            text = f"{path} has {entry.size} bytes, its chain of clusters only {length}"
            self._error("fat.chain_short", text, self._place(entry.cluster))

    def _place(self, cluster: int) -> int | None:
        exists = 2 <= cluster < self._bpb.limit
        return self._bpb.cluster_offset(cluster) if exists else None

    def _runs(self, first: int, owner: str) -> Iterator[Extent]:
        """The extents of a chain as far as it is sound; what breaks it becomes a Problem."""
        bpb = self._bpb
        self._sound = False
        if self._chains.loads > MAX_LOADS:
            raise LimitReached("the FAT is too fragmented to follow every chain; the rest was not looked at")
        try:
            for low, high in self._chains.follow(first):
                taken = self._visited.claim(low, high)
                end = high if taken is None else taken
                if low < end:
                    yield Extent(bpb.cluster_offset(low), bpb.cluster_offset(end))
                if taken is not None:
                    self._taken(first, taken, owner)
                    return
                if self._chains.loads > MAX_LOADS:
                    raise LimitReached(
                        "the FAT is too fragmented to follow every chain; the rest was not looked at"
                    )
            self._sound = True
        except BrokenChain as broken:
            self._error(
                f"fat.chain_{broken.code}", f"{owner}: the chain {broken.detail}", self._place(broken.cluster)
            )
        except (DeviceError, FormatError) as error:
            self._error("fat.table_unreadable", f"{owner}: the FAT cannot be read: {error}")

    def _taken(self, first: int, cluster: int, owner: str) -> None:
        """Say whether the chain from `first` ran into itself or into another file at `cluster`."""
        place = self._place(cluster)
        if self._log.full("fat.chain_loop") or self._log.full("fat.cross_link"):
            self._error("fat.cross_link", f"{owner}: cluster {cluster} belongs to another chain", place)
            return
        # A chain that loops reaches `cluster` twice.
        times = 0
        try:
            for low, high in islice(self._chains.follow(first), LOOP_RUNS):
                times += low <= cluster < high
                if times == 2:
                    break
        except (BrokenChain, DeviceError, FormatError):
            pass
        if times == 2:
            self._error("fat.chain_loop", f"{owner}: the chain returns to cluster {cluster}", place)
        else:
            self._error("fat.cross_link", f"{owner}: cluster {cluster} belongs to another chain", place)
