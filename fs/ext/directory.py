"""Directory blocks: entries, and the checksums of leaves and of hash tree nodes.

Source: kernel documentation "ext4 Data Structures and Algorithms", Directory Entries, Hash Tree Directories,
Checksums.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from formats.base.checksum import crc32c_raw
from formats.base.errors import ChecksumMismatch, Corrupt
from fs.ext.inode import INDEX_FLAG, Inode, inode_seed
from fs.ext.superblock import Superblock

FAST_ENTRY = Struct("<IHBB")
TAIL = Struct("<IHBBI")
TAIL_TYPE = 0xDE
_COUNT_LIMIT = Struct("<HH")  # limit, count


class DirEntry(NamedTuple):
    """`name` as on disk (encrypted directories hold ciphertext); `file_type` 0 when the feature is off."""

    inode: int
    file_type: int
    name: bytes


def record_length(stored: int, block_size: int) -> int:
    """Bytes; with 64 KiB blocks the two low bits are the high bits, and 65535 or 0 is a whole block."""
    if block_size < 65536:
        return stored
    if stored in (0, 65535):
        return block_size
    return (stored & 0xFFFC) | (stored & 3) << 16


def entries(sb: Superblock, owner: Inode, data: bytes, offset: int) -> Iterator[DirEntry]:
    """The entries in use of one block of the directory `owner`; the block stands at `offset` bytes.

    Raises Corrupt at the first entry that does not fit.
    """
    at, size, most = 0, len(data), sb.inodes_count
    unpack, wide = FAST_ENTRY.unpack_from, len(data) >= 65536
    while at < size:
        if size - at < 8:
            raise Corrupt(f"inode {owner.number} directory entry", offset + at, "no room", expected=8, found=size - at)
        inode, length, name_length, file_type = unpack(data, at)
        if wide:
            length = record_length(length, size)
        if length < 8 + name_length or length < 8 or length & 3 or at + length > size:
            raise Corrupt(
                f"inode {owner.number} directory entry", offset + at + 4, "rec_len",
                expected=f"multiple of 4, {8 + name_length} to {size - at}", found=length,
            )  # fmt: skip
        if inode:
            if inode > most:
                raise Corrupt(
                    f"inode {owner.number} directory entry", offset + at, "inode number",
                    expected=f"0 to {most}", found=inode,
                )  # fmt: skip
            yield DirEntry(inode, file_type, data[at + 8 : at + 8 + name_length])
        at += length


def check_checksum(sb: Superblock, owner: Inode, data: bytes, offset: int) -> None:
    """Verify the checksum of one directory block. Raises Corrupt, ChecksumMismatch."""
    if not sb.metadata_csum:
        return
    size = len(data)
    seed = inode_seed(sb, owner.number, owner.generation)
    counted = _count_offset(data) if owner.flags & INDEX_FLAG else 0
    name = f"inode {owner.number} directory block"
    if counted:
        limit, count = _COUNT_LIMIT.unpack_from(data, counted)
        tail = counted + limit * 8
        if count > limit or tail + 8 > size:
            raise Corrupt(name, offset + counted, "hash tree limit and count", found=f"{limit} and {count}")
        expected = crc32c_raw(data[: counted + count * 8] + data[tail : tail + 4] + b"\0\0\0\0", seed)
        place, found = tail + 4, int.from_bytes(data[tail + 4 : tail + 8], "little")
    else:
        zero, length, zero_length, kind, found = TAIL.unpack_from(data, size - 12)
        if (zero, length, zero_length, kind) != (0, 12, 0, TAIL_TYPE):
            raise Corrupt(name, offset + size - 12, "it has no checksum")
        expected, place = crc32c_raw(data[: size - 12], seed), size - 4
    if expected != found:
        raise ChecksumMismatch(name, offset + place, "checksum", expected=hex(expected), found=hex(found))


def _count_offset(data: bytes) -> int:
    """Where limit and count of a hash tree node stand, 0 when the block is a leaf."""
    size = len(data)
    length = record_length(int.from_bytes(data[4:6], "little"), size)
    if length == size:
        return 8
    if length == 12:
        second = record_length(int.from_bytes(data[16:18], "little"), size)
        if second == size - 12 and data[24:28] == b"\0\0\0\0" and data[29] == 8:
            return 32
    return 0
