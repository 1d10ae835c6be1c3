"""A source as a folder: each partition as a raw file (``1.raw``) and as the tree of its files (``1/``). Read-only.

Callbacks of the library mfusepy (ISC licence), which speaks to libfuse; the kernel's answers are errno values, so
every RecoveryError becomes one here. Files get names that Linux can hold; see safenames.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from formats.base.errors import DeviceError, PathNotFound, RecoveryError, Refused, Unsupported
from formats.base.source import BlockSource
from fs.tree import FileTree, Node, NodeKind, NodeReader
from recovery.engine.browse import Place, VolumeInfo
from recovery.engine.extract_metadata import mode_of
from recovery.engine.listing import is_internal
from recovery.engine.safenames import attribute_name, safe_name

_NODES = 20_000  # paths whose nodes are remembered, some 20 MB
_STREAMS = "user.ntfs-stream."
_STREAM_LIMIT = 64 * 1024
_SCANNED = 1_000_000  # entries that are looked at for a name that had to be changed
_BITS = {
    NodeKind.FILE: stat.S_IFREG,
    NodeKind.DIRECTORY: stat.S_IFDIR,
    NodeKind.SYMLINK: stat.S_IFLNK,
    NodeKind.CHARACTER_DEVICE: stat.S_IFCHR,
    NodeKind.BLOCK_DEVICE: stat.S_IFBLK,
    NodeKind.FIFO: stat.S_IFIFO,
    NodeKind.SOCKET: stat.S_IFSOCK,
    NodeKind.OTHER: stat.S_IFREG,
}
Attributes = dict[str, int]


@dataclass(slots=True)
class _Volume:
    """`tree` is opened when somebody first looks inside; `refused`: why that does not work."""

    info: VolumeInfo
    raw: BlockSource
    tree: FileTree | None = None
    refused: RecoveryError | None = None
    nodes: OrderedDict[str, Node] = field(default_factory=OrderedDict)


class _Raw:
    """A volume's bytes as the content of a file."""

    def __init__(self, source: BlockSource) -> None:
        self._source, self.size = source, source.size

    def read_at(self, offset: int, length: int) -> bytes:
        return self._source.read_at(offset, length)


