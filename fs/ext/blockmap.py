"""The block map of an inode without extents: twelve direct blocks, then one, two and three levels of indirection.

Source: kernel documentation "ext4 Data Structures and Algorithms", The Contents of inode.i_block, Direct/Indirect
Block Addressing. The depth is fixed, so there is no endless chain; the budget bounds blocks that are shared.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from struct import Struct

from formats.base.errors import DeviceError, FormatError, Inconsistent
from fs.ext.inode import Context, Inode, MapRun, RunKind

POINTERS = Struct("<15I")
DIRECT = 12


def block_runs(ctx: Context, inode: Inode) -> Iterator[MapRun]:
    """The runs of an inode without EXTENTS_FLAG, in ascending logical order, MAP runs before what they map.

    Pointers that lead outside and indirect blocks that cannot be read are reported. Raises WalkExhausted.
    """
    pointers = array("I", POINTERS.unpack(inode.block))
    yield from _data(ctx, inode, pointers[:DIRECT], 0, inode.offset + 0x28)
    logical, per_block = DIRECT, ctx.sb.block_size // 4
    for level in (1, 2, 3):
        pointer = pointers[DIRECT + level - 1]
        if pointer:
            yield from _indirect(ctx, inode, pointer, level, logical, inode.offset + 0x28 + 4 * (DIRECT + level - 1))
        logical += per_block**level


def _indirect(
    ctx: Context, inode: Inode, block: int, level: int, logical: int, pointer_offset: int
) -> Iterator[MapRun]:
    sb = ctx.sb
    ctx.budget.spend()
    if not sb.first_data_block < block < sb.blocks_count:
        _outside(ctx, inode, block, pointer_offset)
        return
    yield MapRun(RunKind.MAP, logical, block, 1)
    try:
        data = ctx.reader.read(block)
    except (FormatError, DeviceError) as error:
        ctx.report(error)
        return
    pointers = array("I")
    pointers.frombytes(data)
    if sys.byteorder == "big":
        pointers.byteswap()
    offset = block * sb.block_size
    if level == 1:
        yield from _data(ctx, inode, pointers, logical, offset)
        return
    span = (sb.block_size // 4) ** (level - 1)
    for i, pointer in enumerate(pointers):
        if pointer:
            yield from _indirect(ctx, inode, pointer, level - 1, logical + i * span, offset + 4 * i)


def _data(ctx: Context, inode: Inode, pointers: array[int], logical: int, offset: int) -> Iterator[MapRun]:
    """Pointers to data, joined to runs. `offset` of the first pointer, bytes."""
    sb = ctx.sb
    low, high = sb.first_data_block, sb.blocks_count
    for i, first, count in _joined(pointers):
        ctx.budget.spend()
        if low < first and first + count <= high:
            yield MapRun(RunKind.DATA, logical + i, first, count)
            continue
        _outside(ctx, inode, first if not low < first < high else high, offset + 4 * i)
        if low < first < high:
            yield MapRun(RunKind.DATA, logical + i, first, high - first)


def _joined(pointers: array[int]) -> Iterator[tuple[int, int, int]]:
    """(index, first block, count) for each run of ascending neighbours; holes are left out."""
    total = len(pointers)
    start = pointers[0]
    if start and pointers[-1] == start + total - 1 and pointers == array("I", range(start, start + total)):
        yield 0, start, total  # the usual case, compared without a step for each pointer
        return
    if not any(pointers):
        return
    first = count = at = 0
    for i, pointer in enumerate(pointers):
        if pointer == first + count and count:
            count += 1
            continue
        if count:
            yield at, first, count
        at, first, count = i, pointer, int(pointer != 0)
    if count:
        yield at, first, count


def _outside(ctx: Context, inode: Inode, block: int, offset: int) -> None:
    sb = ctx.sb
    ctx.report(
        Inconsistent(
            f"inode {inode.number} block pointer", offset, "leads outside",
            expected=f"{sb.first_data_block + 1} to {sb.blocks_count - 1}", found=block,
            source=ctx.reader.source.name,
        )
    )  # fmt: skip
