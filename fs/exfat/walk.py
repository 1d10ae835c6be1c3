"""The walk over an exFAT directory tree: every allocation that an entry points to.

Iterative. A cluster is claimed once, so that no loop and no cross-link is followed twice. Limits: 8 Mi entries
(256 MiB) in a directory, MAX_FILES files and MAX_PENDING waiting directories in all, fs.chainwalk.MAX_LOADS reads
of the FAT; a limit that is met becomes a problem of severity ERROR.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from formats.base.errors import DeviceError, FormatError
from formats.base.extent import Extent
from formats.base.problem import Severity
from formats.base.source import BlockSource
from formats.base.units import MiB
from fs.api import Reference
from fs.chainwalk import ChainWalk, LimitReached, join_path
from fs.exfat.boot import Boot
from fs.exfat.directory import (
    BITMAP,
    ENTRY_SIZE,
    MAX_ENTRIES,
    Allocation,
    DirectoryParser,
    Fault,
    File,
    System,
)
from fs.exfat.table import chains
from fs.fat.names import printable
from fs.findings import Log

MAX_FILES = 20_000_000
MAX_PENDING = 500_000
MAX_DIRECTORY = MAX_ENTRIES * ENTRY_SIZE
READ_BYTES = 1 * MiB


@dataclass(frozen=True, slots=True)
class _Directory:
    path: str
    stream: Allocation


class Walk:
    """One pass over the tree. `log` takes the problems."""

    def __init__(self, source: BlockSource, boot: Boot, log: Log) -> None:
        self._source, self._boot, self._log = source, boot, log
        self._walk = ChainWalk("exfat", chains(source, boot), log, boot.cluster_offset)
        self._files = 0
        self._pending: list[_Directory] = []

    def references(self) -> Iterator[Reference]:
        """Everything that metadata point to. Ends for every input."""
        boot = self._boot
        yield Reference(Extent(0, boot.heap_offset), "boot regions and FAT")
        try:
            root = Allocation(boot.root_cluster, MAX_DIRECTORY, contiguous=False)
            yield from self._directory(_Directory("\\", root))
            while self._pending:
                yield from self._directory(self._pending.pop())
        except LimitReached as limit:
            self._walk.error("walk_limit", str(limit))
        self._walk.finish()

    def _clusters(self, size: int) -> int:
        return -(-size // self._boot.cluster_size)

    def _extents(self, stream: Allocation, owner: str) -> Iterator[Extent]:
        if stream.contiguous:
            yield from self._walk.contiguous(stream.cluster, self._clusters(stream.size), owner)
        else:
            yield from self._walk.chain(stream.cluster, owner)

    def _directory(self, directory: _Directory) -> Iterator[Reference]:
        """The clusters of a directory and everything its entries point to."""
        parser = DirectoryParser()
        path, left = directory.path, directory.stream.size
        for run in self._extents(directory.stream, f"directory {path}"):
            yield Reference(run, path)
            if not parser.ended and left > 0:
                yield from self._entries(parser, run.start, min(run.length, left), path)
                left -= run.length
        for fault in parser.close():
            self._fault(fault, path, None)
        if parser.too_long:
            text = f"directory {path} has more than {MAX_ENTRIES} entries; the rest was not looked at"
            self._walk.error("directory_too_long", text, directory.stream.cluster)

    def _fault(self, fault: Fault, path: str, at: int | None) -> None:
        text = f"directory {path}, entry {fault.index}: {fault.text}"
        self._log.add(Severity.ERROR, fault.code, text, at)

    def _entries(self, parser: DirectoryParser, start: int, length: int, path: str) -> Iterator[Reference]:
        """Read one contiguous part of a directory and follow its entries."""
        for at in range(start, start + length, READ_BYTES):
            size = min(READ_BYTES, start + length - at)
            try:
                data = self._source.read_at(at, size)
            except (DeviceError, FormatError) as error:
                text = f"directory {path} cannot be read at {at:#x}: {error}"
                self._log.add(Severity.ERROR, "exfat.directory_unreadable", text, at)
                for fault in parser.skip(size // ENTRY_SIZE):
                    self._fault(fault, path, at)
                continue
            for item in parser.feed(data):
                if isinstance(item, Fault):
                    self._fault(item, path, at)
                elif isinstance(item, System):
                    yield from self._system(item, path)
                else:
                    yield from self._file(item, path)
            if parser.ended:
                return

    def _system(self, item: System, path: str) -> Iterator[Reference]:
        name = "allocation bitmap" if item.kind == BITMAP else "up-case table"
        if path != "\\":
            fault = Fault(item.index, "exfat.misplaced_entry", f"{name} outside the root directory")
            self._fault(fault, path, None)
            return
        # The bitmap's chain may be missing: ExfatVolume then reads it as contiguous, and says so.
        yield from self._content(item.allocation, name, may_lack_chain=item.kind == BITMAP)

    def _file(self, item: File, parent: str) -> Iterator[Reference]:
        self._files += 1
        if self._files > MAX_FILES:
            raise LimitReached(f"more than {MAX_FILES} files; the rest was not looked at")
        path = join_path(parent, printable(item.name))
        for allocation in item.vendor:
            yield from self._content(allocation, f"vendor data of {path}")
        if item.valid_size > item.stream.size:
            text = f"{path} has {item.valid_size} valid bytes of {item.stream.size}"
            self._walk.error("valid_size", text, item.stream.cluster)
        if not item.is_directory:
            yield from self._content(item.stream, path)
        elif item.stream.cluster == 0:
            if item.stream.size:
                self._walk.error("no_cluster", f"directory {path} has {item.stream.size} bytes but no cluster")
        elif len(self._pending) >= MAX_PENDING:
            raise LimitReached(f"more than {MAX_PENDING} directories wait; the rest was not looked at")
        else:
            self._pending.append(_Directory(path, item.stream))

    def _content(self, stream: Allocation, owner: str, *, may_lack_chain: bool = False) -> Iterator[Reference]:
        """The clusters of something that is no directory."""
        if stream.cluster == 0:
            if stream.size:
                self._walk.error("no_cluster", f"{owner} has {stream.size} bytes but no cluster")
            return
        if may_lack_chain and self._walk.lacks_chain(stream.cluster):
            stream = Allocation(stream.cluster, stream.size, contiguous=True)
        if stream.contiguous and stream.size == 0:
            return
        length = 0
        for run in self._extents(stream, owner):
            length += run.length
            yield Reference(run, owner)
        if self._walk.sound and length < stream.size:
            text = f"{owner} has {stream.size} bytes, its clusters only {length}"
            self._walk.error("chain_short", text, stream.cluster)
