"""What other programs say about the files of an ext volume, and what our tree says, in comparable form."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from formats.base.errors import RecoveryError
from formats.base.units import MiB
from fs.tree import FileTree, Node, NodeKind
from tests.support.ext_images import GENERATORS
from tests.support.tools import loop_device, mounted, need, run, sparse_file

NO_ID = 0xFFFFFFFF
READ_MOST = 1 << 20  # bytes of one file that are read from damaged volumes


@dataclass(frozen=True)
class Facts:
    """About one path. `content`: SHA-256 of a file, target of a symlink, '' of the rest."""

    mode: int
    size: int
    uid: int
    gid: int
    links: int
    number: int
    device: tuple[int, int]
    times: tuple[int, int, int]  # modified, changed, accessed
    content: str
    xattrs: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def kernel_mounted(image: Path, where: Path, options: str = "ro,noload") -> Iterator[Path]:
    read_only = options.startswith("ro")
    with (
        loop_device(image, read_only=read_only) as device,
        mounted(["mount", "-t", "ext4", "-o", options, device, where], where) as top,
    ):
        yield top


def facts_of_kernel(top: Path, *, content: bool = True) -> dict[str, Facts]:
    """Every path below a mounted `top`. Relative names are as os.fsdecode gives them."""
    found = {}
    for folder, directories, files in os.walk(top):
        for name in [*directories, *files]:
            path = os.path.join(folder, name)  # noqa: PTH118
            found[os.path.relpath(path, top)] = _kernel_facts(path, content)
    return found


def _kernel_facts(path: str, read: bool) -> Facts:
    s = os.lstat(path)
    content = ""
    if not read:
        pass
    elif stat.S_ISREG(s.st_mode):
        with open(path, "rb") as file:  # noqa: PTH123
            content = hashlib.file_digest(file, "sha256").hexdigest()
    elif stat.S_ISLNK(s.st_mode):
        content = os.readlink(path)  # noqa: PTH115
    names = os.listxattr(path, follow_symlinks=False) if read else []
    return Facts(
        s.st_mode, s.st_size, s.st_uid, s.st_gid, s.st_nlink, s.st_ino, (os.major(s.st_rdev), os.minor(s.st_rdev)),
        (s.st_mtime_ns, s.st_ctime_ns, s.st_atime_ns), content,
        {name: os.getxattr(path, name, follow_symlinks=False) for name in names},
    )  # fmt: skip


def walk(tree: FileTree) -> Iterator[tuple[str, Node]]:
    """Every path and node below the root. Raises what `children` raises."""
    waiting = [("", tree.root)]
    while waiting:
        prefix, directory = waiting.pop()
        for node in tree.children(directory):
            path = f"{prefix}{node.name}"
            yield path, node
            if node.kind is NodeKind.DIRECTORY:
                waiting.append((path + "/", node))


def facts_of_tree(tree: FileTree) -> dict[str, Facts]:
    return {path: _tree_facts(tree, node) for path, node in walk(tree)}


def _tree_facts(tree: FileTree, node: Node) -> Facts:
    content = ""
    if node.kind is NodeKind.FILE:
        content = sha256(tree, node)
    elif node.kind is NodeKind.SYMLINK:
        content = tree.link_target(node)
    assert None not in (node.mode, node.uid, node.gid)
    times = node.times
    return Facts(
        node.mode or 0, node.size, node.uid or 0, node.gid or 0, node.links, node.number, node.device or (0, 0),
        (times.modified or 0, times.changed or 0, times.accessed or 0), content, tree.xattrs(node),
    )  # fmt: skip


def sha256(tree: FileTree, node: Node, step: int = 1 << 20) -> str:
    reader, hasher = tree.open(node), hashlib.sha256()
    for at in range(0, reader.size, step):
        hasher.update(reader.read_at(at, min(step, reader.size - at)))
    return hasher.hexdigest()


def digests(tree: FileTree) -> dict[str, str]:
    """Path to SHA-256 of every regular file, as tests.support.tree.digest gives it."""
    return {path: sha256(tree, node) for path, node in walk(tree) if node.kind is NodeKind.FILE}


def read_all(tree: FileTree) -> tuple[int, int]:
    """Ask for everything that a tree can give: (nodes, errors). Only our own errors are caught."""
    nodes = errors = 0
    waiting = [tree.root]
    while waiting:
        directory = waiting.pop()
        try:
            for node in tree.children(directory):
                nodes += 1
                if node.kind is NodeKind.DIRECTORY:
                    waiting.append(node)
                errors += _read_one(tree, node)
                if nodes % 7 == 0 and nodes < 700:
                    tree.child(directory, node.name)
        except RecoveryError:
            errors += 1
    return nodes, errors


def _read_one(tree: FileTree, node: Node) -> int:
    errors = 0
    try:
        tree.xattrs(node)
    except RecoveryError:
        errors += 1
    try:
        at = 0
        for run in tree.runs(node):
            assert run.logical == at and run.length > 0
            at += run.length
        assert at in (0, node.size)
    except RecoveryError:
        errors += 1
    try:
        if node.kind is NodeKind.SYMLINK:
            assert isinstance(tree.link_target(node), str)
        if node.kind is NodeKind.FILE:
            reader = tree.open(node)
            assert reader.size == node.size
            for at in range(0, min(reader.size, READ_MOST), 1 << 20):
                length = min(1 << 20, reader.size - at)
                assert len(reader.read_at(at, length)) == length
            if reader.size:
                reader.read_at(reader.size - 1, 1)
    except RecoveryError:
        errors += 1
    return errors


EPOCHS = (-(1 << 31) + 5, -1, 0, 1, (1 << 31) - 1, (1 << 31) + 7, (1 << 33) + 9, (1 << 34) - (1 << 31) - 2)  # seconds
ODD_NAMES = (
    b"\xff\xfe not UTF-8",
    b"n" * 255,
    "ü".encode() * 127,
    b"line\nbreak",
    b" ",
    b"...",
    b"\\back",
    b"\xed\xa0\x80",
)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """As getxattr and setxattr have it: (tag, permissions, id) each."""
    return b"\2\0\0\0" + b"".join(struct.pack("<HHI", *entry) for entry in entries)


ACCESS = acl((1, 6, NO_ID), (2, 4, 1234), (2, 7, 123456), (4, 4, NO_ID), (8, 5, 70000), (16, 6, NO_ID), (32, 4, NO_ID))


def populate_rich(top: Path) -> None:
    """Through a mounted file system: one of each thing that a Linux file system can hold."""
    (top / "plain").write_bytes(b"content")
    os.link(top / "plain", top / "second name")
    for length in (1, 59, 60, 61, 155, 156, 1000, 1023):
        (top / f"link{length}").symlink_to("t" * length)
    os.mkfifo(top / "fifo")
    for name, kind, major, minor in (
        ("null", stat.S_IFCHR, 1, 3), ("wide", stat.S_IFBLK, 4095, 1048575), ("sda", stat.S_IFBLK, 8, 0),
        ("old", stat.S_IFCHR, 255, 255), ("new", stat.S_IFCHR, 256, 1),
    ):  # fmt: skip
        os.mknod(top / name, kind | 0o640, os.makedev(major, minor))
    os.mknod(top / "socket", stat.S_IFSOCK | 0o755)
    for name in ODD_NAMES:
        (top / os.fsdecode(name)).write_bytes(name)
    for size in (1, 59, 60, 61, 100, 130, 150, 160, 161, 200, 4096):
        (top / f"size{size}").write_bytes(bytes([size & 255]) * size)
    (top / "grown").write_bytes(b"start")
    os.truncate(top / "grown", 100)
    with (top / "holes").open("wb") as file:
        for at in (0, 100_000, 5_000_000, 30_000_001):
            file.seek(at)
            file.write(b"data at %d" % at)
        file.truncate(40_000_000)
    with (top / "modes").open("wb") as file:
        os.fchown(file.fileno(), 70000, 1 << 31)
        os.fchmod(file.fileno(), 0o7755)
    for folder, count in (("few", 3), ("some", 12), ("many", 700)):
        (top / folder).mkdir()
        for i in range(count):
            (top / folder / f"entry {i}").write_bytes(b"%d" % i)
    (top / "few" / "deeper" / "and deeper").mkdir(parents=True)
    (top / "few" / "gone").write_bytes(b"x" * 5000)
    (top / "few" / "gone").unlink()


def populate_xattrs(top: Path, *, largest: int) -> None:
    """Attributes that fit into the inode, need a block, or (up to `largest` bytes) inodes of their own."""
    for name, size in (("none", 0), ("tiny", 5), ("block", 700), ("large", largest)):
        path = top / f"xattr {name}"
        path.write_bytes(b"with attributes")
        os.setxattr(path, f"user.{name}", bytes(range(256)) * (size // 256) + b"v" * (size % 256))
        os.setxattr(path, "user.ünï", b"\0\xff")
        os.setxattr(path, "trusted.overlay.opaque", b"y")
        os.setxattr(path, "security.thing", b"label\0")
    (top / "acl").mkdir()
    os.setxattr(top / "acl", "system.posix_acl_access", ACCESS)
    os.setxattr(top / "acl", "system.posix_acl_default", ACCESS)
    (top / "acl" / "inherits").write_bytes(b"")


def populate_times(top: Path) -> None:
    for i, seconds in enumerate(EPOCHS):
        path = top / f"time {i}"
        path.write_bytes(b"")
        os.utime(path, ns=(seconds * 10**9 + 123456789, seconds * 10**9 + 999999999))


def ea_inode(path: Path) -> None:
    """Attributes whose values have inodes of their own."""
    need("mke2fs")
    sparse_file(path, 64 * MiB)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "ea_inode,large_dir", path)


def _rich(base: Callable[[Path], None], largest: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        base(path)
        where = path.with_suffix(".mnt")
        with kernel_mounted(path, where, "rw") as top:
            populate_rich(top)
            populate_xattrs(top, largest=largest)
            populate_times(top)
            for name in ("unwritten", "beyond"):
                with (top / name).open("wb") as file:
                    file.write(b"start")
                    if name == "unwritten":
                        _fallocate(file.fileno(), 300_000)
        where.rmdir()

    return make


def _fallocate(handle: int, size: int) -> None:
    """Unwritten extents where the file system has them."""
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise


# These mount through the kernel and need root and loop devices.
RICH_GENERATORS: dict[str, Callable[[Path], None]] = {
    "ext2-rich": _rich(GENERATORS["ext2-1k"], 900),
    "ext3-rich": _rich(GENERATORS["ext3-4k"], 3000),
    "ext4-rich": _rich(GENERATORS["ext4-4k"], 3000),
    "ext4-rich-1k": _rich(GENERATORS["ext4-1k"], 400),
    "ext4-rich-inline": _rich(GENERATORS["ext4-inline"], 400),
    "ext4-rich-inode128": _rich(GENERATORS["ext4-inode128"], 400),
    "ext4-rich-values": _rich(ea_inode, 65536),
}

ADD_KEY, SET_POLICY = 0xC0506617, 0x800C6613  # FS_IOC_ADD_ENCRYPTION_KEY, FS_IOC_SET_ENCRYPTION_POLICY


def encrypted(path: Path) -> set[str]:
    """A volume with an encrypted directory, made by the kernel; the names that it shows without the key."""
    need("mke2fs")
    sparse_file(path, 64 * MiB)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "encrypt", path)
    where = path.with_suffix(".mnt")
    with kernel_mounted(path, where, "rw") as top:
        folder = os.open(top, os.O_RDONLY)
        try:
            key = bytearray(struct.pack("<II32sII32x", 2, 0, b"", 64, 0) + bytes(range(64)))
            fcntl.ioctl(folder, ADD_KEY, key)
        except OSError:
            pytest.skip("the kernel has no fscrypt")
        finally:
            os.close(folder)
        (top / "secret").mkdir()
        folder = os.open(top / "secret", os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SET_POLICY, struct.pack("<BBBBB3x16s", 2, 1, 4, 0, 0, bytes(key[8:24])))
        finally:
            os.close(folder)
        (top / "secret" / "file").write_bytes(b"hello" * 1000)
        (top / "secret" / ("n" * 200)).write_bytes(b"x")
        (top / "secret" / "link").symlink_to("target")
        (top / "secret" / "sub").mkdir()
        for i in range(300):
            (top / "secret" / "sub" / f"file {i}").write_bytes(b"")
    with kernel_mounted(path, where) as top:
        names = set(facts_of_kernel(top, content=False))
    where.rmdir()
    return names
