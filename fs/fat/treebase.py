"""What the trees of FAT and exFAT have in common: files in clusters, directories without an index, plain names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from formats.base.errors import DeviceError, FormatError, Inconsistent, PathNotFound, Refused, Unsupported
from formats.base.problem import Problem, Severity
from formats.base.units import KiB
from fs.api import FileSystem, Identity
from fs.fat.clusterfile import ClusterMap, ClusterReader, Space, Start
from fs.fat.lookup import Lookup
from fs.fat.oncelog import OnceLog
from fs.tree import Node, NodeKind, Run, StreamInfo
from fs.walk import shown

READ_BYTES = 16 * KiB  # of a directory at a time: a walk may be thousands of directories deep
RETRY_BYTES = 512  # when a read fails, the rest of the directory is read in such pieces


@dataclass(frozen=True, slots=True)
class Key:
    """The private part of a node. `entry`: offset of its directory entry. `cluster`: 0 for none. `valid`: bytes."""

    entry: int
    cluster: int
    size: int
    valid: int
    contiguous: bool = False


class Block:
    """A part of a directory that was read: `data` from byte `offset` of the volume on; None: unreadable.

    `length`: bytes that it stands for.
    """

    __slots__ = ("data", "length", "offset")

    def __init__(self, offset: int, length: int, data: bytes | None) -> None:
        self.offset, self.length, self.data = offset, length, data


class ClusterTree(ABC):
    """Implements fs.tree.FileTree for volumes of clusters, but for the entries of directories.

    A node's `number` is the byte offset of its directory entry (exFAT: of the first one of the set). That of a
    directory is one more than the byte offset of its first cluster: two directory entries that lead to the same
    clusters, which is damage, have the same number, and so a walk can tell.
    """

    def __init__(self, volume: FileSystem, space: Space, log: OnceLog, fold: Callable[[str], str]) -> None:
        self._volume, self._space, self._log = volume, space, log
        self._kind = volume.identity.kind.rstrip("0123456789")
        self._lookup = Lookup(self._listing, fold)

    @property
    def identity(self) -> Identity:
        return self._volume.identity

    @property
    @abstractmethod
    def root(self) -> Node: ...

    @property
    def problems(self) -> Sequence[Problem]:
        return [*self._volume.problems, *self._log.problems()]

    @abstractmethod
    def _listing(self, directory: Node) -> Iterator[tuple[Node, bytes]]:
        """The entries of a directory, each with its short name as it is stored, or b"". Raises as children()."""

    @abstractmethod
    def _start(self, node: Node, key: Key) -> Start:
        """Where a file or directory lies."""

    def children(self, directory: Node) -> Iterator[Node]:
        """See fs.tree. Deleted entries and volume labels are no entries. Raises FormatError and DeviceError."""
        for node, _ in self._listing(directory):
            yield node

    def child(self, directory: Node, name: str) -> Node | None:
        """See fs.tree. An exact name goes before one in another case, and that before a FAT short name."""
        return self._lookup.find(directory, name)

    def open(self, node: Node, stream: str = "") -> ClusterReader:
        """See fs.tree. Raises Unsupported for a directory, PathNotFound for any stream but the unnamed one."""
        key = self.key(node)
        if stream:
            raise PathNotFound(f"{shown(node.name)}:{shown(stream)}", "this file system has no named streams")
        if node.kind is NodeKind.DIRECTORY:
            raise Unsupported(f"directory {shown(node.name)}", "reading it as a file")
        return ClusterReader(self._space, self._start(node, key), key.size, key.valid)

    def streams(self, node: Node) -> Sequence[StreamInfo]:
        """None: neither FAT nor exFAT has any."""
        return ()

    def runs(self, node: Node, stream: str = "") -> Iterator[Run]:
        """See fs.tree. Raises Inconsistent or DeviceError behind the last run that can be told."""
        yield from self.open(node, stream).runs()

    def link_target(self, node: Node) -> str:
        """There are no links. Raises Unsupported."""
        raise Unsupported(f"{self._kind} volume", "a symbolic link")

    def xattrs(self, node: Node) -> dict[str, bytes]:
        """None: neither FAT nor exFAT has any."""
        return {}

    def key(self, node: Node) -> Key:
        """Raises Refused for a node of another tree."""
        if not isinstance(node.key, Key):
            raise Refused(f"{shown(node.name)} does not come from this volume.")
        return node.key

    def number(self, entry: int, cluster: int, kind: NodeKind) -> int:
        """Node.number; see above."""
        is_place = kind is NodeKind.DIRECTORY and self._space.exists(cluster)
        return self._space.place(cluster) + 1 if is_place else entry

    def warn(self, code: str, text: str, offset: int | None) -> None:
        self._log.add(Severity.WARNING, f"{self._kind}.{code}", text, offset)

    def error(self, code: str, text: str, offset: int | None) -> None:
        self._log.add(Severity.ERROR, f"{self._kind}.{code}", text, offset)

    def blocks(self, directory: Node) -> Iterator[Block]:
        """The content of a directory that lies in clusters, as far as it can be found.

        Where the chain breaks, that becomes a problem. Raises FormatError or DeviceError if it has no beginning.
        """
        if directory.kind is not NodeKind.DIRECTORY:
            raise Refused(f"{shown(directory.name)} is no directory.")
        key = self.key(directory)
        start = self._start(directory, key)
        if start.count and not self._space.exists(start.cluster):
            raise Inconsistent(
                start.what, start.entry, "it leads to a cluster that does not exist",
                expected=f"2 to {self._space.chains.limit - 1}", found=start.cluster, source=self._space.source.name,
            )  # fmt: skip
        step, left = self._space.cluster_size, key.size
        found = False
        try:
            for _, cluster, count in ClusterMap(self._space, start).runs(0):
                found = True
                length = min(count * step, left)
                yield from self.read_blocks(self._space.place(cluster), length, start.what)
                left -= length
        except (DeviceError, FormatError) as error:
            if not found:
                raise
            where = error.offset
            self.error("directory_broken", f"{start.what} ends too early: {error}", where)

    def read_blocks(self, at: int, length: int, what: str) -> Iterator[Block]:
        """A contiguous part of a directory. What cannot be read becomes a problem and a Block without data."""
        end, step = at + length, READ_BYTES
        while at < end:
            size = min(step, end - at)
            data: bytes | None = None
            try:
                data = self._space.source.read_at(at, size)
            except (DeviceError, FormatError) as error:
                if size > RETRY_BYTES:
                    step = RETRY_BYTES
                    continue
                self.error("directory_unreadable", f"{what} cannot be read at {at:#x}: {error}", at)
            yield Block(at, size, data)
            at += size
