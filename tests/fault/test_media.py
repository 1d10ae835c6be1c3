"""Media that go away, hang, lie, or are written to by others: never a success, always clear words, quick to stop."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.archive.opening import open_archive
from recovery.cli.exit_codes import ExitCode, exit_code
from recovery.engine.cancel import CancelToken
from recovery.engine.events import Event, Stalled, StepStarted
from recovery.engine.executor import execute
from recovery.engine.planners.backup import BackupRequest
from recovery.engine.planners.clone import CloneRequest
from recovery.engine.prepare import prepare_backup, prepare_clone
from recovery.engine.settings import Settings
from tests.support import jobs, little
from tests.support.blank import traces
from tests.support.command import running, share, step
from tests.support.faulty import (
    bad_sectors,
    failing_writes,
    failing_writes_device,
    hanging,
    lying,
    served,
    vanish,
)
from tests.support.tools import loop_device, mounted, run

pytestmark = pytest.mark.root
PLACES = ((little.EXT4_START, little.EXT4_SIZE), (little.FAT_START, little.FAT_SIZE))


def flip(path: Path, offset: int) -> Callable[[], None]:
    """Later, invert a byte of a file, as a bad medium does."""

    def now() -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 0xFF]))

    return now


def at_share(step_number: int, percent: int, mischief: Callable[[], object]) -> jobs.Hook:
    reached, left = share(step_number, percent), [mischief]

    def hook(event: Event) -> None:
        if left and reached(event.to_json()):
            left.pop()()

    return hook


# sources that go away


@pytest.mark.parametrize("as_device", [False, True])
def test_a_source_that_vanishes_fails_and_what_was_read_is_kept(disk: Path, tmp_path: Path, as_device: bool) -> None:
    archive = tmp_path / "a.jmi"
    with bad_sectors(disk, [], tmp_path, delay_ms=4) as path:
        if as_device:
            with loop_device(path, read_only=True) as device:
                run("losetup", "--direct-io=on", device)
                code, report = jobs.backup(device, archive, at_share(2, 40, lambda: vanish(path)))
        else:
            code, report = jobs.backup(path, archive, at_share(2, 40, lambda: vanish(path)))
    assert code is ExitCode.FAILED and report.headline == "FAILED"
    assert not archive.exists() and not list(tmp_path.glob("*.report.*"))
    left = tmp_path / "a.jmi.partial"
    assert str(left) in report.aftermath and "not a complete archive" in report.aftermath
    assert report.paths == [str(left)] and left.stat().st_size > 1 << 20
    assert "gone" in jobs.told(report) or "not connected" in jobs.told(report), jobs.told(report)
    assert jobs.verify(left)[0] is ExitCode.DAMAGED
    # What it holds can be restored, and what is missing is named.
    code, report = jobs.restore(left, tmp_path / "back.img")
    assert code is ExitCode.LOSSES and sum(v.lost_bytes for v in report.volumes) > 1 << 20
    back, was = (tmp_path / "back.img").read_bytes(), disk.read_bytes()
    same = sum(back[at : at + 4096] == was[at : at + 4096] != bytes(4096) for at in range(0, len(was), 4096))
    assert same > 256
    # And the next try with the disk plugged in again is not hindered.
    code, report = jobs.backup(disk, archive)
    assert code is ExitCode.OK, report.to_text()
    assert not left.exists()


def test_a_clone_whose_source_vanishes_leaves_a_blank_target(disk: Path, tmp_path: Path) -> None:
    target = tmp_path / "t.img"
    shutil.copyfile(disk, target)
    with bad_sectors(disk, [], tmp_path, delay_ms=4) as path:
        code, report = jobs.clone(path, target, at_share(2, 40, lambda: vanish(path)))
    assert code is ExitCode.FAILED and "looks blank" in report.aftermath
    assert traces(target, PLACES) == []


# targets that fail


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("after", [0, 2 << 20, 8 << 20])
def test_a_target_file_whose_writes_fail(volume_archive: Path, tmp_path: Path, after: int, error: str) -> None:
    image = little.sparse_file(tmp_path / "t.img", little.EXT4_SIZE)
    with failing_writes(image, after, tmp_path, error=error) as path:
        code, report = jobs.restore(volume_archive, path)
    assert code is ExitCode.FAILED, report.error
    assert ("Input/output error" if error == "EIO" else "No space left") in report.error
    assert report.advice
    assert traces(image) == []


def test_a_target_device_whose_writes_fail(archive: Path, tmp_path: Path) -> None:
    """The kernel tells it when it writes back: a restore that did not wait for that would be called good."""
    image = little.sparse_file(tmp_path / "t.img", little.DISK_SIZE)
    with failing_writes_device(image, 6 << 20, tmp_path) as device:
        code, report = jobs.restore(archive, device)
    assert code is ExitCode.FAILED and "Input/output error" in report.error
    assert "looks blank" in report.aftermath
    assert traces(image, PLACES) == []


@pytest.mark.parametrize(
    "words", ["Restore partition 1", "Restore partition 2", "Read everything back", "Write the first"]
)
def test_a_target_that_vanishes(archive: Path, tmp_path: Path, words: str) -> None:
    image = little.sparse_file(tmp_path / "t.img", little.DISK_SIZE)
    with (
        served(["nbdkit", "file", str(image)], tmp_path) as path,
        loop_device(path) as device,
    ):
        run("losetup", "--direct-io=on", device)
        code, report = jobs.restore(archive, device, jobs.at_step(words, lambda: vanish(path)))
    assert code is ExitCode.FAILED, report.to_text()
    assert report.error and report.advice
    assert traces(image, () if words == "Write the first" else PLACES) == []


@pytest.mark.parametrize("job", ["restore", "clone"])
def test_a_target_that_reads_back_other_data_is_found(archive: Path, disk: Path, tmp_path: Path, job: str) -> None:
    target = little.sparse_file(tmp_path / "t.img", little.DISK_SIZE)
    hook = jobs.at_step("Read everything back", flip(target, little.EXT4_START + (10 << 20)))
    code, report = jobs.restore(archive, target, hook) if job == "restore" else jobs.clone(disk, target, hook)
    assert code is ExitCode.FAILED and "cannot be read back" in report.error
    assert "medium or cable is not reliable" in report.advice and not report.checked
    assert traces(target, PLACES) == []


@pytest.mark.parametrize("at", [little.EXT4_START + (10 << 20) + 17, little.EXT4_START + 1080, 512 + 100, 446 + 9])
def test_a_target_that_stores_one_byte_wrong(archive: Path, tmp_path: Path, at: int) -> None:
    """In a file, in the superblock, in the table's header, in sector 0: each is found before it is called good."""
    image = little.sparse_file(tmp_path / "t.img", little.DISK_SIZE)
    with lying(image, at, tmp_path) as path:
        code, report = jobs.restore(archive, path)
    assert code is ExitCode.FAILED and "cannot be read back" in report.error, report.to_text()
    with image.open("rb") as file:
        assert b"EFI PART" not in file.read(4096)


