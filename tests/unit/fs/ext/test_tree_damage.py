"""Damaged volumes: what can be read is read, the rest is named, every walk ends, and only our errors leave."""

from __future__ import annotations

import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from formats.base.errors import Corrupt, DeviceError, FormatError, Inconsistent, RecoveryError
from formats.base.source import FileSource
from fs.ext.inode import Inode
from fs.ext.tree import ExtTree, open_tree
from fs.ext.volume import open_volume
from fs.ext.xattr import linux_acl
from fs.tree import Node, NodeKind, RunKind
from tests.support.ext_images import e2fsck_status, unpack
from tests.support.ext_trees import ACCESS, digests, read_all, sha256, walk
from tests.support.oracles import read_tree
from tests.support.sources import BadSectorSource
from tests.support.tools import need, need_corpora, run, sparse_file
from tests.unit.fs.ext.conftest import ImageMaker
from tests.unit.fs.ext.test_damage import Damaged

LINKED = b"mkdir a\nmkdir a/b\nmkdir a/b/c\nmkdir other\nwrite /dev/null a/b/c/file\n"


def node_at(tree: ExtTree, path: str) -> Node:
    node = tree.root
    for name in path.split("/"):
        found = tree.child(node, name)
        assert found is not None, path
        node = found
    return node


def place_of(image: Path, path: str) -> tuple[int, int]:
    """(offset of the inode, of the first block of its content) in bytes."""
    with FileSource(image) as source:
        tree = open_tree(source)
        node = node_at(tree, path)
        first = next((r.physical for r in tree.runs(node) if r.physical is not None), 0)
        return tree._inode(node).offset, first or 0


def linked(image: Path, path: Path, commands: bytes) -> Path:
    need("debugfs")
    shutil.copy(image, path)
    run("debugfs", "-w", "-f", "-", path, stdin=LINKED + commands)
    return path


def test_entries_before_the_damage_and_of_other_blocks_are_kept(image: ImageMaker) -> None:
    path = image("ext4-fragmented")
    with FileSource(path) as source:
        tree = open_tree(source)
        big = node_at(tree, "big")
        blocks = [r.physical + at for r in tree.runs(big) if r.physical for at in range(0, r.length, 1024)]
        all_names = [node.name for node in tree.children(big)]
        damaged = Damaged(source, {blocks[3] + 4: b"\x03"})  # rec_len of its first entry
        tree = open_tree(damaged)
        names = [node.name for node in tree.children(big)]
        assert set(names) < set(all_names) and len(all_names) - len(names) < 1024 // 40
        told = [p for p in tree.problems if p.code == "ext.directory"]
        assert {f"inode {big.number} directory" in p.text for p in told} == {True}
        assert any(p.offset == blocks[3] + 4 and "rec_len" in p.text for p in told)
        assert any("checksum" in p.text for p in told)


def test_an_unreadable_block_costs_its_entries_only(image: ImageMaker) -> None:
    path = image("ext4-fragmented")
    with FileSource(path) as source:
        tree = open_tree(source)
        big = node_at(tree, "big")
        blocks = [r.physical + at for r in tree.runs(big) if r.physical for at in range(0, r.length, 1024)]
        whole = [node.name for node in tree.children(big)]
        tree = open_tree(BadSectorSource(source, [(blocks[2], blocks[2] + 512)]))
        names = [node.name for node in tree.children(big)]
        assert 0 < len(whole) - len(names) < 1024 // 40
        assert any("failed" in p.text for p in tree.problems)
        tree = open_tree(BadSectorSource(source, [(b, b + 1024) for b in sorted(blocks)]))
        with pytest.raises(DeviceError):
            list(tree.children(big))


def test_an_inode_with_a_wrong_checksum_is_shown_and_told(image: ImageMaker) -> None:
    path = image("ext4-4k")
    offset, _ = place_of(path, "dir/f11_1000003.bin")
    with FileSource(path) as source:
        tree = open_tree(Damaged(source, {offset + 0x10: b"\x11\x22\x33\x44"}))
        node = node_at(tree, "dir/f11_1000003.bin")
        assert node.times.modified is not None and node.times.modified // 10**9 == 0x44332211
        good = open_tree(source)
        assert sha256(tree, node) == sha256(good, node_at(good, "dir/f11_1000003.bin"))
        problem = next(p for p in tree.problems if p.code == "ext.inode")
        assert problem.offset == offset and f"inode {node.number} " in problem.text


def test_an_inode_that_cannot_be_read_is_shown_by_name(image: ImageMaker) -> None:
    path = image("ext2-1k")
    offset, _ = place_of(path, "dir/sub")
    with FileSource(path) as source:
        good = open_tree(source)
        names = [node.name for node in good.children(node_at(good, "dir"))]
        tree = open_tree(BadSectorSource(source, [(offset, offset + 256)]))
        nodes = {node.name: node for node in tree.children(node_at(tree, "dir"))}
        assert list(nodes) == names
        assert nodes["sub"].kind is NodeKind.DIRECTORY and "cannot be read" in nodes["sub"].note
        with pytest.raises(DeviceError):
            list(tree.children(nodes["sub"]))
        assert any(p.code == "ext.inode" for p in tree.problems)


