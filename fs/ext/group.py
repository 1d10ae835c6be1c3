"""Block groups: where their metadata lie, and the table of group descriptors as columns.

Sources: kernel documentation "ext4 Data Structures and Algorithms", Block Groups, Group Descriptors, Meta Block
Groups, Checksums; placement rules for sparse_super2 and meta_bg as in ext4(5) and checked against dumpe2fs 1.47.0.
"""

from __future__ import annotations

import heapq
import itertools
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct

from formats.base.checksum import crc32c_raw
from formats.base.errors import DeviceError, FormatError
from formats.base.extent import ExtentList, collect
from fs.ext.blocks import BlockReader
from fs.ext.findings import Findings
from fs.ext.superblock import FLEX_BG, SPARSE_SUPER, SPARSE_SUPER2, Superblock

INODE_UNINIT, BLOCK_UNINIT = 0x1, 0x2
FAST_32 = Struct("<IIIHHHHIHHHH")
FAST_64 = Struct("<IIIHHHHIHHHHIIIHHHHIHHI")
SLAB_BYTES = 1 << 20
BACKUPS_TRIED = 8
LIKELY = 65536  # damaged groups whose inode tables are remembered
_GROUP_NUMBER = Struct("<I")


def _crc16_table() -> array[int]:
    """Two bytes at a time: the reflected polynomial 0xA001 (CRC-16/ARC), which uninit_bg uses."""
    table = array("H")
    for value in range(1 << 16):
        for _ in range(16):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
        table.append(value)
    return table


_CRC16: list[array[int]] = []  # made on first use: few volumes need it


def crc16(data: bytes, register: int = 0xFFFF) -> int:
    """CRC-16/ARC without final inversion. `data` of an even number of bytes."""
    if not _CRC16:
        _CRC16.append(_crc16_table())
    table = _CRC16[0]
    for low, high in zip(data[::2], data[1::2], strict=True):
        register = table[register ^ low ^ high << 8]
    return register


def descriptor_checksum(sb: Superblock, group: int, raw: bytes) -> int:
    """What bg_checksum of the descriptor `raw` must be; with neither checksum feature, what it is."""
    number = _GROUP_NUMBER.pack(group)
    if sb.metadata_csum:
        return crc32c_raw(number + raw[:0x1E] + b"\0\0" + raw[0x20:], sb.csum_seed) & 0xFFFF
    if sb.descriptor_checksums:
        return crc16(sb.uuid + number + raw[:0x1E] + raw[0x20:])
    return int.from_bytes(raw[0x1E:0x20], "little")


def _is_power(group: int, base: int) -> bool:
    while group > 1 and group % base == 0:
        group //= base
    return group == 1


def super_groups(sb: Superblock) -> Iterable[int]:
    """The groups that begin with a copy of the superblock, ascending."""
    if sb.compat & SPARSE_SUPER2:
        return sorted({0, *(g for g in sb.backup_groups if 0 < g < sb.groups)})
    if not sb.ro_compat & SPARSE_SUPER:
        return range(sb.groups)
    found = {0, 1}
    for base in (3, 5, 7):
        power = base
        while power < sb.groups:
            found.add(power)
            power *= base
    return sorted(g for g in found if g < sb.groups)


def has_superblock(sb: Superblock, group: int) -> bool:
    if group == 0:
        return True
    if sb.compat & SPARSE_SUPER2:
        return group in sb.backup_groups
    if group == 1 or not sb.ro_compat & SPARSE_SUPER:
        return True
    return bool(group & 1) and any(_is_power(group, base) for base in (3, 5, 7))


def super_block_of(sb: Superblock, group: int) -> int:
    """The block that holds the superblock of `group`, if it has one."""
    return sb.superblock_block if group == 0 else sb.group_first(group)


def super_extents(sb: Superblock) -> Iterator[tuple[int, int, int]]:
    """(first block, end block, group) of superblock copies with the descriptors behind them, ascending."""
    per_block = sb.block_size // sb.desc_size
    for group in super_groups(sb):
        first = sb.superblock_block if group == 0 else sb.group_first(group)
        behind = sb.first_meta_bg + sb.reserved_gdt_blocks if group < sb.first_meta_bg * per_block else 0
        start = 0 if group == 0 else first  # the boot block belongs to the copy
        yield start, min(first + 1 + behind, sb.blocks_count), group


