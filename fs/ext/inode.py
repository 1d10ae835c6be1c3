"""Inodes: decoding, checksum, and the run type that both kinds of block map yield.

Source: kernel documentation "ext4 Data Structures and Algorithms", Inode Table, Checksums.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from formats.base.checksum import crc32c_raw
from formats.base.errors import RecoveryError
from fs.ext.blocks import BlockReader, Budget
from fs.ext.superblock import LARGE_DIR, SIXTY_FOUR_BIT, Superblock

FAST_INODE = Struct("<HHIIIIIHHIII60sIIIIHHHHHH")
FAST_EXTRA = Struct("<HH")
FAST_TIMES = Struct("<7I")
_SEED = Struct("<II")
_NUMBER = Struct("<I")
_CHECKSUMS = Struct("<HHHH")  # l_i_checksum_lo, l_i_reserved, i_extra_isize, i_checksum_hi
_LOW = Struct("<HH")

BAD_BLOCKS_INODE, ROOT_INODE, RESIZE_INODE = 1, 2, 7
EXTENTS_FLAG, INDEX_FLAG, EA_INODE_FLAG, INLINE_DATA_FLAG = 0x80000, 0x1000, 0x200000, 0x10000000
HUGE_FILE_FLAG, ENCRYPT_FLAG, CASEFOLD_FLAG = 0x40000, 0x800, 0x40000000


class RunKind(IntEnum):
    DATA = 0
    UNWRITTEN = 1  # reserved for the file, reads as zeros
    MAP = 2  # an extent tree node or an indirect block


class MapRun(NamedTuple):
    """`length` blocks from block `physical`. `logical`: block within the file (for MAP: the first that it maps)."""

    kind: RunKind
    logical: int
    physical: int
    length: int


class Inode(NamedTuple):
    """One inode in use. `size` in bytes; `block`: the 60 bytes of i_block; `acl_block` 0: none."""

    number: int
    mode: int
    size: int
    links: int
    sectors: int  # i_blocks
    flags: int
    block: bytes
    generation: int
    acl_block: int
    offset: int  # of the inode, bytes

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True, slots=True)
class Context:
    """What every walk over metadata needs. `report` takes an error that does not stop the walk."""

    reader: BlockReader
    sb: Superblock
    budget: Budget
    report: Callable[[RecoveryError], None]


def decode_inode(sb: Superblock, number: int, raw: bytes, offset: int) -> Inode:
    """`raw`: all inode_size bytes of inode `number`, which stands at `offset` bytes."""
    f = FAST_INODE.unpack_from(raw)
    size = f[2]
    if stat.S_ISREG(f[0]) or sb.incompat & LARGE_DIR:
        size |= f[15] << 32
    acl = f[14] | f[18] << 32 if sb.incompat & SIXTY_FOUR_BIT else f[14]
    return Inode(number, f[0], size, f[8], f[9] | f[17] << 32, f[10], f[12], f[13], acl, offset)


def inode_seed(sb: Superblock, number: int, generation: int) -> int:
    """The CRC-32C register with which the checksums of all that belongs to an inode begin."""
    return crc32c_raw(_SEED.pack(number, generation), sb.csum_seed)


def checksum_complaint(sb: Superblock, number: int, raw: bytes) -> str:
    """What is wrong with the checksum of an inode, '' when it is right or there is none."""
    if not sb.metadata_csum or sb.creator_os != 0:
        return ""
    found, _, extra, high = (
        _CHECKSUMS.unpack_from(raw, 0x7C) if len(raw) > 128 else (*_LOW.unpack_from(raw, 0x7C), 0, 0)
    )
    head = _NUMBER.pack(number) + raw[0x64:0x68] + raw[:0x7C] + b"\0\0"
    if extra >= 4:
        expected = crc32c_raw(head + raw[0x7E:0x82] + b"\0\0" + raw[0x84:], sb.csum_seed)
        found |= high << 16
        return "" if found == expected else f"checksum: expected {expected:#010x}, found {found:#010x}"
    data = head + raw[0x7E:]
    expected = crc32c_raw(data, sb.csum_seed) & 0xFFFF
    return "" if found == expected else f"checksum: expected {expected:#06x}, found {found:#06x}"


def has_map(sb: Superblock, inode: Inode) -> bool:
    """True when i_block holds a block map or an extent tree: not for devices, inline data and short links."""
    if inode.number == BAD_BLOCKS_INODE:
        return True
    if inode.flags & INLINE_DATA_FLAG:
        return False
    kind = stat.S_IFMT(inode.mode)
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        return True
    if kind != stat.S_IFLNK:
        return False
    if inode.flags & EA_INODE_FLAG:
        return inode.size >= 60
    if inode.flags & HUGE_FILE_FLAG:
        acl_units = sb.cluster_blocks
    else:
        acl_units = sb.cluster_blocks * sb.block_size // 512
    return inode.sectors > (acl_units if inode.acl_block else 0)