def test_content_behind_a_damaged_map_is_refused_not_made_up(image: ImageMaker) -> None:
    path = image("ext4-fragmented")
    with FileSource(path) as source:
        tree = open_tree(source)
        node = node_at(tree, "sparse")
        inode = tree._inode(node)
        block, leaf = inode.block, 0
        for _ in range(struct.unpack_from("<H", block, 6)[0]):  # down to the first leaf of the extent tree
            leaf = struct.unpack_from("<I", block, 12 + 4)[0] * 1024
            block = source.read_at(leaf, 1024)
        tree = open_tree(Damaged(source, {leaf + 100: b"\xff\xff"}))
        reader = tree.open(node)
        with pytest.raises(Corrupt):
            reader.read_at(0, 4096)
        assert reader.read_at(399 * 700 * 1024, 4) == bytes([399 % 255 + 1]) * 4
        assert any(p.code == "ext.file" and f"inode {node.number} " in p.text for p in tree.problems)
        assert sum(r.length for r in tree.runs(node)) == node.size
    with FileSource(image("ext2-fragmented")) as source:
        tree = open_tree(source)
        node = node_at(tree, "sparse")
        inode = tree._inode(node)
        tree = open_tree(Damaged(source, {inode.offset + 0x28 + 4 * 13: b"\xff\xff\xff\x7f"}))  # double indirect
        node = node_at(tree, "sparse")
        reader = tree.open(node)
        with pytest.raises(Inconsistent):
            reader.read_at(700 * 1024, 4)
        assert reader.read_at(0, 1024) == b"\1" * 1024


def test_an_impossible_size_is_told(image: ImageMaker) -> None:
    path = image("ext2-1k")
    offset, _ = place_of(path, "dir/f1_1.bin")
    with FileSource(path) as source:
        tree = open_tree(Damaged(source, {offset + 0x6C: b"\xff\xff\xff\x7f"}))
        node = node_at(tree, "dir/f1_1.bin")
        assert "impossible" in node.note
        with pytest.raises(Inconsistent):
            tree.open(node)
        assert list(tree.runs(node)) == []


@pytest.mark.parametrize(
    "commands",
    [
        b"ln a a/b/c/up\n",  # a loop
        b"ln a/b/c a/b/c/self\n",
        b"ln / a/b/root\n",
        b"ln a/b a/again\n",  # two names in one directory
        b"ln a/b other/also\n",
        b"ln other a/other\nln a other/a\n",
    ],
)
@pytest.mark.parametrize("base", ["ext2-1k", "ext4-4k"])
def test_each_directory_is_shown_in_one_place(commands: bytes, base: str, image: ImageMaker, tmp_path: Path) -> None:
    path = linked(image(base), tmp_path / "image", commands)
    with FileSource(path) as source:
        tree = open_tree(source)
        nodes, _ = read_all(tree)
        assert nodes < 100
        assert node_at(tree, "a/b/c/file").kind is NodeKind.FILE
        assert any(p.code == "ext.directory" for p in tree.problems)
        assert [n.name for n in tree.children(node_at(tree, "a/b/c"))].count("file") == 1


def test_a_directory_with_a_wrong_parent_is_shown_once(image: ImageMaker, tmp_path: Path) -> None:
    path = linked(image("ext2-1k"), tmp_path / "image", b"ln a/b/c other/c\nunlink a/b/c\n")
    with FileSource(path) as source:
        tree = open_tree(source)
        paths = [p for p, _ in walk(tree)]
        assert paths.count("other/c/file") == 1 and "a/b/c/file" not in paths
        assert any("entry '..'" in p.text for p in tree.problems)


def test_what_was_deleted_is_not_shown(image: ImageMaker, tmp_path: Path) -> None:
    path = linked(image("ext2-1k"), tmp_path / "image", b"write /dev/null gone\nclri gone\nln <8> special\n")
    with FileSource(path) as source:
        tree = open_tree(source)
        assert {n.name for n in tree.children(tree.root)} == {"lost+found", "dir", "empty", "a", "other"}
        assert any("not in use" in p.text for p in tree.problems)


def test_names_with_a_slash_stay_in_their_directory(image: ImageMaker) -> None:
    path = image("ext2-1k")
    _, first = place_of(path, "dir")
    with FileSource(path) as source:
        data = source.read_at(first, 1024)
        at = data.index(b"f3_512.bin")
        tree = open_tree(Damaged(source, {first + at: b"../../x/"}))
        names = [node.name for node in tree.children(node_at(tree, "dir"))]
        assert not any("/" in name for name in names) and "..\ufffd..\ufffdx\ufffdin" in names
        assert any("impossible name" in p.text for p in tree.problems)


