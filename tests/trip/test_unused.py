"""What a file system does not use is not in the archive, and what it uses is there as others count it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.archive.opening import open_archive
from formats.base.extent import ExtentList
from recovery.engine.events import Outcome
from recovery.engine.proof import Verdict
from tests.support.ext_images import used_by_dumpe2fs
from tests.support.oracles import fsck
from tests.support.partclone import used_map
from tests.support.tools import need, run
from tests.trip.compare import copy, first_difference, first_stray
from tests.trip.engine import Image, backup, held, restore

MARK = b"<this was deleted long ago and must not be in any archive>"
SECTOR = 512


def partclone(program: str) -> Callable[[Path, Path], ExtentList]:
    return lambda image, scratch: used_map(program, image, scratch).extents


def dumpe2fs(image: Path, scratch: Path) -> ExtentList:
    return used_by_dumpe2fs(image)


def sleuthkit(image: Path, scratch: Path) -> ExtentList:
    """FAT: everything before and behind the clusters, and the chains that fsstat lists."""
    need("fsstat")
    text = run("fsstat", "-f", "fat", image)
    clusters = re.search(r"Cluster Area: (\d+) - (\d+)", text)
    assert clusters
    chains = re.findall(r"^(\d+)-(\d+) \(", text.split("FAT CONTENTS")[1], re.M)
    ends = [(0, int(clusters[1])), (int(clusters[2]) + 1, image.stat().st_size // SECTOR)]
    runs = [*ends, *((int(a), int(b) + 1) for a, b in chains)]
    return ExtentList((a * SECTOR, b * SECTOR) for a, b in runs)


JUDGES: dict[tuple[str, str], Callable[[Path, Path], ExtentList]] = {
    ("ntfs", "cluster-512"): partclone("partclone.ntfs"),
    ("ntfs", "cluster-65536"): partclone("partclone.ntfs"),
    ("ntfs", "rich"): partclone("partclone.ntfs"),
    ("ext", "ext2-1k"): dumpe2fs,
    ("ext", "ext3-4k"): partclone("partclone.extfs"),
    ("ext", "ext4-fragmented"): partclone("partclone.extfs"),
    ("ext", "ext4-metabg"): dumpe2fs,
    ("fat", "fat12"): sleuthkit,  # partclone 0.3.23 misreads FAT12
    ("fat", "fat16-fragmented"): partclone("partclone.fat16"),
    ("fat", "fat32-fragmented"): partclone("partclone.fat32"),
    ("fat", "exfat-fragmented"): partclone("partclone.exfat"),
    ("fat", "exfat-c32k"): partclone("partclone.exfat"),
}


def by_the_judge(area: str, name: str, source: Path, scratch: Path) -> ExtentList:
    """What another program counts as used. partclone leaves out what lies behind the last cluster of an NTFS volume."""
    used = JUDGES[area, name](source, scratch)
    size = source.stat().st_size
    if area == "ntfs":
        used = used.union([(size - SECTOR, size)])
    return used.clip(0, size)


def decoded(archive: Path) -> bytes:
    """What the stock program makes of an archive."""
    need("zstd")
    done = subprocess.run(["zstd", "-dc", archive], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("area", "name"), JUDGES)
def test_only_what_others_count_as_used_is_stored(image: Image, place: Path, area: str, name: str) -> None:
    """Old data stand in the free space of the source, and nowhere in the archive nor on the target."""
    source = copy(image(area, name), place / "source.img")
    used = by_the_judge(area, name, source, place)
    assert plant(source, used.complement(source.stat().st_size)) > 10
    archive, target = place / "a.jmi", place / "target.img"
    report = backup(source, archive)
    (volume,) = report.volumes
    assert (report.outcome, volume.proof) == (Outcome.OK, Verdict.PROVEN)
    with open_archive(archive) as reader:
        assert reader.map(0) == used
    assert MARK not in decoded(archive)
    assert MARK not in archive.read_bytes()
    restore(archive, target)
    assert first_difference(source, target, used) is None
    assert first_stray(target, used) is None
    assert fsck(volume.file_system, source)[0]
    assert fsck(volume.file_system, target)[0]


def plant(path: Path, free: ExtentList) -> int:
    """Write MARK into sectors of every free range, some fifty in each; how often."""
    count = 0
    with path.open("r+b") as file:
        for start, end in free:
            step = max(SECTOR, (end - start) // 50 // SECTOR * SECTOR)
            for at in range(-(-start // SECTOR) * SECTOR, end - SECTOR + 1, step):
                file.seek(at)
                file.write(MARK)
                count += 1
    return count


def test_the_stock_program_decodes_all_that_is_used(image: Image, place: Path) -> None:
    """Every sector with data of its own that is in use stands in what `zstd -dc` gives."""
    source = image("fat", "fat16")
    archive = place / "a.jmi"
    backup(source, archive)
    plain = decoded(archive)
    data = source.read_bytes()
    count = 0
    for start, end in held(archive):
        for at in range(start, end, SECTOR):
            piece = data[at : at + SECTOR]
            if piece.strip(b"\0"):
                count += 1
                assert piece in plain
    assert count > 2000
