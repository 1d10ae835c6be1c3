"""Whole disks as people have them: to a disk of the same size, a larger, a smaller, one that is too small."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from formats.base.errors import Refused
from formats.base.extent import ExtentList
from formats.base.source import FileSource
from formats.base.units import MiB
from formats.table.detect import read_table
from recovery.engine.events import Outcome
from recovery.engine.plan import Unused
from recovery.engine.planners.restore import RestoreRequest
from recovery.engine.planners.writing import WIPE_EDGE
from recovery.engine.prepare import prepare_restore
from tests.support.oracles import fsck, read_tree
from tests.support.scene import Scene, copy_sparse
from tests.support.tools import loop_device, run, sparse_file
from tests.trip.compare import copy, first_difference, first_stray
from tests.trip.corpus import HEAD_OF_A_DISK, names, unpack
from tests.trip.engine import Image, Scenes, backup, clone, held, restore

DISKS = [("gpt", 512), ("mbr", 512), ("gpt", 4096)]


def same_files(scene: Scene, target: Path, place: Path) -> None:
    """Every file of every partition is there, as programs of others read it, and their checkers are content."""
    there = replace(scene, path=target)
    for partition in scene.partitions:
        if partition.kind == "extended":
            continue
        image = there.extract(partition, place / "volume.img")
        assert run("blkid", "-p", "-s", "UUID", "-o", "value", image).strip() == partition.uuid
        if partition.kind != "swap":
            assert fsck(partition.kind, image)[0]
            assert read_tree(partition.kind, image, place) == partition.tree
        image.unlink()


def sound_table(scene: Scene, target: Path) -> None:
    """As sgdisk and sfdisk judge it; and it lists what the source lists."""
    with FileSource(scene.path) as old, FileSource(target) as new:
        before, after = read_table(old), read_table(new)
    assert [(p.number, p.extent, p.unique_id, p.type_code) for p in after.partitions] == [
        (p.number, p.extent, p.unique_id, p.type_code) for p in before.partitions
    ]
    assert after.disk_id == before.disk_id
    assert not after.problems or [p.code for p in after.problems] == [p.code for p in before.problems]
    with loop_device(target, sector_size=scene.sector_size, read_only=True) as device:
        if scene.scheme == "gpt":
            assert "No problems found" in run("sgdisk", "-v", device)
        assert "No errors detected" in run("sfdisk", "-V", device)


def dirty_disk(path: Path, size: int) -> Path:
    """A disk with something old everywhere: a mark at the start of each 64 KiB, and noise at both ends."""
    rng = random.Random(9)
    with sparse_file(path, size).open("r+b") as file:
        for at in range(0, size, 64 << 10):
            file.seek(at)
            file.write(b"old data")
        for at in (0, size - 2 * MiB):
            file.seek(at)
            file.write(rng.randbytes(2 * MiB))
    return path


@pytest.mark.parametrize(("scheme", "sector"), DISKS)
def test_to_a_new_file(scene: Scenes, place: Path, scheme: str, sector: int) -> None:
    disk = scene(scheme, sector)
    archive, target = place / "a.jmi", place / "target.img"
    report = backup(disk.path, archive)
    assert (report.outcome, report.headline) == (Outcome.OK, "PROVEN")
    kinds = {v.number: (v.file_system, v.proof) for v in report.volumes if v.number}
    assert kinds == {p.number: (p.kind, "PROVEN") for p in disk.partitions if p.kind != "extended"}
    assert archive.stat().st_size < 40 * MiB
    assert restore(archive, target).outcome is Outcome.OK
    assert target.stat().st_size == disk.size
    assert first_difference(disk.path, target, held(archive)) is None
    assert first_stray(target, held(archive)) is None
    sound_table(disk, target)
    same_files(disk, target, place)


@pytest.mark.parametrize(("scheme", "sector"), DISKS)
@pytest.mark.parametrize("by", [64 * MiB, -3 * MiB])
def test_to_a_used_disk_of_another_size(scene: Scenes, place: Path, scheme: str, sector: int, by: int) -> None:
    disk = scene(scheme, sector)
    if scheme == "mbr" and by < 0:
        by = -2 * MiB
    archive, target = place / "a.jmi", dirty_disk(place / "target.img", disk.size + by)
    backup(disk.path, archive)
    report = restore(archive, target)
    assert report.outcome is Outcome.OK and report.checked, report.error
    assert target.stat().st_size == disk.size + by
    sound_table(disk, target)
    if scheme == "gpt":
        with target.open("rb") as file:
            file.seek(-sector, 2)
            assert file.read(8) == b"EFI PART"
    same_files(disk, target, place)
    volumes = ExtentList((p.start, p.start + p.size) for p in disk.partitions if p.kind != "extended")
    assert first_difference(disk.path, target, held(archive).intersect(volumes)) is None


@pytest.mark.parametrize("scheme", ["gpt", "mbr"])
def test_too_small_is_refused_with_numbers(scene: Scenes, place: Path, scheme: str) -> None:
    disk = scene(scheme)
    archive = place / "a.jmi"
    backup(disk.path, archive, verify=False)
    size = disk.size - 5 * MiB
    target = dirty_disk(place / "target.img", size)
    before = copy(target, place / "before.img")
    end = max(p.start + p.size for p in disk.partitions)
    needed = end + 33 * 512 if scheme == "gpt" else end
    with pytest.raises(Refused, match=str(size)) as refused:
        prepare_restore(RestoreRequest(str(archive), str(target)))
    assert str(needed) in str(refused.value)
    assert first_difference(before, target, ExtentList([(0, size)])) is None
    with target.open("r+b") as file:
        file.truncate(needed - 512)
    with pytest.raises(Refused):
        prepare_restore(RestoreRequest(str(archive), str(target)))
    with target.open("r+b") as file:
        file.truncate(needed)
    assert restore(archive, target).outcome is Outcome.OK
    sound_table(disk, target)


@pytest.mark.parametrize("unused", list(Unused))
def test_what_happens_to_unused_space(scene: Scenes, place: Path, unused: Unused) -> None:
    disk = scene("gpt")
    archive, target = place / "a.jmi", dirty_disk(place / "target.img", disk.size)
    before = copy(target, place / "before.img")
    backup(disk.path, archive, verify=False)
    assert restore(archive, target, unused=unused).outcome is Outcome.OK
    kept = held(archive)
    assert first_difference(disk.path, target, kept) is None
    if unused is not Unused.LEAVE:
        inside = ExtentList((p.start, p.start + p.size) for p in disk.partitions)
        outside = inside.complement(disk.size)
        assert first_stray(target, kept.union(outside)) is None
        return
    edges = ExtentList(
        piece
        for p in [(0, disk.size), *((p.start, p.start + p.size) for p in disk.partitions)]
        for piece in ((p[0], p[0] + WIPE_EDGE), (p[1] - WIPE_EDGE, p[1]))
    )
    # Whole blocks are written: what of them is not in use becomes zeros.
    block = 256 << 10
    written = ExtentList(
        (p.start + e.start, p.start + e.end)
        for p in disk.partitions
        for e in kept.clip(p.start, p.start + p.size).shift(-p.start).align_out(block, p.size)
    )
    touched = edges.union(written).union(kept)
    assert first_difference(before, target, touched.complement(disk.size)) is None
    assert touched.total < disk.size * 3 // 4


def test_a_clone_is_what_backup_and_restore_make(scene: Scenes, place: Path) -> None:
    disk = scene("mbr")
    archive = place / "a.jmi"
    backup(disk.path, archive, verify=False)
    direct = place / "clone.img"
    report = clone(disk.path, direct)
    assert (report.outcome, report.headline) == (Outcome.OK, "CLONED AND CHECKED")
    assert first_difference(disk.path, direct, held(archive)) is None
    assert first_stray(direct, held(archive)) is None
    same_files(disk, direct, place)
    larger = dirty_disk(place / "larger.img", disk.size + 8 * MiB)
    assert clone(disk.path, larger).outcome is Outcome.OK
    sound_table(disk, larger)
    same_files(disk, larger, place)


def test_a_clone_to_a_larger_gpt_disk_moves_the_backup_table(scene: Scenes, place: Path) -> None:
    disk = scene("gpt", 4096)
    target = dirty_disk(place / "target.img", disk.size + 8 * MiB)
    assert clone(disk.path, target).outcome is Outcome.OK
    sound_table(disk, target)
    same_files(disk, target, place)


@pytest.mark.skipif(not names((HEAD_OF_A_DISK,)), reason="no corpora beside the checkout")
def test_the_head_of_a_disk_becomes_a_file_that_its_table_fits_into(place: Path) -> None:
    source = unpack(HEAD_OF_A_DISK, place / "source.img")
    archive, target = place / "a.jmi", place / "target.img"
    backup(source, archive)
    assert restore(archive, target).outcome is Outcome.OK
    assert target.stat().st_size > source.stat().st_size
    assert "No problems found" in run("sgdisk", "-v", target)


def test_an_empty_mbr_does_not_hide_what_the_disk_holds(image: Image, place: Path) -> None:
    """Sector 0 ends in 55AA and lists nothing: what lies behind it may be in use by anything, so all is stored."""
    source = sparse_file(place / "source.img", 64 * MiB)
    copy_sparse(image("table", "mbr-empty"), source)
    rng = random.Random(4)
    secret = rng.randbytes(MiB)
    with source.open("r+b") as file:
        file.seek(32 * MiB)
        file.write(secret)
    archive, target = place / "a.jmi", place / "target.img"
    assert backup(source, archive).outcome is Outcome.OK
    restore(archive, target)
    assert first_difference(source, target, ExtentList([(0, 64 * MiB)])) is None
    copied = place / "clone.img"
    clone(source, copied)
    assert first_difference(source, copied, ExtentList([(0, 64 * MiB)])) is None
