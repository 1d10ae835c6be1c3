"""The main flow on block devices, as the kernel has them: nodes, exclusive opens, discards, sectors of 4 KiB."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import little
from tests.support.command import jurymast
from tests.support.disks import partitioned_loop
from tests.support.oracles import fsck, read_tree
from tests.support.tools import loop_device, need, run, sparse_file

pytestmark = pytest.mark.root


@contextmanager
def loop_disk(image: Path, *, sector_size: int = 512) -> Iterator[Path]:
    """A loop device with the partition nodes of what is on it, if anything; all nodes are gone at the end."""
    with loop_device(image, sector_size=sector_size) as device:
        run("partx", "-a", device, ok=(0, 1))
        try:
            yield device
        finally:
            subprocess.run(["partx", "-d", device], check=False, capture_output=True)


def nodes(device: Path) -> list[str]:
    """The kernel's partitions: name, start, size in sectors of 512."""
    folders = sorted(Path(f"/sys/class/block/{device.name}").glob(f"{device.name}p*"))
    return [f"{f.name[len(device.name) :]} {_number(f, 'start')} {_number(f, 'size')}" for f in folders]


def _number(folder: Path, name: str) -> int:
    return int((folder / name).read_text())


def blocks(path: Path) -> int:
    """Bytes that a file takes on its file system."""
    os.sync()
    return path.stat().st_blocks * 512


WANTED = [
    f"p1 {little.EXT4_START // 512} {little.EXT4_SIZE // 512}",
    f"p2 {little.FAT_START // 512} {little.FAT_SIZE // 512}",
]


