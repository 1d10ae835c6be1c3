"""The entries of one folder as a list that grows while it is read: sorted at any time, and bounded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from formats.base.errors import PathNotFound
from fs.tree import FileTree, NodeKind
from fs.walk import in_path, resolve, shown

FIRST = 200  # entries that are worth to be shown before the others
MOST = 200_000  # entries of one folder, about 60 MB; a search finds the others
_EVERY = 64  # entries between two looks at the clock and at the wish to stop
_PATIENCE = 0.1  # seconds until the first list is handed out, however short


class Row(NamedTuple):
    """What a list shows of an entry. `name`: one component of a path, see fs.walk.in_path().

    `size`: bytes. `modified`: nanoseconds since 1970 UTC. `note`: why its content cannot be read, '' when it can.
    """

    name: str
    kind: NodeKind
    size: int
    modified: int | None
    note: str = ""

    @property
    def is_folder(self) -> bool:
        return self.kind is NodeKind.DIRECTORY


class Folder(NamedTuple):
    """`rows`: sorted, at most MOST of `total` that were read. `complete`: there are no more.

    `problems`: damage that was met while it was read, in words.
    """

    rows: Sequence[Row]
    total: int
    complete: bool
    problems: tuple[str, ...] = ()


def by_name(row: Row) -> tuple[bool, str, str]:
    """Folders first, then by name without case."""
    return (row.kind is not NodeKind.DIRECTORY, row.name.casefold(), row.name)


def growing(tree: FileTree, path: str, check: Callable[[], None] = lambda: None) -> Iterator[Folder]:
    """The folder at `path` as it is read: soon some entries, then twice as many each time, and at last all of them.

    Every list is new and sorted. `check` may raise Cancelled. Raises PathNotFound, and what the tree raises.
    """
    node = resolve(tree, path)
    if node.kind is not NodeKind.DIRECTORY:
        raise PathNotFound(shown(path), f"it is no directory ({node.kind.value})")
    known = len(tree.problems)
    rows: list[Row] = []
    count, wanted, started = 0, FIRST, time.monotonic()
    for child in tree.children(node):
        count += 1
        if len(rows) < MOST:
            rows.append(Row(in_path(child.name), child.kind, child.size, child.times.modified, child.note))
        if count % _EVERY == 0:
            check()
            late = wanted == FIRST and time.monotonic() - started > _PATIENCE
            if late or count >= wanted:
                rows.sort(key=by_name)
                yield Folder(tuple(rows), count, False)
                wanted = max(FIRST, count) * 2
    rows.sort(key=by_name)
    yield Folder(tuple(rows), count, True, tuple(problem.text for problem in tree.problems[known:]))
