"""Whose is this block? From bytes of a volume to the files and structures that lie there.

The tree is walked once, and only what is hit is kept: memory depends on the ranges and the limits below, not on the
number of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from formats.archive.reader import ArchiveReader
from formats.base.errors import Cancelled, DeviceError, RecoveryError
from formats.base.extent import ExtentList
from formats.base.problem import Problem
from formats.base.source import BlockSource
from fs.api import FileSystem
from fs.findings import Log
from fs.registry import identify_volume
from fs.tree import FileTree, Node, NodeKind
from fs.trees import open_tree
from fs.walk import shown, walk

FILES_NAMED = 1000
_PIECES = 200_000  # of the ranges that are known to belong to files; past it, structures may be named once too often
_EVERY = 256


@dataclass(frozen=True, slots=True)
class Hit:
    """A file that lies (partly) in the ranges. `bytes` of its stored content; `first`: the first in the file."""

    path: str
    bytes: int
    first: int

    def to_text(self) -> str:
        return f"{shown(self.path)}: {self.bytes} bytes, the first at byte {self.first} of it"


@dataclass(slots=True)
class Owners:
    """`files`: the first thousand of `file_count`. `structures`: of the file system, by the parser's names.

    `unowned`: bytes of the ranges that belong to no file (structures, and what a damaged tree does not show).
    `problems`: what the walk met; files behind that may be missing here.
    """

    files: list[Hit] = field(default_factory=list)
    file_count: int = 0
    structures: list[str] = field(default_factory=list)
    structure_count: int = 0
    unowned: int = 0
    problems: list[Problem] = field(default_factory=list)

    def to_names(self) -> tuple[str, ...]:
        """For a report: files first."""
        names = [hit.to_text() for hit in self.files]
        if self.file_count > len(self.files):
            names.append(f"and {self.file_count - len(self.files)} more files")
        names += self.structures
        if self.structure_count > len(self.structures):
            names.append(f"and {self.structure_count - len(self.structures)} more structures of the file system")
        if not names and self.unowned:
            names.append(f"no file that can be found; {self.unowned} bytes of structures or free space")
        elif self.problems:
            names.append(
                f"and perhaps more: the walk met {len(self.problems)} problems ({shown(self.problems[0].text)})"
            )
        return tuple(names)


def _nothing() -> None:
    """Nobody wants to stop."""


def owners(
    tree: FileTree,
    ranges: ExtentList,
    *,
    file_system: FileSystem | None = None,
    check: Callable[[], None] = _nothing,
) -> Owners:
    """Who has content in `ranges` (bytes of the volume). `file_system` names the structures in what is left.

    Damage on the way becomes a Problem; only Cancelled leaves.
    """
    found = Owners()
    covered: list[tuple[int, int]] = []
    log = Log()
    root = tree.root
    for count, (path, node) in enumerate(_all(tree, root, log)):
        if count % _EVERY == 0:
            check()
        for name, stream in _streams(tree, path, node):
            _look(tree, node, name, stream, ranges, found, covered)
    left = ranges.subtract(ExtentList(covered))
    found.unowned = left.total
    if file_system is not None and len(left):
        _structures(file_system, left, found, check)
    found.problems = [*log.problems(), *tree.problems]
    return found


def _all(tree: FileTree, root: Node, log: Log) -> Iterator[tuple[str, Node]]:
    yield "/", root
    yield from walk(tree, root, log=log)


def _streams(tree: FileTree, path: str, node: Node) -> Iterator[tuple[str, str]]:
    yield path, ""
    if node.kind in (NodeKind.FILE, NodeKind.DIRECTORY):
        try:
            for stream in tree.streams(node):
                yield f"{path}:{stream.name}", stream.name
        except Cancelled:
            raise
        except RecoveryError:
            return  # the tree noted it, or reading the file will


def _look(
    tree: FileTree,
    node: Node,
    name: str,
    stream: str,
    ranges: ExtentList,
    found: Owners,
    covered: list[tuple[int, int]],
) -> None:
    size, first = 0, -1
    try:
        for run in tree.runs(node, stream):
            if run.physical is None:
                continue
            stored = run.physical_length or run.length
            for start, end in ranges.overlapping(run.physical, run.physical + stored):
                if first < 0:
                    first = run.logical + min(start - run.physical, run.length)
                size += end - start
                if len(covered) < _PIECES:
                    covered.append((start, end))
    except Cancelled:
        raise
    except RecoveryError:
        pass  # what was seen of it counts; the rest cannot be told
    if size:
        found.file_count += 1
        if len(found.files) < FILES_NAMED:
            found.files.append(Hit(name, size, first))


def _structures(file_system: FileSystem, left: ExtentList, found: Owners, check: Callable[[], None]) -> None:
    seen: set[str] = set()
    try:
        for count, reference in enumerate(file_system.references()):
            if count % _EVERY == 0:
                check()
            if left.touches(*reference.extent):
                if reference.owner in seen:
                    continue
                found.structure_count += 1
                if len(seen) < FILES_NAMED:
                    seen.add(reference.owner)
                    found.structures.append(reference.owner)
    except Cancelled:
        raise
    except RecoveryError:
        return


class WithoutBad:
    """A source whose bad places are known: they are not tried again, which on a dying disk costs it its life."""

    def __init__(self, source: BlockSource, bad: ExtentList) -> None:
        self._source, self._bad = source, bad
        self.name, self.size, self.sector_size = source.name, source.size, source.sector_size

    def read_at(self, offset: int, length: int) -> bytes:
        if length and self._bad.touches(offset, offset + length):
            where = next(self._bad.overlapping(offset, offset + length))
            raise DeviceError(self.name, "read", where.start, where.length, 5)
        return self._source.read_at(offset, length)

    def extents_known(self) -> ExtentList | None:
        return self._source.extents_known()


def hit_names(source: BlockSource, ranges: ExtentList, check: Callable[[], None] = _nothing) -> tuple[str, ...]:
    """For a report: the files and structures of the volume `source` in `ranges`, in words; whatever is wrong with it.

    Only Cancelled leaves.
    """
    if not len(ranges):
        return ()
    try:
        tree = open_tree(source)
        content = identify_volume(source)
        return owners(tree, ranges, file_system=content.filesystem, check=check).to_names()
    except Cancelled:
        raise
    except RecoveryError as error:
        return (f"which files are hit cannot be told: {error}",)


def lost_in_archive(reader: ArchiveReader, volume: int, lost: ExtentList, check: Callable[[], None]) -> tuple[str, ...]:
    """hit_names() for a volume of an archive: `lost` and what was unreadable already are not read."""
    bad = lost.union(reader.unreadable(volume))
    return hit_names(WithoutBad(reader.volume(volume), bad), bad, check)
