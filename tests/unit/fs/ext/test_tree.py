"""The files of a volume are those that the kernel, debugfs and The Sleuth Kit see."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from formats.base.errors import Truncated, Unsupported
from formats.base.problem import Severity
from formats.base.source import FileSource
from fs.ext.tree import open_tree
from fs.tree import NodeKind, RunKind
from tests.support.ext_images import DIRTY_GENERATORS, GENERATORS
from tests.support.ext_trees import (
    RICH_GENERATORS,
    digests,
    encrypted,
    facts_of_kernel,
    facts_of_tree,
    kernel_mounted,
    walk,
)
from tests.support.oracles import read_tree
from tests.support.sources import WatchedSource
from tests.support.tools import need, need_corpora, run, sparse_file
from tests.support.tree import digest, populate
from tests.unit.fs.ext.conftest import ImageMaker

FOR_THE_KERNEL = (
    "ext2-1k", "ext2-rev0", "ext3-4k", "ext4-bigalloc-1k", "ext4-metabg", "ext4-inline", "ext4-nocsum", "ext4-encrypt",
    "ext4-smallgroup", "ext4-lazy", "ext4-bad",
)  # fmt: skip


@pytest.fixture(scope="session")
def populated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("populated")
    populate(folder)
    return digest(folder)


@pytest.mark.parametrize("name", GENERATORS)
def test_contents_are_those_of_debugfs(name: str, image: ImageMaker, populated: dict[str, str], tmp_path: Path) -> None:
    with FileSource(image(name)) as source:
        tree = open_tree(source)
        found = digests(tree)
        assert list(tree.problems) == []
    if name != "ext4-inline":  # debugfs 1.47.0 writes all 60 bytes of shorter files
        assert found == read_tree("ext4", image(name), tmp_path)
    if "rev0" not in name and "bad" not in name:
        assert populated.items() <= found.items()


@pytest.mark.parametrize("name", [*RICH_GENERATORS, *FOR_THE_KERNEL])
def test_everything_is_as_the_kernel_shows_it(name: str, image: ImageMaker, tmp_path: Path) -> None:
    """Modes, sizes, owners, links, numbers, devices, times, contents, targets and attributes."""
    with FileSource(image(name)) as source:
        tree = open_tree(source)
        found = facts_of_tree(tree)
        assert list(tree.problems) == []
    with kernel_mounted(image(name), tmp_path / "mnt") as top:
        assert found == facts_of_kernel(top)


@pytest.mark.parametrize("name", DIRTY_GENERATORS)
def test_after_the_replay_as_the_kernel_does_it(name: str, image: ImageMaker, tmp_path: Path) -> None:
    with FileSource(image(name)) as source:
        tree = open_tree(source)
        found = facts_of_tree(tree)
        assert [(p.severity, p.code) for p in tree.problems] == [(Severity.INFO, "ext.needs_recovery")]
    copy = tmp_path / "copy"
    shutil.copy(image(name), copy)
    with kernel_mounted(copy, tmp_path / "mnt", "rw") as top:
        assert found == facts_of_kernel(top)
    assert "late15" in found and "j0" not in found


def test_rich_images_hold_what_they_should(image: ImageMaker) -> None:
    """So that the comparison with the kernel cannot be one of empty trees."""
    with FileSource(image("ext4-rich")) as source:
        tree = open_tree(source)
        nodes = dict(walk(tree))
        assert {node.kind for node in nodes.values()} == set(NodeKind) - {NodeKind.OTHER}
        assert nodes["wide"].device == (4095, 1048575)
        assert nodes["plain"].number == nodes["second name"].number and nodes["plain"].links == 2
        times = nodes["time 7"].times
        assert times.modified == ((1 << 34) - (1 << 31) - 2) * 10**9 + 999999999
        assert times.created is not None and abs(times.created / 1e9 - time.time()) < 86400
        assert len(tree.xattrs(nodes["acl"])["system.posix_acl_access"]) == 4 + 7 * 8
        assert len(tree.xattrs(nodes["xattr large"])["user.large"]) == 3000
        kinds = {run_.kind for run_ in tree.runs(nodes["unwritten"])}
        assert kinds == {RunKind.DATA, RunKind.UNWRITTEN}
        assert {run_.kind for run_ in tree.runs(nodes["holes"])} == {RunKind.DATA, RunKind.HOLE}
        assert not any(node.number in (3, 4, 7, 8, 9, 10) for node in nodes.values())
        with pytest.raises(Unsupported):
            tree.open(nodes["fifo"])
        with pytest.raises(Unsupported):
            tree.open(nodes["plain"], "stream")
        reader = tree.open(nodes["plain"])
        with pytest.raises(Truncated):
            reader.read_at(3, 5)
        assert (reader.size, reader.read_at(3, 4), reader.read_at(7, 0)) == (7, b"tent", b"")
    with FileSource(image("ext4-rich-inline")) as source:
        tree = open_tree(source)
        nodes = dict(walk(tree))
        assert [list(tree.runs(nodes[name])) for name in ("size59", "size100")] == [[], []]
        assert nodes["few"].size < 1024
    with FileSource(image("ext4-rich-values")) as source:
        tree = open_tree(source)
        assert len(tree.xattrs(dict(walk(tree))["xattr large"])["user.large"]) == 65536


def test_creation_times_are_those_of_debugfs(image: ImageMaker) -> None:
    need("debugfs")
    path = image("ext4-rich")
    with FileSource(path) as source:
        tree = open_tree(source)
        for name in ("plain", "few", "null"):
            node = tree.child(tree.root, name)
            assert node is not None and node.times.created is not None
            text = run("debugfs", "-R", f"stat {name}", path)
            found = re.search(r"crtime: 0x([0-9a-f]{8}):([0-9a-f]{8})", text)
            assert found is not None
            assert node.times.created == int(found[1], 16) * 10**9 + (int(found[2], 16) >> 2)


@pytest.mark.parametrize("name", ["ext2-fragmented", "ext3-4k", "ext4-fragmented", "ext4-rich-1k"])
def test_runs_are_where_debugfs_finds_the_blocks(name: str, image: ImageMaker) -> None:
    need("debugfs")
    path = image(name)
    with FileSource(path) as source:
        tree = open_tree(source)
        nodes = {p: n for p, n in walk(tree) if n.kind is NodeKind.FILE and n.size and p.isascii() and "\n" not in p}
        size = tree.identity.block_size
        for node in list(nodes.values())[-40:]:
            blocks = [
                block
                for run_ in tree.runs(node)
                if run_.physical is not None
                for block in range(run_.physical // size, -(-(run_.physical + run_.length) // size))
            ]
            text = run("debugfs", "-R", f"blocks <{node.number}>", path)
            assert set(blocks) <= set(map(int, text.split()))
            data = [r for r in tree.runs(node) if r.kind is RunKind.DATA]
            assert sum(r.length for r in tree.runs(node)) == node.size
            reader = tree.open(node)
            for run_ in data[:3]:
                assert run_.physical is not None
                assert source.read_at(run_.physical, run_.length) == reader.read_at(run_.logical, run_.length)


@pytest.mark.parametrize("name", ["ext2-1k", "ext3-4k", "ext4-1k", "ext4-4k"])
def test_names_are_those_of_the_sleuth_kit(name: str, image: ImageMaker) -> None:
    need("fls")
    text = run("fls", "-r", "-p", "-u", image(name))
    listed = {}
    for line in text.splitlines():
        kind, rest = line.split(" ", 1)
        number, path = rest.split(":\t", 1)
        if not path.startswith("$"):
            listed[path] = (int(number), kind[-1])
    with FileSource(image(name)) as source:
        found = {p: (n.number, "d" if n.kind is NodeKind.DIRECTORY else "r") for p, n in walk(open_tree(source))}
    assert found == listed


def test_random_reads_equal_sequential_ones(image: ImageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when a reader can remember only a few pieces of the map and must begin again."""
    monkeypatch.setattr("fs.ext.data.WINDOW", 8)
    with FileSource(image("ext4-fragmented")) as source:
        tree = open_tree(source)
        node = tree.child(tree.root, "sparse")
        assert node is not None
        reader = tree.open(node)
        for i in (399, 3, 200, 199, 398, 0, 399):
            at = i * 700 * 1024
            expected = b"\0\0" + bytes([i % 255 + 1]) * 3 if i else bytes([1]) * 5
            assert reader.read_at(max(0, at - 2), 5) == expected


