"""Every generated image through the engine: backup, proof, verify, restore to a new file, judged byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from formats.archive.index import block_ranges
from formats.archive.opening import open_archive
from formats.base.extent import ExtentList
from formats.base.source import FileSource
from formats.table.detect import read_table
from recovery.engine.events import Outcome
from recovery.engine.proof import Verdict
from recovery.engine.report import Report
from tests.support.oracles import CHECKERS, fsck, read_tree
from tests.support.tools import run
from tests.support.tree import populate
from tests.trip.compare import first_difference, first_stray
from tests.trip.conftest import AREAS
from tests.trip.engine import Image, backup, held, restore, verify

VOLUMES = [(area, name) for area in ("ntfs", "ext", "fat") for name in AREAS[area]]
SWAP = [name for name in AREAS["raw"] if name.startswith("swap_")]
RAW = [name for name in AREAS["raw"] if name not in SWAP]
DAMAGED = {("ntfs", "no-primary-boot")}  # in the source; everything else is sound or complete in spite of a warning
WARNED = {
    ("ntfs", "dirty"): "ntfs.dirty",
    ("ntfs", "hibernated"): "ntfs.hibernated",
    ("ntfs", "bitmap-lag"): "ntfs.bitmap_lag",
    ("ext", "ext3-4k-recover"): "ext.needs_recovery",
    ("ext", "ext4-4k-recover"): "ext.needs_recovery",
    ("fat", "fat32-mirrordiff"): "fat.copies_differ",
}
TREES = {
    ("ntfs", "cluster-512"): "", ("ntfs", "cluster-4096"): "", ("ntfs", "cluster-2097152"): "", ("ntfs", "4kn"): "",
    ("ext", "ext2-1k"): "", ("ext", "ext3-4k"): "", ("ext", "ext4-4k"): "", ("ext", "ext4-bigalloc"): "",
    ("ext", "ext4-inline"): "", ("ext", "ext4-64k"): "",
    ("fat", "fat12"): "tree", ("fat", "fat16"): "tree", ("fat", "fat32"): "tree", ("fat", "fat32-64k"): "tree",
    ("fat", "exfat-c512"): "tree", ("fat", "exfat-c32k"): "tree",
}  # fmt: skip


def there_and_back(source: Path, place: Path) -> tuple[Report, Path, Path]:
    """(report of the backup, archive, restored file) after everything that must hold for any image was checked."""
    archive, target = place / "a.jmi", place / "target.img"
    report = backup(source, archive)
    assert archive.exists(), report.error
    checked = verify(archive)
    assert not checked.damaged_archive
    assert [v.proof for v in checked.volumes] == [v.proof for v in report.volumes]
    assert checked.outcome is report.outcome
    only_used_blocks(archive)
    restored = restore(archive, target)
    assert restored.outcome is Outcome.OK and restored.checked, restored.error
    assert target.stat().st_size == source.stat().st_size
    assert first_stray(target, held(archive)) is None
    return report, archive, target


def only_used_blocks(archive: Path) -> None:
    """The index leads to no block that the maps do not touch, and none that they touch is missing."""
    with open_archive(archive) as reader:
        assert not reader.problems
        for number in range(len(reader.manifest.volumes)):
            wanted = block_ranges(reader.map(number), reader.block_size)
            entries = list(reader.entries(number))
            assert len(entries) == wanted.total
            assert not any(entry.lost for entry in entries)
            stored = {b for _, _, spans in reader._volumes[number].ranges() for s in spans for b, _ in s.entries()}
            assert all(wanted.covers(block, block + 1) for block in stored)


def manifest_problems(archive: Path) -> list[dict[str, str]]:
    with open_archive(archive) as reader:
        found: list[dict[str, str]] = reader.manifest.details["problems"]
        return found


@pytest.mark.parametrize(("area", "name"), VOLUMES)
def test_a_file_system_comes_back_whole_and_clean(image: Image, place: Path, area: str, name: str) -> None:
    source = image(area, name)
    report, archive, target = there_and_back(source, place)
    assert first_difference(source, target, held(archive)) is None
    (volume,) = report.volumes
    kind = volume.file_system
    assert kind in CHECKERS and name.startswith(kind) == (area != "ntfs")
    if (area, name) in DAMAGED:
        assert volume.proof == Verdict.FAILED and report.outcome is Outcome.LOSSES
    else:
        assert volume.proof == Verdict.PROVEN and report.outcome is Outcome.OK and report.headline == "PROVEN"
    if (area, name) in WARNED:
        assert WARNED[area, name] in {p.code for _, p in report.problems}
    assert fsck(kind, target)[0] == fsck(kind, source)[0]


@pytest.mark.parametrize(("area", "name"), TREES)
def test_other_programs_find_every_file_in_what_was_restored(image: Image, place: Path, area: str, name: str) -> None:
    source = image(area, name)
    archive, target = place / "a.jmi", place / "target.img"
    report = backup(source, archive)
    restore(archive, target)
    tree = place / "tree"
    (tree / TREES[area, name]).mkdir(parents=True)
    populate(tree / TREES[area, name])
    found = read_tree(report.volumes[0].file_system, target, place)
    wanted = read_tree(report.volumes[0].file_system, source, place)
    assert found == wanted
    assert len(found) >= 72


@pytest.mark.parametrize("name", RAW)
def test_what_has_no_map_is_stored_whole_and_said_to_be(image: Image, place: Path, name: str) -> None:
    source = image("raw", name)
    report, archive, target = there_and_back(source, place)
    assert [v.proof for v in report.volumes] == [Verdict.STORED_RAW]
    assert bool(report.volumes[0].file_system) == (name not in ("empty", "noise"))
    assert report.outcome is Outcome.OK
    whole = ExtentList([(0, source.stat().st_size)])
    assert held(archive) == whole
    assert first_difference(source, target, whole) is None


@pytest.mark.parametrize("name", SWAP)
def test_of_a_swap_space_only_the_header_is_stored(image: Image, place: Path, name: str) -> None:
    source = image("raw", name)
    report, archive, target = there_and_back(source, place)
    (volume,) = report.volumes
    assert (volume.file_system, volume.proof) == ("swap", Verdict.PROVEN)
    pages = held(archive)
    assert 4096 <= pages.total <= 65536
    assert first_difference(source, target, pages) is None

    def shown(path: Path) -> str:
        return run("blkid", "-p", "-o", "udev", path, ok=(0, 2))

    assert shown(target) == shown(source)


@pytest.mark.parametrize("name", AREAS["table"])
def test_a_disk_with_this_table_comes_back(image: Image, place: Path, name: str) -> None:
    """Byte for byte when the table is sound; a damaged GPT comes back repaired, and nothing else is touched."""
    source = image("table", name)
    report, archive, target = there_and_back(source, place)
    assert report.outcome is Outcome.OK
    kept = held(archive)
    with FileSource(source) as disk:
        table = read_table(disk)
    told = {p.code for _, p in report.problems}
    assert {p.code for p in table.problems} <= told
    assert {p["code"] for p in manifest_problems(archive)} == told
    assert len(table.partitions) == sum(v.number > 0 and v.title.startswith("partition") for v in report.volumes)
    repaired = name.startswith("gpt-") and name not in ("gpt-4kn", "gpt-empty", "gpt-many-entries", "gpt-hybrid")
    if repaired:
        assert first_difference(source, target, kept) is not None
        ends = ExtentList([(0, 34 * 512), (source.stat().st_size - 33 * 512, source.stat().st_size)])
        own = ExtentList(region.extent for region in table.regions).union(ends)
        kept = kept.subtract(own)
        assert "No problems found" in run("sgdisk", "-v", target)
    assert first_difference(source, target, kept) is None
    with FileSource(target) as disk:
        again = read_table(disk)
    assert [(p.number, p.extent, p.type_code, p.unique_id) for p in again.partitions] == [
        (p.number, p.extent, p.type_code, p.unique_id) for p in table.partitions
    ]
    assert again.disk_id == table.disk_id
