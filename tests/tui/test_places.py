"""Places that are not mounted: chosen, asked about, mounted, used by a job, and let go."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from textual.widgets import Input

from recovery.engine import attach
from recovery.engine.controllers import Hidden
from recovery.engine.inventory import disk_of
from recovery.engine.unmounted import Unmounted, list_unmounted
from recovery.tui.machine import Machine
from recovery.tui.screens.dialog import Dialog
from recovery.tui.screens.home import Home
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.refusal import Refusal
from tests.support import jobs, little, ntfs_images
from tests.support.tools import loop_device, mounted, need, need_root, run, sparse_file
from tests.tui.pilot import Hand, play

pytestmark = pytest.mark.root
MiB = 1 << 20


@pytest.fixture(autouse=True)
def own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    need_root()
    monkeypatch.setattr(attach, "ROOT", tmp_path / "mnt")
    yield
    for one in attach.ours():
        subprocess.run(["umount", one.folder], check=False)


class WithStick(Machine):
    """Image files, and one real device that is not mounted."""

    def __init__(self, images: Sequence[Path], stick: Path) -> None:
        super().__init__(images=images)
        self._stick = stick

    def unmounted(self, sources: Sequence[str] = ()) -> list[Unmounted]:
        return list_unmounted([disk_of(self._stick)])


def stick_of(image: Path, size: int = 64 * MiB) -> Path:
    run("mkfs.ext4", "-q", "-F", "-L", "BACKUP", sparse_file(image, size))
    return image


def test_a_backup_goes_to_a_stick_that_nobody_mounted(tmp_path: Path, disk: Path) -> None:
    with loop_device(stick_of(tmp_path / "stick.img")) as stick:

        async def script(hand: Hand) -> None:
            await hand.choose("Back up")
            await hand.choose(disk.name)
            await hand.push("continue")
            await hand.see(f'not mounted: {stick} "BACKUP" ext4 64.0 MiB')
            hand.check_layout("path-unmounted")
            await hand.choose('"BACKUP"')
            await hand.on(Dialog)
            await hand.see("unmounted and can be taken out")
            hand.check_layout("mount-ask")
            await hand.press("enter")  # the careful answer
            await hand.on(PickPath)
            assert attach.ours() == []
            await hand.choose('"BACKUP"')
            await hand.push("yes")
            await hand.see("lost+found")
            assert "not mounted" not in hand.all_words
            typed = hand.screen.query_one("#typed", Input).value
            assert typed.startswith(str(attach.ROOT)) and typed.endswith(".jmi")
            hand.screen.query_one("#typed", Input).focus()
            await hand.press("enter")
            await hand.push("continue")
            await hand.push("start")
            assert (await hand.report()).report.headline == "PROVEN"
            assert len(attach.ours()) == 1
            await hand.press("escape")
            await hand.on(Home)
            await hand.until(lambda: attach.ours() == [], "letting go")

        play(script, machine=WithStick([disk], stick))
        with mounted(["mount", "-o", "ro", stick, tmp_path / "m"], tmp_path / "m") as place:
            saved = next(place.glob("*.jmi"))
            assert jobs.verify(saved)[1].headline == "THE ARCHIVE IS GOOD"


def test_a_backup_is_read_from_a_stick_and_nothing_is_changed_on_it(tmp_path: Path, disk: Path, archive: Path) -> None:
    image, target = stick_of(tmp_path / "stick.img"), tmp_path / "new.img"
    with loop_device(image) as stick:
        with mounted(["mount", stick, tmp_path / "m"], tmp_path / "m") as place:
            shutil.copyfile(archive, place / "saved.jmi")
        before = little.digest(stick)

        async def script(hand: Hand) -> None:
            await hand.choose("Restore")
            await hand.choose('"BACKUP"')
            await hand.see("only to read from")
            await hand.push("yes")
            await hand.choose("saved.jmi")
            await hand.choose("Everything")
            await hand.choose("already or new")
            await hand.path(target)
            await hand.push("continue")
            await hand.accept("new.img")
            assert (await hand.report()).report.headline == "RESTORED AND CHECKED"
            assert [one.read_only for one in attach.ours()] == [True]
            await hand.press("escape")
            await hand.until(lambda: attach.ours() == [], "letting go")

        play(script, machine=WithStick([disk], stick))
        assert little.digest(stick) == before
    assert little.digest(target) == little.digest(disk)


def test_a_disk_that_windows_has_not_let_go_is_explained_before_anything_is_mounted(tmp_path: Path, disk: Path) -> None:
    need("ntfs-3g", "mkfs.ntfs")
    image = tmp_path / "w.img"
    ntfs_images.GENERATORS["hibernated"](image)
    with loop_device(image) as stick:

        async def script(hand: Hand) -> None:
            await hand.choose("Back up")
            await hand.choose(disk.name)
            await hand.push("continue")
            await hand.see("cannot be written now")
            await hand.choose("cannot be written now")
            await hand.on(Refusal)
            await hand.see("Windows is hibernated")
            await hand.see("shut it down fully")
            hand.check_layout("refusal-hibernated")
            await hand.push("back")
            await hand.on(PickPath)

        before = little.digest(stick)
        play(script, machine=WithStick([disk], stick))
        assert little.digest(stick) == before and attach.ours() == []


def test_on_the_disk_that_is_backed_up_nothing_is_mounted(tmp_path: Path) -> None:
    """Should the list show it all the same, because it was plugged in between."""
    with loop_device(stick_of(tmp_path / "stick.img")) as stick:

        async def script(hand: Hand) -> None:
            await hand.choose("Back up")
            await hand.choose(stick.name)
            await hand.push("continue")
            await hand.choose('"BACKUP"')
            await hand.push("yes")
            await hand.on(Refusal)
            await hand.see("lies on the disk that is backed up")
            await hand.push("back")
            await hand.on(PickPath)

        play(script, machine=WithStick([stick], stick))
        assert attach.ours() == []


def test_the_real_list_leaves_out_the_source(tmp_path: Path) -> None:
    with loop_device(stick_of(tmp_path / "stick.img")) as stick:
        devices = [found.device for found in Machine().unmounted()]
        assert str(stick) in devices
        assert str(stick) not in [found.device for found in Machine().unmounted([str(stick)])]


def test_a_signal_in_a_job_ends_with_130_and_without_one_with_0(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.tui.test_wrong_disk import held

    held(monkeypatch, at=2)
    codes: list[int] = []

    async def stopped(hand: Hand) -> None:
        await hand.choose("Back up")
        await hand.choose(disk.name)
        await hand.push("continue")
        await hand.path(tmp_path / "s.jmi")
        await hand.push("continue")
        await hand.push("start")
        await hand.see("Step 2 of")
        os.kill(os.getpid(), signal.SIGTERM)
        await hand.until(lambda: hand.app.exit_code != 0, "the signal")
        await hand.until(lambda: hand.app.running_job is None, "the end of the job")
        codes.append(hand.app.exit_code)

    async def idle(hand: Hand) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await hand.until(lambda: not hand.app.is_running or hand.app._exit, "the end")
        codes.append(hand.app.exit_code)

    play(stopped, images=[disk])
    play(idle, images=[disk])
    assert codes == [130, 0] and not list(tmp_path.glob("s.jmi*"))


def test_why_no_disk_is_seen_stands_on_the_first_screen(tmp_path: Path) -> None:
    why = Hidden("0000:00:0e.0", "This machine's disks hide behind Intel VMD/RST.", "Switch the controller to AHCI.")

    class Behind(Machine):
        def hidden(self) -> list[Hidden]:
            return [why]

    async def script(hand: Hand) -> None:
        await hand.see("hide behind Intel VMD/RST")
        await hand.see("Switch the controller to AHCI")
        hand.check_layout("home-hidden")

    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"format": "jurymast-machine", "version": 1, "disks": []}))
    play(script, machine=Behind([empty]))
