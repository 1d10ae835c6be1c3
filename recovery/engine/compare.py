"""Which files differ between two volumes. Equal content is said only when it was proven: by equal digests of the

very same archive blocks in the very same places, or by comparing all bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from formats.archive.reader import ArchiveReader
from formats.base.errors import Cancelled, RecoveryError
from formats.base.units import MiB
from fs.tree import FileTree, Node, NodeKind, Run, RunKind
from fs.walk import in_path
from recovery.engine.browse import OpenVolume
from recovery.engine.listing import is_internal
from recovery.engine.treewalk import MAX_DEPTH

_ENTRIES = 2_000_000  # of one directory that are matched by name, about 1 GB in the worst case
_RUNS = 100_000  # of one file that are compared by their blocks; past it, its bytes are


class Change(StrEnum):
    """METADATA: same content, other times, modes, owners, attributes or link. UNKNOWN: it could not be compared."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    METADATA = "metadata"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Difference:
    path: str
    change: Change
    text: str = ""


@dataclass(slots=True)
class Counts:
    """`by_blocks`: files proven equal by the digests of their blocks; `by_reading`: by comparing their bytes.

    `left_out`: files whose content an archive leaves out on purpose; they are not compared.
    """

    same: int = 0
    by_blocks: int = 0
    by_reading: int = 0
    differences: int = 0
    unknown: int = 0
    left_out: int = 0

    def add(self, other: Counts) -> None:
        self.same += other.same
        self.by_blocks += other.by_blocks
        self.by_reading += other.by_reading
        self.differences += other.differences
        self.unknown += other.unknown
        self.left_out += other.left_out


def _nothing() -> None:
    """Nobody wants to stop."""