# destinations of archives that fail


@pytest.mark.parametrize("where", ["block", "checkpoint", "header"])
def test_an_archive_that_reads_back_wrong_gets_no_name(volume: Path, tmp_path: Path, where: str) -> None:
    left = tmp_path / "a.jmi.partial"

    def mischief() -> None:
        size = left.stat().st_size
        flip(left, {"block": size // 2, "checkpoint": size - 200, "header": 150}[where])()

    code, report = jobs.backup(volume, tmp_path / "a.jmi", jobs.at_step("Read everything back", mischief))
    assert code is ExitCode.FAILED and "cannot be read back" in report.error
    assert "destination's medium or cable is not reliable" in report.advice
    assert list(tmp_path.glob("a.jmi*")) == []


def test_an_archive_that_another_byte_flip_hits_after_the_check_is_found_by_verify(
    volume: Path, tmp_path: Path
) -> None:
    code, _ = jobs.backup(volume, tmp_path / "a.jmi")
    assert code is ExitCode.OK
    flip(tmp_path / "a.jmi", 5 << 20)()
    assert jobs.verify(tmp_path / "a.jmi")[0] is ExitCode.DAMAGED


def test_a_destination_that_cannot_be_read_gives_no_archive(volume: Path, tmp_path: Path) -> None:
    """A whole ext4 on a device whose reads fail from the moment when the archive is read back."""
    image = little.sparse_file(tmp_path / "stick.img", 32 << 20)
    run("mke2fs", "-q", "-F", "-t", "ext4", image)
    trigger = tmp_path / "fail"
    options = ["error-pread=EIO", "error-pread-rate=100%", f"error-pread-file={trigger}"]
    with (
        served(["nbdkit", "--filter=error", "file", str(image), *options], tmp_path) as path,
        loop_device(path) as device,
    ):
        run("losetup", "--direct-io=on", device)
        with mounted(["mount", "-o", "errors=continue", device, tmp_path / "stick"], tmp_path / "stick") as stick:
            # Deleting and the like must still work afterwards; only data cannot be read any more.
            list(stick.iterdir())
            code, report = jobs.backup(volume, stick / "a.jmi", jobs.at_step("Read everything back", trigger.touch))
            trigger.unlink()
            assert code is ExitCode.FAILED, report.to_text()
            assert "Input/output error" in report.error or "cannot be read back" in report.error
            assert list(stick.glob("a.jmi*")) == []


# sources that hang


def test_a_hanging_source_is_told_and_can_be_left(volume: Path, tmp_path: Path) -> None:
    with hanging(volume, tmp_path) as (path, switch):
        plan = prepare_backup(BackupRequest((str(path),), str(tmp_path / "a.jmi")))
        stalled: list[Stalled] = []
        token = CancelToken()

        def hook(event: Event) -> None:
            if isinstance(event, StepStarted) and event.step == 1:
                switch.touch()
            if isinstance(event, Stalled):
                stalled.append(event)
                if len(stalled) == 3:
                    token.cancel()
                    hung.append(time.monotonic())

        hung: list[float] = []
        report = execute(plan, Settings(stall_seconds=0.5), hook, token)
        took = time.monotonic() - hung[0]
        switch.unlink()
    assert exit_code(report) is ExitCode.CANCELLED and took < 5
    assert [s.seconds for s in stalled] == sorted(s.seconds for s in stalled) and stalled[0].seconds >= 0.5
    assert f"of {path}" in stalled[0].text and "offset" in stalled[0].text
    assert list(tmp_path.glob("a.jmi*")) == []


def test_a_source_that_hangs_around_a_bad_place_can_be_left(volume: Path, tmp_path: Path) -> None:
    """The small reads there go around the cache, under a lock that the end must not wait for."""
    bad = (8 << 20, (8 << 20) + 4096)
    with hanging(volume, tmp_path, bad=bad) as (path, switch):
        plan = prepare_backup(BackupRequest((str(path),), str(tmp_path / "a.jmi")))
        token = CancelToken()
        hung: list[float] = []

        def hook(event: Event) -> None:
            if isinstance(event, Stalled) and "around a bad place" in event.text:
                hung.append(time.monotonic())
                token.cancel()

        switch.touch()
        report = execute(plan, Settings(stall_seconds=0.3), hook, token)
        took = time.monotonic() - hung[0]
        switch.unlink()
    assert exit_code(report) is ExitCode.CANCELLED and took < 6
    assert list(tmp_path.glob("a.jmi*")) == []


@pytest.mark.parametrize("moment", ["planning", "capture"])
def test_ctrl_c_while_the_source_hangs(volume: Path, tmp_path: Path, moment: str) -> None:
    with hanging(volume, tmp_path) as (path, switch):
        if moment == "planning":
            switch.touch()
        with running("backup", path, tmp_path / "a.jmi", log=tmp_path / "log") as run_:
            if moment == "planning":
                while not switch.with_name("hang.now").exists():
                    assert time.monotonic() - run_.began < 60
                    time.sleep(0.05)
            else:
                assert run_.wait_for(step(1)) is not None
                switch.touch()
                told = run_.wait_for(lambda line: line["type"] == "stalled")
                assert told is not None and told["seconds"] >= 5
            sent = time.monotonic()
            run_.send(signal.SIGINT)
            done = run_.finish()
            took = time.monotonic() - sent
    assert done.code == 130 and took < 6, took
    assert list(tmp_path.glob("a.jmi*")) == []


# sources that others write to


def poke(path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        os.pwrite(fd, b"changed", 20 << 20)
        os.fsync(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("as_device", [False, True])
def test_a_source_written_to_between_plan_and_start_is_refused(volume: Path, tmp_path: Path, as_device: bool) -> None:
    image = tmp_path / "v.img"
    shutil.copyfile(volume, image)
    with loop_device(image) as device:
        source = device if as_device else image
        plan = prepare_backup(BackupRequest((str(source),), str(tmp_path / "a.jmi")))
        other = prepare_clone(CloneRequest(str(source), str(tmp_path / "t.img")))
        poke(source)
        for accepted in (plan, other):
            code, report = jobs.carry_out(accepted)
            assert code is ExitCode.REFUSED and "was written to" in report.error, report.to_text()
            assert "gain" in report.advice
    assert not list(tmp_path.glob("a.jmi*")) and not (tmp_path / "t.img").exists()


@pytest.mark.parametrize("as_device", [False, True])
@pytest.mark.parametrize("job", ["backup", "clone"])
def test_a_source_written_to_while_it_is_read_is_told(volume: Path, tmp_path: Path, job: str, as_device: bool) -> None:
    image = tmp_path / "v.img"
    shutil.copyfile(volume, image)
    with loop_device(image) as device:
        source = device if as_device else image
        step_words = "Save whole" if job == "backup" else "Copy whole"
        work = jobs.backup if job == "backup" else jobs.clone
        # Held open exclusively, a device can still be written by who does not ask.
        code, report = work(source, tmp_path / "out", jobs.at_step(step_words, lambda: poke(source)))
    assert code is ExitCode.LOSSES, report.to_text()
    assert "mixes two states" in jobs.told(report)
    if job == "backup":
        with open_archive(tmp_path / "out") as reader:
            codes = [p["code"] for p in reader.manifest.details["problems"]]
        assert "source.changed" in codes


def test_nothing_is_left_running() -> None:
    """The tests of this file took down what they started."""
    left = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
    assert "(deleted)" not in left or "pytest" not in left
