"""What stands on what: partitions on disks, dm and md on their parts, loop devices on files, files on mounts.

One `Storage` is one look at the machine. Block devices are named by their number ("8:1"), files by
"file:<st_dev>:<st_ino>". Everything here only reads sysfs and /proc, but for asking loop devices for their file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from recovery.engine import blkdev, mounts, sysblock
from recovery.engine.mounts import Mount

_MAX_DEPTH = 64  # of stacking; a ring of loop devices cannot be built, but a look is not atomic


class Overlap(StrEnum):
    """Whether two places share storage."""

    NONE = "none"
    SAME = "same"
    PART_OF = "part of"


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes [start, end) of `node` that hold the thing; not `exact`: it lies somewhere inside them."""

    node: str
    start: int
    end: int
    exact: bool


class Storage:
    """One look at all block devices, mounts and swaps."""

    def __init__(self) -> None:
        self.folders = sysblock.all_folders()
        self.mounts = mounts.all_mounts()
        self.swaps = mounts.swaps()
        self._backings = {
            dev: backing
            for dev, folder in self.folders.items()
            if (folder / "loop").is_dir() and (backing := _loop_backing(folder)) is not None
        }

    def path_of(self, dev: str) -> str:
        folder = self.folders.get(dev)
        return sysblock.node_path(folder) if folder else dev

    def node_of(self, path: str | Path) -> str | None:
        """The node of a device, file or folder; for a path that is not there, of the nearest folder that is."""
        return self._find(path)[0]

    def _find(self, path: str | Path) -> tuple[str | None, str]:
        """The node, and the path of what was found there."""
        try:
            place = Path(os.path.realpath(path))
        except ValueError:  # a NUL in the name
            return None, ""
        for candidate in (place, *place.parents):
            try:
                found = candidate.stat()
            except OSError:
                continue
            if stat.S_ISBLK(found.st_mode):
                return sysblock.dev_name(found.st_rdev), str(candidate)
            return _file_node(found), str(candidate)
        return None, ""

    def spans(self, path: str | Path) -> list[Span]:
        """All storage that a device, file or folder occupies, from itself down to the disks."""
        node, place = self._find(path)
        if node is None:
            return []
        end = self._size(node) if node in self.folders else _file_size(place)
        out: list[Span] = []
        self._descend(node, 0, end, True, place, out, 0)
        return out

    def below(self, path: str | Path) -> frozenset[str]:
        """The nodes that a device, file or folder stands on, itself included."""
        return frozenset(span.node for span in self.spans(path))

    def on_top(self, node: str) -> list[str]:
        """The block devices that stand on a node: partitions, dm, md, loop devices; and on those, and so on."""
        reached, order = {node}, []
        grown = True
        while grown:
            grown = False
            for dev in self.folders:
                if dev not in reached and reached.intersection(self._direct(dev)):
                    reached.add(dev)
                    order.append(dev)
                    grown = True
        return sorted(order, key=lambda dev: sysblock.natural(self.path_of(dev)))

    def mounts_of(self, path: str | Path) -> tuple[Mount, ...]:
        """The mounts of what is inside a device or image file, its partitions and everything on top of them."""
        node = self.node_of(path)
        return self.mounts_of_node(node) if node and _is_itself(path) else ()

    def mounts_of_node(self, node: str) -> tuple[Mount, ...]:
        nodes = {node, *self.on_top(node)}
        return tuple(mount for mount in self.mounts if nodes.intersection(self._sources(mount)))

    def swaps_of(self, path: str | Path) -> tuple[str, ...]:
        """The swap partitions and files in use on a device or in an image file."""
        node = self.node_of(path)
        return self.swaps_of_node(node) if node and _is_itself(path) else ()

    def swaps_of_node(self, node: str) -> tuple[str, ...]:
        nodes = {node, *self.on_top(node)}
        return tuple(swap for swap in self.swaps if nodes.intersection(self.below(swap)))

    def overlap(self, a: str | Path, b: str | Path) -> Overlap:
        """Whether writing to one changes the other.

        Two things that merely lie on the same disk or in the same file system do not overlap; a file and the
        disk on which its file system lies do.
        """
        ours, theirs = self.spans(a), self.spans(b)
        result = Overlap.NONE
        for one in ours:
            for other in theirs:
                if one.node != other.node or not (one.exact or other.exact):
                    continue
                if max(one.start, other.start) >= min(one.end, other.end) and one != other:
                    continue
                if one.exact and other.exact and (one.start, one.end) == (other.start, other.end):
                    return Overlap.SAME
                result = Overlap.PART_OF
        return result

    def _size(self, dev: str) -> int:
        return sysblock.size(self.folders[dev])

    def _direct(self, dev: str) -> Iterator[str]:
        """What a block device stands on directly (not through a file system)."""
        folder = self.folders[dev]
        if sysblock.is_partition(folder):
            yield sysblock.text(folder.parent, "dev")
        yield from sysblock.slaves(folder)
        if dev in self._backings:
            yield self._backings[dev].node

    def _descend(self, node: str, start: int, end: int, exact: bool, path: str, out: list[Span], depth: int) -> None:
        span = Span(node, start, end, exact)
        if span in out or depth > _MAX_DEPTH:
            return
        out.append(span)
        folder = self.folders.get(node)
        if folder is None:
            for below, name in self._carriers(node, path).items():
                length = _file_size(name) if name else self._size(below)
                self._descend(below, 0, length, False, name, out, depth + 1)
            return
        if sysblock.is_partition(folder):
            base = sysblock.start(folder)
            self._descend(sysblock.text(folder.parent, "dev"), base + start, base + end, exact, "", out, depth + 1)
        for dev in sysblock.slaves(folder):
            if dev in self.folders:
                self._descend(dev, 0, self._size(dev), False, "", out, depth + 1)
        backing = self._backings.get(node)
        if backing is not None:
            base = backing.offset
            self._descend(backing.node, base + start, base + end, exact, backing.path, out, depth + 1)

    def _carriers(self, node: str, path: str) -> dict[str, str]:
        """What carries the file system in which a file lies: node to path ('' where the path is not needed)."""
        mount = mounts.mount_carrying(path, self.mounts) if path else None
        if mount is None:
            dev = sysblock.dev_name(int(node.split(":")[1]))
            mount = next((m for m in self.mounts if m.dev == dev), None)
            if mount is None:
                return {dev: ""} if dev in self.folders else {}
        return self._carriers_of_mount(mount, 0)

    def _carriers_of_mount(self, mount: Mount, depth: int) -> dict[str, str]:
        found = {source: "" if source in self.folders else mount.device for source in self._sources(mount)}
        if mount.fstype == "overlay" and depth < _MAX_DEPTH:
            for folder in _overlay_folders(mount.options):
                below = mounts.mount_carrying(folder, self.mounts)
                if below is not None:
                    found |= self._carriers_of_mount(below, depth + 1)
        return found

    def _sources(self, mount: Mount) -> set[str]:
        """The nodes that a mounted file system stands on directly: block devices, or a file for some FUSE ones."""
        found = {mount.dev} & self.folders.keys()
        if mount.device.startswith("/"):
            try:
                source = Path(mount.device).stat()
            except (OSError, ValueError):
                source = None
            if source is not None and stat.S_ISBLK(source.st_mode):
                found.add(sysblock.dev_name(source.st_rdev))
            elif source is not None and stat.S_ISREG(source.st_mode):
                found.add(_file_node(source))
        if mount.fstype == "btrfs":
            found |= sysblock.btrfs_members(found)
        return found


