"""Volumes with an unreplayed journal: what only the journal knows must be in the copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from formats.base.extent import ExtentList
from formats.base.source import FileSource
from fs.ext.volume import ExtVolume, open_volume
from tests.support.ext_images import GENERATORS, dirty, e2fsck_status, used_by_dumpe2fs
from tests.support.tools import loop_device, mounted, need, need_root, run, sparse_file
from tests.unit.fs.ext.conftest import ImageMaker


def copy_of(volume: ExtVolume, path: Path) -> Path:
    """What a restore leaves: the allocated extents, and noise where the old disk had something else."""
    size = volume.identity.size
    sparse_file(path, size)
    with path.open("r+b") as file:
        used = ExtentList(volume.allocated())
        for start, end in used.complement(size):
            file.seek(start)
            file.write(b"\xa5" * min(end - start, 1 << 20))
        for start, end in used:
            file.seek(start)
            file.write(volume.source.read_at(start, end - start))
    return path


@pytest.mark.parametrize("name", ["ext3-4k", "ext4-1k", "ext4-nocsum"])
def test_files_that_only_the_journal_knows_come_back(name: str, tmp_path: Path) -> None:
    need_root()
    path = tmp_path / "dirty.img"
    GENERATORS[name](path)
    expected = dirty(path)
    on_disk = used_by_dumpe2fs(path)
    with FileSource(path) as source:
        volume = open_volume(source)
        found = ExtentList(volume.allocated())
        references = ExtentList(r.extent for r in volume.references())
        assert [p.code for p in volume.problems] == ["ext.needs_recovery"]
        assert on_disk.subtract(found) == ExtentList()
        assert found.subtract(on_disk).total > 3_000_000, "the bitmaps on disk do not know the new files"
        assert found.total < volume.identity.size * 3 // 4, "and yet not everything is copied"
        assert references.subtract(found) == ExtentList()
        assert references.subtract(on_disk).total > 3_000_000
        copy = copy_of(volume, tmp_path / "copy.img")
    by_e2fsck = tmp_path / "e2fsck.img"
    shutil.copy(copy, by_e2fsck)
    run("e2fsck", "-y", "-E", "journal_only", by_e2fsck, ok=(0, 1))
    for replayed in (copy, by_e2fsck):
        with loop_device(replayed) as device, mounted(["mount", device, tmp_path / "mnt"], tmp_path / "mnt") as top:
            assert {n: (top / n).read_bytes() for n in expected} == expected
        assert e2fsck_status(replayed) == 0
        assert used_by_dumpe2fs(replayed).subtract(found) == ExtentList()


@pytest.mark.parametrize("name", ["ext4-fastcommit"])
def test_fast_commits_take_everything(name: str, tmp_path: Path) -> None:
    need_root()
    path = tmp_path / "dirty.img"
    GENERATORS[name](path)
    expected = dirty(path)
    with FileSource(path) as source:
        volume = open_volume(source)
        assert list(volume.allocated()) == [(0, volume.identity.size)]
        assert [p.code for p in volume.problems] == ["ext.needs_recovery", "ext.journal"]
        copy = copy_of(volume, tmp_path / "copy.img")
    with loop_device(copy) as device, mounted(["mount", device, tmp_path / "mnt"], tmp_path / "mnt") as top:
        assert {n: (top / n).read_bytes() for n in expected} == expected


@pytest.mark.parametrize(
    ("name", "version"), [("ext3-4k", ""), ("ext4-1k", ""), ("ext4-1k", "-c -v 2"), ("ext4-1k", "-c -v 3")]
)
def test_replay_writes_what_e2fsck_writes(name: str, version: str, image: ImageMaker, tmp_path: Path) -> None:
    """Logs that debugfs writes: copies, a revoked one, a later copy of it, each kind of checksum."""
    need("debugfs", "e2fsck")
    path, content = tmp_path / "log.img", tmp_path / "content"
    shutil.copy(image(name), path)
    with FileSource(path) as source:
        volume = open_volume(source)
        size, total = volume.identity.block_size, volume.superblock.blocks_count
        free = ExtentList(volume.allocated()).complement(volume.identity.size)
        blocks = [start // size + 2 for start, end in free if end - start > 64 * size][:1]
    first = blocks[0]
    content.write_bytes(b"\xc0\x3b\x39\x98" + bytes(i % 251 for i in range(8 * size - 4)))
    script = f"""jo {version}
jw -b {first},{first + 1},{first + 2},{first + 3} {content}
jw -r {first + 1},{first + 2}
jw -b {first + 2},{first + 5} {content}
jc
"""
    run("debugfs", "-w", "-f", "-", path, stdin=script.encode())
    assert "needs_recovery" in run("dumpe2fs", "-h", path)
    with FileSource(path) as source:
        volume = open_volume(source)
        reader = volume._prepare().after.reader
        assert volume._prepare().uncertain == ""
        assert [b for b in range(total) if reader.replaces(b)] == [first, first + 2, first + 3, first + 5]
        expected = reader.read(first - 1, 8)
    run("e2fsck", "-y", "-E", "journal_only", path, ok=(0, 1))
    with FileSource(path) as source:
        assert source.read_at((first - 1) * size, 8 * size) == expected
    assert expected[size : size + 4] == b"\xc0\x3b\x39\x98", "escaped in the log"


def test_checksums_of_the_first_version_take_everything(image: ImageMaker, tmp_path: Path) -> None:
    need("debugfs")
    path, content = tmp_path / "log.img", tmp_path / "content"
    shutil.copy(image("ext3-4k"), path)
    content.write_bytes(bytes(range(256)) * 32)
    run("debugfs", "-w", "-f", "-", path, stdin=f"jo -c\njw -b 9000,9001 {content}\njc\n".encode())
    with FileSource(path) as source:
        volume = open_volume(source)
        assert list(volume.allocated()) == [(0, volume.identity.size)]
        assert [p.code for p in volume.problems] == ["ext.needs_recovery", "ext.journal"]


def test_damaged_log_takes_everything(image: ImageMaker, tmp_path: Path) -> None:
    need("debugfs")
    path, content = tmp_path / "log.img", tmp_path / "content"
    shutil.copy(image("ext4-1k"), path)
    content.write_bytes(bytes(range(256)) * 8)
    run("debugfs", "-w", "-f", "-", path, stdin=f"jo -c -v 3\njw -b 60000,60001 {content}\njc\n".encode())
    with FileSource(path) as source:
        volume = open_volume(source)
        journal = volume._prepare().journal
        assert volume._prepare().after.reader.replaces(60001)
        at = next(run.physical for run in journal) * 1024 + 3 * 1024 + 17
        size = volume.identity.size
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    with FileSource(path) as source:
        volume = open_volume(source)
        assert list(volume.allocated()) == [(0, size)]
        found = [p for p in volume.problems if p.code == "ext.journal"]
        assert "checksum" in found[0].text and "all of the file system" in found[0].text
