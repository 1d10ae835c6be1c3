"""What stands in the way is explained by the command and the screens: what it is, and what can be done."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recovery.tui.screens.refusal import Refusal
from recovery.tui.screens.review import Review
from tests.support import little, ntfs_images, raw_images
from tests.support.command import here
from tests.support.tools import loop_device, mounted, need, run, sparse_file
from tests.tui.pilot import Hand, play

pytestmark = pytest.mark.root
MiB = 1 << 20


def notes_of(*argv: str | Path) -> str:
    """The warnings of the plan, from its JSON."""
    plan: dict[str, Any] = next(line for line in here(*argv, "--json", ok=0).lines if line["type"] == "plan")
    return " ".join(plan["warnings"])


def reviewed(source: Path, to: Path, *words: str) -> None:
    """A backup up to its review, on which `words` stand; and nothing was made."""

    async def script(hand: Hand) -> None:
        await hand.choose("Back up")
        await hand.choose(source.name)
        await hand.push("continue")
        await hand.path(to)
        await hand.push("continue")
        await hand.on(Review)
        for word in words:
            await hand.see(word)
        hand.check_layout("review-notes")

    play(script, images=[source])
    assert not to.exists()


def restore_refused(archive: Path, target: Path, *words: str) -> None:
    """A restore up to the refusal; the target stays as it was."""

    async def script(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(archive)
        await hand.choose("Everything")
        await hand.choose("already or new")
        await hand.path(target)
        await hand.push("continue")
        await hand.on(Refusal)
        for word in words:
            await hand.see(word)
        hand.check_layout("refusal-explained")

    before = little.digest(target)
    play(script, images=[archive.parent / "disk.img"])
    assert little.digest(target) == before


def test_a_target_that_is_too_small_says_what_would_do(archive: Path, tmp_path: Path) -> None:
    small = sparse_file(tmp_path / "small.img", 20 * MiB)
    words = here("restore", archive, small, "--yes", "--json", ok=3).words
    assert "too small by 21.0 MiB" in words and "larger target (of at least 41.0 MiB)" in words
    restore_refused(archive, small, "too small by 21.0 MiB", "of at least 41.0 MiB", "shrink the last partition")


def test_a_target_that_is_mounted_says_how_to_unmount_it(archive: Path, tmp_path: Path) -> None:
    image, where = tmp_path / "m.img", tmp_path / "usb"
    run("mkfs.ext4", "-q", "-F", sparse_file(image, 64 * MiB))
    with loop_device(image) as device, mounted(["mount", "-o", "ro,noload", device, where], where):
        words = here("restore", archive, device, "--yes", "--json", ok=3).words
        assert f"mounted at {where}" in words and f"umount {where}" in words and "nothing was changed" in words
        restore_refused(archive, device, "is mounted at", "umount")


def test_a_target_that_something_stands_on_says_how_to_take_it_down(archive: Path, tmp_path: Path) -> None:
    """As LVM, RAID and LUKS stand on a disk; here a loop device, for this needs no module."""
    with loop_device(sparse_file(tmp_path / "a.img", 64 * MiB)) as device, loop_device(device) as above:
        words = here("restore", archive, device, "--yes", "--json", ok=3).words
        assert f"{above} stands on it" in words
        assert all(command in words for command in ("vgchange -an", "mdadm --stop", "cryptsetup close", "losetup -d"))
        restore_refused(archive, device, "stands on it", "vgchange -an")


def test_a_target_that_is_swapped_to_says_how_to_stop_it(archive: Path, tmp_path: Path) -> None:
    with loop_device(sparse_file(tmp_path / "a.img", 64 * MiB)) as device:
        run("mkswap", device)
        if subprocess.run(["swapon", device], check=False, capture_output=True).returncode:
            pytest.skip("this kernel does not swap")
        try:
            words = here("restore", archive, device, "--yes", "--json", ok=3).words
            assert "swapped to" in words and f"swapoff {device}" in words
            restore_refused(archive, device, "swapped to", "swapoff")
        finally:
            run("swapoff", device)


def test_a_hibernated_windows_is_told_of_as_source_and_as_target(tmp_path: Path) -> None:
    need("ntfs-3g", "mkfs.ntfs")
    image, to = tmp_path / "w.img", tmp_path / "w.jmi"
    ntfs_images.GENERATORS["hibernated"](image)
    reviewed(image, to, "Windows is hibernated", "shutdown /s /f /t 0")
    notes = notes_of("backup", image, to)
    assert "Windows is hibernated" in notes and "shutdown /s" in notes
    target = tmp_path / "t.img"
    shutil.copyfile(image, target)
    notes = notes_of("restore", to, target, "--dry-run")
    assert "holds a hibernated Windows: what was open in it and not saved is lost" in notes
    assert "hibernated Windows" in notes_of("clone", image, target, "--dry-run")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "bitlocker_to_go",
            ("BitLocker encrypts", "That is 64.0 MiB", "unlock it first", "--type bitlk"),
        ),
        ("luks2", ("LUKS", "That is", "unlock it first", "cryptsetup open DEVICE NAME")),
        ("lvm2", ("LVM", "That is", "/dev/GROUP/VOLUME")),
    ],
)
def test_what_is_stored_whole_says_how_large_it_is_and_what_would_make_it_smaller(
    tmp_path: Path, kind: str, words: tuple[str, ...]
) -> None:
    image = tmp_path / "a.img"
    raw_images.GENERATORS[kind](image)
    notes = notes_of("backup", image, tmp_path / "a.jmi", "--no-verify")
    assert all(word in notes for word in words), notes
    if kind == "bitlocker_to_go":
        reviewed(image, tmp_path / "b.jmi", *words)


def zero(*places: tuple[int, int]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with path.open("r+b") as file:
            for at, length in places:
                file.seek(at)
                file.write(bytes(length))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (zero((512, 512)), ("primary GPT is damaged", "the backup is used", "writes both copies anew")),
        (
            zero((512, 512), (little.DISK_SIZE - 512, 512)),
            ("GPT is lost", "stored as one piece", "testdisk"),
        ),
    ],
    ids=["one copy", "both copies"],
)
def test_a_damaged_partition_table_says_what_is_done_about_it(
    tmp_path: Path, disk: Path, spoil: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    image = tmp_path / "a.img"
    shutil.copyfile(disk, image)
    spoil(image)
    reviewed(image, tmp_path / "b.jmi", *words)
    notes = notes_of("backup", image, tmp_path / "a.jmi", "--no-verify")
    assert all(word in notes for word in words), notes
