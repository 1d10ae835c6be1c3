"""Large folders: something to see at once, sorted at any time, and bounded."""

from __future__ import annotations

import tracemalloc
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from formats.base.errors import Cancelled, PathNotFound
from fs.tree import Node, NodeKind, Times
from recovery.engine import folderlist
from recovery.engine.folderlist import by_name, growing


class Crowd:
    """A root with `count` entries, every seventh a folder, in no order. `read`: how many were asked for."""

    def __init__(self, count: int) -> None:
        self.root = Node("", 1, NodeKind.DIRECTORY, 0)
        self.identity = SimpleNamespace(kind="ext4")
        self.problems: list[object] = []
        self.count, self.read = count, 0

    def children(self, directory: Node) -> Iterator[Node]:
        for n in range(self.count):
            self.read += 1
            place = n * 7919 % self.count
            kind = NodeKind.DIRECTORY if place % 7 == 0 else NodeKind.FILE
            yield Node(f"Name {place:07}" if n % 2 else f"name {place:07}", n + 2, kind, n, Times(modified=n))

    def child(self, directory: Node, name: str) -> Node | None:
        return Node(name, 5, NodeKind.FILE, 0) if name == "file" else None


def test_the_first_page_comes_before_the_folder_was_read_and_all_are_sorted() -> None:
    crowd = Crowd(50_000)
    lists = growing(crowd, "/")  # type: ignore[arg-type]
    first = next(lists)
    assert crowd.read < 400 and len(first.rows) == first.total == crowd.read and not first.complete
    rest = list(lists)
    for folder in (first, *rest):
        assert list(folder.rows) == sorted(folder.rows, key=by_name)
    assert len(rest) < 15 and [f.complete for f in rest] == [False] * (len(rest) - 1) + [True]
    last = rest[-1]
    assert len(last.rows) == last.total == 50_000 and len({row.name.casefold() for row in last.rows}) == 50_000
    folders = [row.is_folder for row in last.rows]
    assert folders == sorted(folders, reverse=True) and sum(folders) == -(-50_000 // 7)


def test_a_folder_beyond_the_bound_costs_what_the_bound_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folderlist, "MOST", 5_000)
    tracemalloc.start()
    try:
        (last,) = deque(growing(Crowd(150_000), "/"), maxlen=1)  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert last.complete and last.total == 150_000 and len(last.rows) == 5_000
    assert peak < 4 << 20


def test_it_is_stopped_at_once_and_files_are_no_folders() -> None:
    crowd = Crowd(100_000)

    def check() -> None:
        if crowd.read > 1000:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(growing(crowd, "/", check))  # type: ignore[arg-type]
    assert crowd.read < 1100
    with pytest.raises(PathNotFound):
        next(growing(Crowd(1), "/file"))  # type: ignore[arg-type]
