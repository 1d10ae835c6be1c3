"""Every feature set against e2fsprogs, partclone and blkid."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from formats.base.extent import ExtentList
from formats.base.problem import Severity
from formats.base.source import FileSource
from formats.base.units import TiB
from fs.ext.volume import open_volume
from tests.support.ext_images import (
    BIGALLOC,
    GENERATORS,
    e2fsck_status,
    used_by_debugfs,
    used_by_dumpe2fs,
)
from tests.support.partclone import used_map
from tests.support.tools import need, run, sparse_file
from tests.unit.fs.ext.conftest import ImageMaker

NOT_CLEAN = {"ext4-encrypt": 4}  # e2fsck 1.47.0 finds the quota of mke2fs -d wrong


@pytest.mark.parametrize("name", GENERATORS)
def test_used_blocks_are_those_of_e2fsprogs(name: str, image: ImageMaker) -> None:
    path = image(name)
    assert e2fsck_status(path) == NOT_CLEAN.get(name, 0)
    with FileSource(path) as source:
        volume = open_volume(source)
        found = ExtentList(volume.allocated())
        identity = volume.identity
        if name in BIGALLOC:
            expected = used_by_debugfs(path, identity.block_size, identity.size // identity.block_size)
        else:
            expected = used_by_dumpe2fs(path)
        assert found == expected
        assert list(volume.allocated()) == list(found), "a second call gives the same"
        assert [p for p in volume.problems if p.severity != Severity.INFO] == []


@pytest.mark.parametrize("name", GENERATORS)
def test_everything_referred_to_is_in_use(name: str, image: ImageMaker) -> None:
    with FileSource(image(name)) as source:
        volume = open_volume(source)
        found = ExtentList(volume.allocated())
        references = list(volume.references())
        assert all(found.covers(*r.extent) for r in references)
        assert [p for p in volume.problems if p.severity != Severity.INFO] == []
        owners = {r.owner for r in references}
        assert {"superblock and descriptors in group 0", "block bitmap of group 0", "inode 2"} <= owners
        assert any(p.code == "ext.bad_blocks" for p in volume.problems) == (name == "ext4-bad")


@pytest.mark.parametrize(
    "name", ["ext2-2k-notsparse", "ext3-4k", "ext4-fragmented", "ext2-fragmented", "ext4-nocsum-1k"]
)
def test_what_nothing_refers_to_is_known(name: str, image: ImageMaker) -> None:
    """In use, but without owner: reserved descriptor blocks aside, only inode tables that were never written."""
    with FileSource(image(name)) as source:
        volume = open_volume(source)
        orphaned = ExtentList(volume.allocated()).subtract(ExtentList(r.extent for r in volume.references()))
        layout = volume._prepare().after.groups
        size, blocks = volume.identity.block_size, volume.superblock.itable_blocks
        tables = ExtentList((t * size, (t + blocks) * size) for t in layout.inode_table)
        assert orphaned.subtract(tables) == ExtentList()


@pytest.mark.parametrize("name", ["ext2-rev0", "ext3-1k", "ext4-64k", "ext4-lazy", "ext4-metabg"])
def test_used_blocks_are_those_of_partclone(name: str, image: ImageMaker, tmp_path: Path) -> None:
    """A few, for each run takes two seconds; partclone 0.3.23 fails on bigalloc."""
    expected = used_map("partclone.extfs", image(name), tmp_path)
    with FileSource(image(name)) as source:
        assert ExtentList(open_volume(source).allocated()) == expected.extents


@pytest.mark.parametrize("name", GENERATORS)
def test_identity_is_that_of_blkid(name: str, image: ImageMaker) -> None:
    need("blkid")
    text = run("blkid", "-p", "-o", "export", image(name))
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    with FileSource(image(name)) as source:
        identity = open_volume(source).identity
    assert identity.kind == said["TYPE"]
    assert identity.label.replace(" ", "\\ ") == said.get("LABEL", "")
    assert identity.uuid == said["UUID"]
    assert identity.size == image(name).stat().st_size
    assert str(identity.block_size) == said["BLOCK_SIZE"]


MEASURE = """
import sys
from formats.base.extent import collect
from formats.base.source import FileSource
from fs.ext.volume import open_volume
with FileSource(sys.argv[1]) as source:
    total = collect(open_volume(source).allocated()).total
with open("/proc/self/status") as status:  # ru_maxrss would count the parent before exec
    print(total, next(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""


def test_fifteen_terabytes_in_seconds(tmp_path: Path) -> None:
    """115 191 of the 122 880 groups have no bitmap yet; partclone takes minutes."""
    need("mke2fs", "dumpe2fs")
    if shutil.disk_usage(tmp_path).free < 1 << 30:
        pytest.skip("needs 1 GiB of room")
    path = sparse_file(tmp_path / "huge.img", 15 * TiB)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-T", "largefile4",
        "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", path)  # fmt: skip
    head = dict(line.split(":", 1) for line in run("dumpe2fs", "-h", path).splitlines() if ":" in line)
    used = (int(head["Block count"]) - int(head["Free blocks"])) * 4096
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True, timeout=60)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before.ru_utime
    total, peak = map(int, done.stdout.split())
    path.unlink()
    assert total == used
    assert peak < 200_000, "KiB"
    assert spent < 10, f"seconds of processor; {time.monotonic() - started:.1f} on the clock"
