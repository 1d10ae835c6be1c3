"""The walk over all metadata: every extent that something refers to, and every structure checked on the way.

Source: kernel documentation "ext4 Data Structures and Algorithms", Inode Table, Special inodes, Extended
Attributes.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from struct import Struct

from formats.base.bitmap import bit_runs
from formats.base.checksum import crc32c_raw
from formats.base.errors import ChecksumMismatch, Corrupt, DeviceError, FormatError, Inconsistent, RecoveryError
from formats.base.extent import Extent
from fs.api import Reference
from fs.ext.bitmap import View, bitmap_complaint
from fs.ext.blocks import BitmapColumn, Budget, WalkExhausted
from fs.ext.directory import check_checksum, entries
from fs.ext.filemap import file_runs
from fs.ext.group import GroupState, meta_bg_blocks, super_extents
from fs.ext.inode import (
    BAD_BLOCKS_INODE,
    INLINE_DATA_FLAG,
    Context,
    Inode,
    MapRun,
    RunKind,
    checksum_complaint,
    decode_inode,
)
from fs.ext.superblock import SHARED_BLOCKS, Superblock

TABLE_SLAB = 256 << 10  # bytes of an inode table read at once
DIRECTORY_SLAB = 256 << 10  # bytes
XATTR_MAGIC = 0xEA020000
FAST_XATTR = Struct("<IIIII")
XATTR_REMEMBERED = 65536  # blocks: one is shared by many inodes
FAST_MODE_LINKS = Struct("<H24xH")  # i_mode, i_links_count


class MetadataWalk:
    """One walk. `report` takes what is damaged; the walk goes on behind it."""

    def __init__(self, sb: Superblock, view: View, limit: int, report: Callable[[RecoveryError], None]) -> None:
        """`limit`: bytes of the volume that can be read."""
        blocks = min(sb.blocks_count, limit // sb.block_size)
        times = 64 if sb.ro_compat & SHARED_BLOCKS else 4
        self.sb, self.view, self.limit, self.report = sb, view, limit, report
        self.ctx = Context(view.reader, sb, Budget(times * blocks + 65536), report)
        self.bad_blocks = 0
        self.inodes = 0
        self._column = BitmapColumn(view.reader, view.groups.inode_bitmap, self._has_inodes)
        self._xattrs: set[int] = set()

    def references(self) -> Iterator[Reference]:
        """Raises WalkExhausted when the metadata refer to more than the volume can hold."""
        yield from self._static()
        for group in range(self.sb.groups):
            if self.view.groups.state[group] == GroupState.DAMAGED:
                self.report(Inconsistent(f"group {group}", 0, "its inodes cannot be found without a group descriptor"))
            elif self._has_inodes(group):
                yield from self._inodes(group)

    def _reference(self, block: int, count: int, owner: str) -> Iterator[Reference]:
        size = self.sb.block_size
        end = min((block + count) * size, self.limit)
        if block * size < end:
            yield Reference(Extent(block * size, end), owner)

    def _has_inodes(self, group: int) -> bool:
        groups = self.view.groups
        return groups.state[group] != GroupState.DAMAGED and not groups.inode_uninit(self.sb, group)

    def _static(self) -> Iterator[Reference]:
        """Superblocks, descriptors, bitmaps and the initialised part of the inode tables."""
        sb, groups = self.sb, self.view.groups
        for first, end, group in super_extents(sb):
            yield from self._reference(first, end - first, f"superblock and descriptors in group {group}")
        for first, end, group in meta_bg_blocks(sb):
            yield from self._reference(first, end - first, f"group descriptors in group {group}")
        for group in range(sb.groups):
            if groups.state[group] == GroupState.DAMAGED:
                continue
            yield from self._reference(groups.block_bitmap[group], 1, f"block bitmap of group {group}")
            yield from self._reference(groups.inode_bitmap[group], 1, f"inode bitmap of group {group}")
            if self._has_inodes(group):
                blocks = -(-self._initialised(group) * sb.inode_size // sb.block_size)
                yield from self._reference(groups.inode_table[group], blocks, f"inode table of group {group}")

    def _initialised(self, group: int) -> int:
        """Inodes at the beginning of the table that have ever been used."""
        sb, groups = self.sb, self.view.groups
        if groups.state[group] != GroupState.GOOD:
            return sb.inodes_per_group
        return sb.inodes_per_group - min(groups.unused_inodes[group], sb.inodes_per_group)

    def _inodes(self, group: int) -> Iterator[Reference]:
        sb, groups = self.sb, self.view.groups
        used, total = self._initialised(group), sb.inodes_per_group
        place = groups.inode_bitmap[group]
        marked = True
        runs = [(0, used)]
        try:
            data = self._column.get(group)
            complaint = ""
            if groups.state[group] == GroupState.GOOD:
                complaint = bitmap_complaint(sb, groups.inode_csum[group], data, total)
            if complaint:
                raise ChecksumMismatch(f"inode bitmap of group {group}", place * sb.block_size, complaint)
            runs = list(bit_runs(data, total))
            if runs and runs[-1][1] > used:
                self.report(
                    Inconsistent(
                        f"inode bitmap of group {group}", place * sb.block_size, "last inode in use",
                        expected=f"at most {used}", found=runs[-1][1],
                    )
                )  # fmt: skip
        except (FormatError, DeviceError) as error:
            self.report(error)
            marked = False  # every inode that has a link is taken
        for inode in self._table(group, runs, marked):
            yield from self._inode(inode)
        if not marked:
            return
        for inode in self._table(group, _between(runs, used), marked=False):
            bitmap = f"inode bitmap of group {group}"
            offset = groups.inode_bitmap[group] * sb.block_size
            self.report(
                Inconsistent(bitmap, offset, f"inode {inode.number} has {inode.links} links and is called free")
            )
            yield from self._inode(inode)

    def _table(self, group: int, runs: list[tuple[int, int]], marked: bool) -> Iterator[Inode]:
        """The inodes `runs` (0-based in the group) that are really in use; not `marked`: those that have a link."""
        sb, reader = self.sb, self.view.reader
        size, block_size = sb.inode_size, sb.block_size
        table = self.view.groups.inode_table[group]
        slab_blocks = max(1, TABLE_SLAB // block_size)
        nothing = bytes(size)
        checked = sb.metadata_csum
        number_base = group * sb.inodes_per_group + 1
        slab, start, end = b"", 0, 0  # the slab holds bytes [start, end) of the table
        for first, last in runs:
            for index in range(first, last):
                at = index * size
                if at >= end:
                    block = at // block_size
                    slab = self._slab(table, block, min(slab_blocks, sb.itable_blocks - block))
                    start = block * block_size
                    end = start + (len(slab) or block_size)
                if not slab:
                    continue
                raw = slab[at - start : at - start + size]
                if raw == nothing or (not marked and not all(FAST_MODE_LINKS.unpack_from(raw))):
                    continue
                number = number_base + index
                offset = table * block_size + at
                complaint = checksum_complaint(sb, number, raw) if checked else ""
                if complaint:
                    self.report(ChecksumMismatch(f"inode {number}", offset, complaint, source=reader.source.name))
                inode = decode_inode(sb, number, raw, offset)
                if inode.mode or number == BAD_BLOCKS_INODE:
                    self.inodes += 1
                    yield inode

    def _slab(self, table: int, block: int, count: int) -> bytes:
        """Blocks of an inode table; only the first one when not all can be read, nothing when it cannot either."""
        try:
            return self.view.reader.read(table + block, count)
        except (FormatError, DeviceError) as error:
            if count > 1:
                return self._slab(table, block, 1)
            self.report(error)
            return b""

    def _inode(self, inode: Inode) -> Iterator[Reference]:
        sb, size, limit = self.sb, self.sb.block_size, self.limit
        owner = f"inode {inode.number}"
        if inode.acl_block and inode.number != BAD_BLOCKS_INODE:
            if sb.first_data_block < inode.acl_block < sb.blocks_count:
                yield from self._reference(inode.acl_block, 1, owner)
                self._xattr(inode)
            else:
                self.report(
                    Inconsistent(
                        f"{owner} attribute block", inode.offset + 0x68, "leads outside",
                        expected=f"{sb.first_data_block + 1} to {sb.blocks_count - 1}", found=inode.acl_block,
                    )
                )  # fmt: skip
        directory = stat.S_ISDIR(inode.mode) and not inode.flags & INLINE_DATA_FLAG
        for run in file_runs(self.ctx, inode):
            if inode.number == BAD_BLOCKS_INODE and run.kind == RunKind.DATA:
                self.bad_blocks += run.length  # cannot be read, and nobody wants to
                continue
            start, end = run.physical * size, (run.physical + run.length) * size
            if end <= limit:
                yield Reference(Extent(start, end), owner)
            elif start < limit:
                yield Reference(Extent(start, limit), owner)
            if directory and run.kind == RunKind.DATA:
                self._directory(inode, run)

    def _directory(self, inode: Inode, run: MapRun) -> None:
        """Check the blocks of a directory that lie within its size."""
        sb, size = self.sb, self.sb.block_size
        count = min(run.length, -(-inode.size // size) - run.logical)
        step = max(1, DIRECTORY_SLAB // size)
        at = 0
        while at < count:
            length = min(step, count - at)
            self.ctx.budget.spend(length)
            try:
                data = self.view.reader.read(run.physical + at, length)
            except (FormatError, DeviceError) as error:
                self.report(error)
                return
            for i in range(length):
                block = data[i * size : (i + 1) * size]
                offset = (run.physical + at + i) * size
                try:
                    check_checksum(sb, inode, block, offset)
                    for _ in entries(sb, inode, block, offset):
                        pass
                except Corrupt as error:
                    self.report(error)
            at += length

    def _xattr(self, inode: Inode) -> None:
        sb, block = self.sb, inode.acl_block
        if block in self._xattrs:
            return
        if len(self._xattrs) >= XATTR_REMEMBERED:
            self._xattrs.clear()
        self._xattrs.add(block)
        self.ctx.budget.spend()
        name, offset = f"inode {inode.number} attribute block", block * sb.block_size
        try:
            data = self.view.reader.read(block)
        except WalkExhausted:
            raise
        except (FormatError, DeviceError) as error:
            self.report(error)
            return
        magic, _, blocks, _, found = FAST_XATTR.unpack_from(data)
        if magic != XATTR_MAGIC or blocks != 1:
            self.report(
                Corrupt(
                    name,
                    offset,
                    "magic and h_blocks",
                    expected=f"{XATTR_MAGIC:#x}, 1",
                    found=f"{magic:#x}, {blocks}",
                )
            )
        elif sb.metadata_csum:
            cleared = block.to_bytes(8, "little") + data[:0x10] + bytes(4) + data[0x14:]
            expected = crc32c_raw(cleared, sb.csum_seed)
            if expected != found:
                self.report(ChecksumMismatch(name, offset + 0x10, "checksum", expected=hex(expected), found=hex(found)))


def _between(runs: list[tuple[int, int]], end: int) -> list[tuple[int, int]]:
    """What `runs` (ascending, disjoint) leave out of [0, end)."""
    found, at = [], 0
    for first, last in runs:
        if at < first:
            found.append((at, min(first, end)))
        at = last
    if at < end:
        found.append((at, end))
    return [(a, b) for a, b in found if a < b]
