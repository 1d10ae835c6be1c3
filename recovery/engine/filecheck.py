"""The proof of files: every one is read to its end, and the tree is looked at for what cannot be."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from formats.base.errors import Cancelled, RecoveryError
from formats.base.extent import ExtentList
from formats.base.problem import Severity
from fs.findings import Log
from fs.tree import FileTree, Node, NodeKind
from fs.walk import shown, walk
from recovery.engine.content import Damage, pieces
from recovery.engine.listing import is_internal
from recovery.engine.owners import owners
from recovery.engine.treewalk import NumberSet

NAMED = 100  # faults of one kind that are kept with their text
CLAIMS = 500_000  # runs that are sorted at once, some 30 MB; a larger tree is walked again for each further lot
_EVERY = 256


@dataclass(slots=True)
class FileCheck:
    """`faults`: the first of `fault_count` sentences, each with a path. `notes`: files that cannot be read by design

    (in the cloud, encrypted), the first of `note_count`. `on_fault` is told those of `faults` as they come.
    """

    files: int = 0
    bytes: int = 0
    on_fault: Callable[[str], None] | None = None
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    notes: list[str] = field(default_factory=list)
    note_count: int = 0

    def fault(self, path: str, text: str) -> None:
        self.fault_count += 1
        if len(self.faults) < NAMED:
            self.faults.append(f"{shown(path)}: {text}" if path else text)
            if self.on_fault is not None:
                self.on_fault(self.faults[-1])

    def note(self, path: str, text: str) -> None:
        self.note_count += 1
        if len(self.notes) < NAMED:
            self.notes.append(f"{shown(path)}: {text}")

    def to_text(self) -> str:
        """One sentence."""
        read = f"{self.files} files read to their end ({self.bytes} bytes)"
        if self.note_count:
            read += f", {self.note_count} whose content is not here"
        return f"{read}, {self.fault_count} faults found." if self.fault_count else f"{read}, no fault found."


def _nothing() -> None:
    """Nobody wants to stop."""


def check_files(
    tree: FileTree,
    *,
    left_out: ExtentList | None = None,
    check: Callable[[], None] = _nothing,
    advance: Callable[[int], None] = lambda count: None,
    result: FileCheck | None = None,
) -> FileCheck:
    """Read every file and stream of `tree`. `left_out`: bytes of the volume that were left out on purpose.

    `result`: what to fill and return, for who wants to see it grow.

    Finds: content that cannot be read, directories that contain themselves or hang in two places, and two files that
    claim the same bytes. Damage never leaves as an error, only Cancelled does.
    """
    log, seen = Log(), NumberSet()
    result = FileCheck() if result is None else result
    for path, node in walk(tree, tree.root, log=log):
        check()
        if is_internal(tree, path, node):
            continue  # they are what the proof of the metadata has walked
        if node.kind is NodeKind.OTHER or node.note:
            result.note(path, node.note or "its kind is unknown")
        elif node.kind is NodeKind.SYMLINK:
            _link(tree, path, node, result)
        elif node.kind in (NodeKind.FILE, NodeKind.DIRECTORY) and (node.links < 2 or seen.add(node.number)):
            for name, stream in _contents(tree, path, node, result):
                _read(tree, name, node, stream, left_out, result, check, advance)
    _cross_links(tree, result, check)
    for problem in dict.fromkeys([*log.problems(), *tree.problems]):
        if problem.severity is Severity.ERROR:
            result.fault("", problem.text)
    return result


def _link(tree: FileTree, path: str, node: Node, result: FileCheck) -> None:
    try:
        tree.link_target(node)
    except Cancelled:
        raise
    except RecoveryError as error:
        result.fault(path, f"where the link leads cannot be read: {error}")


def _contents(tree: FileTree, path: str, node: Node, result: FileCheck) -> Iterator[tuple[str, str]]:
    """(path to show, name) of the streams of a node; '' is the content itself, which directories have not."""
    if node.kind is NodeKind.FILE:
        yield path, ""
    try:
        named = tree.streams(node)
    except Cancelled:
        raise
    except RecoveryError as error:
        result.fault(path, f"its named streams cannot be read: {error}")
        return
    for stream in named:
        yield f"{path}:{stream.name}", stream.name


def _read(
    tree: FileTree,
    path: str,
    node: Node,
    stream: str,
    left_out: ExtentList | None,
    result: FileCheck,
    check: Callable[[], None],
    advance: Callable[[int], None],
) -> None:
    if left_out is not None and len(left_out) and _lies_in(tree, node, stream, left_out):
        result.note(path, "its content was left out of the archive on purpose")
        return
    damage = Damage()
    try:
        for piece in pieces(tree, node, damage, stream, check):
            if piece.data is not None:
                result.bytes += piece.length
                advance(piece.length)
    except Cancelled:
        raise
    except RecoveryError as error:
        result.fault(path, str(error))
        return
    result.files += 1
    if damage:
        result.fault(path, damage.to_text())


def _lies_in(tree: FileTree, node: Node, stream: str, ranges: ExtentList) -> bool:
    return any(ranges.touches(start, end) for start, end in _stored(tree, node, stream))


def _stored(tree: FileTree, node: Node, stream: str) -> Iterator[tuple[int, int]]:
    """Bytes of the volume that hold the content; neighbours made one. Ends where the runs cannot be read."""
    start = end = -1
    try:
        for run in tree.runs(node, stream):
            if run.physical is None:
                continue
            stored = run.physical_length or run.length
            if run.physical == end:
                end += stored
                continue
            if end > start:
                yield start, end
            start, end = run.physical, run.physical + stored
    except Cancelled:
        raise
    except RecoveryError:
        pass  # reading the file has told it
    if end > start:
        yield start, end


# cross-links


def _cross_links(tree: FileTree, result: FileCheck, check: Callable[[], None]) -> None:
    shared = _shared(tree, check)
    if not shared:
        return
    for hit in owners(tree, ExtentList(shared), check=check).files:
        result.fault(hit.path, f"shares {hit.bytes} bytes of the volume with another file (cross-linked)")


def _shared(tree: FileTree, check: Callable[[], None]) -> list[tuple[int, int]]:
    """The first bytes of the volume that are claimed twice. In lots of ascending places, one walk each."""
    found: list[tuple[int, int]] = []
    low, reach = 0, 0
    while True:
        starts, ends, high = _claims(tree, low, check)
        for i in sorted(range(len(starts)), key=starts.__getitem__):
            if starts[i] < reach and len(found) < NAMED:
                found.append((starts[i], min(ends[i], reach)))
            reach = max(reach, ends[i])
        if high is None:
            return found
        low = high


def _claims(tree: FileTree, low: int, check: Callable[[], None]) -> tuple[array[int], array[int], int | None]:
    """The runs that begin at `low` or behind it, the lowest CLAIMS of them at most; and where the rest begins."""
    starts, ends = array("Q"), array("Q")
    high: int | None = None
    seen = NumberSet()
    for count, (path, node) in enumerate(walk(tree, tree.root, log=Log())):
        if count % _EVERY == 0:
            check()
        if node.kind not in (NodeKind.FILE, NodeKind.DIRECTORY) or (node.links > 1 and not seen.add(node.number)):
            continue
        if path.startswith("/$BadClus") and is_internal(tree, path, node):
            continue  # claims what is broken, whoever had it before
        for _, stream in _contents(tree, path, node, FileCheck()):
            for start, end in _stored(tree, node, stream):
                if start < low or (high is not None and start >= high):
                    continue
                starts.append(start)
                ends.append(end)
                if len(starts) > CLAIMS:
                    order = sorted(range(len(starts)), key=starts.__getitem__)
                    high = _middle(starts, order, low)
                    keep = [i for i in order if starts[i] < high]
                    starts, ends = array("Q", (starts[i] for i in keep)), array("Q", (ends[i] for i in keep))
    return starts, ends, high


def _middle(starts: array[int], order: list[int], low: int) -> int:
    """A place that halves the claims, and lies above `low`, so that every walk gets further."""
    middle = starts[order[len(order) // 2]]
    return middle if middle > low else low + 1
