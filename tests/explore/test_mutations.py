"""Whole flows over images with random damage: only our own errors leave, everything ends, nothing escapes."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from formats.base.errors import RecoveryError
from formats.base.extent import ExtentList
from formats.base.source import MemorySource
from fs.findings import Log
from fs.trees import open_tree
from recovery.engine.extract import Extraction
from recovery.engine.extract_folder import Folder
from recovery.engine.extract_notes import Tally
from recovery.engine.filecheck import check_files
from recovery.engine.listing import digests, find
from recovery.engine.owners import hit_names
from tests.support.oracles import ntfs_mounted
from tests.support.tools import need, need_root, run, sparse_file

ROUNDS = 25


def small_image(kind: str, tmp_path: Path) -> bytes:
    tree = tmp_path / "tree"
    (tree / "sub" / "below").mkdir(parents=True)
    for i in range(12):
        (tree / "sub" / f"file with a long name {i}").write_bytes(bytes([i]) * 700 * i)
    (tree / "sub" / "below" / "x").write_text("x")
    image = tmp_path / "image"
    if kind == "ext4":
        need("mke2fs")
        run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-d", tree, image, "2m")
    elif kind == "fat12":
        need("mkfs.fat", "mcopy")
        run("mkfs.fat", sparse_file(image, 2 << 20))
        run("mcopy", "-s", "-i", image, tree / "sub", "::/")
    else:
        need_root()
        need("mkntfs", "ntfs-3g")
        run("mkntfs", "-F", "-Q", "-q", sparse_file(image, 3 << 20))
        where = tmp_path / "mnt"
        where.mkdir()
        with ntfs_mounted(image, where, "streams_interface=windows"):
            shutil.copytree(tree, where, dirs_exist_ok=True)
    return image.read_bytes()


@pytest.mark.parametrize("kind", ["fat12", "ntfs", "ext4"])
def test_mutated(kind: str, tmp_path: Path) -> None:
    good = small_image(kind, tmp_path)
    used = [at for at in range(0, len(good), 512) if any(good[at : at + 512])]
    rng = random.Random(11)
    opened = 0
    for n in range(ROUNDS):
        data = bytearray(good)
        for _ in range(rng.choice((1, 4, 40))):
            at = rng.choice(used[1:]) + rng.randrange(512)
            if at < len(data):
                data[at] = rng.choice((0, 0xFF, data[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
        if n % 5 == 4:
            del data[rng.randrange(len(data) // 2, len(data)) :]
        source = MemorySource(bytes(data))
        hit_names(source, ExtentList([(0, len(data) // 2)]))
        try:
            tree = open_tree(source)
        except RecoveryError:
            continue
        opened += 1
        check_files(tree)
        list(digests(tree, Log(), all_streams=True))
        list(find(tree, "*a*", Log()))
        out = tmp_path / "jail" / str(n)
        with Folder(out) as folder:
            try:
                Extraction(tree, folder, Tally(), lambda: None).take("/")
            except RecoveryError:
                pass
        assert {p.name for p in (tmp_path / "jail").iterdir()} == {str(n)}
        shutil.rmtree(tmp_path / "jail")
    assert opened >= ROUNDS // 3
