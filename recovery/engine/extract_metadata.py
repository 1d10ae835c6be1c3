"""Owners, modes, times and attributes of what was extracted, as far as the target takes them."""

from __future__ import annotations

import errno
import os

from fs.tree import Node, NodeKind
from recovery.engine.extract import Item
from recovery.engine.safenames import attribute_name

_READ_ONLY = 0x1  # FILE_ATTRIBUTE_READONLY


def times_of(node: Node) -> tuple[int, int] | None:
    """(accessed, modified) in nanoseconds for os.utime; None when nothing is known."""
    times = node.times
    if times.modified is None:
        return None
    return (times.modified if times.accessed is None else times.accessed, times.modified)


def apply_metadata(fd: int, item: Item, umask: int) -> None:
    """To an open file or directory that is complete: the times come last, because everything else changes them."""
    node, tally = item.node, item.tally
    owned = False
    if node.uid is not None and node.gid is not None:
        if os.geteuid() == 0:
            try:
                os.fchown(fd, node.uid, node.gid)
                owned = True
            except (OSError, OverflowError):
                tally.not_kept("owners", item.path)
        elif (node.uid, node.gid) == (os.geteuid(), os.getegid()):
            owned = True
        else:
            tally.not_kept("owners (only root can give files away)", item.path)
    for name, value in item.xattrs().items():
        _attribute(fd, name, value, item)
    try:
        os.fchmod(fd, mode_of(node, umask, owned=owned))
    except OSError:
        tally.not_kept("modes", item.path)
    times = times_of(node)
    if times:
        try:
            os.utime(fd, ns=times)
        except (OSError, OverflowError):
            tally.not_kept("times", item.path)


def apply_to_link(raw: bytes, item: Item, directory: int) -> None:
    """Owner and times of a link or device node, never through it."""
    node = item.node
    try:
        if os.geteuid() == 0 and node.uid is not None and node.gid is not None:
            os.chown(raw, node.uid, node.gid, dir_fd=directory, follow_symlinks=False)
        times = times_of(node)
        if times:
            os.utime(raw, ns=times, dir_fd=directory, follow_symlinks=False)
    except (OSError, OverflowError):
        item.tally.not_kept("owners or times of links", item.path)


def mode_of(node: Node, umask: int, *, owned: bool) -> int:
    """Permission bits. Set-user-id for another owner than in the image would be a gift to the wrong one."""
    directory = node.kind is NodeKind.DIRECTORY
    if node.mode is None:
        usual = (0o777 if directory else 0o666) & ~umask
        return usual & ~0o222 if node.attributes & _READ_ONLY and not directory else usual
    if owned:
        return node.mode & 0o7777
    return node.mode & (0o1777 if directory else 0o777)


def _attribute(fd: int, name: str, value: bytes, item: Item) -> None:
    kind = name.partition(".")[0]
    if name.startswith("system.ntfs_"):
        item.tally.not_kept("Windows permissions and reparse data", item.path)
        return
    if kind != "user" and os.geteuid() != 0:
        item.tally.not_kept(f"attributes of the kind {kind} (only root can set them)", item.path)
        return
    raw = attribute_name(name)
    try:
        if raw is None:
            raise OSError(errno.EINVAL, "no valid name")
        os.setxattr(fd, raw, value)
    except (OSError, ValueError):
        item.tally.not_kept(f"attributes of the kind {kind}", item.path)
