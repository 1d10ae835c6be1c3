"""B-tree indexes: directories ($I30) and the view indexes of $Secure, $Quota, $ObjId and $Reparse.

Source: ntfs-3g layout.h (INDEX_ROOT, INDEX_BLOCK, INDEX_ENTRY) and index.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from formats.base.decode import decode
from formats.base.errors import Corrupt, RecoveryError
from formats.base.units import MiB, is_power_of_two
from fs.ntfs.attribute import (
    BITMAP,
    INDEX_ALLOCATION,
    INDEX_ROOT,
    Attribute,
    FileNameValue,
    parse_file_name,
    printable,
)
from fs.ntfs.boot import MAX_RECORD
from fs.ntfs.layout import IndexRoot
from fs.ntfs.mft import Budget, Mft
from fs.ntfs.record import INDX, RECORD_MASK, STRIDE, apply_fixups
from fs.ntfs.stream import Stream, select

I30 = "$I30"  # the index of a directory
HEADER = struct.Struct("<IIIB3x")  # entries_offset, index_length, allocated_size, ih_flags
ENTRY = struct.Struct("<QHHH2x")  # indexed_file, length, key_length, ie_flags
NODE, LAST = 0x01, 0x02
MAX_DEPTH = 32  # of a tree; three levels hold millions of entries
ROOT_BYTES = 0x10
BLOCK_HEADER = 0x18  # of an INDX block, up to its index header
SLAB = MiB


class DirectoryEntry(NamedTuple):
    """One name of a directory. `record` and `sequence` say which file it belongs to."""

    record: int
    sequence: int
    file_name: FileNameValue


class Index:
    """One index of one file. Raises Corrupt when its root, allocation or bitmap cannot be decoded."""

    def __init__(self, mft: Mft, number: int, found: Sequence[Attribute], name: str) -> None:
        self.number, self.name = number, name
        self._where = mft.record_offset(number)
        self._label = f"index {printable(name)} of MFT record {number}"
        roots = select(found, INDEX_ROOT, name)
        if len(roots) != 1 or roots[0].value is None or len(roots[0].value) < ROOT_BYTES + HEADER.size:
            raise Corrupt(self._label, self._where, "it has no usable $INDEX_ROOT")
        self._root = roots[0].value
        root = decode(IndexRoot, self._root, self._label, self._where)
        self.block_size = int(root.index_block_size)
        cluster = mft.geometry.cluster_size
        if not (is_power_of_two(self.block_size) and STRIDE <= self.block_size <= MAX_RECORD):
            text, size = "size of an index block", f"a power of two from {STRIDE} to {MAX_RECORD}"
            raise Corrupt(self._label, self._where, text, expected=size, found=self.block_size)
        # Blocks count in clusters, or in sectors of 512 bytes where a cluster holds several blocks.
        self._vcn_bytes = cluster if cluster <= self.block_size else STRIDE
        self.allocation = mft.open(found, INDEX_ALLOCATION, number, name)
        limit = mft.geometry.clusters * cluster
        if self.allocation is not None and self.allocation.size > limit:
            text = "it is larger than the volume"
            raise Corrupt(self._label, self._where, text, expected=limit, found=self.allocation.size)
        self._bitmap = mft.open(found, BITMAP, number, name) if self.allocation is not None else None
        if self.allocation is not None and (self._bitmap is None or not self.allocation.as_stored):
            raise Corrupt(self._label, self._where, "its blocks have no $BITMAP, or are compressed")

    def blocks(self, budget: Budget) -> Iterator[tuple[int, bytearray | RecoveryError]]:
        """(offset on the volume, block with fixups applied, or what is wrong with it) of every block in use.

        Raises Corrupt when the budget is spent, and what reading the index's $BITMAP raises.
        """
        if self.allocation is None or self._bitmap is None:
            return
        size = self.block_size
        count = min(self.allocation.size // size, self._bitmap.size * 8)
        step = max(SLAB // size, 8)
        for first in range(0, count, step):
            number = min(step, count - first)
            used = self._bitmap.read_at(first >> 3, (number + 7) >> 3)
            budget.spend(max(len(used), STRIDE), self._label)
            if not any(used):
                continue
            budget.spend(number * size, self._label)
            try:
                slab = bytearray(self.allocation.read_at(first * size, number * size))
            except RecoveryError:
                slab = bytearray()  # some of it cannot be read: block by block
            for i in range(number):
                if used[i >> 3] >> (i & 7) & 1:
                    yield self._block(self.allocation, first + i, slab[i * size : (i + 1) * size])

    def _block(self, allocation: Stream, index: int, data: bytearray) -> tuple[int, bytearray | RecoveryError]:
        size = self.block_size
        where = allocation.locate(index * size)
        name = f"block {index} of {self._label}"
        try:
            if where < 0:
                raise Corrupt(name, self._where, "it is in use and lies in a hole")
            if not data:
                data = bytearray(allocation.read_at(index * size, size))
            apply_fixups(data, 0, size, INDX, name, where)
            vcn = int.from_bytes(data[0x10:0x18], "little")
            if vcn != index * size // self._vcn_bytes:
                expected = index * size // self._vcn_bytes
                raise Corrupt(name, where + 0x10, "its own number", expected=expected, found=vcn)
        except RecoveryError as error:
            return max(where, 0), error
        return where, data

    def find(self, order: Callable[[bytes], int]) -> bytes | None:
        """The entry (header, key and what follows) that is looked for, by one way down the tree.

        `order` of an entry: 0 when it is the one, negative when the one comes before it, positive when behind.
        Raises Corrupt or DeviceError when the way leads through damage.
        """
        data: bytes | bytearray = self._root
        header, where = ROOT_BYTES, self._where
        for _ in range(MAX_DEPTH):
            entry, child = self._turn(data, header, where, order)
            if entry is not None or child < 0:
                return entry
            at, size = child * self._vcn_bytes, self.block_size
            if self.allocation is None or at % size or at + size > self.allocation.size:
                raise Corrupt(self._label, where, f"it leads to block {child}, which does not exist")
            where, block = self._block(self.allocation, at // size, bytearray())
            if isinstance(block, RecoveryError):
                raise block
            data, header = block, BLOCK_HEADER
        raise Corrupt(self._label, where, f"it is deeper than {MAX_DEPTH} levels")

    def _turn(
        self, data: bytes | bytearray, header: int, where: int, order: Callable[[bytes], int]
    ) -> tuple[bytes | None, int]:
        """In one node: the entry that is looked for, or the number of the block below to look in; -1: nowhere."""
        first, length, _, _ = HEADER.unpack_from(data, header)
        at, end = header + first, header + length
        if end > len(data) or first < HEADER.size:
            raise Corrupt(self._label, where + header, f"entries from {at} to {end} leave it")
        while at + ENTRY.size <= end:
            _, size, key, flags = ENTRY.unpack_from(data, at)
            last = flags & LAST
            least = ENTRY.size + (0 if last else key) + (8 if flags & NODE else 0)
            if size < least or size & 7 or at + size > end:
                raise Corrupt(self._label, where + at, f"an entry of {size} bytes with a key of {key}")
            entry = bytes(data[at : at + size])
            turn = -1 if last else order(entry)
            if not turn:
                return entry, -1
            if turn < 0:
                below = int.from_bytes(data[at + size - 8 : at + size], "little") if flags & NODE else -1
                return None, below
            at += size
        raise Corrupt(self._label, where + at, "its entries have no last one")

    def names(self, budget: Budget, faults: list[RecoveryError]) -> Iterator[DirectoryEntry]:
        """Every entry of a directory, in no useful order. Damaged parts are left out and added to `faults`."""
        try:
            yield from self._entries(self._root, ROOT_BYTES, self._where)
        except RecoveryError as error:
            faults.append(error)
        try:
            for where, block in self.blocks(budget):
                if isinstance(block, RecoveryError):
                    faults.append(block)
                    continue
                try:
                    yield from self._entries(block, BLOCK_HEADER, where)
                except RecoveryError as error:
                    faults.append(error)
        except RecoveryError as error:
            faults.append(error)

    def _entries(self, data: bytes | bytearray, header: int, where: int) -> Iterator[DirectoryEntry]:
        first, length, _, _ = HEADER.unpack_from(data, header)
        at, end = header + first, header + length
        if end > len(data) or first < HEADER.size:
            raise Corrupt(self._label, where + header, f"entries from {at} to {end} leave it")
        while at + ENTRY.size <= end:
            reference, size, key, flags = ENTRY.unpack_from(data, at)
            if flags & LAST:
                return
            if size < ENTRY.size + key or size & 7 or at + size > end:
                raise Corrupt(self._label, where + at, f"an entry of {size} bytes with a key of {key}")
            begin = at + ENTRY.size
            value = parse_file_name(bytes(data[begin : begin + key]), self._label, where + at)
            yield DirectoryEntry(reference & RECORD_MASK, reference >> 48, value)
            at += size
        raise Corrupt(self._label, where + at, "its entries have no last one")