def test_large_files_are_read_in_large_pieces(tmp_path: Path) -> None:
    path = sparse_file(tmp_path / "image", 64 << 20)
    content = tmp_path / "content"
    content.write_bytes(bytes(range(256)) * (8 << 12))
    need("mke2fs", "debugfs")
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", path)
    run("debugfs", "-w", "-R", f"write {content} large", path)
    with FileSource(path) as file:
        source = WatchedSource(file)
        tree = open_tree(source)
        node = tree.child(tree.root, "large")
        assert node is not None
        reader = tree.open(node)
        before = source.reads
        data = b"".join(reader.read_at(at, 1 << 20) for at in range(0, reader.size, 1 << 20))
        assert data == content.read_bytes()
        assert source.reads - before < 24


def test_encrypted_files_are_listed_as_the_kernel_does_it_without_the_key(tmp_path: Path) -> None:
    path = tmp_path / "image"
    names = encrypted(path)
    with FileSource(path) as source:
        tree = open_tree(source)
        nodes = dict(walk(tree))
        assert set(nodes) == names and len(names) > 300
        secret = nodes["secret"]
        inside = {node.kind: node for node in tree.children(secret)}
        assert "encrypted" in secret.note and all("encrypted" in node.note for node in inside.values())
        with pytest.raises(Unsupported, match="encrypted"):
            tree.open(inside[NodeKind.FILE])
        with pytest.raises(Unsupported, match="encrypted"):
            tree.link_target(inside[NodeKind.SYMLINK])
        for node in inside.values():
            assert tree.child(secret, node.name) == node
            assert tree.xattrs(node) == {}
        assert tree.child(secret, "file") is None
        assert list(tree.problems) == []


