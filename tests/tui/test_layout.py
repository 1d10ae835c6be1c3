"""Every screen at 80 by 24 and 120 by 40: nothing cut off, nothing that scrolls sideways, help on each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recovery.tui import texts
from recovery.tui.screens.dialog import Dialog, Help
from recovery.tui.screens.home import Home
from recovery.tui.screens.options import Options
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.pick import PickOne, PickSome
from recovery.tui.screens.review import Review
from recovery.tui.themes import THEMES
from recovery.tui.widgets.big import big
from recovery.tui.widgets.meter import Rate, bar, clock, spark
from tests.tui.pilot import Hand, play

SIZES = ((80, 24), (120, 40))


def crowd(path: Path) -> Path:
    """A machine of ten disks with twenty partitions each, with names as long as they come."""
    disks = []
    for letter in "abcdefghij":
        node = f"/dev/sd{letter}"
        partitions = [
            {"path": f"{node}{n}", "number": n, "start": n << 34, "size": 15 << 30} for n in range(1, 21)
        ]  # fmt: skip
        identity = {
            "path": node, "kind": "disk", "size": 400 << 30, "model": "Very Long Model Name Of A Big Disk 9000 Pro",
            "serial": f"S{letter * 19}", "transport": "usb",
        }  # fmt: skip
        disks.append({"identity": identity, "partitions": partitions, "removable": True, "read_only": True})
    path.write_text(json.dumps({"format": "jurymast-machine", "version": 1, "disks": disks}))
    return path


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_every_screen_fits(tmp_path: Path, disk: Path, archive: Path, size: tuple[int, int]) -> None:
    target = tmp_path / "a target with a long name, as people give them.img"
    target.write_bytes(bytes(64 << 20))
    to = tmp_path / "new.jmi"

    async def back_up(hand: Hand) -> None:
        await hand.see(disk.name)
        await hand.until(lambda: texts.LOOKING not in hand.words)
        await shown(hand, Home, "home")
        await hand.press("f10")
        await hand.on(Dialog)
        hand.check_layout("leave")
        await hand.press("escape")
        await hand.choose("Back up")
        await hand.see(disk.name)
        await shown(hand, PickOne, "pick-disk")
        await hand.choose(disk.name)
        await hand.until(lambda: bool(hand.screen.query("#check-1")))
        await shown(hand, PickSome, "pick-partitions")
        await hand.push("continue")
        await hand.see("one folder up")
        await shown(hand, PickPath, "pick-path")
        await hand.path(to)
        await shown(hand, Options, "options")
        await hand.push("continue")
        await hand.see("Step by step")
        await shown(hand, Review, "review-backup")
        await hand.push("start")
        await hand.report()
        hand.check_layout("report")
        await hand.press("escape")

    async def restore(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(archive)
        await hand.see("Everything")
        await shown(hand, PickOne, "pick-contents")
        await hand.choose("Everything")
        await hand.choose("a target with")
        await hand.push("continue")
        await hand.see("THIS WILL BE LOST")
        await shown(hand, Review, "review-restore")
        await hand.press("escape")
        await hand.on(Options)

    async def both(hand: Hand) -> None:
        await back_up(hand)
        await restore(hand)

    play(both, images=[disk, target], size=size)


async def shown(hand: Hand, kind: type, name: str) -> None:
    """It is there, fits, and has a help of its own."""
    await hand.on(kind)
    hand.check_layout(name)
    if hand.app.size.height > SIZES[0][1]:
        return  # the help is the same text in more room
    await hand.press("f1")
    await hand.on(Help)
    assert texts.HELP_TITLE in hand.words
    hand.check_layout(f"{name}-help")
    await hand.press("escape")
    await hand.on(kind)


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_a_machine_of_ten_disks_fits_and_themes_change_no_word(tmp_path: Path, size: tuple[int, int]) -> None:
    async def script(hand: Hand) -> None:
        await hand.see("/dev/sdj")
        hand.check_layout("home-crowd")
        before = hand.lines()
        for _ in THEMES:
            await hand.press("f2")
            assert hand.lines() == before
        await hand.choose("Clone")
        await hand.see("/dev/sda")
        hand.check_layout("pick-crowd")
        await hand.press("end")
        assert texts.ANOTHER_FILE in hand.words

    play(script, machines=[crowd(tmp_path / "crowd.json")], size=size)


def test_states_are_told_by_letters_and_not_by_colour(disk: Path) -> None:
    async def script(hand: Hand) -> None:
        await hand.choose("Back up")
        await hand.choose(disk.name)
        await hand.see("[x] 1")
        assert "[ Continue ]" in hand.words
        await hand.tick("1")
        assert "[ ]   1" in "\n".join(hand.lines()) and "[x]   2" in "\n".join(hand.lines())
        await hand.tick("2")
        await hand.push("continue")
        assert texts.BACKUP_PARTS_NONE in hand.words

    play(script, images=[disk])


def test_the_meter_in_text() -> None:
    assert bar(50, 100, 10) == "[#####.....]  50 %"
    assert bar(7, 0, 4) == "[....]" and bar(300, 100, 4) == "[####] 100 %"
    assert spark([0, 5, 10], plain=True) == " =#" and spark([], plain=True) == ""
    assert (clock(65), clock(3725)) == ("1:05", "1:02:05")
    rate = Rate(window=2)
    for second in range(6):
        rate.reach(second, second * 100)
    assert rate.now == 100 and rate.left(1500) == 10
    rate.restart()
    assert rate.now == 0 and rate.left(100) is None


@pytest.mark.parametrize("plain", [True, False])
def test_large_letters_fit_and_are_the_letters(plain: bool) -> None:
    for phrase in ("PROVEN", "RESTORED AND CHECKED", "REFUSED, NOTHING WAS CHANGED", "THE ARCHIVE IS DAMAGED"):
        lines = big(phrase, 76, plain=plain).split("\n")
        assert max(map(len, lines)) <= 76 and len(lines) in ((5, 10) if plain else (3, 6))
    assert big("FAILED", 10, plain=plain) == "FAILED" and big("½", 76, plain=plain) == "½"
    if plain:
        assert big("I", 76, plain=True) == "###\n #\n #\n #\n###"
