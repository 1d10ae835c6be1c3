"""What everything that reads files needs: the volume after the replay, inodes by number, and where damage is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from formats.base.errors import DeviceError, FormatError, RecoveryError
from fs.ext.bitmap import View
from fs.ext.blocks import Budget
from fs.ext.filemap import inode_place, raw_inode
from fs.ext.inode import Context, Inode, checksum_complaint
from fs.ext.superblock import Superblock

SPAN = 1 << 20  # bytes of an inode table read at once
GAP = 16 << 10  # bytes between two wanted inodes that are rather read than skipped
KEPT = 160  # bytes of an inode that hold everything but attributes and their checksum


class RawInode(NamedTuple):
    """The first KEPT bytes of an inode. `complaint`: about its checksum; `error`: why `raw` is empty."""

    number: int
    raw: bytes
    offset: int
    complaint: str = ""
    error: RecoveryError | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """`tell` takes a code and an error that does not stop the work."""

    sb: Superblock
    view: View
    tell: Callable[[str, RecoveryError], None]

    def context(self, inode: Inode, report: Callable[[RecoveryError], None]) -> Context:
        """For a walk over the map of one inode: it cannot have more blocks than its size and the volume allow."""
        blocks = min(self.sb.blocks_count, -(-inode.size // self.sb.block_size))
        return Context(self.view.reader, self.sb, Budget(2 * blocks + 65536), report)

    def raw_inode(self, number: int) -> tuple[bytes, int]:
        """All bytes of an inode, unchecked, and their offset. Raises Inconsistent, Truncated, DeviceError."""
        return raw_inode(self.view.reader, self.sb, self.view.groups, number, guess=True)

    def raw_inodes(self, numbers: Iterable[int]) -> Iterator[RawInode]:
        """Inodes in ascending order, each once; those that lie together are read together."""
        sb, groups = self.sb, self.view.groups
        size, most = sb.inode_size, SPAN - sb.inode_size
        span: list[tuple[int, int]] = []
        first = last = 0
        for number in sorted(set(numbers)):
            try:
                offset = inode_place(sb, groups, number, guess=True)
            except FormatError as error:
                yield RawInode(number, b"", 0, error=error)
                continue
            if span and not (last <= offset <= last + GAP and offset - first <= most):
                yield from self._span(span)
                span = []
            if not span:
                first = offset
            span.append((number, offset))
            last = offset + size
        if span:
            yield from self._span(span)

    def _span(self, span: list[tuple[int, int]]) -> Iterator[RawInode]:
        sb, reader = self.sb, self.view.reader
        size, checked = sb.inode_size, sb.metadata_csum
        first = span[0][1] // sb.block_size
        count = (span[-1][1] + size - 1) // sb.block_size - first + 1
        try:
            data = reader.read(first, count)
        except (FormatError, DeviceError) as error:
            if len(span) == 1:
                yield RawInode(span[0][0], b"", span[0][1], error=error)
                return
            for one in span:
                yield from self._span([one])
            return
        base = first * sb.block_size
        for number, offset in span:
            raw = data[offset - base : offset - base + size]
            yield RawInode(number, raw[:KEPT], offset, checksum_complaint(sb, number, raw) if checked else "")
