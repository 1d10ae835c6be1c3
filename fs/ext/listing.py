"""The entries of a directory, block after block, with damage told and passed over.

Source: kernel documentation "ext4 Data Structures and Algorithms", Directory Entries, Inline Directories.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from formats.base.errors import ChecksumMismatch, Corrupt, DeviceError, FormatError, Inconsistent, RecoveryError
from fs.ext.access import Access
from fs.ext.data import Piece, block_count, pieces
from fs.ext.directory import DirEntry, check_checksum, entries
from fs.ext.inode import INLINE_DATA_FLAG, Inode
from fs.ext.node import largest_size
from fs.ext.xattr import inline_data
from fs.tree import RunKind

SLAB = 1 << 20  # bytes of a directory read at once
DIRECTORY_TYPE = 2
CODE = "ext.directory"


def directory_entries(access: Access, inode: Inode) -> Iterator[DirEntry]:
    """All entries of a directory, '.' and '..' among them where they are, in the order of the disk.

    Of a damaged block, what stands before the damage. Raises FormatError or DeviceError when not one block of the
    directory can be read. No block is read twice, so a map that leads to the same blocks again ends.
    """
    if inode.flags & INLINE_DATA_FLAG:
        return _inline(access, inode)
    return _mapped(access, inode)


def _inline(access: Access, inode: Inode) -> Iterator[DirEntry]:
    parent = int.from_bytes(inode.block[:4], "little")
    yield DirEntry(parent, DIRECTORY_TYPE, b"..")
    yield from _block(access, inode, inode.block[4:], inode.offset + 0x28 + 4)
    if inode.size > len(inode.block):
        rest, offset = inline_data(access, inode)
        yield from _block(access, inode, rest, offset)


def _block(access: Access, inode: Inode, data: bytes, offset: int) -> Iterator[DirEntry]:
    try:
        yield from entries(access.sb, inode, data, offset)
    except Corrupt as error:
        access.tell(CODE, error)


def _mapped(access: Access, inode: Inode) -> Iterator[DirEntry]:
    good, first_error = False, None
    for found in _blocks(access, inode):
        if isinstance(found, RecoveryError):
            first_error = first_error or found
            access.tell(CODE, found)
            continue
        number, data = found
        good = True
        offset = number * access.sb.block_size
        try:
            check_checksum(access.sb, inode, data, offset)
        except ChecksumMismatch as error:
            access.tell(CODE, error)  # its entries may still be right: each inode is checked on its own
        except Corrupt as error:
            access.tell(CODE, error)
        yield from _block(access, inode, data, offset)
    if not good and inode.size:
        raise first_error or Inconsistent(f"inode {inode.number} directory", inode.offset, "it has no block")


def _blocks(access: Access, inode: Inode) -> Iterator[tuple[int, bytes] | RecoveryError]:
    """(block of the volume, content), or why some blocks are missing."""
    sb, reader = access.sb, access.view.reader
    if inode.size > largest_size(sb, inode):
        yield Inconsistent(f"inode {inode.number} directory", inode.offset + 4, "size", found=inode.size)
        return
    seen = _Seen()
    step = max(1, SLAB // sb.block_size)
    for piece in pieces(access, inode, block_count(access, inode)):
        if piece.kind is not RunKind.DATA or not seen.add(piece):
            yield piece.error or Inconsistent(
                f"inode {inode.number} directory", inode.offset + 0x28, "blocks without entries of their own",
                found=f"{piece.start} to {piece.end - 1}",
            )  # fmt: skip
            continue
        end = piece.physical + piece.end - piece.start
        at = piece.physical
        while at < end:
            count = min(step, end - at)
            try:
                data = reader.read(at, count)
            except (FormatError, DeviceError):
                yield from _one_by_one(access, at, count)
            else:
                size = sb.block_size
                for i in range(count):
                    yield at + i, data[i * size : (i + 1) * size]
            at += count


def _one_by_one(access: Access, first: int, count: int) -> Iterator[tuple[int, bytes] | RecoveryError]:
    for block in range(first, first + count):
        try:
            yield block, access.view.reader.read(block)
        except (FormatError, DeviceError) as error:
            yield error


class _Seen:
    """Places on the volume that a directory has led to."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, piece: Piece) -> bool:
        """False when a part of it was there before."""
        start, end = piece.physical, piece.physical + piece.end - piece.start
        i = bisect_right(self._starts, start)
        if (i and self._ends[i - 1] > start) or (i < len(self._starts) and self._starts[i] < end):
            return False
        if i and self._ends[i - 1] == start:
            self._ends[i - 1] = end
        else:
            self._starts.insert(i, start)
            self._ends.insert(i, end)
        return True
