"""Whole tasks through the screens, judged by the bytes of archive and target."""

from __future__ import annotations

from pathlib import Path

from recovery.engine.events import Outcome
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
    for start, size in ((little.EXT4_START, little.EXT4_SIZE), (little.FAT_START, little.FAT_SIZE)):
        assert used_equal(disk, copy, start, size)


def used_equal(a: Path, b: Path, start: int, size: int) -> bool:
    """Every byte of the volume that its file system uses."""
    from formats.base.source import FileSource
    from recovery.engine.inspection import inspect_source

    with FileSource(a) as source:
        volume = next(v for v in inspect_source(source).volumes if v.extent.start == start)
        assert volume.map is not None and volume.extent.length == size and len(volume.map.extents)
        with FileSource(b) as other:
            return all(
                source.read_at(start + x.start, x.length) == other.read_at(start + x.start, x.length)
                for x in volume.map.extents
            )
