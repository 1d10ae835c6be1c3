"""Extraction onto targets that cannot hold everything: FAT with its rules of names, without links and modes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs.tree import Node, NodeKind
from recovery.engine.extract import Extraction
from recovery.engine.extract_folder import Folder
from recovery.engine.extract_notes import Tally
from tests.support.fake_tree import Fake, FakeTree, directory, link
from tests.support.oracles import ntfs_mounted
from tests.support.tools import loop_device, mounted, need, need_root, run, sparse_file


def hostile() -> Fake:
    root = directory()
    shared = Fake(content=b"shared", links=2, mode=0o644)
    root.add("Case", Fake(content=b"1"))
    root.add("case", Fake(content=b"2"))
    root.add("CASE", Fake(content=b"3"))
    root.add("d", directory()).add("x", Fake(content=b"4"))
    root.add("D", directory()).add("x", Fake(content=b"5"))
    root.add("aux.txt", Fake(content=b"6"))
    root.add('a:b*c?"<>|', Fake(content=b"7"))
    root.add("dot.", Fake(content=b"8"))
    root.add("one", shared)
    root.add("two", shared)
    root.add("link", link("one"))
    root.add("attributes", Fake(content=b"9", xattrs={"user.a": b"b"}, mode=0o600, uid=5, gid=6))
    return root


def extract_into(folder: Path) -> Tally:
    tally = Tally()
    with Folder(folder) as target:
        Extraction(FakeTree(hostile()), target, tally, lambda: None).take("/")
    return tally


def contents(folder: Path) -> list[bytes]:
    return sorted(p.read_bytes() for p in folder.rglob("*") if p.is_file())


WANTED = sorted([b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9", b"shared", b"shared"])


def check_without_links(where: Path) -> None:
    """FAT and exFAT: no links, no modes, no case, no attributes."""
    tally = extract_into(where)
    assert contents(where) == WANTED
    names = {p.name for p in where.iterdir()}
    assert {"Case", "case~2", "CASE~3", "d", "D~2", "_aux.txt", "dot%2E"} <= names
    assert {loss.path for loss in tally.losses} == {"/link"}
    assert any("hard links" in what for what in tally.unkept)
    again = extract_into(where)
    assert again.loss_count >= 10 and contents(where) == WANTED, "and nothing is overwritten"


def test_fat_through_the_kernel(tmp_path: Path) -> None:
    need_root()
    need("mkfs.fat")
    if "vfat" not in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has no vfat")
    image = sparse_file(tmp_path / "fat.img", 32 << 20)
    run("mkfs.fat", image)
    with (
        loop_device(image) as device,
        mounted(["mount", "-t", "vfat", device, tmp_path / "mnt"], tmp_path / "mnt") as where,
    ):
        check_without_links(where)


def test_exfat_through_fuse(tmp_path: Path) -> None:
    need_root()
    need("mkfs.exfat", "mount.exfat-fuse")
    image = sparse_file(tmp_path / "exfat.img", 32 << 20)
    run("mkfs.exfat", image)
    with (
        loop_device(image) as device,
        mounted(["mount.exfat-fuse", device, tmp_path / "mnt"], tmp_path / "mnt") as where,
    ):
        check_without_links(where)


def test_ntfs_through_ntfs_3g(tmp_path: Path) -> None:
    need_root()
    need("mkntfs", "ntfs-3g")
    image = sparse_file(tmp_path / "ntfs.img", 32 << 20)
    run("mkntfs", "-F", "-Q", "-q", image)
    where = tmp_path / "mnt"
    where.mkdir()
    with ntfs_mounted(image, where, "streams_interface=windows"):
        tally = extract_into(where)
        assert contents(where) == sorted([*WANTED, b"shared"]), "and the link leads to it"
        assert (where / "_aux.txt").exists() and (where / "link").readlink() == Path("one")
        assert (where / "one").stat().st_ino == (where / "two").stat().st_ino
    assert tally.loss_count == 0


def test_memory_does_not_grow_with_the_tree(tmp_path: Path) -> None:
    """What is remembered of files is gone when they are done."""

    class Endless(FakeTree):
        """A folder of `count` files that are made up on the way."""

        count = 0

        def children(self, directory: Node) -> Iterator[Node]:
            if not directory.name:
                yield self._node("folder", Fake(NodeKind.DIRECTORY, number=1))
                return
            for i in range(self.count):
                yield self._node(f"f{i}", Fake(content=b"x", number=5000 + i))

    peaks = []
    for count in (500, 4000):
        tree = Endless(directory())
        tree.count = count
        tracemalloc.start()
        with Folder(tmp_path / str(count)) as target:
            Extraction(tree, target, Tally(), lambda: None).take("/")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 64 * 1024, peaks