class MountedPlace:
    """The operations. Thread-safe by one lock: a FileTree is for one thread.

    `on_ready` is called when the kernel has the mount.
    """

    use_ns = True  # times as whole nanoseconds

    def __init__(self, place: Place, on_ready: Callable[[], None] = lambda: None) -> None:
        self._place, self._on_ready = place, on_ready
        self._volumes = {v.address: _Volume(v, place.raw(v)) for v in place.volumes}
        self._lock = threading.RLock()
        self._handles: dict[int, NodeReader] = {}
        self._next = 1
        self._owner = {"st_uid": os.geteuid(), "st_gid": os.getegid()}

    # callbacks

    def init(self, path: str) -> None:
        self._on_ready()

    def getattr(self, path: str, fh: int | None = None) -> Attributes:
        with self._lock:
            volume, rest = self._split(path)
            if volume is None:
                return self._attributes(stat.S_IFDIR | 0o555, 0, 2 + len(self._volumes))
            if rest is None:
                return self._attributes(stat.S_IFREG | 0o444, volume.raw.size, 1)
            if rest == "/":
                return self._attributes(stat.S_IFDIR | 0o555, 0, 2) | self._root_times(volume)
            return self._of_node(self._node(volume, rest))

    def readdir(self, path: str, fh: int) -> Iterator[str | tuple[str, Attributes, int]]:
        with self._lock:
            volume, rest = self._split(path)
            names: list[str | tuple[str, Attributes, int]] = [".", ".."]
            if volume is None:
                for address in self._volumes:
                    names.append(f"{address}.raw")
                    if self._volumes[address].info.has_files:
                        names.append(address)
                return iter(names)
            if rest is None:
                raise OSError(errno.ENOTDIR, "not a directory")
            tree = self._tree(volume)
            taken = set()
            with _as_errno():
                directory = self._node(volume, rest)
                if directory.kind is not NodeKind.DIRECTORY:
                    raise OSError(errno.ENOTDIR, "not a directory")
                try:
                    for node in tree.children(directory):
                        if rest == "/" and is_internal(tree, f"/{node.name}", node):
                            continue  # there all the same for who names it, as with ntfs-3g
                        name = self._name(tree, node)
                        if name not in taken:
                            taken.add(name)
                            names.append((name, self._of_node(node), 0))
                            self._remember(volume, f"{rest.rstrip('/')}/{name}", node)
                except RecoveryError:
                    if len(names) == 2:
                        raise
                    # What can be listed of a damaged directory is worth more than an error.
            return iter(names)

    def readlink(self, path: str) -> str:
        with self._lock, _as_errno():
            volume, node = self._inside(path)
            return self._tree(volume).link_target(node).replace("\0", "")

    def open(self, path: str, flags: int) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(errno.EROFS, "read-only")
        with self._lock, _as_errno():
            volume, rest = self._split(path)
            if volume is None:
                raise OSError(errno.EISDIR, "a directory")
            reader: NodeReader
            if rest is None:
                reader = _Raw(volume.raw)
            else:
                reader = self._tree(volume).open(self._node(volume, rest))
            handle, self._next = self._next, self._next + 1
            self._handles[handle] = reader
            return handle

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        with self._lock, _as_errno():
            reader = self._handles[fh]
            length = min(size, reader.size - offset)
            return reader.read_at(offset, length) if length > 0 else b""

    def release(self, path: str, fh: int) -> int:
        with self._lock:
            self._handles.pop(fh, None)
        return 0

    def statfs(self, path: str) -> Attributes:
        total = sum(v.raw.size for v in self._volumes.values())
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": total // 4096, "f_namemax": 255}

    def listxattr(self, path: str) -> list[str]:
        with self._lock, _as_errno():
            return [n for n in self._xattrs(path) if attribute_name(n) is not None]

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        with self._lock, _as_errno():
            found = self._xattrs(path)
            if name not in found:
                raise OSError(errno.ENODATA, "no such attribute")
            return found[name]

    # insides

    def _split(self, path: str) -> tuple[_Volume | None, str | None]:
        """(volume, path inside); (None, None) for the top, and None inside for a raw file."""
        first, _, rest = path.lstrip("/").partition("/")
        if not first:
            return None, None
        if first in self._volumes and self._volumes[first].info.has_files:
            return self._volumes[first], "/" + rest
        address = first.removesuffix(".raw")
        if address != first and address in self._volumes and not rest:
            return self._volumes[address], None
        raise OSError(errno.ENOENT, "no such file")

    def _inside(self, path: str) -> tuple[_Volume, Node]:
        volume, rest = self._split(path)
        if volume is None or rest is None:
            raise OSError(errno.EINVAL, "not inside of a volume")
        return volume, self._node(volume, rest)

    def _tree(self, volume: _Volume) -> FileTree:
        if volume.refused is not None:
            raise OSError(errno.EOPNOTSUPP, str(volume.refused))
        if volume.tree is None:
            try:
                volume.tree = self._place.tree(volume.info)
            except RecoveryError as error:
                volume.refused = error
                raise OSError(_number(error), str(error)) from error
        return volume.tree

    def _node(self, volume: _Volume, path: str) -> Node:
        tree = self._tree(volume)
        if path == "/":
            return tree.root
        kept = volume.nodes.get(path)
        if kept is not None:
            volume.nodes.move_to_end(path)
            return kept
        above, _, name = path.rpartition("/")
        directory = self._node(volume, above or "/")
        if directory.kind is not NodeKind.DIRECTORY:
            raise OSError(errno.ENOTDIR, "not a directory")
        with _as_errno():
            found = self._find(tree, directory, name)
        if found is None:
            raise OSError(errno.ENOENT, "no such file")
        self._remember(volume, path, found)
        return found

    @staticmethod
    def _remember(volume: _Volume, path: str, node: Node) -> None:
        volume.nodes[path] = node
        while len(volume.nodes) > _NODES:
            volume.nodes.popitem(last=False)

    def _find(self, tree: FileTree, directory: Node, name: str) -> Node | None:
        found = tree.child(directory, name)
        if found is not None:
            return found
        if not ({"%", "~"} & set(name)):
            return None
        for count, node in enumerate(tree.children(directory)):
            if self._name(tree, node) == name:
                return node
            if count >= _SCANNED:
                break
        return None

    @staticmethod
    def _name(tree: FileTree, node: Node) -> str:
        byte_names = tree.identity.kind.startswith("ext")
        return safe_name(node.name, byte_names=byte_names)[0]

    def _xattrs(self, path: str) -> dict[str, bytes]:
        volume, rest = self._split(path)
        if volume is None or rest is None:
            return {}
        tree, node = self._tree(volume), self._node(volume, rest)
        # Access lists name users of the imaged system; enforced or shown as ours they would mislead.
        found = {k: v for k, v in tree.xattrs(node).items() if k.startswith(("user.", "system.ntfs_"))}
        for stream in tree.streams(node):
            if stream.size <= _STREAM_LIMIT:
                found[_STREAMS + stream.name] = tree.open(node, stream.name).read_at(0, stream.size)
        return found

    def _root_times(self, volume: _Volume) -> Attributes:
        return _times(volume.tree.root) if volume.tree is not None else {}

    def _attributes(self, mode: int, size: int, links: int) -> Attributes:
        return {"st_mode": mode, "st_size": size, "st_nlink": links, **self._owner}

    def _of_node(self, node: Node) -> Attributes:
        bits = _BITS[node.kind] | (mode_of(node, 0o022, owned=True) if node.mode is None else node.mode & 0o7777)
        found = self._attributes(bits, node.size, max(1, node.links)) | _times(node)
        found["st_blocks"] = -(-node.size // 512)
        found["st_ino"] = node.number & (1 << 64) - 1
        if node.uid is not None and node.gid is not None:
            found |= {"st_uid": node.uid, "st_gid": node.gid}
        if node.device:
            found["st_rdev"] = os.makedev(*node.device)
        return found


def _times(node: Node) -> Attributes:
    times = node.times
    found = {"st_mtime": times.modified, "st_atime": times.accessed, "st_ctime": times.changed}
    return {name: value for name, value in found.items() if value is not None}


def _number(error: RecoveryError) -> int:
    if isinstance(error, DeviceError) and error.errno:
        return error.errno
    if isinstance(error, PathNotFound):
        return errno.ENOENT
    return errno.EOPNOTSUPP if isinstance(error, Unsupported | Refused) else errno.EIO


class _as_errno:
    """Our errors as the system's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RecoveryError):
            raise OSError(_number(error), str(error)) from error
