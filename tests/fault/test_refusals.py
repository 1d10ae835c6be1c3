"""What is refused: exit code 3, words that say why and what to do, and not a byte changed."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from formats.archive.opening import open_archive
from recovery.cli.exit_codes import ExitCode
from recovery.engine.planners.restore import RestoreRequest
from recovery.engine.prepare import prepare_restore
from tests.support import jobs, little
from tests.support.command import here, jurymast
from tests.support.disks import partitioned_loop
from tests.support.terminal import at_terminal
from tests.support.tools import loop_device, mounted, run, sparse_file

pytestmark = pytest.mark.root


@contextlib.contextmanager
def unchanged(*paths: Path) -> Iterator[None]:
    before = [little.digest(path) for path in paths]
    yield
    assert [little.digest(path) for path in paths] == before


@pytest.fixture
def target(disk: Path, tmp_path: Path) -> Path:
    """A disk with data on it."""
    path = tmp_path / "target.img"
    shutil.copyfile(disk, path)
    return path


def refused(*argv: str | Path) -> str:
    """Run it, with every acceptance given; what it says."""
    words = here(*argv, "--json", ok=3).words
    assert len(words) > 20
    return words


def test_a_target_that_is_too_small(archive: Path, disk: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.img"
    small.write_bytes(disk.read_bytes()[: 40 << 20])
    with unchanged(small):
        for words in (
            refused("restore", archive, small, "--yes"),
            refused("clone", disk, small, "--yes"),
            refused("restore", archive, small, "--dry-run"),
        ):
            assert str(40 << 20) in words and "too small by 1.0 MiB" in words and "larger target" in words


def test_a_partition_that_is_too_small(archive: Path, tmp_path: Path) -> None:
    with (
        partitioned_loop(tmp_path / "p.img", 64 << 20, "label: gpt\nsize=8MiB\n") as (device, parts),
        unchanged(device),
    ):
        assert "too small by 16.0 MiB" in refused("restore", archive, device, "--partition", "1", "--yes")
        assert "too small by 16.0 MiB" in refused("restore", archive, parts[0], "--partition", "1", "--yes")


def test_a_target_that_is_the_source(disk: Path, tmp_path: Path) -> None:
    image = tmp_path / "d.img"
    shutil.copyfile(disk, image)
    link = tmp_path / "link.img"
    link.symlink_to(image)
    hard = tmp_path / "hard.img"
    hard.hardlink_to(image)
    with unchanged(image):
        for other in (image, link, hard):
            assert "same disk" in refused("clone", image, other, "--yes")
        with loop_device(image) as device:
            run("partx", "-a", device, ok=(0, 1))
            part = Path(f"{device}p1")
            try:
                for source, to in ((image, device), (device, image), (device, part), (part, device), (part, image)):
                    assert "same disk" in refused("clone", source, to, "--yes"), (source, to)
            finally:
                subprocess.run(["partx", "-d", device], check=False, capture_output=True)


def test_a_target_that_holds_the_archive(archive: Path, disk: Path, tmp_path: Path) -> None:
    with unchanged(archive):
        assert "holds the archive" in refused("restore", archive, archive, "--yes")
    image = sparse_file(tmp_path / "usb.img", 64 << 20)
    run("mke2fs", "-q", "-F", "-t", "ext4", image)
    with loop_device(image) as device, mounted(["mount", device, tmp_path / "usb"], tmp_path / "usb") as usb:
        copy = usb / "a.jmi"
        shutil.copyfile(archive, copy)
        for to in (device, image):
            words = refused("restore", copy, to, "--yes")
            assert "mounted" in words or "holds the archive" in words
        # The disk that it would be made of, too: a backup of a disk to itself.
        words = refused("backup", device, usb / "b.jmi", "--force-live")
        assert "dies with it" in words and "another disk" in words
        words = refused("backup", image, usb / "b.jmi", "--force-live")
        assert "dies with it" in words
        with unchanged(copy):
            pass
    assert not (tmp_path / "usb" / "b.jmi").exists()


def test_a_target_that_is_mounted(archive: Path, disk: Path, tmp_path: Path) -> None:
    image = tmp_path / "m.img"
    shutil.copyfile(disk, image)
    with loop_device(image) as device:
        run("partx", "-a", device, ok=(0, 1))
        try:
            with (
                mounted(["mount", "-o", "ro,noload", f"{device}p1", tmp_path / "mnt"], tmp_path / "mnt"),
                unchanged(device),
            ):
                for to in (device, Path(f"{device}p1"), image):
                    words = refused("restore", archive, to, "--yes")
                    assert "mounted at" in words and str(tmp_path / "mnt") in words, words
                    words = refused("clone", disk, to, "--yes")
                    assert "mounted" in words and "nothing was changed" in words.lower()
        finally:
            subprocess.run(["partx", "-d", device], check=False, capture_output=True)


def test_a_source_that_is_mounted_writable(volume: Path, tmp_path: Path) -> None:
    image = tmp_path / "v.img"
    shutil.copyfile(volume, image)
    archive = tmp_path / "a.jmi"
    with loop_device(image) as device, mounted(["mount", device, tmp_path / "mnt"], tmp_path / "mnt"):
        for source in (device, image):
            words = refused("backup", source, archive)
            assert "mounted writable" in words and str(tmp_path / "mnt") in words and "umount" in words
            assert "mounted writable" in refused("clone", source, tmp_path / "c.img", "--yes")
        assert not list(tmp_path.glob("a.jmi*")) and not (tmp_path / "c.img").exists()
        assert jurymast("backup", device, archive, "--force-live", "--json").code in (0, 4)
    with open_archive(archive) as reader:
        assert reader.manifest.details["consistency"] == "crash-consistent"
    assert jurymast("info", archive, "--json").told["consistency"] == "crash-consistent"


def test_a_source_that_is_mounted_read_only_stands_still(volume: Path, tmp_path: Path) -> None:
    with (
        loop_device(volume, read_only=True) as device,
        mounted(["mount", "-o", "ro,noload", device, tmp_path / "mnt"], tmp_path / "mnt"),
    ):
        jurymast("backup", device, tmp_path / "a.jmi", "--json", ok=0)
    with open_archive(tmp_path / "a.jmi") as reader:
        assert reader.manifest.details["consistency"] == "offline"


def test_an_archive_of_that_name_is_never_replaced(volume: Path, tmp_path: Path) -> None:
    taken = tmp_path / "a.jmi"
    taken.write_bytes(b"something")
    dangling = tmp_path / "b.jmi"
    dangling.symlink_to(tmp_path / "nowhere")
    for path in (taken, dangling):
        assert "exists already" in refused("backup", volume, path)
    assert taken.read_bytes() == b"something" and dangling.is_symlink()
    assert not (tmp_path / "nowhere").exists() and not list(tmp_path.glob("*.partial"))


def test_an_archive_that_is_being_written_is_left_alone(volume: Path, tmp_path: Path) -> None:
    def second() -> None:
        assert "being written by another backup" in refused("backup", volume, tmp_path / "a.jmi")

    code, report = jobs.backup(volume, tmp_path / "a.jmi", jobs.at_step("Save", second))
    assert code is ExitCode.OK, report.to_text()


def test_the_same_source_twice(disk: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.img"
    link.symlink_to(disk)
    for twin in (disk, link):
        assert "Name each disk once" in refused("backup", disk, twin, tmp_path / "a.jmi")
    with loop_device(disk, read_only=True) as device:
        assert "Name each disk once" in refused("backup", disk, device, tmp_path / "a.jmi")
    assert not list(tmp_path.glob("a.jmi*"))


def test_a_target_file_that_was_swapped_after_the_plan(archive: Path, target: Path, disk: Path) -> None:
    plan = prepare_restore(RestoreRequest(str(archive), str(target)))
    other = target.with_name("other.img")
    shutil.copyfile(disk, other)
    target.rename(target.with_name("moved.img"))
    other.rename(target)
    with unchanged(target, target.with_name("moved.img")):
        code, report = jobs.carry_out(plan)
    assert code is ExitCode.REFUSED and "not what the plan was made for" in report.error
    assert report.aftermath == "The target was not changed."


def test_a_target_device_that_was_swapped_after_the_plan(archive: Path, target: Path, disk: Path) -> None:
    """Two disks of the same size and model: only the kernel's number of the appearance and the file tell."""
    other = target.with_name("other.img")
    shutil.copyfile(disk, other)
    with loop_device(target) as device:
        plan = prepare_restore(RestoreRequest(str(archive), str(device)))
        run("losetup", "-d", device)
        run("losetup", device, other)
        with unchanged(target, other):
            code, report = jobs.carry_out(plan)
    assert code is ExitCode.REFUSED and "not what the plan was made for" in report.error


