"""The judges themselves: do they see a tree as it is, and do they see damage?"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.oracles import fsck, ntfs_mounted, read_tree
from tests.support.tools import loop_device, mounted, need, need_root, run, sparse_file
from tests.support.tree import digest, populate

MiB = 1 << 20
WRECKS = {
    "ntfs": (3, b"\0" * 8),
    "ext4": (4096, b"\xff" * 4096),
    "fat16": (12 * 512, b"\x55" * 600),
    "exfat": (3, b"FATEX"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    populate(root)
    return root


def make(kind: str, image: Path, tree: Path, scratch: Path) -> None:
    where = scratch / "mnt"
    if kind == "ext4":
        run("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, sparse_file(image, 32 * MiB))
    elif kind == "fat16":
        run("mkfs.fat", "-F16", sparse_file(image, 32 * MiB))
        run("mcopy", "-s", "-i", image, *sorted(tree.iterdir()), "::/")
    elif kind == "ntfs":
        run("mkntfs", "-F", "-Q", "-q", sparse_file(image, 32 * MiB))
        where.mkdir()
        with ntfs_mounted(image, where, "streams_interface=windows"):
            shutil.copytree(tree, where, dirs_exist_ok=True)
    else:
        need("mkfs.exfat", "mount.exfat-fuse")
        run("mkfs.exfat", sparse_file(image, 32 * MiB))
        with loop_device(image) as device, mounted(["mount.exfat-fuse", device, where], where):
            shutil.copytree(tree, where, dirs_exist_ok=True)


@pytest.mark.parametrize("kind", sorted(WRECKS))
def test_judges(kind: str, tree: Path, tmp_path: Path) -> None:
    need_root()
    image = tmp_path / "image"
    make(kind, image, tree, tmp_path)
    before = image.read_bytes()
    found = read_tree(kind, image, tmp_path)
    assert found == digest(tree) and len(found) == 72
    assert fsck(kind, image)[0]
    assert image.read_bytes() == before, "the judges change nothing"
    assert not (tmp_path / "read-tree").exists()
    offset, wreck = WRECKS[kind]
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(wreck)
    content, told = fsck(kind, image)
    assert not content and told


def test_a_changed_byte_is_seen(tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    make("ext4", image, tree, tmp_path)
    data = image.read_bytes()
    needle = (tree / "dir" / "f10_65536.bin").read_bytes()[4096:8192]
    at = data.index(needle)
    with image.open("r+b") as file:
        file.seek(at)
        file.write(bytes([needle[0] ^ 1]))
    found, true = read_tree("ext4", image, tmp_path), digest(tree)
    assert [path for path in true if found[path] != true[path]] == ["dir/f10_65536.bin"]


def test_unknown_kinds() -> None:
    with pytest.raises(ValueError, match="no checker"):
        fsck("xfs", Path("nowhere"))


def test_unknown_reader(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no independent reader"):
        read_tree("xfs", tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []
