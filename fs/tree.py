"""What a file system with readable files must offer: the second contract beside fs.api.

Paths inside a volume are written with '/', from its root. Names are str; what is no valid text survives a round trip
(ext: bytes through surrogateescape; NTFS, FAT, exFAT: UTF-16 with lone surrogates kept).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from formats.base.problem import Problem
from fs.api import Identity


class NodeKind(StrEnum):
    """SYMLINK: anything that leads to another path (also junctions). OTHER: known to be neither, see Node.note."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    FIFO = "fifo"
    SOCKET = "socket"
    OTHER = "other"


class Times(NamedTuple):
    """Nanoseconds since 1970-01-01 UTC (may be negative), None where the file system has none.

    FAT keeps local time: it is given as if it were UTC. `changed`: of the metadata (ctime, NTFS MFT change).
    """

    created: int | None = None
    modified: int | None = None
    changed: int | None = None
    accessed: int | None = None


NO_TIMES = Times()


class RunKind(StrEnum):
    """HOLE: reads as zeros, no place. UNWRITTEN: has a place, reads as zeros. ENCODED: compressed in that place."""

    DATA = "data"
    HOLE = "hole"
    UNWRITTEN = "unwritten"
    ENCODED = "encoded"


class Run(NamedTuple):
    """Bytes [logical, logical+length) of a file lie at `physical` bytes of the volume (None: nowhere).

    ENCODED: `length` bytes of the file come out of `physical_length` stored bytes; else the two are equal.
    """

    logical: int
    physical: int | None
    length: int
    kind: RunKind
    physical_length: int = 0


class StreamInfo(NamedTuple):
    """A data stream besides the unnamed one. `size` in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Node:
    """One name in a directory, and what it stands for.

    `number`: MFT record, inode, or for FAT and exFAT a stable key (byte offset of the directory entry); the same
    number is the same file (hard links). `size`: bytes of the content (of the link target for symlinks).
    `mode`, `uid`, `gid`: POSIX, None where the file system has none. `attributes`: DOS/NTFS FILE_ATTRIBUTE bits, or
    ext i_flags. `device`: (major, minor) of device nodes. `note`: why the content cannot be read here, in words
    ('' when it can): deduplicated, in the cloud, encrypted. `key`: private to the parser.
    """

    name: str
    number: int
    kind: NodeKind
    size: int
    times: Times = NO_TIMES
    links: int = 1
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    attributes: int = 0
    device: tuple[int, int] | None = None
    note: str = ""
    key: object = field(default=None, compare=False, repr=False)


class NodeReader(Protocol):
    """The content of a file or stream."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes inside `size`. Raises FormatError, DeviceError, Unsupported, Truncated."""


class FileTree(Protocol):
    """All files of a volume. Read-only. Every walk ends, whatever the volume holds; memory is bounded."""

    @property
    def identity(self) -> Identity: ...

    @property
    def root(self) -> Node: ...

    @property
    def problems(self) -> Sequence[Problem]:
        """Damage that was met and passed over so far."""

    def children(self, directory: Node) -> Iterator[Node]:
        """The entries of a directory without '.' and '..', in the order of the disk; a damaged one is left out

        and becomes a Problem. Raises FormatError when the directory itself cannot be read at all.
        """

    def child(self, directory: Node, name: str) -> Node | None:
        """The entry of that name by the rules of the file system (case), through its index where it has one."""

    def open(self, node: Node, stream: str = "") -> NodeReader:
        """The content of a file, or one of its named streams. Raises Unsupported with words for what `note` says."""

    def streams(self, node: Node) -> Sequence[StreamInfo]:
        """Named data streams (NTFS); empty elsewhere."""

    def runs(self, node: Node, stream: str = "") -> Iterator[Run]:
        """Where the content lies, ascending by `logical`, without gaps. Empty for content inside the metadata."""

    def link_target(self, node: Node) -> str:
        """Where a symlink or junction leads, as stored (NTFS: the print name or the substitute name)."""

    def xattrs(self, node: Node) -> dict[str, bytes]:
        """Extended attributes with their full Linux names (ACLs as system.posix_acl_*; NTFS: EAs as user.*,

        security descriptor as system.ntfs_acl, reparse data as system.ntfs_reparse_data). Empty where there are none.
        """
