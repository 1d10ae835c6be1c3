"""Disks that stop answering, go away or are full while the screens are open: they say so, and stay usable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recovery.engine.events import Outcome
from recovery.tui import texts
from recovery.tui.screens.dialog import Dialog, Help
from recovery.tui.screens.home import Home
from recovery.tui.screens.refusal import Refusal
from recovery.tui.screens.review import Review
from tests.support.faulty import bad_sectors, hanging, vanish
from tests.support.tools import loop_device, mounted
from tests.tui.pilot import Hand, play

pytestmark = pytest.mark.root


@pytest.fixture
def small_place(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "small"
    with mounted(["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", where], where) as place:
        yield place


async def plan_backup(hand: Hand, source: Path, to: Path) -> None:
    await hand.see(source.name)
    await hand.choose("Back up")
    await hand.choose(str(source))
    await hand.push("continue")
    await hand.path(to)
    await hand.push("continue")
    await hand.on(Review)
    await hand.until(lambda: not hand.screen.query_one("#start").disabled, "the plan")


def test_a_source_that_stops_answering_is_named_and_can_be_left(disk: Path, tmp_path: Path) -> None:
    with hanging(disk, tmp_path) as (path, switch):

        async def script(hand: Hand) -> None:
            await plan_backup(hand, path, tmp_path / "a.jmi")
            switch.touch()
            await hand.push("start")
            page = await hand.progress()
            await hand.until(lambda: "does not answer" in hand.words, "the word that it hangs")
            assert "offset" in hand.words and str(path)[-20:] in hand.words.replace(" ", "")
            await hand.press("f1")
            await hand.on(Help)
            await hand.press("escape", "escape")
            await hand.on(Dialog)
            await hand.press("tab", "enter")
            report = (await hand.report()).report  # while it still hangs
            assert switch.exists() and report.outcome is Outcome.CANCELLED and not page.running
            await hand.press("enter")
            await hand.on(Home)
            await hand.press("f1")
            await hand.on(Help)
            switch.unlink()

        play(script, images=[path])
    assert list(tmp_path.glob("a.jmi*")) == []


def test_a_disk_that_hangs_from_the_beginning_does_not_hold_the_screens(disk: Path, tmp_path: Path) -> None:
    with hanging(disk, tmp_path) as (path, switch):
        switch.touch()

        async def script(hand: Hand) -> None:
            await hand.until(switch.with_name("hang.now").exists, "a read that hangs")
            await hand.choose("Back up")
            await hand.until(lambda: "A disk may be slow or dead" in hand.words, "the word that it waits")
            await hand.press("escape")
            await hand.on(Home)
            await hand.press("f1")
            await hand.on(Help)
            switch.unlink()

        play(script, images=[path])


def test_a_disk_pulled_in_the_middle_ends_in_a_report(disk: Path, tmp_path: Path) -> None:
    with bad_sectors(disk, [], tmp_path, delay_ms=20) as path:

        async def script(hand: Hand) -> None:
            await plan_backup(hand, path, tmp_path / "a.jmi")
            await hand.push("start")
            page = await hand.progress()
            await hand.until(lambda: page._step == 2 and page._done > 2 << 20, "two megabytes")
            vanish(path)
            report = (await hand.report()).report
            assert report.outcome is Outcome.FAILED
            assert "FAILED" in hand.all_words and "not a complete archive" in hand.all_words
            await hand.press("enter")
            await hand.on(Home)
            await hand.until(lambda: path.name in hand.words and "FAILED" in hand.words.upper(), "what became of it")
            await hand.choose("Check")
            await hand.see("one folder up")

        play(script, images=[path])


def test_a_destination_that_fills_up(disk: Path, small_place: Path) -> None:
    async def script(hand: Hand) -> None:
        await plan_backup(hand, disk, small_place / "a.jmi")
        await hand.push("start")
        report = (await hand.report()).report
        assert report.outcome is Outcome.FAILED and "No space left" in report.error
        assert "Free some space" in hand.all_words and "Nothing was left behind" in hand.all_words
        await hand.press("escape")
        await hand.on(Home)

    play(script, images=[disk])
    assert list(small_place.iterdir()) == []


def test_a_target_that_is_mounted_is_refused_by_name(disk: Path, volume: Path, archive: Path, tmp_path: Path) -> None:
    """A real device with a file system in use, on the screens like any other disk."""
    with loop_device(volume) as device, mounted(["mount", device, tmp_path / "here"], tmp_path / "here") as where:

        async def script(hand: Hand) -> None:
            await hand.choose("Restore")
            await hand.path(archive)
            await hand.choose("Everything")
            await hand.choose("already or new")
            await hand.path(Path(device))
            await hand.push("continue")
            await hand.on(Refusal)
            assert str(where)[-20:] in hand.all_words.replace(" ", "") and "mounted" in hand.words
            assert texts.REFUSAL_ADVICE in hand.words
            await hand.press("escape")

        play(script, images=[disk])
        assert any(where.iterdir())
