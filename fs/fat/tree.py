"""The files of a FAT12, FAT16 or FAT32 volume.

Sources: fatgen103, sections "FAT Directory Structure" and "FAT Long Directory Entries". A name is the long one if its
checksum fits, else the short one (CP437) with the case that DIR_NTRes tells. Times are local time taken as UTC:
written to 2 s, created to 10 ms, read to the day.
"""

from __future__ import annotations

from collections.abc import Iterator

from formats.base.source import BlockSource
from formats.base.units import align_up
from fs.fat.clusterfile import Space, Start
from fs.fat.directory import ENTRY_SIZE, MAX_ENTRIES, DirectoryParser, Entry
from fs.fat.dostime import nanoseconds
from fs.fat.lookup import simple_upper
from fs.fat.oncelog import OnceLog
from fs.fat.treebase import Block, ClusterTree, Key
from fs.fat.volume import FatVolume, open_volume
from fs.tree import Node, NodeKind, Times
from fs.walk import shown

ATTRIBUTES = 0x37  # read-only, hidden, system, directory, archive: as FILE_ATTRIBUTE has them
MAX_DIRECTORY = (MAX_ENTRIES + 1) * ENTRY_SIZE  # so that one with too many entries is noticed


def open_tree(source: BlockSource) -> FatTree:
    """The files of the FAT volume that begins at byte 0 of `source`. Raises what fs.fat.volume.open_volume() raises."""
    return FatTree(source, open_volume(source))


class FatTree(ClusterTree):
    """Implements fs.tree.FileTree. Made by open_tree()."""

    def __init__(self, source: BlockSource, volume: FatVolume) -> None:
        log = OnceLog()
        bpb, table = volume.bpb, volume.table
        table.log = log
        space = Space(source, table.chains(), bpb.cluster_offset, bpb.cluster_size)
        super().__init__(volume, space, log, simple_upper)
        self._bpb = bpb
        place = bpb.cluster_offset(bpb.root_cluster) if bpb.bits == 32 else bpb.root_offset
        size = MAX_DIRECTORY if bpb.bits == 32 else bpb.root_entries * ENTRY_SIZE
        key = Key(entry=0, cluster=bpb.root_cluster, size=size, valid=size)
        self._root = Node("", place + 1, NodeKind.DIRECTORY, 0, attributes=0x10, key=key)

    @property
    def root(self) -> Node:
        return self._root

    def _start(self, node: Node, key: Key) -> Start:
        size, step = key.size, self._bpb.cluster_size
        is_directory = node.kind is NodeKind.DIRECTORY
        what = f"{'directory' if is_directory else 'file'} {shown(node.name)}" if node.name else "the root directory"
        return Start(key.cluster, align_up(size, step) // step, False, is_directory, key.entry, what)

    def _blocks(self, directory: Node) -> Iterator[Block]:
        if directory.number == self._root.number and self._bpb.bits != 32:
            size = self._bpb.root_entries * ENTRY_SIZE
            yield from self.read_blocks(self._bpb.root_offset, size, "the root directory")
        else:
            yield from self.blocks(directory)

    def _listing(self, directory: Node) -> Iterator[tuple[Node, bytes]]:
        parser = DirectoryParser(wide=self._bpb.bits == 32)
        base = 0  # number of the first entry of the block
        for block in self._blocks(directory):
            count = block.length // ENTRY_SIZE
            if block.data is None:
                parser.skip(count)
            else:
                for entry in parser.feed(block.data):
                    if not entry.is_label:
                        yield self._node(entry, block.offset + (entry.index - base) * ENTRY_SIZE), entry.raw_name
            base += count
            if parser.ended:
                break
        if parser.too_long:
            text = f"directory {shown(directory.name)} has more than {MAX_ENTRIES} entries; the rest is not shown"
            self.error("directory_too_long", text, directory.number - 1)

    def _node(self, entry: Entry, offset: int) -> Node:
        """The node of an entry at byte `offset`."""
        kind = NodeKind.DIRECTORY if entry.is_directory else NodeKind.FILE
        tenths, time, date, accessed, write_time, write_date = entry.stamps
        times = Times(
            created=nanoseconds(date, time, tenths),
            modified=nanoseconds(write_date, write_time),
            accessed=nanoseconds(accessed),
        )
        if entry.long_lost:
            text = f"{shown(entry.name)} has lost its long name: what stands before it belongs to another name"
            self.warn("long_name_lost", text, offset)
        size = MAX_DIRECTORY if entry.is_directory else entry.size
        return Node(
            entry.name,
            self.number(offset, entry.cluster, kind),
            kind,
            entry.size,
            times,
            attributes=entry.attributes & ATTRIBUTES,
            key=Key(offset, entry.cluster, size, size),
        )
