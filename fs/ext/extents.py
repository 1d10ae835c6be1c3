"""The extent tree of an inode.

Source: kernel documentation "ext4 Data Structures and Algorithms", The Contents of inode.i_block, Extent Tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from formats.base.checksum import crc32c_raw
from formats.base.errors import ChecksumMismatch, Corrupt, DeviceError, FormatError, Inconsistent
from fs.ext.blocks import WalkExhausted
from fs.ext.inode import Context, Inode, MapRun, RunKind, inode_seed

FAST_HEADER = Struct("<HHHHI")
FAST_INDEX = Struct("<IIHH")
FAST_LEAF = Struct("<IHHI")
MAGIC = 0xF30A
MAX_DEPTH = 5  # four levels of 340 entries are more than 2^32 blocks can need; Linux refuses deeper trees
DEPTH_FOLLOWED = 32  # e2fsck follows deeper ones, so their blocks must be in a copy too
LOGICAL_END = 1 << 32  # blocks
UNWRITTEN_ABOVE = 32768  # ee_len


def extent_runs(ctx: Context, inode: Inode) -> Iterator[MapRun]:
    """The runs of an inode with EXTENTS_FLAG, in ascending logical order, MAP runs before what they map.

    A damaged node or extent is reported, and the walk goes on behind it. Raises WalkExhausted.
    """
    return _node(ctx, inode, inode.block, inode.offset + 0x28, -1, 0, LOGICAL_END)


def _node(ctx: Context, inode: Inode, data: bytes, offset: int, depth: int, low: int, high: int) -> Iterator[MapRun]:
    """`depth` -1: the root, which says itself how deep it is. Logical blocks must lie in [low, high)."""
    try:
        entries, depth = _check_header(ctx, inode, data, offset, depth)
    except Corrupt as error:
        ctx.report(error)
        return iter(())
    if depth:
        return _index(ctx, inode, data, offset, depth, entries, low, high)
    return _leaf(ctx, inode, data, offset, entries, low, high)


def _check_header(ctx: Context, inode: Inode, data: bytes, offset: int, depth: int) -> tuple[int, int]:
    """(entries, depth)"""
    magic, entries, maximum, found_depth, _ = FAST_HEADER.unpack_from(data)
    name = f"inode {inode.number} extent header"
    source = ctx.reader.source.name
    if magic != MAGIC:
        raise Corrupt(name, offset, "magic", expected=hex(MAGIC), found=hex(magic), source=source)
    room = (len(data) - 12) // 12
    if not 0 < maximum <= room:
        raise Corrupt(name, offset + 4, "eh_max", expected=f"1 to {room}", found=maximum, source=source)
    if entries > maximum or (entries == 0 and depth >= 0):
        raise Corrupt(name, offset + 2, "eh_entries", expected=f"1 to {maximum}", found=entries, source=source)
    if depth < 0:
        limit = MAX_DEPTH if entries else 0
        if found_depth > limit:
            error = Corrupt(name, offset + 6, "eh_depth", expected=f"0 to {limit}", found=found_depth, source=source)
            if not entries or found_depth > DEPTH_FOLLOWED:
                raise error
            ctx.report(error)
        return entries, found_depth
    if found_depth != depth:
        raise Corrupt(name, offset + 6, "eh_depth", expected=depth, found=found_depth, source=source)
    if ctx.sb.metadata_csum:
        end = 12 + 12 * maximum
        expected = crc32c_raw(data[:end], inode_seed(ctx.sb, inode.number, inode.generation))
        found = int.from_bytes(data[end : end + 4], "little")
        if expected != found:
            raise ChecksumMismatch(
                f"inode {inode.number} extent block", offset + end, "checksum", expected=hex(expected),
                found=hex(found), source=source,
            )  # fmt: skip
    return entries, depth


def _leaf(ctx: Context, inode: Inode, data: bytes, offset: int, entries: int, low: int, high: int) -> Iterator[MapRun]:
    sb, spend = ctx.sb, ctx.budget.spend
    first_block, blocks = sb.first_data_block, sb.blocks_count
    for i in range(entries):
        logical, length, start_hi, start_lo = FAST_LEAF.unpack_from(data, 12 + 12 * i)
        start = start_lo | start_hi << 32
        kind = RunKind.DATA
        if length > UNWRITTEN_ABOVE:
            kind, length = RunKind.UNWRITTEN, length - UNWRITTEN_ABOVE
        spend()
        if length and low <= logical and logical + length <= high and first_block < start <= blocks - length:
            yield MapRun(kind, logical, start, length)
            low = logical + length
            continue
        if low <= logical and logical + length <= high:
            expected = f"at least one block within {first_block + 1} to {blocks - 1}"
        else:
            expected = f"logical blocks within {low} to {high - 1}"
        ctx.report(
            Inconsistent(
                f"inode {inode.number} extent {i}", offset + 12 + 12 * i, "out of bounds", expected=expected,
                found=f"{length} blocks at logical {logical}, block {start}", source=ctx.reader.source.name,
            )
        )  # fmt: skip


def _index(
    ctx: Context, inode: Inode, data: bytes, offset: int, depth: int, entries: int, low: int, high: int
) -> Iterator[MapRun]:
    sb, size = ctx.sb, ctx.sb.block_size
    for i in range(entries):
        at = 12 + 12 * i
        logical, leaf_lo, leaf_hi, _ = FAST_INDEX.unpack_from(data, at)
        child = leaf_lo | leaf_hi << 32
        end = FAST_INDEX.unpack_from(data, at + 12)[0] if i + 1 < entries else high
        ctx.budget.spend()
        if not (low <= logical < end <= high and sb.first_data_block < child < sb.blocks_count):
            ctx.report(
                Inconsistent(
                    f"inode {inode.number} extent index {i}", offset + at, "out of bounds or out of order",
                    expected=f"logical {low} to {min(end, high) - 1}, block {sb.first_data_block + 1} "
                    f"to {sb.blocks_count - 1}",
                    found=f"logical {logical}, block {child}", source=ctx.reader.source.name,
                )
            )  # fmt: skip
            if not sb.first_data_block < child < sb.blocks_count:
                continue
            logical, end = low, high  # the order is wrong, but the child may still tell its own blocks
        yield MapRun(RunKind.MAP, logical, child, 1)
        try:
            block = ctx.reader.read(child)
        except WalkExhausted:
            raise
        except (FormatError, DeviceError) as error:
            ctx.report(error)
        else:
            yield from _node(ctx, inode, block, child * size, depth - 1, logical, end)
        low = max(low, logical)
