"""Everything by which a tired person hits the wrong disk, and a job that is stopped, hangs, or cannot begin."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest

from recovery.engine.cancel import CancelToken
from recovery.engine.events import Event, Outcome, Stalled, StepStarted
from recovery.engine.executor import execute
from recovery.engine.identity import DeviceIdentity
from recovery.engine.inventory import Disk
from recovery.engine.plan import Plan
from recovery.engine.report import Report
from recovery.engine.settings import Settings
from recovery.tui import texts
from recovery.tui.aside import Call, post
from recovery.tui.flows import clone
from recovery.tui.machine import Machine, Shown
from recovery.tui.screens import progress
from recovery.tui.screens.dialog import Dialog, Help
from recovery.tui.screens.home import Home
from recovery.tui.screens.options import Options
from recovery.tui.screens.refusal import Refusal
from recovery.tui.screens.review import Review
from tests.support import little
from tests.tui.pilot import Hand, play


async def refused(hand: Hand, *words: str) -> None:
    await hand.on(Refusal)
    assert "REFUSED" in hand.words
    for word in words:
        assert word in hand.words, (word, hand.words)
    hand.check_layout("refusal")


def test_a_disk_is_not_cloned_to_itself(disk: Path) -> None:
    before = little.digest(disk)

    async def script(hand: Hand) -> None:
        await hand.choose("Clone")
        await hand.choose(disk.name)
        await hand.choose("Everything")
        await hand.choose("already or new")
        await hand.path(disk.parent / "." / disk.name)
        await hand.push("continue")
        await refused(hand, "same disk", "Choose another target")
        await hand.press("escape")
        await hand.push("back")

    play(script, images=[disk])
    assert little.digest(disk) == before


def test_the_backup_is_not_overwritten_by_its_own_restore(tmp_path: Path, disk: Path, archive: Path) -> None:
    mine = tmp_path / "mine.jmi"
    shutil.copyfile(archive, mine)
    before = little.digest(mine)

    async def script(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(mine)
        await hand.choose("Everything")
        await hand.choose("already or new")
        await hand.path(mine)
        await hand.push("continue")
        await refused(hand, "holds the archive itself")

    play(script, images=[disk])
    assert little.digest(mine) == before


def test_a_backup_never_replaces_a_file(disk: Path, archive: Path) -> None:
    before = little.digest(archive)

    async def script(hand: Hand) -> None:
        await hand.choose("Back up")
        await hand.choose(disk.name)
        await hand.push("continue")
        await hand.path(archive)
        await hand.push("continue")
        await hand.push("start")
        page = await hand.report()
        assert page.report.outcome is Outcome.REFUSED and "exists already" in page.report.error

    play(script, images=[disk])
    assert little.digest(archive) == before


def test_a_target_that_is_too_small_is_refused_with_numbers(tmp_path: Path, disk: Path, archive: Path) -> None:
    small = tmp_path / "small.img"
    small.write_bytes(bytes(20 << 20))

    async def script(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(archive)
        await hand.choose("Everything")
        await hand.choose("small.img")
        await hand.push("continue")
        await refused(hand, "too small by", "Choose a larger target")

    play(script, images=[disk, small])
    assert small.read_bytes() == bytes(20 << 20)


def test_a_target_swapped_after_the_review_is_refused_at_the_first_write(
    tmp_path: Path, disk: Path, archive: Path
) -> None:
    target = tmp_path / "target.img"
    target.write_bytes(bytes(little.DISK_SIZE))

    async def script(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(archive)
        await hand.choose("Everything")
        await hand.choose("target.img")
        await hand.push("continue")
        await hand.on(Review)
        await hand.until(lambda: bool(hand.screen.query_one("#ask").display))
        other = tmp_path / "other.img"
        shutil.copyfile(disk, other)
        target.rename(tmp_path / "taken out.img")
        other.rename(target)
        await hand.accept("target.img")
        page = await hand.report()
        assert page.report.outcome is Outcome.REFUSED
        assert page.report.headline == "REFUSED, NOTHING WAS CHANGED"

    play(script, images=[disk, target])
    assert little.digest(target) == little.digest(disk)


def test_a_described_disk_is_shown_and_never_touched(tmp_path: Path) -> None:
    """Also when this machine has a disk of that name."""
    name = next((str(p) for p in Path("/dev").glob("loop[0-9]*") if p.is_block_device()), "/dev/sda")
    disk = {"path": name, "kind": "disk", "size": 500 << 30, "model": "Ultra 9", "serial": "XY12345678"}
    node = {"path": f"{name}p1", "number": 1, "start": 1 << 20, "size": 400 << 30}
    described = {"identity": disk, "partitions": [node], "boot_medium": True}
    file = tmp_path / "machine.json"
    file.write_text(json.dumps({"format": "jurymast-machine", "version": 1, "disks": [described]}))

    async def script(hand: Hand) -> None:
        await hand.see("500.0 GiB")
        await hand.see("Ultra 9 serial XY12345678 (this system runs from it, described only)")
        await hand.choose("Back up")
        await hand.choose("Ultra 9")
        await refused(hand, "only described", "without --machine")

    play(script, machines=[file])


def test_no_disks_and_a_broken_description_are_explained(tmp_path: Path) -> None:
    empty, broken = tmp_path / "empty.json", tmp_path / "broken.json"
    empty.write_text(json.dumps({"format": "jurymast-machine", "version": 1, "disks": []}))
    broken.write_text("{}")

    async def nothing(hand: Hand) -> None:
        await hand.see("RAID or VMD mode")

    async def wrong(hand: Hand) -> None:
        await hand.see("machine description")

    play(nothing, machines=[empty])
    play(wrong, machines=[broken])


def test_a_key_that_is_pressed_twice_counts_once(disk: Path) -> None:
    async def script(hand: Hand) -> None:
        await hand.see("42.0 MiB")
        for opening in ("f1", "f10"):
            hand.app.simulate_key(opening)
            await hand.until(lambda: not isinstance(hand.screen, Home))
            hand.app.simulate_key("enter")
            hand.app.simulate_key("enter")
            await hand.on(Home)
            await hand.pilot.pause(0.1)
        hand.screen.query_one("#tasks").focus()
        hand.app.simulate_key("enter")
        hand.app.simulate_key("enter")
        await hand.until(lambda: not isinstance(hand.screen, Home))
        assert len(hand.app.screen_stack) == 3  # Textual's own, home, and one more

    play(script, images=[disk])


def test_a_disk_that_is_plugged_in_is_marked_and_one_that_is_gone_disappears(tmp_path: Path) -> None:
    """The screen looks again when udev has news, as by F5."""
    one = Disk(DeviceIdentity("/dev/sdx", "disk", 1 << 30, model="First"))
    two = Disk(DeviceIdentity("/dev/sdy", "disk", 2 << 30, model="Second"))

    class Changing(Machine):
        now: ClassVar[list[Disk]] = [one]

        def disks(self, map_width: int = 10) -> list[Shown]:
            return [Shown(disk, "", False) for disk in self.now]

    async def script(hand: Hand) -> None:
        await hand.see("First")
        assert "JUST PLUGGED IN" not in hand.words
        Changing.now = [one, two]
        post(hand.screen, Call(hand.app.home.action_look))  # what the thread that listens to udev does
        await hand.see("Second (not in use, JUST PLUGGED IN)")
        Changing.now = [two]
        await hand.press("f5")
        await hand.until(lambda: "First" not in hand.words)

    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"format": "jurymast-machine", "version": 1, "disks": []}))
    play(script, machine=Changing([empty]))


def test_what_cannot_begin_is_told_also_when_the_help_lies_over_it(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    really = clone.prepare_clone

    def slow(*about: Any) -> Plan[Any]:
        go_on.wait(20)
        return really(*about)

    monkeypatch.setattr(clone, "prepare_clone", slow)

    async def script(hand: Hand) -> None:
        await hand.choose("Clone")
        await hand.choose(disk.name)
        await hand.choose("Everything")
        await hand.choose("already or new")
        await hand.path(disk)
        await hand.on(Options)
        await hand.push("continue")
        await hand.on(Review)
        await hand.press("f1")
        await hand.on(Help)
        go_on.set()
        await refused(hand, "same disk")

    play(script, images=[disk])


def held(monkeypatch: pytest.MonkeyPatch, *, at: int) -> threading.Event:
    """The job stands still when step `at` begins, until it is cancelled or the event that is returned is set."""
    go_on = threading.Event()

    def slow(plan: Plan[Any], settings: Settings, sink: Any, cancel: CancelToken) -> Report:
        def wait(event: Event) -> None:
            sink(event)
            if isinstance(event, StepStarted) and event.step == at:
                sink(Stalled("reading of 1048576 bytes at offset 4096", 12.0))
                for _ in range(400):
                    if cancel.cancelled or go_on.wait(0.05):
                        return

        return execute(plan, settings, wait, cancel)

    monkeypatch.setattr(progress, "execute", slow)
    return go_on


def test_a_backup_that_is_stopped_leaves_nothing(tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = tmp_path / "stopped.jmi"
    held(monkeypatch, at=2)

    async def script(hand: Hand) -> None:
        await hand.choose("Back up")
        await hand.choose(disk.name)
        await hand.push("continue")
        await hand.path(to)
        await hand.push("continue")
        await hand.push("start")
        page = await hand.progress()
        await hand.see("Step 2 of")
        await hand.see("Waiting for reading of 1048576 bytes at offset 4096, since 12 s")
        hand.check_layout("progress")
        await hand.press("escape")
        await hand.on(Dialog)
        assert " ".join(texts.CANCEL_STATE["backup"].split()[:5]) in hand.words
        hand.check_layout("cancel")
        await hand.press("enter")  # the careful answer has the focus
        await hand.on(progress.Progress)
        assert page.running and not page.token.cancelled
        await hand.press("f10")
        await hand.on(Dialog)
        await hand.push("yes")
        done = await hand.report()
        assert done.report.outcome is Outcome.CANCELLED and done.report.headline == "STOPPED ON REQUEST"
        hand.check_layout("report-stopped")
        await hand.push("home")
        await hand.on(Home)

    before = little.digest(disk)
    play(script, images=[disk])
    assert little.digest(disk) == before
    assert not list(tmp_path.iterdir()), "no archive, no temporary file, no report"


def test_a_restore_that_is_stopped_looks_blank(
    tmp_path: Path, disk: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target.img"
    shutil.copyfile(disk, target)
    held(monkeypatch, at=3)

    async def script(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(archive)
        await hand.choose("Everything")
        await hand.choose("target.img")
        await hand.push("continue")
        await hand.accept("target.img")
        await hand.see("Step 3 of")
        await hand.press("escape")
        await hand.see("the target will look blank")
        await hand.push("yes")
        page = await hand.report()
        assert page.report.outcome is Outcome.CANCELLED
        assert "looks blank" in page.report.aftermath

    play(script, images=[target])
    with target.open("rb") as file:
        assert file.read(1 << 20) == bytes(1 << 20)
