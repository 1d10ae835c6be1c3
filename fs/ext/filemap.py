"""Which blocks a file has, whatever kind of map it uses; and finding an inode by number."""

from __future__ import annotations

from collections.abc import Iterator

from formats.base.errors import ChecksumMismatch, Inconsistent
from fs.ext.blockmap import block_runs
from fs.ext.blocks import BlockReader
from fs.ext.extents import extent_runs
from fs.ext.group import GroupState, GroupTable
from fs.ext.inode import EXTENTS_FLAG, Context, Inode, MapRun, checksum_complaint, decode_inode, has_map
from fs.ext.superblock import Superblock


def file_runs(ctx: Context, inode: Inode) -> Iterator[MapRun]:
    """All runs of an inode, those of its map included; none for inline data, devices and short links."""
    if not has_map(ctx.sb, inode):
        return iter(())
    return extent_runs(ctx, inode) if inode.flags & EXTENTS_FLAG else block_runs(ctx, inode)


def inode_place(sb: Superblock, groups: GroupTable, number: int, *, guess: bool = False) -> int:
    """Byte offset of inode `number`, 1-based. Raises Inconsistent.

    `guess`: believe what a damaged group descriptor says of its inode table, when that is possible.
    """
    group, index = divmod(number - 1, sb.inodes_per_group)
    within = 0 < number <= sb.inodes_count
    if guess and within and group in groups.likely_table:
        return groups.likely_table[group] * sb.block_size + index * sb.inode_size
    if not within or groups.state[group] == GroupState.DAMAGED:
        raise Inconsistent(
            f"inode {number}", 0, "has no place", expected=f"1 to {sb.inodes_count}, in a group with a descriptor"
        )
    return groups.inode_table[group] * sb.block_size + index * sb.inode_size


def raw_inode(
    reader: BlockReader, sb: Superblock, groups: GroupTable, number: int, *, guess: bool = False
) -> tuple[bytes, int]:
    """All bytes of inode `number`, unchecked, and their offset; `guess` as for inode_place.

    Raises Inconsistent, Truncated or DeviceError.
    """
    offset = inode_place(sb, groups, number, guess=guess)
    block, within = divmod(offset, sb.block_size)
    return reader.read(block)[within : within + sb.inode_size], offset


def read_inode(ctx: Context, groups: GroupTable, number: int) -> Inode:
    """Inode `number`, 1-based. Raises Inconsistent, ChecksumMismatch, Truncated or DeviceError."""
    raw, offset = raw_inode(ctx.reader, ctx.sb, groups, number)
    complaint = checksum_complaint(ctx.sb, number, raw)
    if complaint:
        raise ChecksumMismatch(f"inode {number}", offset, complaint, source=ctx.reader.source.name)
    return decode_inode(ctx.sb, number, raw, offset)
