"""A file tree in memory that can be as hostile as a test wants: names, loops, numbers, content that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from formats.base.errors import Corrupt, RecoveryError, Truncated, Unsupported
from formats.base.problem import Problem
from fs.api import Identity
from fs.tree import NO_TIMES, Node, NodeKind, Run, RunKind, StreamInfo, Times


@dataclass
class Fake:
    """What lies behind a node. `bad`: (start, end) of the content that cannot be read. `place`: physical, in bytes."""

    kind: NodeKind = NodeKind.FILE
    content: bytes = b""
    entries: list[tuple[str, Fake]] = field(default_factory=list)
    target: str = ""
    bad: tuple[tuple[int, int], ...] = ()
    streams: dict[str, bytes] = field(default_factory=dict)
    xattrs: dict[str, bytes] = field(default_factory=dict)
    runs: tuple[Run, ...] | None = None
    place: int | None = None
    error: RecoveryError | None = None  # of listing or opening it
    note: str = ""
    times: Times = NO_TIMES
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    links: int = 1
    attributes: int = 0
    device: tuple[int, int] | None = None
    number: int = 0

    def add(self, name: str, below: Fake) -> Fake:
        """Put `below` into this directory; the same one may be put into several."""
        self.entries.append((name, below))
        return below


def directory(**more: object) -> Fake:
    return Fake(NodeKind.DIRECTORY, **more)  # type: ignore[arg-type]


def link(target: str, **more: object) -> Fake:
    return Fake(NodeKind.SYMLINK, target=target, **more)  # type: ignore[arg-type]


class _Reader:
    def __init__(self, content: bytes, bad: Sequence[tuple[int, int]]) -> None:
        self._content, self._bad = content, bad

    @property
    def size(self) -> int:
        return len(self._content)

    def read_at(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > len(self._content):
            raise Truncated("fake file", offset, "read outside of it")
        for start, end in self._bad:
            if start < offset + length and offset < end:
                raise Corrupt("fake file", start, "cannot be read")
        return self._content[offset : offset + length]


class FakeTree:
    """A FileTree over a Fake directory. Numbers are given when a Fake has none of its own."""

    def __init__(self, root: Fake, kind: str = "ext4", *, ignore_case: bool = False) -> None:
        self._root, self._ignore_case = root, ignore_case
        self._next = 1000
        self.problems: list[Problem] = []
        self.identity = Identity(kind, "fake", "", 4096, 1 << 30)

    @property
    def root(self) -> Node:
        return self._node("", self._root)

    def _node(self, name: str, fake: Fake) -> Node:
        if not fake.number:
            self._next += 1
            fake.number = self._next
        size = len(fake.target.encode("utf-8", "surrogatepass")) if fake.target else len(fake.content)
        return Node(
            name, fake.number, fake.kind, size, fake.times, fake.links, fake.mode, fake.uid, fake.gid,
            fake.attributes, fake.device, fake.note, fake,
        )  # fmt: skip

    def children(self, directory: Node) -> Iterator[Node]:
        fake = _fake(directory)
        for name, below in fake.entries:
            yield self._node(name, below)
        if fake.error:
            raise fake.error

    def child(self, directory: Node, name: str) -> Node | None:
        for node in self.children(directory):
            if node.name == name or (self._ignore_case and node.name.lower() == name.lower()):
                return node
        return None

    def open(self, node: Node, stream: str = "") -> _Reader:
        fake = _fake(node)
        if fake.note:
            raise Unsupported(node.name, fake.note)
        if fake.error:
            raise fake.error
        if stream:
            if stream not in fake.streams:
                raise Corrupt(node.name, 0, "has no such stream")
            return _Reader(fake.streams[stream], ())
        return _Reader(fake.content, fake.bad)

    def streams(self, node: Node) -> Sequence[StreamInfo]:
        return [StreamInfo(name, len(data)) for name, data in _fake(node).streams.items()]

    def runs(self, node: Node, stream: str = "") -> Iterator[Run]:
        fake = _fake(node)
        if stream:
            return
        if fake.runs is not None:
            yield from fake.runs
        elif fake.place is not None and fake.content:
            yield Run(0, fake.place, len(fake.content), RunKind.DATA, len(fake.content))

    def link_target(self, node: Node) -> str:
        return _fake(node).target

    def xattrs(self, node: Node) -> dict[str, bytes]:
        return dict(_fake(node).xattrs)


def _fake(node: Node) -> Fake:
    assert isinstance(node.key, Fake)
    return node.key
