"""Walking the files of a volume with an end for every input: loops, directories that hang in two places, depth.

Beside fs.walk, for what builds something on the way: it tells when a directory is left, can be told to skip one,
and hands every fault on with its path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from formats.base.errors import Cancelled, RecoveryError
from fs.tree import FileTree, Node, NodeKind
from fs.walk import in_path

MAX_DEPTH = 400  # every level may hold a directory open; the usual limit of a process is 1024 files
_PAGE = 1024
_MAX_PAGES = 1_000_000  # about 250 MB in the worst case; sound volumes need a few hundred


class NumberSet:
    """Node numbers, 1 bit each where they lie close together. Bounded: past the bound everything counts as new."""

    def __init__(self) -> None:
        self._pages: dict[int, int] = {}

    def add(self, number: int) -> bool:
        """True when it was not in the set yet."""
        page, bit = divmod(number, _PAGE)
        old = self._pages.get(page)
        if old is None:
            if len(self._pages) >= _MAX_PAGES:
                return True
            old = 0
        if old >> bit & 1:
            return False
        self._pages[page] = old | 1 << bit
        return True

    @property
    def full(self) -> bool:
        return len(self._pages) >= _MAX_PAGES


class Visit(NamedTuple):
    """`path`: from the root of the volume, with a leading '/'. `leaving`: a directory is done."""

    path: str
    node: Node
    leaving: bool = False


class Fault(NamedTuple):
    """`code`: tree.loop, tree.twice, tree.unreadable, tree.deep."""

    path: str
    code: str
    text: str


OnFault = Callable[[Fault], None]


def _nothing() -> None:
    """Nobody wants to stop."""


class Walk:
    """Iterate over it: each directory, its entries in the order of the disk, and the directory once more to leave it.

    Faults are told and passed over; only Cancelled (from `check`) leaves. A directory is entered once, whatever the
    number of places it hangs in.
    """

    def __init__(
        self,
        tree: FileTree,
        start: Node,
        path: str = "/",
        *,
        on_fault: OnFault,
        check: Callable[[], None] = _nothing,
        max_depth: int = MAX_DEPTH,
        seen: NumberSet | None = None,
    ) -> None:
        self._tree, self._start, self._path = tree, start, path
        self._on_fault, self._check, self._max_depth = on_fault, check, max_depth
        self._seen = seen or NumberSet()
        self._skip = False

    def skip(self) -> None:
        """Do not go into the directory that was visited last; it is not left either."""
        self._skip = True

    def __iter__(self) -> Iterator[Visit]:
        start = self._start
        yield Visit(self._path, start)
        if start.kind is not NodeKind.DIRECTORY or self._skipped():
            return
        self._seen.add(start.number)
        stack: list[tuple[str, Node, Iterator[Node]]] = [(self._path, start, self._children(self._path, start))]
        above = {start.number}
        while stack:
            path, directory, children = stack[-1]
            node = next(children, None)
            if node is None:
                stack.pop()
                above.discard(directory.number)
                yield Visit(path, directory, leaving=True)
                continue
            self._check()
            inside = f"{path.rstrip('/')}/{in_path(node.name)}"
            if node.kind is not NodeKind.DIRECTORY:
                yield Visit(inside, node)
                continue
            if not self._may_enter(inside, node, above, len(stack)):
                continue
            yield Visit(inside, node)
            if not self._skipped():
                above.add(node.number)
                stack.append((inside, node, self._children(inside, node)))

    def _skipped(self) -> bool:
        asked, self._skip = self._skip, False
        return asked

    def _may_enter(self, path: str, node: Node, above: set[int], depth: int) -> bool:
        if node.number in above:
            self._on_fault(Fault(path, "tree.loop", "the directory contains itself (a loop)"))
        elif not self._seen.add(node.number):
            self._on_fault(Fault(path, "tree.twice", "the directory hangs in a second place as well"))
        elif depth >= self._max_depth:
            self._on_fault(Fault(path, "tree.deep", f"directories more than {self._max_depth} levels deep"))
        else:
            return True
        return False

    def _children(self, path: str, directory: Node) -> Iterator[Node]:
        try:
            yield from self._tree.children(directory)
        except Cancelled:
            raise
        except RecoveryError as error:
            self._on_fault(Fault(path, "tree.unreadable", f"the directory cannot be read further: {error}"))