def meta_bg_blocks(sb: Superblock) -> Iterator[tuple[int, int, int]]:
    """(block, block + 1, group) of each copy of each descriptor block of meta_bg, ascending."""
    per_block = sb.block_size // sb.desc_size
    for index in range(sb.first_meta_bg, -(-sb.groups // per_block)):
        for block, group in _meta_copies(sb, index, per_block):
            yield block, block + 1, group


def _meta_copies(sb: Superblock, index: int, per_block: int) -> list[tuple[int, int]]:
    """(block, group) of the copies of descriptor block `index` with meta_bg, the primary first."""
    start = index * per_block
    found = []
    for group in dict.fromkeys((start, start + 1, start + per_block - 1)):
        if group < sb.groups:
            first = super_block_of(sb, group)
            block = first + 1 if has_superblock(sb, group) else sb.group_first(group)
            if block < sb.blocks_count:
                found.append((block, group))
    return found


class GroupState(IntEnum):
    GOOD = 0
    FROM_BACKUP = 1  # places are right, counts, checksums and flags may be old
    DAMAGED = 2  # nothing is known


@dataclass(slots=True)
class GroupTable:
    """Columns, one entry for each group; block numbers unless said otherwise. 0 where a group is DAMAGED."""

    block_bitmap: array[int] = field(default_factory=lambda: array("Q"))
    inode_bitmap: array[int] = field(default_factory=lambda: array("Q"))
    inode_table: array[int] = field(default_factory=lambda: array("Q"))
    flags: array[int] = field(default_factory=lambda: array("H"))
    free_clusters: array[int] = field(default_factory=lambda: array("I"))
    unused_inodes: array[int] = field(default_factory=lambda: array("I"))  # at the end of the table
    block_csum: array[int] = field(default_factory=lambda: array("I"))
    inode_csum: array[int] = field(default_factory=lambda: array("I"))
    state: bytearray = field(default_factory=bytearray)
    home: array[int] = field(default_factory=lambda: array("Q"))  # one entry for each block of descriptors
    likely_table: dict[int, int] = field(default_factory=dict)  # of DAMAGED groups whose inode table can be right

    def block_uninit(self, sb: Superblock, group: int) -> bool:
        """The block bitmap on disk is not initialised and must be computed."""
        return sb.descriptor_checksums and bool(self.flags[group] & BLOCK_UNINIT)

    def inode_uninit(self, sb: Superblock, group: int) -> bool:
        """The inode bitmap and table on disk are not initialised: no inode is in use."""
        return sb.descriptor_checksums and bool(self.flags[group] & INODE_UNINIT)

    def _append(self, sb: Superblock, f: tuple[int, ...], state: GroupState) -> None:
        wide = len(f) > 12
        self.block_bitmap.append(f[0] | f[12] << 32 if wide else f[0])
        self.inode_bitmap.append(f[1] | f[13] << 32 if wide else f[1])
        self.inode_table.append(f[2] | f[14] << 32 if wide else f[2])
        self.flags.append(f[6])
        self.free_clusters.append(f[3] | f[15] << 16 if wide else f[3])
        self.unused_inodes.append((f[10] | f[18] << 16 if wide else f[10]) if sb.descriptor_checksums else 0)
        self.block_csum.append(f[8] | f[20] << 16 if wide else f[8])
        self.inode_csum.append(f[9] | f[21] << 16 if wide else f[9])
        self.state.append(state)


_NOTHING = (0,) * 12


def load(reader: BlockReader, sb: Superblock, findings: Findings) -> GroupTable:
    """Read all descriptors, check each, and take the place of damaged ones from backups where that is possible."""
    return _Loader(reader, sb, findings).load()


class _Loader:
    def __init__(self, reader: BlockReader, sb: Superblock, findings: Findings) -> None:
        self.reader, self.sb, self.findings = reader, sb, findings
        self.per_block = sb.block_size // sb.desc_size
        self.fast = FAST_32 if sb.desc_size == 32 else FAST_64
        self.table = GroupTable()
        self._backup_index = -1
        self._backups: list[tuple[int, bytes]] = []

    def load(self) -> GroupTable:
        sb = self.sb
        blocks = -(-sb.groups // self.per_block)
        behind = min(sb.first_meta_bg, blocks)
        start = sb.superblock_block + 1
        step = max(1, SLAB_BYTES // sb.block_size)
        for index in range(0, behind, step):
            self._slab(start + index, min(step, behind - index), index)
        for index in range(behind, blocks):
            self._slab(_meta_copies(sb, index, self.per_block)[0][0], 1, index)
        return self.table

    def _slab(self, block: int, count: int, index: int) -> None:
        """Descriptor blocks `index`... that stand at `block`."""
        self.table.home.extend(range(block, block + count))
        try:
            data = self.reader.read(block, count)
        except (FormatError, DeviceError) as error:
            if count > 1:
                del self.table.home[-count:]
                for i in range(count):
                    self._slab(block + i, 1, index + i)
                return
            self.findings.error(
                "ext.group_damaged", f"group descriptor block {index}: {error}", block * self.sb.block_size
            )
            data = b""
        sb, size, fast, table = self.sb, self.sb.desc_size, self.fast, self.table
        first = index * self.per_block
        last = min(first + count * self.per_block, sb.groups)
        checked = sb.descriptor_checksums
        for group in range(first, last):
            at = (group - first) * size
            if data:
                fields = fast.unpack_from(data, at)
                detail = self._complaint(group, data[at : at + size] if checked else b"", fields)
                if not detail:
                    table._append(sb, fields, GroupState.GOOD)
                    continue
            else:
                detail = "it cannot be read"
            self._rescue(group, block * sb.block_size + at, detail, fields if data else _NOTHING)

    def _complaint(self, group: int, raw: bytes, f: tuple[int, ...]) -> str:
        """What is wrong with a descriptor, '' when it is good. `raw` is empty when there is no checksum."""
        sb = self.sb
        if raw:
            expected = descriptor_checksum(sb, group, raw)
            if expected != f[11]:
                return f"checksum: expected {expected:#06x}, found {f[11]:#06x}"
        if sb.incompat & FLEX_BG:
            low, high = sb.first_data_block, sb.blocks_count
        else:
            low, high = sb.group_first(group), sb.group_end(group)
        wide = len(f) > 12
        for name, i, length in (
            ("block bitmap", 0, 1),
            ("inode bitmap", 1, 1),
            ("inode table", 2, sb.itable_blocks),
        ):
            block = f[i] | f[12 + i] << 32 if wide else f[i]
            if not (low <= block and block + length <= high and block):
                return f"{name} at block {block}: expected {low} to {high - length}"
        return ""

    def _rescue(self, group: int, offset: int, detail: str, damaged: tuple[int, ...]) -> None:
        """`damaged`: what the first copy says."""
        sb = self.sb
        index, slot = divmod(group, self.per_block)
        for block, data in self._backup_copies(index):
            raw = data[slot * sb.desc_size : (slot + 1) * sb.desc_size]
            fields = self.fast.unpack_from(raw)
            if not self._complaint(group, raw if sb.descriptor_checksums else b"", fields):
                self.table._append(sb, fields, GroupState.FROM_BACKUP)
                self.findings.warning(
                    "ext.group_damaged",
                    f"descriptor of group {group} at offset {offset:#x}: {detail}; the copy in block {block} is used",
                    offset,
                )
                return
        self.table._append(sb, _NOTHING, GroupState.DAMAGED)
        table = damaged[2] | damaged[14] << 32 if len(damaged) > 12 else damaged[2]
        if sb.first_data_block < table <= sb.blocks_count - sb.itable_blocks and len(self.table.likely_table) < LIKELY:
            self.table.likely_table[group] = table
        self.findings.error(
            "ext.group_damaged",
            f"descriptor of group {group} at offset {offset:#x}: {detail}; no copy is good, "
            "so the whole group is taken as in use",
            offset,
        )

    def _backup_copies(self, index: int) -> list[tuple[int, bytes]]:
        """(block, content) of the readable backups of descriptor block `index`."""
        if index == self._backup_index:
            return self._backups
        sb = self.sb
        if index >= sb.first_meta_bg:
            places = [block for block, _ in _meta_copies(sb, index, self.per_block)[1:]]
        else:
            groups = [g for g, _ in zip(super_groups(sb), range(BACKUPS_TRIED + 1), strict=False) if g]
            places = [sb.group_first(g) + 1 + index for g in groups]
        found = []
        for block in places:
            try:
                found.append((block, self.reader.read(block)))
            except (FormatError, DeviceError):
                continue
        self._backup_index, self._backups = index, found
        return found


def _column(places: array[int], length: int) -> Iterator[tuple[int, int]]:
    """Ascending (first, end) of `length` blocks at each place that is not 0; neighbours are joined."""
    ascending: Iterable[int] = places
    if any(a > b for a, b in itertools.pairwise(places)):
        ascending = sorted(places)
    first = end = 0
    for place in ascending:
        if place != end or not end:
            if end:
                yield first, end
            first, end = place, place
        if place:
            end = place + length
    if end:
        yield first, end


def metadata_blocks(sb: Superblock, table: GroupTable, more: Iterable[tuple[int, int]]) -> ExtentList:
    """Blocks (not bytes) of all superblocks, descriptors, bitmaps and inode tables, and of `more` (ascending).

    With bigalloc widened to whole clusters, for that is how they are allocated.
    """
    found = collect(
        heapq.merge(
            ((a, b) for a, b, _ in super_extents(sb)),
            ((a, b) for a, b, _ in meta_bg_blocks(sb)),
            _column(table.block_bitmap, 1),
            _column(table.inode_bitmap, 1),
            _column(table.inode_table, sb.itable_blocks),
            more,
        ),
        limit=0,
    )
    return found.align_out(sb.cluster_blocks, sb.blocks_count) if sb.cluster_blocks > 1 else found
