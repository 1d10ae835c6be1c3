"""Whole tasks through the screens, judged by the bytes of archive and target."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from formats.archive.opening import open_archive
from formats.base.source import FileSource
from formats.table.detect import read_table
from recovery.engine.events import Outcome
from recovery.engine.inspection import inspect_source
from recovery.tui.screens.home import Home
from recovery.tui.screens.review import Review
from tests.support import jobs, little
from tests.tui.pilot import Hand, play


def test_a_backup_is_made_and_verifies(tmp_path: Path, disk: Path) -> None:
    to = tmp_path / "saved.jmi"

    async def script(hand: Hand) -> None:
        await hand.see("42.0 MiB")
        await hand.see("[.1====")
        await hand.choose("Back up")
        await hand.choose(disk.name)
        await hand.push("continue")
        await hand.path(to)
        await hand.push("continue")
        await hand.on(Review)
        await hand.see("Save partition 1 (ext4, little)")
        assert not to.exists()
        await hand.push("start")
        page = await hand.report()
        assert page.report.headline == "PROVEN"
        assert "PROVEN" in hand.words and "saved.jmi" in page.report.to_text()
        assert Path(f"{to}.report.txt").read_text().startswith("PROVEN")
        await hand.press("escape")
        await hand.on(Home)

    before = little.digest(disk)
    play(script, images=[disk])
    assert little.digest(disk) == before
    _, report = jobs.verify(to)
    assert report.outcome is Outcome.OK
    copy = tmp_path / "copy.img"
    jobs.restore(to, copy)
    assert same_disk(disk, copy)


def test_a_backup_is_restored_over_a_disk(tmp_path: Path, disk: Path, archive: Path) -> None:
    target = copy_of(disk, tmp_path / "target.img")
    spoil(target)

    async def script(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(archive)
        await hand.see(f"Everything: {disk}, 42.0 MiB")
        await hand.choose("Everything")
        await hand.choose("target.img")
        await hand.push("continue")
        await hand.on(Review)
        await hand.see("The target now:")
        await hand.type("disk.img")
        assert hand.screen.query_one("#start").disabled
        await hand.press("enter")
        await hand.see("is not 'target.img'")
        await hand.type("target.img")
        await hand.press("enter")  # goes to the button, and does not press it
        assert isinstance(hand.screen, Review) and hand.app.focused is hand.screen.query_one("#start")
        await hand.press("enter")
        page = await hand.report()
        assert page.report.headline == "RESTORED AND CHECKED"

    play(script, images=[target])
    assert same_disk(disk, target)


def test_a_new_file_is_made_by_a_restore(tmp_path: Path, disk: Path, archive: Path) -> None:
    target = tmp_path / "new.img"

    async def script(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(archive)
        await hand.choose("Everything")
        await hand.choose("already or new")
        await hand.path(target)
        await hand.push("continue")
        await hand.see("(a new file)")
        assert not target.exists()
        await hand.accept("new.img")
        assert (await hand.report()).report.headline == "RESTORED AND CHECKED"

    play(script, images=[disk])
    assert same_disk(disk, target)


def test_one_partition_goes_to_a_partition_that_is_chosen(tmp_path: Path, disk: Path, archive: Path) -> None:
    target = copy_of(disk, tmp_path / "target.img")
    spoil(target, little.EXT4_START + 4096, 4096)
    rest = little.digest(little.slice_of(target, tmp_path / "fat", little.FAT_START, little.FAT_SIZE))

    async def script(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(archive)
        await hand.choose("Only partition 1")
        await hand.choose("target.img")
        await hand.choose("ext4 little")
        await hand.push("continue")
        await hand.see("partition 1: ext4 'little'")
        await hand.accept("target.img")
        assert (await hand.report()).report.outcome is Outcome.OK

    play(script, images=[target])
    assert used_equal(disk, target, little.EXT4_START, little.EXT4_SIZE)
    assert rest == little.digest(little.slice_of(target, tmp_path / "after", little.FAT_START, little.FAT_SIZE))


def test_a_disk_is_cloned_to_its_twin_and_only_to_that(tmp_path: Path, disk: Path) -> None:
    """Two disks of the same size, model and content: the typed name tells them apart."""
    source, target = copy_of(disk, tmp_path / "one.img"), copy_of(disk, tmp_path / "two.img")
    spoil(target, little.FAT_START + 512, 4096)
    before = little.digest(source)

    async def script(hand: Hand) -> None:
        await hand.choose("Clone")
        await hand.choose("one.img")
        await hand.choose("Everything")
        await hand.see("two.img")
        assert "one.img" not in hand.all_words, "the source is not offered as a target"
        await hand.choose("two.img")
        await hand.push("continue")
        await hand.on(Review)
        await hand.see("THIS WILL BE LOST")
        await hand.type("one.img")
        assert hand.screen.query_one("#start").disabled
        await hand.accept("two.img")
        assert (await hand.report()).report.headline == "CLONED AND CHECKED"

    play(script, images=[source, target])
    assert little.digest(source) == before
    assert same_disk(source, target)


def test_a_good_backup_is_checked_and_a_damaged_one_is_told(tmp_path: Path, disk: Path, archive: Path) -> None:
    damaged = tmp_path / "damaged.jmi"
    shutil.copyfile(archive, damaged)
    spoil(damaged, damaged.stat().st_size // 2, 64)

    async def script(hand: Hand) -> None:
        for path, headline in ((archive, "THE ARCHIVE IS GOOD"), (damaged, "THE ARCHIVE IS DAMAGED")):
            await hand.choose("Check a backup")
            await hand.path(path)
            await hand.push("continue")
            await hand.push("start")
            assert (await hand.report()).report.headline == headline
            await hand.press("escape")
            await hand.on(Home)

    play(script, images=[disk])


def test_partitions_can_be_left_out_of_a_backup(tmp_path: Path, disk: Path) -> None:
    to = tmp_path / "part.jmi"

    async def script(hand: Hand) -> None:
        await hand.choose("Back up")
        await hand.choose(disk.name)
        await hand.tick("1")
        await hand.push("continue")
        await hand.path(to)
        await hand.push("continue")
        await hand.push("start")
        assert (await hand.report()).report.headline == "PROVEN"

    play(script, images=[disk])
    with open_archive(to) as reader:
        assert [v.number for v in reader.manifest.volumes] == [2]


def copy_of(disk: Path, to: Path) -> Path:
    shutil.copyfile(disk, to)
    return to


def spoil(path: Path, at: int = 0, length: int = 2 << 20) -> None:
    """Noise over a part of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(random.Random(at).randbytes(length))


def same_disk(a: Path, b: Path) -> bool:
    """The same table, and the same bytes wherever a file system of `a` uses some."""
    tables = []
    for path in (a, b):
        with FileSource(path) as source:
            table = read_table(source)
            tables.append((table.disk_id, [(p.number, p.extent, p.unique_id, p.type_code) for p in table.partitions]))
    places = ((little.EXT4_START, little.EXT4_SIZE), (little.FAT_START, little.FAT_SIZE))
    return tables[0] == tables[1] and all(used_equal(a, b, start, size) for start, size in places)


def used_equal(a: Path, b: Path, start: int, size: int) -> bool:
    """Every byte of the volume that its file system uses."""
    with FileSource(a) as source, FileSource(b) as other:
        volume = next(v for v in inspect_source(source).volumes if v.extent.start == start)
        assert volume.map is not None and volume.extent.length == size and len(volume.map.extents)
        return all(
            source.read_at(start + x.start, x.length) == other.read_at(start + x.start, x.length)
            for x in volume.map.extents
        )