@dataclass(frozen=True, slots=True)
class _Backing:
    node: str
    path: str
    offset: int


def _loop_backing(folder: Path) -> _Backing | None:
    """What a loop device stands on: asked by ioctl, because the file may have been replaced under its name."""
    path = sysblock.text(folder, "loop/backing_file")
    if not path:
        return None
    offset = sysblock.number(folder, "loop/offset")
    try:
        named = Path(path).stat()
    except (OSError, ValueError):
        named = None
    if named is not None and stat.S_ISBLK(named.st_mode):
        return _Backing(sysblock.dev_name(named.st_rdev), path, offset)
    status = None
    try:
        fd = os.open(sysblock.node_path(folder), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        fd = -1
    if fd >= 0:
        status = blkdev.loop_status(fd)
        os.close(fd)
    if status is None:
        return _Backing(_file_node(named), path, offset) if named is not None else None
    still_named = named is not None and (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino)
    return _Backing(f"file:{status.st_dev}:{status.st_ino}", path if still_named else "", offset)


def _file_node(found: os.stat_result) -> str:
    return f"file:{found.st_dev}:{found.st_ino}"


def _file_size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):
        return 0


def _is_itself(path: str | Path) -> bool:
    """True for a device or regular file; a folder has nothing mounted from it, nor has what is not there."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISBLK(mode) or stat.S_ISREG(mode)


def _overlay_folders(options: str) -> Iterable[str]:
    for option in options.split(","):
        key, _, value = option.partition("=")
        if key in ("upperdir", "lowerdir", "lowerdir+"):
            yield from (mounts.unescape(piece) for piece in value.split(":") if piece.startswith("/"))
