"""Looking into what is damaged, does not answer, or has no files: the screens stay alive and say why."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from formats.archive.parts import PartsSource
from formats.base.errors import DeviceError
from fs.walk import resolve
from recovery.engine.browse import open_volume
from recovery.engine.device import DeviceSource
from recovery.tui.screens.dialog import Dialog, Help
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.pick import PickOne
from recovery.tui.screens.refusal import Refusal
from recovery.tui.texts import look as texts
from tests.support import little
from tests.tui.looked import (
    bar_on,
    browsing,
    enter,
    names,
    open_backup,
    preview,
    settled,
    with_bad_places,
)
from tests.tui.pilot import Hand, play
from tests.tui.test_layout import crowd


def test_partitions_without_files_are_shown_and_say_why(tmp_path: Path, disk: Path) -> None:
    holed = tmp_path / "holed.img"
    shutil.copyfile(disk, holed)
    with holed.open("r+b") as file:
        file.seek(little.EXT4_START)
        file.write(bytes(little.EXT4_SIZE))

    async def script(hand: Hand) -> None:
        await hand.choose("Look inside")
        await hand.choose("holed.img")
        await hand.see("cannot be opened: no file system that Jurymast knows")
        hand.check_layout("look-volumes")
        await hand.choose("cannot be opened")
        await hand.on(Refusal)
        await hand.press("escape")
        await hand.on(PickOne)
        await hand.choose("SMALL")
        screen = await browsing(hand)
        assert names(screen) == [f"note {n}.txt" for n in range(10)]

    play(script, images=[holed])


def test_no_screen_reads_a_disk_itself(backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()
    read = PartsSource.read_at

    def watched(self: PartsSource, offset: int, length: int) -> bytes:
        threads.add(threading.current_thread())
        return read(self, offset, length)

    monkeypatch.setattr(PartsSource, "read_at", watched)

    async def script(hand: Hand) -> None:
        screen = await open_backup(hand, backup)
        await bar_on(hand, "photos")
        await hand.press("space", "i")
        await hand.see("Modified")
        await hand.press("escape")
        await enter(hand, "letters")
        await hand.until(lambda: not screen.marks.unweighed())
        await enter(hand, "noise.bin")
        await hand.see("00000010 00 01 02 ff")
        await hand.press("end", "escape", "slash")
        await hand.type("img")
        await hand.press("enter")
        await hand.see("found. Enter")

    play(script)
    assert len(threads) > 4 and threading.main_thread() not in threads


def test_a_disk_that_does_not_answer_can_be_left(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First while it is opened, then while a folder is read: the screens stay alive, and Esc leaves."""
    hang, go_on = threading.Event(), threading.Event()
    hang.set()
    read = DeviceSource.read_at

    def hanging(self: DeviceSource, offset: int, length: int) -> bytes:
        if hang.is_set() and not go_on.wait(60):
            raise DeviceError("disk", "read", offset, length, 5)
        return read(self, offset, length)

    monkeypatch.setattr(DeviceSource, "read_at", hanging)

    async def script(hand: Hand) -> None:
        monkeypatch.setattr(hand.app.machine, "disks", lambda width=0: [])
        await hand.choose("Look inside")
        await hand.choose("An image file")
        await hand.path(image)
        await hand.on(PickOne)
        await hand.until(lambda: "Please wait" in hand.words)
        await hand.press("f1")
        await hand.on(Help)
        await hand.press("escape", "escape")
        await hand.on(PickPath)
        hang.clear()
        await hand.path(image)
        await hand.choose("looked")
        screen = await browsing(hand)
        hang.set()
        await enter(hand, "crowd")
        await hand.until(lambda: "Please wait: /crowd" in hand.words)
        await hand.press("down", "f2")
        await hand.press("escape")
        await hand.until(lambda: "Please wait" not in hand.words)
        assert screen.path == "/" and "letters" in hand.words and hand.screen is screen
        await bar_on(hand, "photos")
        await hand.press("space", "slash")
        await hand.type("img")
        await hand.press("enter")
        await hand.see("0 found, 0 s")
        await hand.press("escape")
        await hand.see("then stopped")
        await hand.press("escape", "escape")
        await hand.on(Dialog)
        await hand.push("yes")
        await hand.on(PickOne)

    try:
        play(script)
    finally:
        go_on.set()


def test_a_disk_that_is_only_described_is_not_looked_into(tmp_path: Path) -> None:
    described = crowd(tmp_path / "crowd.json")

    async def script(hand: Hand) -> None:
        await hand.choose("Look inside")
        await hand.choose("/dev/sdb")
        await hand.on(Refusal)
        await hand.see("is only described here")

    play(script, machines=[described])


def test_files_that_are_not_whole_in_a_backup_are_named(tmp_path: Path, image: Path) -> None:
    """The disk could not be read at two sectors: one of a file that is text, and one of a file of bytes."""
    with open_volume(str(image)) as volume:
        places = []
        for path, at in (("/letters/noise.bin", 4096), ("/letters/to Köln.txt", 0)):
            run = next(iter(volume.tree.runs(resolve(volume.tree, path))))
            assert run.physical is not None
            places.append((run.physical + at, run.physical + at + 4096))
    hurt = tmp_path / "hurt.jmi"
    with_bad_places(image, hurt, places)

    async def script(hand: Hand) -> None:
        screen = await open_backup(hand, hurt)
        await enter(hand, "letters")
        await hand.until(lambda: screen.path == "/letters")
        await hand.until(lambda: hand.words.count(texts.NOT_READABLE) == 2)
        await bar_on(hand, "noise.bin")
        await hand.see("DAMAGED: 4.0 KiB (4096 bytes) of its content are not in the backup")
        hand.check_layout("look-damaged")
        await hand.press("i")
        await hand.see("DAMAGED 4.0 KiB")
        await hand.press("x")
        await hand.see("00000010 00 01 02 ff")
        for _ in range(20):
            if "??" in hand.words:
                break
            await hand.press("pagedown")
            await settled(hand)
        await hand.see("'?' stands for what cannot be read")
        assert preview(hand).view.start <= 4096 < preview(hand).view.end
        await hand.press("escape")
        await hand.press("e")
        await hand.push("continue")
        await hand.path(tmp_path / "out")
        await hand.push("start")
        page = await hand.report()
        assert page.report.headline == "COMPLETED WITH LOSSES"

    play(script)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["noise.bin.damaged"]
