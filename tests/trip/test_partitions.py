"""Single partitions: out of an archive, into a disk beside others that must not be touched; and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from formats.base.errors import Refused
from formats.base.extent import ExtentList
from formats.base.units import MiB
from recovery.engine.events import Outcome
from recovery.engine.planners.backup import BackupRequest
from recovery.engine.planners.restore import RestoreRequest
from recovery.engine.prepare import prepare_backup, prepare_restore
from tests.support.oracles import fsck, read_tree
from tests.support.scene import Scene, ScenePartition
from tests.support.tools import run, sparse_file
from tests.trip.compare import copy, data_of, first_difference, first_stray
from tests.trip.engine import Image, Scenes, backup, clone, details, held, restore


def target_disk(path: Path) -> Path:
    """Three partitions of 140 MiB with something in each, and something behind and between them."""
    sparse_file(path, 440 * MiB)
    script = "label: gpt\n" + "".join(f"start={(4 + i * 144) * 2048}, size={140 * 2048}\n" for i in range(3))
    run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", path, stdin=script.encode())
    with path.open("r+b") as file:
        for at in range(2 * MiB, 438 * MiB, MiB):
            file.seek(at)
            file.write(b"belongs to somebody" + bytes(at // MiB % 7))
    return path


def part(number: int) -> ExtentList:
    """Where partition `number` of target_disk() lies."""
    start = (4 + (number - 1) * 144) * MiB
    return ExtentList([(start, start + 140 * MiB)])


def volume_map(archive: Path, partition: ScenePartition) -> ExtentList:
    """What the archive holds of a partition, in bytes of the partition."""
    return held(archive).clip(partition.start, partition.start + partition.size).shift(-partition.start)


def judged(scene: Scene, partition: ScenePartition, image: Path, place: Path) -> None:
    assert run("blkid", "-p", "-s", "UUID", "-o", "value", image).strip() == partition.uuid
    assert fsck(partition.kind, image)[0]
    assert read_tree(partition.kind, image, place) == partition.tree


def test_one_partition_becomes_a_file(scene: Scenes, place: Path) -> None:
    disk = scene("gpt")
    archive = place / "a.jmi"
    backup(disk.path, archive, verify=False)
    for partition in disk.partitions:
        target = place / f"{partition.kind}.img"
        assert restore(archive, target, partitions=((partition.number, None),)).outcome is Outcome.OK
        assert target.stat().st_size == partition.size
        kept = volume_map(archive, partition)
        assert first_difference(target, disk.path, kept, partition.start) is None
        assert first_stray(target, kept) is None
        if partition.tree:
            judged(disk, partition, target, place)


@pytest.mark.parametrize(("kind", "to"), [("fat32", 1), ("ntfs", 3), ("ext4", 2), ("ext4", 1)])
def test_one_partition_into_another_disk_touches_nothing_else(scene: Scenes, place: Path, kind: str, to: int) -> None:
    disk = scene("mbr")
    partition = disk.partition(kind)
    archive, target = place / "a.jmi", target_disk(place / "target.img")
    before = copy(target, place / "before.img")
    backup(disk.path, archive, verify=False)
    report = restore(archive, target, partitions=((partition.number, to),))
    assert report.outcome is Outcome.OK and report.checked
    assert first_difference(before, target, part(to).complement(440 * MiB)) is None
    start = next(iter(part(to))).start
    kept = volume_map(archive, partition)
    assert first_difference(disk.path, target, kept.shift(partition.start), start - partition.start) is None
    inside = sparse_file(place / "inside.img", partition.size)
    with target.open("rb") as reading, inside.open("r+b") as writing:
        for begin, end in data_of(target).clip(start, start + partition.size):
            reading.seek(begin)
            writing.seek(begin - start)
            writing.write(reading.read(end - begin))
    judged(disk, partition, inside, place)


def test_several_partitions_at_once(scene: Scenes, place: Path) -> None:
    disk = scene("gpt")
    archive, target = place / "a.jmi", target_disk(place / "target.img")
    before = copy(target, place / "before.img")
    backup(disk.path, archive, verify=False)
    assert restore(archive, target, partitions=((2, 1), (3, None))).outcome is Outcome.OK
    ntfs, ext4 = disk.partition("ntfs"), disk.partition("ext4")
    for partition, to in ((ntfs, 1), (ext4, 3)):
        shift = next(iter(part(to))).start - partition.start
        kept = volume_map(archive, partition).shift(partition.start)
        assert first_difference(disk.path, target, kept, shift) is None
    assert first_difference(before, target, part(1).union(part(3)).complement(440 * MiB)) is None


def test_a_partition_that_does_not_fit_is_refused(scene: Scenes, place: Path) -> None:
    disk = scene("gpt")
    archive, target = place / "a.jmi", target_disk(place / "target.img")
    before = copy(target, place / "before.img")
    backup(disk.path, archive, verify=False)
    small = sparse_file(place / "small.img", 20 * MiB)
    with pytest.raises(Refused, match=str(128 * MiB)):
        prepare_restore(RestoreRequest(str(archive), str(small), ((3, None),)))
    for pairs in (((3, 9),), ((9, 1),), ((2, 1), (3, 1))):
        with pytest.raises(Refused):
            prepare_restore(RestoreRequest(str(archive), str(target), pairs))
    assert first_difference(before, target, ExtentList([(0, 440 * MiB)])) is None


def test_an_archive_of_some_partitions_is_not_a_whole_disk(scene: Scenes, place: Path) -> None:
    disk = scene("gpt")
    archive = place / "a.jmi"
    report = backup(disk.path, archive, numbers=frozenset({2, 3}))
    assert report.headline == "PROVEN"
    assert [(v["role"], v["number"]) for v in details(archive)] == [("partition", 2), ("partition", 3)]
    with pytest.raises(Refused, match="2, 3"):
        prepare_restore(RestoreRequest(str(archive), str(place / "whole.img")))
    target = place / "ntfs.img"
    assert restore(archive, target, partitions=((2, None),)).outcome is Outcome.OK
    judged(disk, disk.partition("ntfs"), target, place)
    with pytest.raises(Refused, match="7"):
        prepare_backup(BackupRequest((str(disk.path),), str(place / "b.jmi"), frozenset({7})))


def test_an_archive_of_one_partition_needs_no_number(scene: Scenes, place: Path) -> None:
    disk = scene("mbr")
    archive, target = place / "a.jmi", place / "target.img"
    backup(disk.path, archive, numbers=frozenset({5}))
    assert restore(archive, target).outcome is Outcome.OK
    judged(disk, disk.partition("ext4"), target, place)


def test_a_partition_is_cloned_into_another_disk(scene: Scenes, place: Path) -> None:
    disk = scene("gpt")
    target = target_disk(place / "target.img")
    before = copy(target, place / "before.img")
    archive = place / "a.jmi"
    backup(disk.path, archive, verify=False)
    ntfs = disk.partition("ntfs")
    assert clone(disk.path, target, partition=(2, 3)).outcome is Outcome.OK
    kept = volume_map(archive, ntfs).shift(ntfs.start)
    assert first_difference(disk.path, target, kept, next(iter(part(3))).start - ntfs.start) is None
    assert first_difference(before, target, part(3).complement(440 * MiB)) is None
    alone = place / "alone.img"
    assert clone(disk.path, alone, partition=(2, None)).outcome is Outcome.OK
    judged(disk, ntfs, alone, place)


def test_a_bare_volume_goes_into_a_partition_and_back(image: Image, place: Path) -> None:
    source = image("ntfs", "cluster-4096")
    archive, target = place / "a.jmi", target_disk(place / "target.img")
    before = copy(target, place / "before.img")
    backup(source, archive)
    assert restore(archive, target, partitions=((1, 2),)).outcome is Outcome.OK
    assert first_difference(source, target, held(archive), next(iter(part(2))).start) is None
    assert first_difference(before, target, part(2).complement(440 * MiB)) is None
    again, back = place / "b.jmi", place / "back.img"
    assert backup(target, again, numbers=frozenset({2})).volumes[0].file_system == "ntfs"
    assert restore(again, back).outcome is Outcome.OK
    assert first_difference(source, back, held(archive)) is None
