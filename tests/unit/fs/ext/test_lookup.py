"""Finding one name: through hash trees of every kind, without regard to case, and when the index is wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.base.errors import Unsupported
from formats.base.source import FileSource
from fs.ext.htree import HALF_MD4, LEGACY, TEA, name_hash
from fs.ext.tree import ExtTree, open_tree
from fs.tree import Node, NodeKind
from tests.support.sources import WatchedSource
from tests.support.tools import need, run, sparse_file
from tests.unit.fs.ext.conftest import ImageMaker

SEED_TEXT = "6f1e1a2c-5a3b-4d47-9a59-8a3d0f8b1b2d"


def seed_words() -> tuple[int, int, int, int]:
    raw = bytes.fromhex(SEED_TEXT.replace("-", ""))
    words = [int.from_bytes(raw[i : i + 4], "little") for i in (0, 4, 8, 12)]
    return words[0], words[1], words[2], words[3]


@pytest.mark.parametrize(("name", "version"), [("legacy", LEGACY), ("half_md4", HALF_MD4), ("tea", TEA)])
@pytest.mark.parametrize("seeded", [False, True])
def test_hashes_are_those_of_debugfs(name: str, version: int, seeded: bool, image: ImageMaker) -> None:
    need("debugfs")
    rng = Random(name)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz._0123456789", k=n)) for n in (*range(1, 70), 128, 255)]
    words += ["ü" * 5, "naïve — ünïcödé", "ß" * 100]
    option = f"-h {name} " + (f"-s {SEED_TEXT} " if seeded else "")
    asked = "".join(f'dx_hash {option}"{word}"\n' for word in words).encode()
    text = run("debugfs", "-f", "-", image("ext2-1k"), stdin=asked)
    expected = [(int(a, 16), int(b, 16)) for a, b in re.findall(r"is 0x([0-9a-f]+) \(minor 0x([0-9a-f]+)\)", text)]
    seed = seed_words() if seeded else (0, 0, 0, 0)
    assert [name_hash(word.encode(), version, seed, False) for word in words] == expected


@given(st.binary(max_size=300), st.integers(0, 2), st.booleans())
def test_hashes_fit_their_fields(name: bytes, version: int, unsigned: bool) -> None:
    major, minor = name_hash(name, version, (1, 2, 3, 4), unsigned)
    assert 0 <= major < 0xFFFFFFFE and not major & 1 and 0 <= minor <= 0xFFFFFFFF


@pytest.mark.parametrize("version", [3, 6, 200])
def test_other_hashes_are_refused_by_number_or_name(version: int) -> None:
    with pytest.raises(Unsupported, match="siphash" if version == 6 else str(version)):
        name_hash(b"name", version, (0, 0, 0, 0), False)


def indexed(path: Path, algorithm: str, flags: int, count: int) -> list[str]:
    """An image with one large directory; e2fsck makes its hash tree. Small blocks, so that it has two levels."""
    need("mke2fs", "debugfs", "e2fsck", "tune2fs")
    sparse_file(path, 64 << 20)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-N", "8192", "-O", "^has_journal", path)
    run("tune2fs", "-E", f"hash_alg={algorithm}", path)
    names = [f"{'ü' if i % 3 == 0 else ''}{i:05d}{'long' * 50}" for i in range(count)]
    empty = path.with_suffix(".empty")
    empty.write_bytes(b"")
    commands = [f"ssv flags {flags}", "mkdir many", "cd many"]
    commands += [f"write {empty} {name}" for name in names]
    run("debugfs", "-w", "-f", "-", path, stdin="\n".join(commands).encode())
    run("e2fsck", "-fyD", path, ok=(0, 1))
    return names


def many_of(tree: ExtTree) -> Node:
    many = tree.child(tree.root, "many")
    assert many is not None and many.kind is NodeKind.DIRECTORY and many.attributes & 0x1000
    return many


@pytest.mark.parametrize(
    ("algorithm", "flags"), [("half_md4", 1), ("tea", 1), ("legacy", 1), ("half_md4", 2), ("tea", 2), ("legacy", 2)]
)
def test_lookup_goes_through_the_index(algorithm: str, flags: int, tmp_path: Path) -> None:
    names = indexed(tmp_path / "image", algorithm, flags, 1200)
    with FileSource(tmp_path / "image") as file:
        source = WatchedSource(file)
        tree = open_tree(source)
        many = many_of(tree)
        before = source.reads
        for name in names[::11]:
            found = tree.child(many, name)
            assert found is not None and found.name == name
            assert tree.child(many, name[:-1]) is None
        assert source.reads - before < 10 * 2 * len(names[::11])
        assert {node.name for node in tree.children(many)} == set(names)
        assert list(tree.problems) == []


def test_names_are_found_without_the_index_when_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "image"
    names = indexed(path, "half_md4", 1, 400)
    with FileSource(path) as source:
        tree = open_tree(source)
        first = next(tree.runs(many_of(tree))).physical
        assert first is not None
    data = bytearray(path.read_bytes())
    data[first + 0x1C] = 6  # SipHash
    path.write_bytes(data)
    with FileSource(path) as source:
        tree = open_tree(source)
        many = many_of(tree)
        assert all(tree.child(many, name) for name in names[::50])
        assert tree.child(many, "absent") is None


def test_no_child_has_a_name_that_no_entry_can_have(image: ImageMaker) -> None:
    with FileSource(image("ext4-rich")) as source:
        tree = open_tree(source)
        for name in (".", "..", "", "/", "few/entry 1", "\0", "\ud800", "\ud800\udfff", "x" * 256, "PLAIN", "\ufffd"):
            assert tree.child(tree.root, name) is None
        for node in tree.children(tree.root):
            assert tree.child(tree.root, node.name) == node


def test_case_is_ignored_where_the_directory_says_so(tmp_path: Path, image: ImageMaker) -> None:
    need("debugfs")
    path = tmp_path / "image"
    shutil.copy(image("ext4-casefold"), path)
    run("debugfs", "-w", "-f", "-", path, stdin=b"mkdir folded\ncd folded\nwrite /dev/null Stra\xc3\x9fe-\xc3\x84\n"
        b"cd /\nsif folded flags 0x40080000\n")  # fmt: skip
    with FileSource(path) as source:
        tree = open_tree(source)
        assert tree.child(tree.root, "FOLDED") is None
        folder = tree.child(tree.root, "folded")
        assert folder is not None
        for name in ("Straße-Ä", "STRASSE-ä", "straße-A\u0308"):
            found = tree.child(folder, name)
            assert found is not None and found.name == "Straße-Ä"
        assert tree.child(folder, "Strase-Ä") is None
