"""Walking, resolving and reading any tree: a tree made of dicts, which can be as wrong as one likes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import cast

import pytest

from formats.base.errors import Corrupt, DeviceError, PathNotFound, RecoveryError
from fs.findings import Log
from fs.tree import FileTree, Node, NodeKind
from fs.walk import digest, in_path, read_through, resolve, shown, walk


class DictTree:
    """`folders`: number of a directory to its entries (name, number); numbers without one are files.

    `broken`: directories that raise after so many entries.
    """

    def __init__(self, folders: dict[int, list[tuple[str, int]]], broken: dict[int, int] | None = None) -> None:
        self.folders, self.broken = folders, broken or {}
        self.listed = 0

    def node(self, name: str, number: int) -> Node:
        kind = NodeKind.DIRECTORY if number in self.folders else NodeKind.FILE
        return Node(name, number, NodeKind.SYMLINK if number < 0 else kind, 0)

    @property
    def root(self) -> Node:
        return self.node("", 0)

    def children(self, directory: Node) -> Iterator[Node]:
        self.listed += 1
        for i, (name, number) in enumerate(self.folders[directory.number]):
            if i == self.broken.get(directory.number):
                raise Corrupt("directory", 4711, "torn")
            yield self.node(name, number)

    def child(self, directory: Node, name: str) -> Node | None:
        return next((n for n in self.children(directory) if n.name == name), None)

    def link_target(self, node: Node) -> str:
        return "else\x1bwhere"


def tree_of(folders: dict[int, list[tuple[str, int]]], broken: dict[int, int] | None = None) -> FileTree:
    return cast(FileTree, DictTree(folders, broken))


def paths(tree: FileTree, log: Log, **more: int) -> list[str]:
    return [path for path, _ in walk(tree, tree.root, log=log, **more)]  # type: ignore[arg-type]


def test_order_and_paths() -> None:
    tree = tree_of({0: [("b", 1), ("a", 2), ("c", 3)], 1: [("x", 10), ("y", 4)], 4: [("z", 11)], 3: []})
    log = Log()
    assert paths(tree, log) == ["/b", "/b/x", "/b/y", "/b/y/z", "/a", "/c"]
    assert log.problems() == []
    start = resolve(tree, "b/y")
    assert [p for p, _ in walk(tree, start, path="/b/y")] == ["/b/y/z"]
    assert list(walk(tree, resolve(tree, "a"))) == []


def test_broken_directories_are_named_and_passed() -> None:
    tree = tree_of({0: [("a", 1), ("b", 2), ("last", 9)], 1: [("x", 10), ("y", 11)], 2: [("z", 12)]}, {1: 1, 2: 0})
    log = Log()
    assert paths(tree, log) == ["/a", "/a/x", "/b", "/last"]
    assert [(p.code, p.offset) for p in log.problems()] == [("walk.directory_unreadable", 4711)] * 2
    assert "/a/" in log.problems()[0].text
    assert "/b/" in log.problems()[1].text


def test_loops_and_repeated_directories() -> None:
    tree = tree_of({0: [("a", 1), ("b", 2)], 1: [("up", 0), ("self", 1), ("f", 9)], 2: [("again", 1), ("f", 9)]})
    log = Log()
    assert paths(tree, log) == ["/a", "/a/up", "/a/self", "/a/f", "/b", "/b/again", "/b/f"]
    assert [p.code for p in log.problems()] == ["walk.loop", "walk.loop", "walk.directory_twice"]


def test_ways_do_not_multiply() -> None:
    """Forty levels with two ways down each: 2**40 paths, 41 directories."""
    folders = {i: [("l", i + 1), ("r", i + 1)] for i in range(40)} | {40: [("f", 99)]}
    tree = DictTree(folders)
    log = Log()
    assert len(paths(cast(FileTree, tree), log)) == 81
    assert tree.listed == 41
    assert len(log.problems()) == 40


def test_without_memory_the_walk_ends_by_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fs.walk.MAX_REMEMBERED", 5)
    monkeypatch.setattr("fs.walk.MAX_DIRECTORIES", 300)
    folders = {i: [("l", i + 1), ("r", i + 1)] for i in range(40)} | {40: [("f", 99)]}
    log = Log()
    assert len(paths(tree_of(folders), log)) < 1000
    assert log.problems()[-1].code == "walk.limit"
    monkeypatch.setattr("fs.walk.MAX_ENTRIES", 10)
    assert len(paths(tree_of(folders), Log())) == 10


def test_depth() -> None:
    folders = {i: [("d" * 200, i + 1)] for i in range(5000)} | {5000: []}
    log = Log()
    found = paths(tree_of(folders), log)
    assert len(found[-1]) > 65_000
    assert [p.code for p in log.problems()] == ["walk.too_deep"]
    short = {i: [("d", i + 1)] for i in range(5000)} | {5000: []}
    log = Log()
    assert len(paths(tree_of(short), log)) == 4096
    assert len(paths(tree_of(short), log, max_depth=1)) == 1
    assert [p.code for p in log.problems()] == ["walk.too_deep"] * 2
    assert len(log.problems()[0].text) < 1200


def test_resolve() -> None:
    tree = tree_of({0: [("a", 1), ("link", -1), ("f", 5)], 1: [("b", 2)], 2: [("c", 6)]})
    for path in ("", "/", "//", ".", "a/..", "../..", "/a/b/../../"):
        assert resolve(tree, path) == tree.root
    assert resolve(tree, "/a//b/./c").number == 6
    assert resolve(tree, "link").kind is NodeKind.SYMLINK
    for path, words in (
        ("a/none/c", "there is no none in a"), ("f/x", "f is no directory (file)"), ("none", "in the root directory"),
        ("link/x", "link is a link to else\\x1bwhere"), ("a/\x1b[2J", "no \\x1b[2J in a"),
    ):  # fmt: skip
        with pytest.raises(PathNotFound) as error:
            resolve(tree, path)
        assert words in str(error.value)
        assert error.value.path == shown(path)
        assert isinstance(error.value, RecoveryError)


def test_names_that_are_no_component() -> None:
    """Whatever the names, each node has a path of its own that leads back to it, and stays below its directory."""
    names = ["..", ".", "", "a/b", "/etc/passwd", "nul\0", "../../x", "a", "\\x2d", "con", "\ud800"]
    tree = tree_of({0: [("d", 1)], 1: [(name, 10 + i) for i, name in enumerate(names)]})
    found = dict(walk(tree, tree.root))
    assert len(found) == 1 + len(names)
    for path, node in found.items():
        assert resolve(tree, path) == node
        assert path.count("/") == (1 if node.number == 1 else 2)
        assert not {"..", ".", ""} & set(path.split("/")[1:])
        assert "\0" not in path
        assert shown(path).isprintable()
    assert in_path("plain.txt") == "plain.txt"


class Torn:
    """Bytes that cannot be read in [start, end)."""

    def __init__(self, data: bytes, start: int, end: int, error: RecoveryError) -> None:
        self.data, self.start, self.end, self.error = data, start, end, error
        self.reads = 0

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        assert 0 <= offset <= offset + length <= self.size
        if offset < self.end and self.start < offset + length:
            raise self.error
        return self.data[offset : offset + length]


def test_digest() -> None:
    data = random.Random(1).randbytes(3_000_000)
    reader = Torn(data, 0, 0, DeviceError("d", "read", 0, 1, 5))
    assert digest(reader) == hashlib.sha256(data).hexdigest()
    assert digest(reader, "md5") == hashlib.md5(data).hexdigest()
    assert reader.reads == 6
    assert digest(Torn(b"", 0, 0, reader.error)) == hashlib.sha256().hexdigest()


def test_reading_stops_at_the_damage() -> None:
    rng = random.Random(2)
    data = rng.randbytes(300_000)
    for _ in range(300):
        start = rng.randrange(len(data))
        end = rng.randrange(start + 1, len(data) + 1)
        error = rng.choice((DeviceError("d", "read", 0, 1, 5), Corrupt("chain", 7, "torn")))
        reader = Torn(data, start, end, error)
        read = b""
        with pytest.raises(type(error)):
            for piece in read_through(reader, rng.choice((512, 1000, 65536, 100_000, 1 << 20))):
                read += piece
        assert data.startswith(read)
        assert start - 512 < len(read) <= start
        assert reader.reads < 700
