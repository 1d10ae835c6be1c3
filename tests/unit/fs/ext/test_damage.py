"""Damaged volumes: nothing is left out because of it, only our errors leave, and every call ends."""

from __future__ import annotations

import shutil
import struct
import time
from pathlib import Path
from random import Random

import pytest

from formats.base.errors import Corrupt, DeviceError, NotThisFormat, RecoveryError, Unsupported
from formats.base.extent import ExtentList
from formats.base.problem import Severity
from formats.base.source import BlockSource, FileSource, MemorySource, check_range
from fs.ext.findings import KEEP_PER_CODE
from fs.ext.volume import ExtVolume, open_volume
from tests.support.ext_images import e2fsck_status, journal_device, unpack, used_by_dumpe2fs
from tests.support.tools import need, need_corpora, run, sparse_file
from tests.unit.fs.ext.conftest import ImageMaker


class Damaged:
    """A source with other bytes at some places, sectors that cannot be read, or an earlier end."""

    def __init__(self, base: BlockSource, patches: dict[int, bytes], bad: tuple[int, int] = (0, 0), size: int = -1):
        self._base, self._patches, self._bad = base, patches, bad
        self.name, self.sector_size = "damaged", 512
        self.size = base.size if size < 0 else size

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        if offset < self._bad[1] and offset + length > self._bad[0]:
            raise DeviceError(self.name, "read", offset, length, 5)
        data = bytearray(self._base.read_at(offset, length))
        for at, patch in self._patches.items():
            low, high = max(at, offset), min(at + len(patch), offset + length)
            if low < high:
                data[low - offset : high - offset] = patch[low - at : high - at]
        return bytes(data)

    def extents_known(self) -> ExtentList | None:
        return None


def codes(volume: ExtVolume) -> set[str]:
    return {p.code for p in volume.problems}


def everything(source: BlockSource) -> tuple[ExtVolume, ExtentList, ExtentList]:
    volume = open_volume(source)
    found = ExtentList(volume.allocated())
    assert found.end <= min(source.size, volume.identity.size)
    return volume, found, ExtentList(r.extent for r in volume.references())


@pytest.mark.parametrize("name", ["ext4-1k", "ext4-4k", "ext4-nocsum", "ext4-bigalloc", "ext4-metabg", "ext4-inode128"])
def test_flipped_bytes_never_lose_a_block(name: str, image: ImageMaker) -> None:
    """With checksums, damage anywhere in the metadata may copy more, but never less.

    Without metadata_csum a bitmap has no checksum of its own; there only the errors and the time are checked.
    """
    rng = Random(name)
    with FileSource(image(name)) as source:
        good, whole, referred = everything(source)
        start = [r.extent for r in good.references() if not r.owner.startswith("inode ")]
        assert referred.subtract(whole) == ExtentList()
        refused = 0
        for round_ in range(50):
            area = rng.choice(start) if round_ % 6 else (1024, 2048)
            patches = {rng.randrange(*area): rng.randbytes(rng.choice((1, 1, 4, 16))) for _ in range(rng.randint(1, 3))}
            began = time.monotonic()
            try:
                _, found, _ = everything(Damaged(source, patches))
            except RecoveryError:
                refused += 1
            else:
                if good.superblock.metadata_csum:
                    assert whole.subtract(found) == ExtentList(), patches
            assert time.monotonic() - began < 5
    assert refused < 30


@pytest.mark.parametrize(
    "name", ["ext2-1k", "ext3-4k", "ext2-fragmented", "ext4-fragmented", "ext4-encrypt", "ext2-rev0"]
)
def test_noise_raises_only_our_errors(name: str, image: ImageMaker) -> None:
    rng = Random(name)
    with FileSource(image(name)) as source:
        _, whole, _ = everything(source)
        areas = list(whole)
        for round_ in range(50):
            area = rng.choice(areas) if round_ % 4 else (1024, 2048)
            patches = {
                rng.randrange(*area): rng.randbytes(rng.choice((1, 4, 64, 600))) for _ in range(rng.randint(1, 8))
            }
            size = rng.randrange(source.size) if round_ % 5 == 0 else -1
            began = time.monotonic()
            try:
                everything(Damaged(source, patches, size=size))
            except RecoveryError as error:
                assert str(error)
            assert time.monotonic() - began < 5


def test_bitmap_with_wrong_checksum_takes_its_group(image: ImageMaker) -> None:
    with FileSource(image("ext4-1k")) as source:
        good, whole, _ = everything(source)
        sb, groups = good.superblock, good._prepare().after.groups
        number = next(g for g in range(1, sb.groups) if not groups.block_uninit(sb, g))
        place = groups.block_bitmap[number] * 1024
        volume, found, _ = everything(Damaged(source, {place + 600: b"\x5a" * 8}))
        assert found == whole.union([(sb.group_first(number) * 1024, sb.group_end(number) * 1024)])
        problem = next(p for p in volume.problems if p.code == "ext.group_damaged")
        assert problem.offset == place and problem.severity == Severity.ERROR
        assert f"block bitmap of group {number} " in problem.text and "expected 0x" in problem.text