def test_a_target_that_appeared_after_the_plan(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.img"
    plan = prepare_restore(RestoreRequest(str(archive), str(path)))
    path.write_bytes(b"somebody else's")
    code, report = jobs.carry_out(plan)
    assert code is ExitCode.REFUSED and "is now file" in report.error
    assert path.read_bytes() == b"somebody else's"


def test_other_sector_sizes(archive: Path, disk: Path, tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "4k.img", 64 << 20)
    with loop_device(image, sector_size=4096) as device, unchanged(device):
        for words in (refused("restore", archive, device, "--yes"), refused("clone", disk, device, "--yes")):
            assert "512" in words and "4096" in words and "same logical sector size" in words


def test_a_read_only_target(archive: Path, target: Path) -> None:
    with loop_device(target, read_only=True) as device, unchanged(target):
        for argv in (("--yes",), ("--dry-run",)):
            words = refused("restore", archive, device, *argv)
            assert "read-only" in words and "blockdev --setrw" in words


def test_a_device_that_another_process_holds(archive: Path, target: Path, tmp_path: Path) -> None:
    code = "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_EXCL); print('x', flush=True); sys.stdin.read()"
    with (
        loop_device(target) as device,
        unchanged(target),
        subprocess.Popen([sys.executable, "-c", code, device], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
    ):
        assert other.stdout is not None and other.stdout.readline()
        try:
            for argv in (("restore", archive, device, "--yes"), ("backup", device, tmp_path / "b.jmi")):
                words = refused(*argv)
                assert "in use" in words and f"process {other.pid}" in words
        finally:
            other.kill()


def test_nobody_is_there_to_accept(archive: Path, disk: Path, target: Path) -> None:
    with unchanged(target):
        for argv in (("restore", archive, target), ("clone", disk, target)):
            assert "--yes" in refused(*argv)
            done = jurymast(*argv, stdin=b"target.img\n", ok=3)
            assert "Nobody is there to accept the plan" in done.text


@pytest.mark.parametrize("job", ["restore", "clone"])
def test_a_person_types_the_name(archive: Path, disk: Path, target: Path, job: str) -> None:
    source = archive if job == "restore" else disk
    with unchanged(target):
        for typed, words in (
            ("yes\n", "'yes' is not 'target.img'. Nothing was changed. Is it the right disk?"),
            ("\n", "'' is not 'target.img'"),
        ):
            shown = at_terminal(job, source, target, answers=[("type 'target.img'", typed)])
            assert shown.code == 3 and words in shown.words, shown.text
            assert "THIS WILL BE LOST" in shown.text and "ext4 'little'" in shown.words
        for what in (signal.SIGINT, "\x03", "\x04"):
            shown = at_terminal(job, source, target, answers=[("type 'target.img'", what)])
            assert shown.code == 130 and "Stopped" in shown.text, shown.text
    shown = at_terminal(job, source, target, answers=[("type 'target.img'", " target.img \n")])
    assert shown.code == 0 and "AND CHECKED" in shown.text
    assert little.digest(target) == little.digest(disk)
