"""What other programs say about the files of an ext volume, and what our tree says, in comparable form."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from formats.base.errors import RecoveryError
from fs.tree import FileTree, Node, NodeKind
from tests.support.tools import loop_device, mounted

READ_MOST = 4 << 20  # bytes of one file that are read from damaged volumes


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


def facts_of_kernel(top: Path) -> dict[str, Facts]:
    """Every path below a mounted `top`. Relative names are as os.fsdecode gives them."""
    found = {}
    for folder, directories, files in os.walk(top):
        for name in [*directories, *files]:
            path = os.path.join(folder, name)  # noqa: PTH118
            found[os.path.relpath(path, top)] = _kernel_facts(path)
    return found


def _kernel_facts(path: str) -> Facts:
    s = os.lstat(path)
    content = ""
    if stat.S_ISREG(s.st_mode):
        with open(path, "rb") as file:  # noqa: PTH123
            content = hashlib.file_digest(file, "sha256").hexdigest()
    elif stat.S_ISLNK(s.st_mode):
        content = os.readlink(path)  # noqa: PTH115
    names = os.listxattr(path, follow_symlinks=False)
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
                if nodes % 7 == 0:
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
