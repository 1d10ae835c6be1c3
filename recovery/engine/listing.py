"""Listing, finding and hashing files of a volume: generators of plain values, for any face."""

from __future__ import annotations

import fnmatch
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from formats.base.errors import Cancelled, RecoveryError
from formats.base.problem import Problem, Severity
from fs.findings import Log
from fs.tree import FileTree, Node, NodeKind, StreamInfo
from fs.walk import in_path, read_through, resolve, shown, walk

_NTFS_OWN = 24  # records below are reserved for NTFS itself (as ntfs-3g has it)
_EVERY = 256  # entries between two looks at the wish to stop


@dataclass(frozen=True, slots=True)
class Entry:
    """A name with what `ls` shows of it. `target`: where a link leads. `fault`: what could not be read of this."""

    path: str
    node: Node
    target: str = ""
    streams: tuple[StreamInfo, ...] = ()
    fault: str = ""

    def to_json(self) -> dict[str, Any]:
        node = self.node
        return {
            "type": "entry",
            "path": self.path,
            "name": node.name,
            "kind": node.kind.value,
            "size": node.size,
            "number": node.number,
            "links": node.links,
            "created": iso(node.times.created),
            "modified": iso(node.times.modified),
            "changed": iso(node.times.changed),
            "accessed": iso(node.times.accessed),
            "mode": node.mode,
            "uid": node.uid,
            "gid": node.gid,
            "attributes": node.attributes,
            "device": list(node.device) if node.device else None,
            "target": self.target,
            "streams": [{"name": s.name, "size": s.size} for s in self.streams],
            "note": node.note,
            "fault": self.fault,
        }


def iso(nanoseconds: int | None) -> str | None:
    """UTC with all nine digits; None where there is no time, or none that a calendar has."""
    if nanoseconds is None:
        return None
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
    except (ValueError, OverflowError, OSError):
        return None


def is_internal(tree: FileTree, path: str, node: Node) -> bool:
    """True for the files in which NTFS keeps itself ($MFT, $Bitmap, $Extend/…): they are nobody's documents."""
    if not path.startswith("/$") or tree.identity.kind != "ntfs":
        return False
    return path.startswith("/$Extend/") or (node.number < _NTFS_OWN and "/" not in path[1:])


def entry_of(tree: FileTree, path: str, node: Node, *, all_streams: bool = False) -> Entry:
    """A node with its link target and streams; what cannot be read is told in `fault`."""
    target, fault = "", ""
    streams: tuple[StreamInfo, ...] = ()
    try:
        if node.kind is NodeKind.SYMLINK:
            target = tree.link_target(node)
        if all_streams:
            streams = tuple(tree.streams(node))
    except Cancelled:
        raise
    except RecoveryError as error:
        fault = str(error)
    return Entry(path, node, target, streams, fault)


def list_path(
    tree: FileTree, path: str, *, all_streams: bool = False, check: Callable[[], None] = lambda: None
) -> Iterator[Entry]:
    """The entries of a directory, or the one file that `path` is. Raises what the tree raises, PathNotFound."""
    node = resolve(tree, path)
    prefix = plain_path(path)
    if node.kind is not NodeKind.DIRECTORY:
        yield entry_of(tree, prefix, node, all_streams=all_streams)
        return
    for count, child in enumerate(tree.children(node)):
        if count % _EVERY == 0:
            check()
        yield entry_of(tree, f"{prefix.rstrip('/')}/{in_path(child.name)}", child, all_streams=all_streams)


def find(
    tree: FileTree, pattern: str, log: Log, check: Callable[[], None] = lambda: None, below: str = "/"
) -> Iterator[tuple[str, Node]]:
    """All nodes below `below` whose name matches `pattern` (*, ?, [abc]), or whose path does when it has a '/' in it.

    A path pattern that begins with '/' is about the whole path, another may begin at any directory; '*' does not
    stop at '/'. Case counts where the file system says so (ext). `log` takes the problems of the walk.
    """
    matches = _matcher(pattern, case=tree.identity.kind.startswith("ext"))
    by_path = "/" in pattern
    start, prefix = (tree.root, "/") if below == "/" else (resolve(tree, below), plain_path(below))
    for count, (path, node) in enumerate(walk(tree, start, path=prefix, log=log)):
        if count % _EVERY == 0:
            check()
        if matches(path if by_path else node.name):
            yield path, node


