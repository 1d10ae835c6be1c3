"""The files of an exFAT volume.

Source: exFAT specification, sections 6.3 (entry sets), 7.4 (file), 7.6 (stream extension), 7.7 (file name). An entry
set with a wrong checksum is shown and reported: what it leads to may well be sound.
"""

from __future__ import annotations

from collections.abc import Iterator

from formats.base.errors import DeviceError, FormatError
from formats.base.source import BlockSource
from formats.base.units import align_up
from fs.exfat.boot import Boot
from fs.exfat.directory import (
    ENTRY_SIZE,
    MAX_ENTRIES,
    UPCASE,
    Allocation,
    DirectoryParser,
    Fault,
    File,
    System,
)
from fs.exfat.table import chains
from fs.exfat.upcase import MAX_BYTES, parse_upcase, table_checksum
from fs.exfat.volume import ExfatVolume, open_volume
from fs.fat.clusterfile import ClusterReader, Space, Start
from fs.fat.dostime import SECOND, nanoseconds
from fs.fat.lookup import simple_upper
from fs.fat.oncelog import OnceLog
from fs.fat.treebase import READ_BYTES, ClusterTree, Key
from fs.tree import Node, NodeKind, Times
from fs.walk import shown

ATTRIBUTES = 0x37  # read-only, hidden, system, directory, archive (section 7.4.4)
MAX_DIRECTORY = (MAX_ENTRIES + 1) * ENTRY_SIZE  # so that one with too many entries is noticed
OFFSET_VALID = 0x80
QUARTER = 15 * 60 * SECOND
MAX_UPCASE_SEARCH = READ_BYTES * 64  # bytes of the root directory in which the table is looked for


def open_tree(source: BlockSource) -> ExfatTree:
    """The files of the exFAT volume that begins at byte 0 of `source`.

    Raises what fs.exfat.volume.open_volume() raises.
    """
    return ExfatTree(source, open_volume(source))


def timestamp(stamp: int, centiseconds: int, offset: int) -> int | None:
    """Nanoseconds since 1970 UTC of a Timestamp field, its 10msIncrement and its UtcOffset (sections 7.4.8 to 7.4.10).

    Without a valid offset the local time is taken as UTC.
    """
    time = nanoseconds(stamp >> 16, stamp & 0xFFFF, centiseconds)
    if time is None or not offset & OFFSET_VALID:
        return time
    quarters = offset & 0x7F
    return time - (quarters - 0x80 if quarters & 0x40 else quarters) * QUARTER