def test_hierarchy_64(tmp_path: Path) -> None:
    path = need_corpora() / "ext" / "hierarchy_64.ext4"
    with FileSource(path) as source:
        tree = open_tree(source)
        assert digests(tree) == read_tree("ext4", path, tmp_path)
        assert list(tree.problems) == []


@pytest.mark.slow
def test_seventy_thousand_files_in_one_directory(tmp_path: Path) -> None:
    path = sparse_file(tmp_path / "image", 600 << 20)
    need("mke2fs")
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-N", "80000", path)
    with kernel_mounted(path, tmp_path / "mnt", "rw") as top:
        (top / "many").mkdir()
        for i in range(70000):
            os.mknod(top / "many" / f"a file with a name {i:06d}")
    with FileSource(path) as file:
        source = WatchedSource(file)
        began = time.process_time()
        tree = open_tree(source)
        many = tree.child(tree.root, "many")
        assert many is not None
        numbers = {node.name: node.number for node in tree.children(many)}
        assert time.process_time() - began < 4
        assert source.reads < 3000
        assert len(numbers) == 70000 == len(set(numbers.values()))
        before = source.reads
        for i in range(0, 70000, 1000):
            found = tree.child(many, f"a file with a name {i:06d}")
            assert found is not None and found.number == numbers[found.name]
            assert tree.child(many, f"no file with a name {i:06d}") is None
        assert source.reads - before < 140 * 8
        assert list(tree.problems) == []
