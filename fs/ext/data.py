"""The content of files: the pieces of a block map without gaps, and readers over them.

Source: kernel documentation "ext4 Data Structures and Algorithms", The Contents of inode.i_block, Inline Data.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from formats.base.errors import Inconsistent, RecoveryError, Truncated
from fs.ext.access import Access
from fs.ext.blocks import WalkExhausted
from fs.ext.filemap import file_runs
from fs.ext.inode import Inode, MapRun
from fs.ext.inode import RunKind as MapKind
from fs.tree import Run, RunKind

WINDOW = 8192  # pieces of a map that a reader remembers


class Piece(NamedTuple):
    """Blocks [start, end) of a file. `physical`: the first block on the volume, 0 for holes.

    `error`: the map is damaged here, so it cannot be told what these blocks hold.
    """

    start: int
    end: int
    physical: int
    kind: RunKind
    error: RecoveryError | None = None


def pieces(access: Access, inode: Inode, blocks: int) -> Iterator[Piece]:
    """Blocks [0, blocks) of a file, ascending, without gaps; neighbours are joined.

    What is missing because of damage is told once, and becomes a hole with an error. It always ends.
    """
    found: list[RecoveryError] = []

    def report(error: RecoveryError) -> None:
        access.tell("ext.file", error)
        if not found:
            found.append(error)

    at, held = 0, Piece(0, 0, 0, RunKind.HOLE)
    damage: RecoveryError | None = None
    gaps = 0  # that are suspect: the one where the damage was met, and the one behind the next run
    for run in _until_exhausted(access, inode, report):
        if run.kind == MapKind.MAP:
            continue
        if found:
            damage, gaps = found.pop(), 2
        start, end = max(run.logical, at), min(run.logical + run.length, blocks)
        if run.logical >= blocks:
            break
        if end <= start:
            continue
        if start > at:
            if held.end:
                yield held
            held = Piece(at, start, 0, RunKind.HOLE, damage if gaps else None)
        gaps = max(0, gaps - 1)
        physical = run.physical + start - run.logical
        kind = RunKind.DATA if run.kind == MapKind.DATA else RunKind.UNWRITTEN
        if held.kind is kind and held.end == start and held.physical + start - held.start == physical:
            held = Piece(held.start, end, held.physical, kind)
        else:
            if held.end:
                yield held
            held = Piece(start, end, physical, kind)
        at = end
    if held.end:
        yield held
    if at < blocks:
        if found:
            damage, gaps = found.pop(), 1
        yield Piece(at, blocks, 0, RunKind.HOLE, damage if gaps else None)


def _until_exhausted(access: Access, inode: Inode, report: Callable[[RecoveryError], None]) -> Iterator[MapRun]:
    try:
        yield from file_runs(access.context(inode, report), inode)
    except WalkExhausted as error:
        report(error)


def block_count(access: Access, inode: Inode) -> int:
    """Blocks that the size of an inode covers."""
    return -(-inode.size // access.sb.block_size)


def byte_runs(access: Access, inode: Inode) -> Iterator[Run]:
    """As FileTree.runs; where the map is damaged, a hole."""
    size = access.sb.block_size
    for piece in pieces(access, inode, block_count(access, inode)):
        start, end = piece.start * size, min(piece.end * size, inode.size)
        place = None if piece.kind is RunKind.HOLE else piece.physical * size
        yield Run(start, place, end - start, piece.kind, 0 if place is None else end - start)


class BytesReader:
    """Content that is already in memory."""

    def __init__(self, data: bytes) -> None:
        self._data, self.size = data, len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        """As NodeReader. Raises Truncated outside the content."""
        _inside(offset, length, self.size)
        return self._data[offset : offset + length]


class MappedReader:
    """Content in blocks. Remembers at most WINDOW pieces of the map, however many there are."""

    def __init__(self, access: Access, inode: Inode, size: int) -> None:
        self._access, self._inode, self.size = access, inode, size
        self._blocks = -(-size // access.sb.block_size)
        self._restart()

    def _restart(self) -> None:
        self._source = pieces(self._access, self._inode, self._blocks)
        self._starts: list[int] = []
        self._pieces: list[Piece] = []

    def read_at(self, offset: int, length: int) -> bytes:
        """As NodeReader. Raises Truncated, DeviceError, and what is wrong with the map where it is damaged."""
        _inside(offset, length, self.size)
        size, end, found = self._access.sb.block_size, offset + length, []
        while offset < end:
            piece = self._piece(offset // size)
            stop = min(end, piece.end * size)
            if piece.error is not None:
                raise piece.error
            if piece.kind is RunKind.DATA:
                found.append(self._data(piece, offset, stop))
            else:
                found.append(bytes(stop - offset))
            offset = stop
        return found[0] if len(found) == 1 else b"".join(found)

    def _data(self, piece: Piece, offset: int, stop: int) -> bytes:
        size = self._access.sb.block_size
        first, within = divmod(offset, size)
        count = -(-stop // size) - first
        data = self._access.view.reader.read(piece.physical + first - piece.start, count)
        if within or stop - offset != len(data):
            return data[within : within + stop - offset]
        return data

    def _piece(self, block: int) -> Piece:
        """The piece that holds `block`."""
        if self._starts and block < self._starts[0]:
            self._restart()
        i = bisect_right(self._starts, block) - 1
        while not self._pieces or block >= self._pieces[-1].end:
            piece = next(self._source, None)
            if piece is None:
                raise Inconsistent(f"inode {self._inode.number}", self._inode.offset, f"block {block} has no place")
            if len(self._pieces) == WINDOW:
                del self._pieces[: WINDOW // 2], self._starts[: WINDOW // 2]
            self._pieces.append(piece)
            self._starts.append(piece.start)
            i = len(self._pieces) - 1
        return self._pieces[i]


def _inside(offset: int, length: int, size: int) -> None:
    if offset < 0 or length < 0 or offset + length > size:
        raise Truncated("file", max(offset, 0), f"{length} bytes leave the content, which has {size}")
