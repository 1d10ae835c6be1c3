"""The walk over a FAT directory tree: every chain that a directory entry points to.

Iterative. A cluster is claimed once, so that no loop and no cross-link is followed twice. Limits: 65536 entries
in a directory, MAX_FILES entries and MAX_PENDING waiting directories in all, fs.chainwalk.MAX_LOADS reads of the
FAT; a limit that is met becomes a problem of severity ERROR.
"""

from __future__ import annotations

from collections.abc import Iterator

from formats.base.errors import DeviceError, FormatError
from formats.base.extent import Extent
from formats.base.problem import Severity
from formats.base.source import BlockSource
from formats.base.units import MiB
from fs.api import Reference
from fs.chainwalk import ChainWalk, LimitReached, join_path
from fs.fat.bpb import Bpb
from fs.fat.directory import ENTRY_SIZE, MAX_ENTRIES, DirectoryParser, Entry
from fs.fat.names import printable
from fs.fat.table import FatTable
from fs.findings import Log

MAX_FILES = 20_000_000
MAX_PENDING = 500_000
READ_BYTES = 1 * MiB


class Walk:
    """One pass over the tree. `log` takes the problems."""

    def __init__(self, source: BlockSource, bpb: Bpb, table: FatTable, log: Log) -> None:
        self._source, self._bpb, self._log = source, bpb, log
        self._walk = ChainWalk("fat", table.chains(), log, bpb.cluster_offset)
        self._files = 0
        self._pending: list[tuple[int, str]] = []

    def references(self) -> Iterator[Reference]:
        """Everything that metadata point to. Ends for every input."""
        bpb = self._bpb
        yield Reference(Extent(0, bpb.data_offset), "boot sector and FATs")
        try:
            if bpb.bits == 32:
                yield from self._directory(bpb.root_cluster, "\\")
            else:
                parser = DirectoryParser(wide=False)
                yield from self._entries(parser, bpb.root_offset, bpb.root_entries * ENTRY_SIZE, "\\")
            while self._pending:
                yield from self._directory(*self._pending.pop())
        except LimitReached as limit:
            self._walk.error("walk_limit", str(limit))
        self._walk.finish()

    def _directory(self, first: int, path: str) -> Iterator[Reference]:
        """The chain of a directory and everything its entries point to."""
        parser = DirectoryParser(wide=self._bpb.bits == 32)
        for run in self._walk.chain(first, f"directory {path}"):
            yield Reference(run, path)
            if not parser.ended:
                yield from self._entries(parser, run.start, run.length, path)
        if parser.too_long:
            text = f"directory {path} has more than {MAX_ENTRIES} entries; the rest was not looked at"
            self._walk.error("directory_too_long", text, first)

    def _entries(self, parser: DirectoryParser, start: int, length: int, path: str) -> Iterator[Reference]:
        """Read one contiguous part of a directory and follow its entries."""
        for at in range(start, start + length, READ_BYTES):
            size = min(READ_BYTES, start + length - at)
            try:
                data = self._source.read_at(at, size)
            except (DeviceError, FormatError) as error:
                text = f"directory {path} cannot be read at {at:#x}: {error}"
                self._log.add(Severity.ERROR, "fat.directory_unreadable", text, at)
                parser.skip(size // ENTRY_SIZE)
                continue
            for entry in parser.feed(data):
                if not entry.is_label:
                    yield from self._entry(entry, path)
            if parser.ended:
                return

    def _entry(self, entry: Entry, parent: str) -> Iterator[Reference]:
        self._files += 1
        if self._files > MAX_FILES:
            raise LimitReached(f"more than {MAX_FILES} files; the rest was not looked at")
        path = join_path(parent, printable(entry.name))
        if entry.cluster == 0:
            if entry.size or entry.is_directory:
                what = f"{path} has {entry.size} bytes" if entry.size else f"directory {path} is there"
                self._walk.error("no_cluster", f"{what} but no cluster")
        elif entry.is_directory:
            if len(self._pending) >= MAX_PENDING:
                raise LimitReached(f"more than {MAX_PENDING} directories wait; the rest was not looked at")
            self._pending.append((entry.cluster, path))
        else:
            length = 0
            for run in self._walk.chain(entry.cluster, path):
                length += run.length
                yield Reference(run, path)
            if self._walk.sound and length < entry.size:
                text = f"{path} has {entry.size} bytes, its chain of clusters only {length}"
                self._walk.error("chain_short", text, entry.cluster)