def test_a_journal_that_cannot_be_followed_leaves_the_disk_state(image: ImageMaker) -> None:
    path = image("ext4-4k-recover")
    with FileSource(path) as source:
        volume = open_volume(source)
        journal = next(r.physical for r in volume._prepare().journal if r.length > 1) * 4096
        tree = open_tree(Damaged(source, {journal + 0x10: bytes(4)}))
        assert [p.code for p in tree.problems if p.code == "ext.journal"] == ["ext.journal"]
        assert "as they are on the disk" in next(p.text for p in tree.problems if p.code == "ext.journal")
        assert node_at(tree, "dir/f1_1.bin").size == 1


def test_access_control_lists() -> None:
    inode = Inode(12, 0, 0, 1, 0, 0, b"", 0, 0, 4096)
    stored = bytes.fromhex("010000000100060002000400d204000020000400")
    expected = bytes.fromhex("0200000001000600ffffffff02000400d204000020000400ffffffff")
    assert linux_acl(stored, inode, 0) == expected and len(ACCESS) == 60
    for bad in (b"", b"\1", b"\2\0\0\0", stored[:-1], stored[:14], stored + b"\x03\0\0\0"):
        with pytest.raises(Corrupt):
            linux_acl(bad, inode, 0)


@pytest.mark.parametrize("part", range(4))
def test_broken_images_of_e2fsprogs(part: int, tmp_path: Path) -> None:
    """Where e2fsck finds nothing, the files equal those of debugfs; elsewhere only our errors, and soon."""
    folder = need_corpora() / "ext" / "e2fsprogs"
    equal = 0
    for name in sorted(p.parent.name for p in folder.glob("*/image.gz"))[part::4]:
        path = unpack(folder / name / "image.gz", sparse_file(tmp_path / name, 0))
        began = time.process_time()
        try:
            with FileSource(path) as source:
                tree = open_tree(source)
                read_all(tree)
                assert time.process_time() - began < 5, name
                if e2fsck_status(path, timeout=3) == 0:
                    found = digests(tree)
                    if open_volume(source).superblock.needs_recovery and name == "f_jnl_32bit":
                        run("e2fsck", "-fy", path, ok=(0, 1))
                    assert found == read_tree("ext4", path, tmp_path), name
                    equal += 1
        except RecoveryError:
            assert name in {"f_crashdisk", "f_zero_super", "i_zero_super"}
        path.unlink()
    assert equal >= 4


def mutate(source: FileSource, rng: Random, areas: list[tuple[int, int]], round_: int) -> Damaged:
    patches = {}
    for _ in range(rng.randint(1, 8)):
        area = rng.choice(areas)
        patches[rng.randrange(*area)] = rng.randbytes(rng.choice((1, 1, 2, 4, 64, 300)))
    size = rng.randrange(1 << 16, source.size) if round_ % 5 == 4 else -1
    return Damaged(source, patches, size=size)


@pytest.mark.parametrize(
    "name", ["ext2-fragmented", "ext4-nocsum", "ext4-rich-inline", "ext4-rich-values", "ext3-4k-recover"]
)
def test_mutations_raise_only_our_errors(name: str, image: ImageMaker) -> None:
    rng = Random(name)
    with FileSource(image(name)) as source:
        volume = open_volume(source)
        tree = open_tree(source)
        size = volume.superblock.block_size
        table = volume._prepare().after.groups.inode_table[0] * size
        areas = [(table, table + 80 * volume.superblock.inode_size), (1024, 2048)]
        for path, node in walk(tree):
            if node.kind is NodeKind.DIRECTORY or path.startswith("xattr"):
                inode = tree._inode(node)
                areas += [(r.physical, r.physical + r.length) for r in tree.runs(node) if r.kind is RunKind.DATA
                          and r.physical]  # fmt: skip
                areas += [(inode.acl_block * size, inode.acl_block * size + 200)] if inode.acl_block else []
                areas.append((inode.offset, inode.offset + volume.superblock.inode_size))
        walked = 0
        for round_ in range(10):
            began = time.process_time()
            try:
                nodes, _ = read_all(open_tree(mutate(source, rng, areas, round_)))
                walked += nodes > 0
            except RecoveryError as error:
                assert str(error)
            assert time.process_time() - began < 5
        assert walked > 2


FILLS: list[Callable[[Random, int], bytes]] = [
    lambda rng, size: b"\xff" * size,
    lambda rng, size: bytes(size),
    lambda rng, size: rng.randbytes(size),
]


@pytest.mark.parametrize("fill", range(len(FILLS)))
def test_garbage_instead_of_inodes_and_directories(fill: int, image: ImageMaker) -> None:
    rng = Random(fill)
    with FileSource(image("ext2-1k")) as source:
        volume = open_volume(source)
        table = volume._prepare().after.groups.inode_table[0] * 1024
        for start, length in ((table + 256 * 11, 4096), (table + 256, 256), (table + 256, 20000)):
            tree = open_tree(Damaged(source, {start: FILLS[fill](rng, length)}))
            try:
                nodes, errors = read_all(tree)
                assert nodes == 0 or errors or tree.problems
            except FormatError as error:
                assert "inode" in str(error)
