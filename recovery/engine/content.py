"""The content of a file piece by piece: holes stay holes, and damage is narrowed down instead of ending the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from formats.base.errors import Cancelled, RecoveryError
from formats.base.units import KiB, MiB
from fs.tree import FileTree, Node, NodeReader, RunKind

CHUNK = 1 * MiB
GRAIN = 4 * KiB  # damage is told to this many bytes
_SMALL = 64 * KiB  # below it nobody asks for holes
_NARROWED = 4096  # failed reads of one file, after which damage is told by whole chunks
_RANGES_KEPT = 1000


class Piece(NamedTuple):
    """`length` bytes at `offset` of a file; `data` None: zeros that are stored nowhere."""

    offset: int
    length: int
    data: bytes | None


@dataclass(slots=True)
class Damage:
    """What could not be read of one file: `ranges` in bytes of the file (the first thousand), `total` of all."""

    ranges: list[tuple[int, int]] = field(default_factory=list)
    total: int = 0
    reason: str = ""

    def add(self, start: int, end: int, error: RecoveryError) -> None:
        self.total += end - start
        self.reason = self.reason or str(error)
        if self.ranges and self.ranges[-1][1] == start:
            self.ranges[-1] = (self.ranges[-1][0], end)
        elif len(self.ranges) < _RANGES_KEPT:
            self.ranges.append((start, end))

    def __bool__(self) -> bool:
        return self.total > 0

    def to_text(self) -> str:
        """One sentence with the first places."""
        shown = ", ".join(f"{a}..{b}" for a, b in self.ranges[:5])
        more = ", …" if len(self.ranges) > 5 else ""
        return f"{self.total} bytes cannot be read (bytes {shown}{more}): {self.reason}"


def _nothing() -> None:
    """Nobody wants to stop."""


def pieces(
    tree: FileTree, node: Node, damage: Damage, stream: str = "", check: Callable[[], None] = _nothing
) -> Iterator[Piece]:
    """The whole content, ascending, without gaps. Unreadable bytes come as holes and are told to `damage`.

    Raises what `tree.open` raises (nothing at all can be read), and Cancelled.
    """
    reader = tree.open(node, stream)
    if 0 < reader.size <= _SMALL:
        check()
        try:
            yield Piece(0, reader.size, reader.read_at(0, reader.size))
            return
        except Cancelled:
            raise
        except RecoveryError:
            pass  # piece by piece, then
    failures = [0]
    for start, end, hole in _parts(tree, node, stream, reader.size):
        if hole:
            yield Piece(start, end - start, None)
            continue
        for at in range(start, end, CHUNK):
            check()
            yield from _read(reader, at, min(at + CHUNK, end), damage, failures)


def _parts(tree: FileTree, node: Node, stream: str, size: int) -> Iterator[tuple[int, int, bool]]:
    """(start, end, is a hole) from the runs; one part of data where they say nothing or contradict themselves."""
    if size <= _SMALL:
        if size:
            yield 0, size, False
        return
    at = 0
    held: int | None = None  # start of data that was not handed out yet
    try:
        for run in tree.runs(node, stream):
            end = min(run.logical + run.length, size)
            if run.logical != at or end <= at:
                break
            hole = run.kind in (RunKind.HOLE, RunKind.UNWRITTEN)
            if hole and held is not None:
                yield held, at, False
            if hole:
                yield at, end, True
                held = None
            elif held is None:
                held = at
            at = end
            if at >= size:
                break
    except Cancelled:
        raise
    except RecoveryError:
        pass  # reading will meet the same damage, and tell where
    start = at if held is None else held
    if start < size:
        yield start, size, False


def _read(reader: NodeReader, start: int, end: int, damage: Damage, failures: list[int]) -> Iterator[Piece]:
    """[start, end), halved around what cannot be read."""
    try:
        yield Piece(start, end - start, reader.read_at(start, end - start))
        return
    except Cancelled:
        raise
    except RecoveryError as error:
        failures[0] += 1
        if end - start <= GRAIN or failures[0] > _NARROWED:
            damage.add(start, end, error)
            yield Piece(start, end - start, None)
            return
    middle = start + max(GRAIN, (end - start) // 2 // GRAIN * GRAIN)
    yield from _read(reader, start, middle, damage, failures)
    yield from _read(reader, middle, end, damage, failures)
