"""The trees of volumes that Windows and other drivers wrote, against ntfs-3g and the Sleuth Kit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from formats.base.source import FileSource
from fs.ntfs.tree import open_tree
from fs.tree import NodeKind
from tests.support.ntfs_walk import digest, walk
from tests.support.tools import need, run
from tests.unit.fs.ntfs.test_corpora import volume_file
from tests.unit.fs.ntfs.test_tree import compare

NAMES = [
    ("charlie.dd.bz2", 12, 0),
    ("ntfs.bin.gz", 12, 0),
    ("ntfs3.raw.gz", 12, 0),
    ("testfs1", 12, 0),
    ("ntfs-lastaccess.raw.gz", 12, 0),
    ("ntfs-ptrn.raw.gz", 12, 0),
]


@pytest.mark.parametrize(("name", "nodes", "streams"), NAMES)
def test_as_others_see_them(tmp_path: Path, name: str, nodes: int, streams: int) -> None:
    path = volume_file(name, tmp_path)
    compare(path, tmp_path / "mnt", nodes)
    sleuth(path, streams)


def sleuth(path: Path, streams: int) -> None:
    """Sizes, times in seconds and content of every file and stream, by fls and icat."""
    need("fls", "icat")
    theirs = {}
    for line in run("fls", "-r", "-p", "-u", "-m", "", path).splitlines():
        _, name, inode, _, _, _, size, accessed, modified, changed, created = line.split("|")
        if "($FILE_NAME)" not in name and not name.startswith("/$OrphanFiles"):
            name = name.split(" -> ")[0].lstrip("/")
            theirs[name] = (inode, int(size), int(created), int(modified), int(changed), int(accessed))
    with FileSource(path) as source:
        tree = open_tree(source)
        met = found = 0
        for name, node in walk(tree):
            if name not in theirs:  # has streams, and no content of its own
                assert node.size == 0
                name = next(other for other in theirs if other.startswith(f"{name}:"))
            inode, size, *times = theirs[name]
            assert int(inode.split("-")[0]) == node.number
            seconds = [(time or 0) // 10**9 for time in node.times]
            if min(seconds) > 0:  # what lies before 1970 is something else in each program
                assert seconds == times, name
            met += 1
            if node.kind is NodeKind.FILE and not node.note and 0 < node.size < 64 << 20:
                assert node.size == size
                content = subprocess.run(["icat", path, str(node.number)], capture_output=True, check=True).stdout
                assert tree.open(node).read_at(0, node.size) == content, name
                assert len(digest(tree.open(node), 7001)) == 64
            for stream in tree.streams(node):
                if f"{name}:{stream.name}" in theirs and stream.size < 1 << 20:
                    inode, size, *_ = theirs[f"{name}:{stream.name}"]
                    content = subprocess.run(["icat", path, inode], capture_output=True, check=True).stdout
                    assert tree.open(node, stream.name).read_at(0, stream.size) == content
                    found += 1
        assert met > 12
        assert found >= streams