def test_backup_restore_and_clone_between_loop_disks(disk: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.jmi"
    image = tmp_path / "source.img"
    shutil.copyfile(disk, image)
    with loop_disk(image) as source:
        assert nodes(source) == WANTED
        told = jurymast("backup", source, archive, "--json", ok=0).told
        assert [v["proof"] for v in told["volumes"]] == ["STORED-RAW", "PROVEN", "PROVEN"]
        assert little.digest(image) == little.digest(disk), "reading changes nothing"
        for job, what in (("restore", archive), ("clone", source)):
            blank = sparse_file(tmp_path / f"{job}.img", little.DISK_SIZE)
            with loop_disk(blank) as target:
                assert nodes(target) == []
                told = jurymast(job, what, target, "--yes", "--json", ok=0).told
                assert told["problems"] == []
                assert nodes(target) == WANTED, "the kernel has the new partitions"
                assert all(Path(f"{target}p{n}").is_block_device() for n in (1, 2))
                assert run("blkid", "-p", "-s", "LABEL", "-o", "value", f"{target}p1").strip() == "little"
            assert little.digest(blank) == little.digest(disk)


def test_a_disk_with_other_partitions_gets_the_new_ones(archive: Path, tmp_path: Path) -> None:
    script = "label: dos\nsize=4MiB\nsize=4MiB\nsize=30MiB, type=5\nsize=8MiB\n"
    with partitioned_loop(tmp_path / "t.img", 64 << 20, script) as (target, parts):
        assert len(parts) == 4
        jurymast("restore", archive, target, "--yes", "--json", ok=0)
        assert nodes(target) == WANTED
        # On the larger disk, the backup table is at its new end.
        assert "Problem:" not in run("sgdisk", "-v", target) and "No problems found" in run("sgdisk", "-v", target)


def test_partition_to_partition_leaves_the_rest_alone(disk: Path, tmp_path: Path) -> None:
    image = tmp_path / "source.img"
    shutil.copyfile(disk, image)
    script = "label: gpt\nsize=8MiB\nsize=30MiB\nsize=20MiB\n"
    noise = random.Random(4).randbytes(1 << 20)
    with loop_disk(image) as source, partitioned_loop(tmp_path / "t.img", 64 << 20, script) as (target, parts):
        for part in (parts[0], parts[2]):
            part.write_bytes(noise)
        os.sync()
        before = [little.digest(parts[0]), little.digest(parts[2]), run("sfdisk", "-d", target)]
        # By node to node, then by the number on the disk, then from an archive of the partition.
        jurymast("clone", f"{source}p1", parts[1], "--yes", "--json", ok=0)
        check_ext4(parts[1], disk, tmp_path)
        jurymast("clone", source, target, "--partition", "1:2", "--yes", "--json", ok=0)
        check_ext4(parts[1], disk, tmp_path)
        jurymast("backup", f"{source}p1", tmp_path / "p.jmi", "--json", ok=0)
        jurymast("restore", tmp_path / "p.jmi", parts[1], "--yes", "--json", ok=0)
        check_ext4(parts[1], disk, tmp_path)
        assert [little.digest(parts[0]), little.digest(parts[2]), run("sfdisk", "-d", target)] == before


def check_ext4(part: Path, disk: Path, scratch: Path) -> None:
    image = scratch / "part.img"
    image.write_bytes(part.read_bytes()[: little.EXT4_SIZE])
    was = little.slice_of(disk, scratch / "was.img", little.EXT4_START, little.EXT4_SIZE)
    assert image.read_bytes() == was.read_bytes()
    assert fsck("ext4", image)[0] and len(read_tree("ext4", image, scratch)) == 18
    subprocess.run(["dd", "if=/dev/zero", f"of={part}", "bs=1M", "count=4", "status=none"], check=True)


def test_sectors_of_4096_bytes(tree: Path, tmp_path: Path) -> None:
    need("sfdisk")
    script = "label: gpt\nsize=24MiB, type=linux\nsize=16MiB, type=uefi\n"
    with partitioned_loop(tmp_path / "s.img", 48 << 20, script, sector_size=4096) as (source, parts):
        run("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, "-L", "big", parts[0])
        run("mkfs.fat", "-S", "4096", "-n", "FOURK", parts[1])
        os.sync()
        told = jurymast("inspect", source, "--json", ok=0).told
        assert told["sector_size"] == 4096
        assert [p["file_system"] for p in told["partitions"]] == ["ext4", "fat12"]
        jurymast("backup", source, tmp_path / "a.jmi", "--json", ok=0)
        was = source.read_bytes()
        blank = sparse_file(tmp_path / "t.img", 48 << 20)
        with loop_disk(blank, sector_size=4096) as target:
            jurymast("restore", tmp_path / "a.jmi", target, "--yes", "--json", ok=0)
            assert len(nodes(target)) == 2
            assert target.read_bytes() == was
    # A file that does not exist yet takes the sectors of the source: the same bytes.
    jurymast("restore", tmp_path / "a.jmi", tmp_path / "file.img", "--yes", "--json", ok=0)
    assert (tmp_path / "file.img").read_bytes() == was


@pytest.mark.parametrize("unused", ["discard", "zero", "leave"])
def test_what_happens_to_the_unused_space(archive: Path, disk: Path, tmp_path: Path, unused: str) -> None:
    full = tmp_path / "full.img"
    full.write_bytes(b"\xaa" * little.DISK_SIZE)
    with loop_disk(full) as target:
        jurymast("restore", archive, target, "--unused", unused, "--yes", "--json", ok=0)
    taken, free = blocks(full), full.read_bytes()[little.FAT_START + (12 << 20) :][:4096]
    if unused == "leave":
        assert taken > 35 << 20 and free == b"\xaa" * 4096
    else:
        assert free == bytes(4096)
        assert little.digest(full) == little.digest(disk)
    if unused == "discard":
        assert taken < 24 << 20, "the space went back to the file system below"


def test_a_read_only_source_is_as_good_as_any(disk: Path, tmp_path: Path) -> None:
    with loop_device(disk, read_only=True) as source:
        jurymast("backup", source, tmp_path / "a.jmi", "--json", ok=0)
        jurymast("clone", source, tmp_path / "t.img", "--yes", "--json", ok=0)
    assert little.digest(tmp_path / "t.img") == little.digest(disk)


def test_two_disks_in_one_archive(disk: Path, volume: Path, tmp_path: Path) -> None:
    with loop_device(disk, read_only=True) as one, loop_device(volume, read_only=True) as two:
        jurymast("backup", one, two, tmp_path / "a.jmi", "--json", ok=0)
    assert "--disk" in jurymast("restore", tmp_path / "a.jmi", tmp_path / "t.img", "--yes", "--json", ok=3).words
    for number, was in ((1, disk), (2, volume)):
        to = tmp_path / f"{number}.img"
        jurymast("restore", tmp_path / "a.jmi", to, "--disk", str(number), "--yes", "--json", ok=0)
        assert little.digest(to) == little.digest(was)