def test_unreadable_bitmap_takes_its_group(image: ImageMaker) -> None:
    with FileSource(image("ext4-1k")) as source:
        good, whole, _ = everything(source)
        sb, groups = good.superblock, good._prepare().after.groups
        number = next(g for g in range(1, sb.groups) if not groups.block_uninit(sb, g))
        place = groups.block_bitmap[number] * 1024
        volume, found, _ = everything(Damaged(source, {}, bad=(place, place + 512)))
        assert found == whole.union([(sb.group_first(number) * 1024, sb.group_end(number) * 1024)])
        assert codes(volume) == {"ext.group_damaged"}


def test_wiped_bitmap_without_checksum_takes_its_group(image: ImageMaker) -> None:
    with FileSource(image("ext3-1k")) as source:
        good, whole, _ = everything(source)
        sb, places = good.superblock, good._prepare().after.groups.block_bitmap
        run_ = max(
            (
                r.extent
                for r in good.references()
                if r.owner[:6] == "inode " and r.owner[6:].isdigit() and r.owner != "inode 8"
            ),
            key=lambda e: e.length,
        )
        number, bit = divmod(run_.start // 1024 - sb.first_data_block, sb.blocks_per_group)
        place = places[number] * 1024
        expected = whole.union([(sb.group_first(number) * 1024, sb.group_end(number) * 1024)])
        assert expected != whole and run_.length >= 64 * 1024
        volume, found, _ = everything(Damaged(source, {place: bytes(1024)}))
        assert found == expected
        assert codes(volume) == {"ext.bitmap_lag"}
        volume, found, _ = everything(Damaged(source, {place + bit // 8 + 1: bytes(4)}))
        assert found == expected
        assert codes(volume) == {"ext.free_count"}


@pytest.mark.parametrize("name", ["ext3-1k", "ext4-1k", "ext4-metabg"])
def test_lost_descriptors_come_from_the_backup(name: str, image: ImageMaker) -> None:
    with FileSource(image(name)) as source:
        good, whole, _ = everything(source)
        at = good._prepare().after.groups.home[0] * 1024
        volume, found, referred = everything(Damaged(source, {at: b"\xff" * 1024}))
        assert volume._prepare().after.groups.inode_table == good._prepare().after.groups.inode_table
        assert whole.subtract(found) == ExtentList()
        assert referred.subtract(found) == ExtentList()
        problem = next(p for p in volume.problems if p.code == "ext.group_damaged")
        assert problem.severity == Severity.WARNING and problem.offset == at


def test_lost_descriptors_without_backup_take_their_groups(image: ImageMaker) -> None:
    with FileSource(image("ext4-1k")) as source:
        good, whole, _ = everything(source)
        sb = good.superblock
        copies = [1, *(sb.group_first(g) for g in (1, 3, 5, 7))]
        noise = {(block + 1) * 1024 + 64 * 2: b"\xff" * 64 for block in copies}
        volume, found, _ = everything(Damaged(source, noise))
        assert whole.subtract(found) == ExtentList()
        assert found.covers(sb.group_first(2) * 1024, sb.group_end(2) * 1024)
        assert {"ext.group_damaged", "ext.damaged"} == codes(volume)


@pytest.mark.parametrize("name", ["ext4-1k", "ext4-4k", "ext3-1k", "ext4-smallgroup", "ext2-2k-notsparse"])
def test_damaged_superblock_is_taken_from_a_backup(name: str, image: ImageMaker) -> None:
    with FileSource(image(name)) as source:
        good, whole, _ = everything(source)
        broken = Damaged(source, {1024 + 0x28: b"\xff\xff\xff\x7f"})
        volume, found, _ = everything(broken)
        assert volume.identity == good.identity
        assert found == whole
        assert codes(volume) == {"ext.superblock_damaged"}
        with pytest.raises(NotThisFormat):
            open_volume(Damaged(source, {1024: bytes(1024)}))


def test_superblock_without_backup_is_refused(image: ImageMaker) -> None:
    with FileSource(image("ext4-fragmented")) as source:
        backups = {(8192 * g + 1) * 1024: bytes(1024) for g in (1, 3, 5, 7)}
        with pytest.raises(Corrupt) as caught:
            open_volume(Damaged(source, {1024 + 0x20: b"\xff" * 4, **backups}))
        assert caught.value.offset == 1024 + 0x3FC


@pytest.mark.parametrize(
    ("at", "bits", "name"),
    [
        (0x60, 0x1, "compression"),
        (0x60, 0x1000, "dirdata"),
        (0x60, 0x80000000, "incompat bit 0x80000000"),
        (0x64, 0x80, "has_snapshot"),
        (0x64, 0x00100000, "ro_compat bit 0x100000"),
    ],
)
def test_unknown_features_are_refused_by_name(at: int, bits: int, name: str, image: ImageMaker) -> None:
    with FileSource(image("ext2-1k")) as source:
        (before,) = struct.unpack("<I", source.read_at(1024 + at, 4))
        with pytest.raises(Unsupported, match=name):
            open_volume(Damaged(source, {1024 + at: struct.pack("<I", before | bits)}))


def test_journal_device(tmp_path: Path) -> None:
    path = tmp_path / "journal.img"
    journal_device(path)
    with FileSource(path) as source, pytest.raises(Unsupported, match="external journal"):
        open_volume(source)


def test_external_journal_is_told(image: ImageMaker, tmp_path: Path) -> None:
    path = tmp_path / "image"
    shutil.copy(image("ext4-nojournal"), path)
    need("debugfs")
    run("debugfs", "-w", "-R", "feature has_journal", path)
    run("debugfs", "-w", "-R", "ssv journal_dev 0x801", path)
    expected = used_by_dumpe2fs(path)
    with FileSource(path) as source:
        volume, found, _ = everything(source)
        assert codes(volume) == {"ext.external_journal"}
        assert found == expected
    run("debugfs", "-w", "-R", "feature needs_recovery", path)
    with FileSource(path) as source:
        volume, found, _ = everything(source)
        assert list(found) == [(0, volume.identity.size)]
        assert "ext.journal" in codes(volume)


@pytest.mark.parametrize(("value", "code"), [("0", "ext.not_clean"), ("3", "ext.errors")])
def test_state_is_told(value: str, code: str, image: ImageMaker, tmp_path: Path) -> None:
    path = tmp_path / "image"
    shutil.copy(image("ext2-1k"), path)
    need("debugfs")
    run("debugfs", "-w", "-R", f"ssv state {value}", path)
    with FileSource(path) as source:
        assert codes(open_volume(source)) == {code}


def test_other_machine_is_told(image: ImageMaker) -> None:
    with FileSource(image("ext4-mmp")) as source:
        at = open_volume(source).superblock.mmp_block * 1024
        assert codes(open_volume(Damaged(source, {at + 4: b"\x05\0\0\0"}))) == {"ext.mmp_in_use"}
        assert codes(open_volume(Damaged(source, {at: b"\x05\0\0\0"}))) == {"ext.mmp"}


def test_file_system_larger_than_its_volume(image: ImageMaker) -> None:
    with FileSource(image("ext4-1k")) as source:
        whole = ExtentList(open_volume(source).allocated())
        volume, found, _ = everything(Damaged(source, {}, size=30_000_123))
        assert "ext.truncated" in codes(volume)
        assert whole.clip(0, 30_000_123).subtract(found) == ExtentList()


def test_damaged_directory_names_inode_and_offset(image: ImageMaker) -> None:
    with FileSource(image("ext2-1k")) as source:
        volume = open_volume(source)
        root = next(r.extent.start for r in volume.references() if r.owner == "inode 2")
        volume, _, _ = everything(Damaged(source, {root + 4: b"\x07\0"}))
        problem = next(p for p in volume.problems if p.severity == Severity.ERROR)
        assert problem.offset == root + 4
        assert "inode 2 directory entry" in problem.text and "rec_len" in problem.text


def test_problems_are_bounded(image: ImageMaker) -> None:
    with FileSource(image("ext4-1k")) as source:
        good = open_volume(source)
        table = good._prepare().after.groups.inode_table[0] * 1024
        volume = open_volume(Damaged(source, {table + 256 * 20: Random(1).randbytes(256 * 60)}))
        assert sum(1 for _ in volume.references()) > 10
        assert len(volume.problems) == KEEP_PER_CODE + 1
        assert "more problems of this kind" in volume.problems[-1].text


def test_too_small_and_foreign() -> None:
    for size in (0, 1024, 2047, 4096):
        with pytest.raises(NotThisFormat):
            open_volume(MemorySource(bytes(size)))


@pytest.mark.parametrize("part", range(4))
def test_broken_images_of_e2fsprogs(part: int, tmp_path: Path) -> None:
    """Where neither e2fsck nor we find anything, the used blocks are equal; elsewhere only our errors."""
    folder = need_corpora() / "ext" / "e2fsprogs"
    equal = 0
    for name in sorted(p.parent.name for p in folder.glob("*/image.gz"))[part::4]:
        path = unpack(folder / name / "image.gz", sparse_file(tmp_path / name, 0))
        began = time.monotonic()
        try:
            with FileSource(path) as source:
                volume, found, _ = everything(source)
        except RecoveryError:
            assert name in {"f_crashdisk", "f_zero_super", "i_zero_super"}
            continue
        finally:
            assert time.monotonic() - began < 5, name
        if e2fsck_status(path, timeout=3) == 0:
            expected = used_by_dumpe2fs(path)
            assert expected.subtract(found) == ExtentList(), name
            if not {"ext.group_damaged", "ext.journal"} & codes(volume):
                assert found == expected, name
                equal += 1
        path.unlink()
    assert equal >= 4


def test_hierarchy_64() -> None:
    path = need_corpora() / "ext" / "hierarchy_64.ext4"
    with FileSource(path) as source:
        volume, found, referred = everything(source)
        assert found == used_by_dumpe2fs(path)
        assert referred.subtract(found) == ExtentList()
        assert list(volume.problems) == []
