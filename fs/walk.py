"""Going through a file tree of any file system: finding a path, walking, reading to the end.

Paths are written with '/', from the root of the volume. A name that could be mistaken for something else in a path
(one with '/' or NUL in it, '.', '..', an empty one; all of them damage or malice) stands there escaped, see in_path().
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from formats.base.errors import Cancelled, DeviceError, FormatError, PathNotFound, RecoveryError
from formats.base.problem import Severity
from formats.base.units import MiB
from fs.findings import Log
from fs.tree import FileTree, Node, NodeKind, NodeReader

MAX_DEPTH = 4096
MAX_PATH = 65_535  # characters; twice what Windows can have
MAX_REMEMBERED = 1_000_000  # directories that are remembered, some 70 MB; the rest is guarded by its chain only
MAX_DIRECTORIES = 50_000_000
MAX_ENTRIES = 2_000_000_000
LEAST_READ = 512  # bytes; how near to damage read_through() goes


def in_path(name: str) -> str:
    """`name` as one component of a path: as it is, unless it would be read as something else."""
    if name in ("", ".", ".."):
        return "\\x" + "2e" * len(name)
    if "/" in name or "\0" in name:
        return name.replace("/", "\\x2f").replace("\0", "\\x00")
    return name


def shown(text: str) -> str:
    """A name or path for a message: without control characters and without what is no text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def resolve(tree: FileTree, path: str) -> Node:
    """The node at `path`; '' and '/' are the root. Symbolic links on the way are not followed.

    '..' goes back along the path as it is written. Raises PathNotFound, and what reading directories raises.
    """
    way: list[Node] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            del way[-1:]
            continue
        here = way[-1] if way else tree.root
        if here.kind is NodeKind.SYMLINK:
            target = shown(tree.link_target(here))
            raise PathNotFound(shown(path), f"{shown(here.name)} is a link to {target}", "Give the path it leads to.")
        if here.kind is not NodeKind.DIRECTORY:
            raise PathNotFound(shown(path), f"{shown(here.name)} is no directory ({here.kind.value})")
        found = tree.child(here, part)
        if found is None and "\\x" in part:
            found = next((node for node in tree.children(here) if in_path(node.name) == part), None)
        if found is None:
            raise PathNotFound(shown(path), f"there is no {shown(part)} in {shown(here.name) or 'the root directory'}")
        way.append(found)
    return way[-1] if way else tree.root


@dataclass(slots=True)
class _Level:
    """A directory that is being listed."""

    node: Node
    entries: Iterator[Node]


class _Guard:
    """Which directories were met: no loop is followed, and none twice."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._chain: set[int] = set()
        self._seen: set[int] = set()
        self.directories = 0

    def enter(self, node: Node, path: str) -> bool:
        if node.number in self._chain:
            text = f"directory {shown(path)} leads back to a directory above it; it was not followed"
            self._log.add(Severity.ERROR, "walk.loop", text)
            return False
        if node.number in self._seen:
            text = f"directory {shown(path)} has the content of one that was listed before; it was not followed"
            self._log.add(Severity.ERROR, "walk.directory_twice", text)
            return False
        if len(self._seen) < MAX_REMEMBERED:
            self._seen.add(node.number)
        self._chain.add(node.number)
        self.directories += 1
        return True

    def leave(self, node: Node) -> None:
        self._chain.discard(node.number)


def walk(
    tree: FileTree, start: Node, *, path: str = "/", max_depth: int = MAX_DEPTH, log: Log | None = None
) -> Iterator[tuple[str, Node]]:
    """All nodes below the directory `start`, each with its path, a directory before what it holds; disk order.

    `path`: where `start` lies. `log` takes the problems: directories that cannot be read (the walk goes on), loops,
    directories that are reached twice, and limits: `max_depth` levels, MAX_PATH, MAX_DIRECTORIES, MAX_ENTRIES.
    No link is followed. Ends for every input, and memory does not grow with the number of files.
    """
    log = Log() if log is None else log
    if start.kind is not NodeKind.DIRECTORY:
        return
    guard = _Guard(log)
    names = [path.rstrip("/")]
    prefix = names[0] + "/"
    guard.enter(start, path)
    levels = [_Level(start, _entries(tree, start))]
    entries = 0
    while levels:
        level = levels[-1]
        node = _next(level, prefix, log)
        if node is None:
            guard.leave(level.node)
            levels.pop()
            names.pop()
            prefix = "/".join(names) + "/"
            continue
        name = in_path(node.name)
        here = prefix + name
        yield here, node
        entries += 1
        if entries >= MAX_ENTRIES or guard.directories >= MAX_DIRECTORIES:
            text = f"more than {entries} entries; the walk ends at {shown(here)}"
            log.add(Severity.ERROR, "walk.limit", text)
            return
        if node.kind is not NodeKind.DIRECTORY:
            continue
        if len(levels) >= max_depth or len(here) > MAX_PATH:
            text = f"directory {shown(here[-1000:])} lies too deep ({len(levels)} levels); it was not listed"
            log.add(Severity.ERROR, "walk.too_deep", text)
        elif guard.enter(node, here):
            names.append(name)
            prefix = here + "/"
            levels.append(_Level(node, _entries(tree, node)))


def _entries(tree: FileTree, directory: Node) -> Iterator[Node]:
    """A generator, so that errors come when the first entry is asked for, whatever the tree does."""
    yield from tree.children(directory)


def _next(level: _Level, prefix: str, log: Log) -> Node | None:
    """The next entry of a directory; None at its end, or where it cannot be read any more."""
    try:
        return next(level.entries, None)
    except Cancelled:
        raise
    except RecoveryError as error:
        text = f"directory {shown(prefix)} cannot be read: {error}"
        log.add(Severity.ERROR, "walk.directory_unreadable", text, getattr(error, "offset", None))
        return None


def read_through(reader: NodeReader, chunk: int = MiB) -> Iterator[bytes]:
    """The content from its start to its end in pieces of up to `chunk` bytes.

    Where it cannot be read, what lies before that place is yielded first, down to LEAST_READ bytes; then the error
    leaves (what NodeReader.read_at() raises).
    """
    offset, size = 0, reader.size
    while offset < size:
        length = min(chunk, size - offset)
        try:
            data = reader.read_at(offset, length)
        except (DeviceError, FormatError):
            end = offset + length
            step = LEAST_READ << max(0, (length - 1) // LEAST_READ).bit_length()
            while (step := step // 2) >= LEAST_READ:
                if offset + step <= end:
                    try:
                        data = reader.read_at(offset, step)
                    except (DeviceError, FormatError):
                        continue
                    yield data
                    offset += step
            # Again, for the error of the very place; or it was a passing one.
            data = reader.read_at(offset, min(LEAST_READ, end - offset))
        yield data
        offset += len(data)


def digest(reader: NodeReader, algorithm: str = "sha256") -> str:
    """The digest of the whole content in hexadecimal, by an algorithm of hashlib. Raises as read_through()."""
    state = hashlib.new(algorithm)
    for data in read_through(reader):
        state.update(data)
    return state.hexdigest()