def as_pattern(text: str) -> str:
    """What a person types to find something: a pattern as it is, anything else as a part of a name."""
    return text if any(sign in text for sign in "*?[") else f"*{text}*"


class Weight(NamedTuple):
    """What there is in some place. `bytes`: of the contents of files. `faults`: folders that could not be read."""

    files: int = 0
    folders: int = 0
    bytes: int = 0
    faults: int = 0


def weigh(tree: FileTree, path: str, check: Callable[[], None] = lambda: None) -> Weight:
    """The file at `path`, or the folder with everything below it. Raises PathNotFound, and what the tree raises."""
    node = resolve(tree, path)
    if node.kind is not NodeKind.DIRECTORY:
        return Weight(1, 0, node.size if node.kind is NodeKind.FILE else 0)
    log = Log()
    files, folders, size = 0, 1, 0
    for count, (where, found) in enumerate(walk(tree, node, path=plain_path(path), log=log)):
        if count % _EVERY == 0:
            check()
        if is_internal(tree, where, found):
            continue
        if found.kind is NodeKind.DIRECTORY:
            folders += 1
        else:
            files += 1
            size += found.size if found.kind is NodeKind.FILE else 0
    return Weight(files, folders, size, sum(p.severity is Severity.ERROR for p in log.problems()))


def plain_path(path: str) -> str:
    """From the root, with a leading '/', and nothing twice."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _matcher(pattern: str, *, case: bool) -> Callable[[str], bool]:
    if "/" in pattern and not pattern.startswith("/"):
        pattern = "*/" + pattern
    found = re.compile(fnmatch.translate(pattern), 0 if case else re.IGNORECASE)
    return lambda text: found.match(text) is not None


@dataclass(frozen=True, slots=True)
class Digest:
    """`digest`: SHA-256 in hexadecimal, '' when the file cannot be read to its end: `fault` says why."""

    path: str
    size: int
    digest: str
    fault: str = ""


def digests(
    tree: FileTree,
    log: Log,
    *,
    all_streams: bool = False,
    left_out: frozenset[str] = frozenset(),
    check: Callable[[], None] = lambda: None,
    advance: Callable[[int], None] = lambda count: None,
) -> Iterator[Digest]:
    """SHA-256 of every file (not of NTFS's own), in the order of the disk. `log` takes the problems of the walk."""
    for path, node in walk(tree, tree.root, log=log):
        check()
        if is_internal(tree, path, node):
            continue
        if left_out and path.casefold() in left_out:
            log.add(
                Severity.INFO, "files.left_out", f"{shown(path)}: its content was left out of the archive on purpose"
            )
            continue
        if node.kind is NodeKind.FILE:
            yield _digest(tree, path, node, "", check, advance)
        if all_streams and node.kind in (NodeKind.FILE, NodeKind.DIRECTORY):
            try:
                streams = tree.streams(node)
            except Cancelled:
                raise
            except RecoveryError as error:
                yield Digest(path, 0, "", f"its named streams cannot be read: {error}")
                continue
            for stream in streams:
                yield _digest(tree, f"{path}:{stream.name}", node, stream.name, check, advance)


def _digest(
    tree: FileTree, path: str, node: Node, stream: str, check: Callable[[], None], advance: Callable[[int], None]
) -> Digest:
    state = hashlib.sha256()
    size = 0
    try:
        for data in read_through(tree.open(node, stream)):
            check()
            state.update(data)
            size += len(data)
            advance(len(data))
    except Cancelled:
        raise
    except RecoveryError as error:
        return Digest(path, node.size, "", str(error))
    return Digest(path, size, state.hexdigest())


def manifest_line(digest: Digest, prefix: str = "") -> str:
    r"""As `sha256sum` writes it and `sha256sum -c` reads it: '\' and line ends escaped, and then a '\' in front."""
    path = prefix + digest.path.lstrip("/")
    escaped = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "" if escaped == path else "\\"
    return f"{mark}{digest.digest}  {escaped}"


def problems_of(log: Log, tree: FileTree) -> list[Problem]:
    """Those of the walk and those that the tree met, each once."""
    return list(dict.fromkeys([*log.problems(), *tree.problems]))
