"""From the bytes of an inode to a Node: kind, size, owners, times, device numbers.

Source: kernel documentation "ext4 Data Structures and Algorithms", Inode Table, Inode Timestamps; the encoding of
device numbers is that of Linux (old: one 16-bit word, new: 12 bits major, 20 bits minor).
"""

from __future__ import annotations

import stat
from struct import Struct
from typing import NamedTuple

from fs.ext.inode import ENCRYPT_FLAG, EXTENTS_FLAG, FAST_INODE, FAST_TIMES, INLINE_DATA_FLAG, Inode, decode_inode
from fs.ext.superblock import Superblock
from fs.tree import Node, NodeKind, Times

KINDS = {
    stat.S_IFREG: NodeKind.FILE,
    stat.S_IFDIR: NodeKind.DIRECTORY,
    stat.S_IFLNK: NodeKind.SYMLINK,
    stat.S_IFCHR: NodeKind.CHARACTER_DEVICE,
    stat.S_IFBLK: NodeKind.BLOCK_DEVICE,
    stat.S_IFIFO: NodeKind.FIFO,
    stat.S_IFSOCK: NodeKind.SOCKET,
}
ENTRY_KINDS = {  # file_type of directory entries
    1: NodeKind.FILE,
    2: NodeKind.DIRECTORY,
    3: NodeKind.CHARACTER_DEVICE,
    4: NodeKind.BLOCK_DEVICE,
    5: NodeKind.FIFO,
    6: NodeKind.SOCKET,
    7: NodeKind.SYMLINK,
}
ENCRYPTED = "encrypted (fscrypt), and the key is not here"
ENCRYPTED_NAMES = "the names in this directory are encrypted (fscrypt) and shown encoded, for the key is not here"
SECOND = 1_000_000_000  # nanoseconds
_DEVICE = Struct("<II")


class Key(NamedTuple):
    """What a Node carries for the parser: its inode (None: it cannot be read), and the directory that listed it."""

    inode: Inode | None
    parent: int


def decode_time(seconds: int, extra: int) -> int:
    """Nanoseconds since 1970. `seconds`: unsigned as stored; `extra`: two epoch bits below the nanoseconds."""
    if seconds & 0x80000000:
        seconds -= 1 << 32
    fraction = extra >> 2
    return (seconds + ((extra & 3) << 32)) * SECOND + (fraction if fraction < SECOND else 0)


def largest_size(sb: Superblock, inode: Inode) -> int:
    """Bytes that the map of `inode` can address; more is damage."""
    if inode.flags & INLINE_DATA_FLAG:
        return sb.inode_size
    if inode.flags & EXTENTS_FLAG:
        return sb.block_size << 32
    n = sb.block_size // 4
    return (12 + n + n * n + n * n * n) * sb.block_size


def device_numbers(block: bytes) -> tuple[int, int]:
    """(major, minor) out of i_block."""
    old, new = _DEVICE.unpack_from(block)
    if old:
        return old >> 8 & 0xFF, old & 0xFF
    return new >> 8 & 0xFFF, new & 0xFF | new >> 12 & 0xFFF00


def extra_size(raw: bytes, inode_size: int) -> int:
    """i_extra_isize: bytes behind the first 128 that hold fields; 0 when there are none or it is impossible."""
    if inode_size <= 128:
        return 0
    extra = int.from_bytes(raw[128:130], "little")
    return extra if not extra & 3 and extra <= inode_size - 128 else 0


def make_node(sb: Superblock, number: int, raw: bytes, offset: int, name: str, parent: int) -> Node:
    """`raw`: at least the first 160 bytes of the inode (or all of it), which stands at `offset` bytes."""
    f = FAST_INODE.unpack_from(raw)
    inode = decode_inode(sb, number, raw, offset)
    mode = inode.mode
    created: int | None = None
    changed_extra = modified_extra = accessed_extra = 0
    extra = extra_size(raw, sb.inode_size)
    if extra >= 8:
        changed_extra, modified_extra, accessed_extra, seconds, created_extra, _, _ = FAST_TIMES.unpack_from(raw, 0x84)
        if extra < 16:
            accessed_extra = 0
            modified_extra = modified_extra if extra >= 12 else 0
        if extra >= 24 and (seconds or created_extra):
            created = decode_time(seconds, created_extra)
    kind = KINDS.get(mode & 0xF000, NodeKind.OTHER)
    device = None
    note = ""
    if kind is NodeKind.FILE or kind is NodeKind.DIRECTORY or kind is NodeKind.SYMLINK:
        if inode.flags & ENCRYPT_FLAG:
            note = ENCRYPTED_NAMES if kind is NodeKind.DIRECTORY else ENCRYPTED
        elif inode.size > largest_size(sb, inode):
            note = f"damaged: its inode claims {inode.size} bytes, which is impossible"
    elif kind is NodeKind.OTHER:
        note = f"damaged: its inode has the unknown type {mode >> 12:#x}"
    elif kind is NodeKind.CHARACTER_DEVICE or kind is NodeKind.BLOCK_DEVICE:
        device = device_numbers(inode.block)
    return Node(
        name, number, kind, inode.size,
        Times(
            created, decode_time(f[5], modified_extra), decode_time(f[4], changed_extra),
            decode_time(f[3], accessed_extra),
        ),
        inode.links, mode, f[1] | f[19] << 16, f[7] | f[20] << 16, inode.flags, device, note, Key(inode, parent),
    )  # fmt: skip