class ExfatTree(ClusterTree):
    """Implements fs.tree.FileTree. Made by open_tree()."""

    def __init__(self, source: BlockSource, volume: ExfatVolume) -> None:
        boot = volume.boot
        space = Space(source, chains(source, boot), boot.cluster_offset, boot.cluster_size)
        super().__init__(volume, space, OnceLog(), self._fold)
        self._boot: Boot = boot
        place = boot.cluster_offset(boot.root_cluster)
        key = Key(entry=0, cluster=boot.root_cluster, size=MAX_DIRECTORY, valid=MAX_DIRECTORY)
        self._root = Node("", place + 1, NodeKind.DIRECTORY, 0, attributes=0x10, key=key)
        self._upcase: dict[int, int] | None = None
        self._no_upcase = False

    @property
    def root(self) -> Node:
        return self._root

    def _start(self, node: Node, key: Key) -> Start:
        step = self._boot.cluster_size
        is_directory = node.kind is NodeKind.DIRECTORY
        what = f"{'directory' if is_directory else 'file'} {shown(node.name)}" if node.name else "the root directory"
        open_ended = node.number == self._root.number
        return Start(key.cluster, align_up(key.size, step) // step, key.contiguous, open_ended, key.entry, what)

    def _items(self, directory: Node) -> Iterator[tuple[File | System | Fault, int]]:
        """What the entries of a directory say, each with its offset in bytes."""
        parser = DirectoryParser()
        places: list[tuple[int, int]] = []  # (first entry, offset) of the last blocks: a set may lie in several
        base = 0

        def offset(index: int) -> int:
            first, at = next((p for p in reversed(places) if p[0] <= index), places[0])
            return at + (index - first) * ENTRY_SIZE

        for block in self.blocks(directory):
            places = [*places[-32:], (base, block.offset)]
            count = block.length // ENTRY_SIZE
            for item in parser.skip(count) if block.data is None else parser.feed(block.data):
                yield item, offset(item.index)
            base += count
            if parser.ended:
                break
        for item in parser.close():
            yield item, offset(item.index)
        if parser.too_long:
            text = f"directory {shown(directory.name)} has more than {MAX_ENTRIES} entries; the rest is not shown"
            self.error("directory_too_long", text, directory.number - 1)

    def _listing(self, directory: Node) -> Iterator[tuple[Node, bytes]]:
        for item, offset in self._items(directory):
            if isinstance(item, Fault):
                name = shown(directory.name)
                where = f"directory {name}" if name else "the root directory"
                self._fault(item, f"{where}, entry {item.index}: {item.text}", offset)
            elif isinstance(item, File):
                yield self._node(item, offset), b""

    def _fault(self, fault: Fault, text: str, offset: int) -> None:
        self.error(fault.code.removeprefix("exfat."), text, offset)

    def _node(self, item: File, offset: int) -> Node:
        kind = NodeKind.DIRECTORY if item.is_directory else NodeKind.FILE
        created, modified, accessed = item.stamps
        fine = item.fine
        times = Times(
            created=timestamp(created, fine[0], fine[2]),
            modified=timestamp(modified, fine[1], fine[3]),
            accessed=timestamp(accessed, 0, fine[4]),
        )
        stream = item.stream
        if item.valid_size > stream.size:
            text = f"{shown(item.name)} has {item.valid_size} valid bytes of {stream.size}"
            self.error("valid_size", text, offset)
        size = min(stream.size, MAX_DIRECTORY) if item.is_directory else stream.size
        return Node(
            item.name,
            self.number(offset, stream.cluster, kind),
            kind,
            stream.size,
            times,
            attributes=item.attributes & ATTRIBUTES,
            key=Key(offset, stream.cluster, size, min(size, item.valid_size), stream.contiguous),
        )

    def _fold(self, name: str) -> str:
        """`name` in upper case by the table of the volume, or by Unicode if that cannot be used."""
        if self._upcase is None and not self._no_upcase:
            self._upcase = self._read_upcase()
            self._no_upcase = self._upcase is None
        return simple_upper(name) if self._upcase is None else name.translate(self._upcase)

    def _read_upcase(self) -> dict[int, int] | None:
        """The table that the root directory names; None, and a problem, when it is missing or damaged."""
        start = self._root.number - 1
        try:
            found = self._find_upcase()
            if found is None:
                self.warn("no_upcase", "there is no up-case table; names are compared by the rules of Unicode", start)
                return None
            allocation, checksum = found
            if allocation.size > MAX_BYTES:
                text = f"the up-case table has {allocation.size} bytes; up to {MAX_BYTES} are possible; it is not used"
                self.warn("upcase_size", text, start)
                return None
            step = self._boot.cluster_size
            count = align_up(allocation.size, step) // step
            where = Start(allocation.cluster, count, False, False, start, "the up-case table")
            data = ClusterReader(self._space, where, allocation.size, allocation.size).read_at(0, allocation.size)
        except (DeviceError, FormatError) as error:
            text = f"the up-case table cannot be read; names are compared by the rules of Unicode: {error}"
            self.warn("upcase_unreadable", text, start)
            return None
        if table_checksum(data) != checksum:
            text = f"the up-case table has checksum {checksum:#x}, computed {table_checksum(data):#x}; it is not used"
            self.warn("upcase_checksum", text, self._space.place(allocation.cluster))
            return None
        return parse_upcase(data)

    def _find_upcase(self) -> tuple[Allocation, int] | None:
        """Place and checksum of the table. The order of entries is free, but all systems put it at the start."""
        looked = 0
        parser = DirectoryParser()
        for block in self.blocks(self._root):
            if block.data is not None:
                base = looked // ENTRY_SIZE
                for item in parser.feed(block.data):
                    if isinstance(item, System) and item.kind == UPCASE:
                        at = (item.index - base) * ENTRY_SIZE
                        return item.allocation, int.from_bytes(block.data[at + 4 : at + 8], "little")
            else:
                list(parser.skip(block.length // ENTRY_SIZE))
            looked += block.length
            if parser.ended or looked >= MAX_UPCASE_SEARCH:
                break
        return None