class Comparison:
    """Iterate over it for the differences; `counts` grows while it runs."""

    def __init__(
        self,
        old: OpenVolume,
        new: OpenVolume,
        *,
        check: Callable[[], None] = _nothing,
        advance: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._old, self._new = old.tree, new.tree
        self._blocks = _blocks(old, new)
        self._check, self._advance = check, advance
        self._left_out = old.place.left_out(old.info) | new.place.left_out(new.info)
        self._fold = not (old.tree.identity.kind.startswith("ext") and new.tree.identity.kind.startswith("ext"))
        self.counts = Counts()

    def __iter__(self) -> Iterator[Difference]:
        for found in self._directories(self._old.root, self._new.root):
            self.counts.differences += 1
            self.counts.unknown += found.change is Change.UNKNOWN
            yield found

    def _directories(self, old: Node, new: Node) -> Iterator[Difference]:
        """Both trees in step; only directories that both have are opened, the rest is told as one line each."""
        stack = [("", old, new, frozenset({(old.number, new.number)}))]
        while stack:
            path, left, right, above = stack.pop()
            self._check()
            ours, fault = self._entries(self._old, path, left)
            theirs, other_fault = self._entries(self._new, path, right)
            if fault or other_fault:
                yield Difference(path or "/", Change.UNKNOWN, fault or other_fault)
            for name, node in ours.items():
                here = f"{path}/{in_path(node.name)}"
                match = theirs.pop(name, None)
                if match is None:
                    if not other_fault:
                        yield Difference(here, Change.REMOVED, _kind(node))
                    continue
                if node.kind is not match.kind:
                    yield Difference(here, Change.CHANGED, f"{node.kind.value}, now {match.kind.value}")
                    continue
                yield from self._node(here, node, match)
                pair = (node.number, match.number)
                if node.kind is not NodeKind.DIRECTORY:
                    continue
                if pair in above or len(above) > MAX_DEPTH:
                    yield Difference(here, Change.UNKNOWN, "a loop, or too deep: not compared")
                else:
                    stack.append((here, node, match, above | {pair}))
            for node in theirs.values() if not fault else ():
                yield Difference(f"{path}/{in_path(node.name)}", Change.ADDED, _kind(node))

    def _entries(self, tree: FileTree, path: str, directory: Node) -> tuple[dict[str, Node], str]:
        """By name, as the file systems compare names; and why there may be more of them."""
        found: dict[str, Node] = {}
        try:
            for node in tree.children(directory):
                if is_internal(tree, f"{path}/{node.name}", node):
                    continue
                if len(found) >= _ENTRIES:
                    return found, f"more than {_ENTRIES} entries"
                found[node.name.casefold() if self._fold else node.name] = node
        except Cancelled:
            raise
        except RecoveryError as error:
            return found, f"the directory cannot be read: {error}"
        return found, ""

    def _node(self, path: str, old: Node, new: Node) -> Iterator[Difference]:
        self._check()
        if self._left_out and path.casefold() in self._left_out:
            self.counts.left_out += 1
            return
        try:
            if old.kind is NodeKind.FILE:
                different = self._content(old, new, "")
                if different:
                    yield Difference(path, Change.CHANGED, different)
                    return
            elif old.kind is NodeKind.SYMLINK and self._old.link_target(old) != self._new.link_target(new):
                yield Difference(path, Change.CHANGED, "the link leads elsewhere")
                return
            elif old.device != new.device:
                yield Difference(path, Change.CHANGED, "another device")
                return
            different = self._streams(old, new)
            if different:
                yield Difference(path, Change.CHANGED, different)
                return
            other = _metadata(old, new)
            if self._old.xattrs(old) != self._new.xattrs(new):
                other.append("attributes")
        except Cancelled:
            raise
        except RecoveryError as error:
            yield Difference(path, Change.UNKNOWN, f"it cannot be compared: {error}")
            return
        if other:
            yield Difference(path, Change.METADATA, ", ".join(other))
        else:
            self.counts.same += 1

    def _streams(self, old: Node, new: Node) -> str:
        if old.kind not in (NodeKind.FILE, NodeKind.DIRECTORY):
            return ""
        ours = {s.name for s in self._old.streams(old)}
        theirs = {s.name for s in self._new.streams(new)}
        if ours != theirs:
            return f"named streams: {', '.join(sorted(ours ^ theirs))}"
        for name in sorted(ours):
            if self._content(old, new, name):
                return f"named stream {name}"
        return ""

    def _content(self, old: Node, new: Node, stream: str) -> str:
        """How the contents differ, '' when they are proven equal."""
        if not stream and old.size != new.size:
            return f"{old.size} bytes, now {new.size}"
        if not stream and old.size == 0:
            return ""
        if self._blocks is not None and self._same_blocks(old, new, stream):
            self.counts.by_blocks += 1
            return ""
        ours, theirs = self._old.open(old, stream), self._new.open(new, stream)
        if ours.size != theirs.size:
            return f"{ours.size} bytes, now {theirs.size}"
        for at in range(0, ours.size, MiB):
            self._check()
            length = min(MiB, ours.size - at)
            if ours.read_at(at, length) != theirs.read_at(at, length):
                return f"the content, from byte {at} on or behind it"
            self._advance(length)
        self.counts.by_reading += 1
        return ""

    def _same_blocks(self, old: Node, new: Node, stream: str) -> bool:
        """Same runs, and each block that they touch has the same digest in both archives."""
        ours, theirs = self._old.runs(old, stream), self._new.runs(new, stream)
        reached = 0
        for _ in range(_RUNS):
            left, right = next(ours, None), next(theirs, None)
            if left != right:
                return False
            if left is None:
                return reached >= old.size if not stream else reached > 0
            if not self._same_run(left):
                return False
            reached = left.logical + left.length
        return False

    def _same_run(self, run: Run) -> bool:
        if run.kind in (RunKind.HOLE, RunKind.UNWRITTEN):
            return True
        if run.physical is None or self._blocks is None:
            return False
        return self._blocks.same(run.physical, run.physical + (run.physical_length or run.length))


class _Blocks:
    """The blocks of a volume in two archives of one block size."""

    def __init__(self, old: ArchiveReader, old_volume: int, new: ArchiveReader, new_volume: int) -> None:
        self._old, self._old_volume, self._new, self._new_volume = old, old_volume, new, new_volume
        self._maps = old.map(old_volume), new.map(new_volume)
        self._bad = old.unreadable(old_volume), new.unreadable(new_volume)

    def same(self, start: int, end: int) -> bool:
        """True when both archives hold [start, end) and all its blocks have the same digest."""
        if not all(m.covers(start, end) for m in self._maps) or any(b.touches(start, end) for b in self._bad):
            return False
        step = self._old.block_size
        for block in range(start // step, -(-end // step)):
            ours, theirs = self._old.find(self._old_volume, block), self._new.find(self._new_volume, block)
            if ours.lost or theirs.lost or (ours.where is None) != (theirs.where is None):
                return False
            if ours.where is not None and theirs.where is not None and ours.where.digest != theirs.where.digest:
                return False
        return True


def _blocks(old: OpenVolume, new: OpenVolume) -> _Blocks | None:
    """None unless both are volumes of archives with equal block size and file systems."""
    a, b = old.place.reader, new.place.reader
    if a is None or b is None or old.info.index is None or new.info.index is None:
        return None
    if a.block_size != b.block_size or old.tree.identity.kind != new.tree.identity.kind:
        return None
    return _Blocks(a, old.info.index, b, new.info.index)


def _kind(node: Node) -> str:
    return node.kind.value if node.kind is not NodeKind.FILE else f"{node.size} bytes"


def _metadata(old: Node, new: Node) -> list[str]:
    """What differs besides the content. The time of the last access is nobody's change."""
    found = []
    if old.times.modified != new.times.modified:
        found.append("time of change")
    if old.times.created != new.times.created:
        found.append("time of creation")
    if old.mode != new.mode:
        found.append("mode")
    if (old.uid, old.gid) != (new.uid, new.gid):
        found.append("owner")
    if old.attributes != new.attributes:
        found.append("attribute flags")
    return found
