"""The door to all trees: the right parser, or a clear word why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from formats.base.errors import Corrupt, Unsupported
from formats.base.source import FileSource, MemorySource
from fs.exfat.tree import ExfatTree
from fs.fat.tree import FatTree
from fs.trees import TREES, open_tree
from fs.walk import resolve
from tests.support.fat_images import GENERATORS
from tests.support.overlay import Overlay
from tests.support.tools import need, run, sparse_file


@pytest.mark.parametrize(("name", "kind"), [("fat12", FatTree), ("fat16", FatTree), ("fat32", FatTree)])
def test_fat(tmp_path: Path, name: str, kind: type) -> None:
    GENERATORS[name](tmp_path / "image")
    with FileSource(tmp_path / "image") as source:
        tree = open_tree(source)
        assert isinstance(tree, kind)
        assert tree.identity.kind == name
        assert resolve(tree, "TREE/dir").name == "dir"


def test_exfat(tmp_path: Path) -> None:
    GENERATORS["exfat-c512"](tmp_path / "image")
    with FileSource(tmp_path / "image") as source:
        tree = open_tree(source)
        assert isinstance(tree, ExfatTree)
        assert resolve(tree, "TREE/dir").name == "dir"
        # Damage is told as what it is: the parser's own error.
        broken = Overlay(source, {0x58: bytes(4), 12 * 512 + 0x58: bytes(4)})
        with pytest.raises(Corrupt):
            open_tree(broken)


def test_every_kind_is_in_one_line_only() -> None:
    kinds = [kind for tree in TREES for kind in tree.kinds]
    assert len(kinds) == len(set(kinds))
    assert {"exfat", "fat12", "fat16", "fat32"} <= set(kinds)


def test_what_has_no_files(tmp_path: Path) -> None:
    need("mkswap", "cryptsetup")
    swap = sparse_file(tmp_path / "swap", 1 << 20)
    swap.chmod(0o600)
    run("mkswap", swap)
    luks = sparse_file(tmp_path / "luks", 20 << 20)
    options = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "-q")
    run("cryptsetup", "luksFormat", *options, luks, "-", stdin=b"secret")
    for path, words in ((swap, "swap"), (luks, "encrypts")):
        with FileSource(path) as source, pytest.raises(Unsupported) as error:
            open_tree(source)
        assert words in error.value.advice
    for data in (b"", bytes(100_000), b"\xff" * 100_000):
        with pytest.raises(Unsupported) as unknown:
            open_tree(MemorySource(data))
        assert unknown.value.advice


def test_two_claims_are_not_decided(tmp_path: Path) -> None:
    """FAT with the descriptor of ISO 9660: one of them is left over, and there is no telling which."""
    GENERATORS["fat16"](tmp_path / "image")
    with FileSource(tmp_path / "image") as source, pytest.raises(Unsupported) as error:
        open_tree(Overlay(source, {32768: b"\x01CD001"}))
    assert "fat16 and iso9660" in error.value.advice
