"""Writing: only what the ticket names, only when it still is that, and with every failure told."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
import random
import threading
from pathlib import Path

import pytest

from formats.base.errors import DeviceError, Refused
from recovery.engine import blkdev
from recovery.engine.device import DeviceTarget, WriteTicket, open_source, open_target
from recovery.engine.identity import identify
from recovery.engine.sysblock import PartitionNode
from tests.support.disks import MIB, partitioned_loop, private_loop
from tests.support.faulty import failing_writes, failing_writes_device
from tests.support.tools import loop_device, mounted, need_root, run, sparse_file
from tests.unit.recovery.engine.test_device_source import held_by_another_process

TWO = "label: gpt\nsize=16MiB\nsize=16MiB\n"
DOS = b"label: dos\nd1: size=8MiB\nd2: size=4MiB\nd3: size=20MiB, type=5\nd5: size=4MiB\n"


def ticket(path: Path, *, absent: bool = False) -> WriteTicket:
    return WriteTicket(identify(path, may_be_absent=absent), "plan-1")


def blocks(path: Path) -> int:
    """Bytes that a file really takes."""
    os.sync()
    return path.stat().st_blocks * 512


def exercise(target: DeviceTarget, seed: int) -> bytes:
    """Random writes and zeroings, also at odd places; returns what must be there."""
    rng = random.Random(seed)
    shadow = bytearray(target.size)
    target.zero(0, target.size)
    for i in range(120):
        offset = rng.randrange(target.size)
        length = min(rng.choice([1, 511, 512, 4096, 70000, 300000]), target.size - offset)
        if i % 4 == 3:
            target.zero(offset, length)
            shadow[offset : offset + length] = bytes(length)
        else:
            data = rng.randbytes(length)
            target.write_at(offset, data)
            shadow[offset : offset + length] = data
    target.flush()
    return bytes(shadow)


@pytest.mark.root
@pytest.mark.parametrize("sector", [512, 4096])
def test_a_device_holds_what_was_written(tmp_path: Path, sector: int) -> None:
    image = tmp_path / "a.img"
    image.write_bytes(random.Random(1).randbytes(4 * MIB))
    with loop_device(image, sector_size=sector) as device:
        with open_target(ticket(device)) as target:
            assert (target.size, target.sector_size, target.name) == (4 * MIB, sector, str(device))
            expected = exercise(target, sector)
            assert target.read_at(0, target.size) == expected
        with open_source(device) as source:
            assert source.read_at(0, source.size) == expected
    assert image.read_bytes() == expected


def test_a_file_holds_what_was_written(tmp_path: Path) -> None:
    image = tmp_path / "new.img"
    with open_target(ticket(image, absent=True), create_size=4 * MIB + 77) as target:
        assert target.size == 4 * MIB + 77
        expected = exercise(target, 3)
    assert image.read_bytes() == expected


def test_a_new_file_is_one_hole_and_never_replaces_another(tmp_path: Path) -> None:
    image = tmp_path / "new.img"
    planned = ticket(image, absent=True)
    with pytest.raises(Refused, match="how large"):
        open_target(planned)
    with pytest.raises(Refused, match="bytes long"):
        open_target(planned, create_size=-1)
    with pytest.raises(DeviceError) as caught:
        open_target(planned, create_size=1 << 70)
    assert caught.value.errno == errno.EFBIG
    assert not image.exists()
    with open_target(planned, create_size=1 << 40) as target:
        assert target.size == 1 << 40
    assert image.stat().st_size == 1 << 40 and blocks(image) <= 4096
    assert image.stat().st_mode & 0o077 == 0
    with pytest.raises(Refused, match="was absent, is now file"):
        open_target(planned, create_size=MIB)
    assert image.stat().st_size == 1 << 40


def test_an_existing_file_is_resized_only_when_the_plan_says_so(tmp_path: Path) -> None:
    image = tmp_path / "a.img"
    image.write_bytes(b"x" * 1000)
    with pytest.raises(Refused, match="does not say to resize"):
        open_target(ticket(image), create_size=2000)
    with open_target(ticket(image)) as target:
        assert target.size == 1000
    with open_target(ticket(image), create_size=2000, resize=True) as target:
        target.write_at(1999, b"y")
    assert image.read_bytes() == b"x" * 1000 + b"\0" * 999 + b"y"


@pytest.mark.root
def test_holes_and_discards_give_the_space_back(tmp_path: Path) -> None:
    image = tmp_path / "a.img"
    with open_target(ticket(image, absent=True), create_size=16 * MIB) as target:
        target.write_at(0, b"x" * (16 * MIB))
        target.flush()
        assert blocks(image) >= 16 * MIB
        target.zero(0, 8 * MIB)
        assert blocks(image) <= 8 * MIB + 65536
        assert target.discard(8 * MIB, 8 * MIB) is True
        assert blocks(image) <= 65536 and image.stat().st_size == 16 * MIB
    with loop_device(image) as device, open_target(ticket(device)) as target:
        target.write_at(0, b"x" * (16 * MIB))
        target.flush()
        assert blocks(image) >= 16 * MIB
        assert target.discard(100, 8 * MIB) is True  # odd: the whole sectors inside
        assert blocks(image) <= 8 * MIB + 65536
        assert target.read_at(0, 512) == b"x" * 512
        target.zero(8 * MIB, 8 * MIB)
        target.flush()
        assert target.read_at(8 * MIB, 8 * MIB) == bytes(8 * MIB)
        assert image.read_bytes()[8 * MIB :] == bytes(8 * MIB)


@pytest.mark.root
def test_a_medium_that_cannot_discard_or_zero_says_so_and_is_zeroed_by_writing(tmp_path: Path) -> None:
    image = tmp_path / "a.img"
    image.write_bytes(b"x" * MIB)
    with failing_writes(image, 1 << 30, tmp_path) as path, open_target(ticket(path)) as target:
        assert target.discard(0, MIB) is False
        target.zero(1000, MIB // 2)
        target.flush()
    assert image.read_bytes() == b"x" * 1000 + bytes(MIB // 2) + b"x" * (MIB // 2 - 1000)


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "a.img", MIB)
    with open_target(ticket(image)) as target:
        for offset, length in ((-1, 1), (MIB, 1), (MIB - 1, 2), (0, MIB + 1)):
            with pytest.raises(Refused, match="leaves"):
                target.write_at(offset, b"x" * length)
            for action in (target.zero, target.discard, target.read_at):
                with pytest.raises(Refused, match="leaves"):
                    action(offset, length)
        with pytest.raises(Refused):
            target.zero(0, -1)
    assert image.read_bytes() == bytes(MIB)


def test_no_plan_no_writing(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "a.img", MIB)
    with pytest.raises(Refused, match="accepted plan"):
        open_target(WriteTicket(identify(image), ""))


@pytest.mark.root
def test_a_device_swapped_before_opening_is_refused(tmp_path: Path) -> None:
    image, other = sparse_file(tmp_path / "a.img", MIB), sparse_file(tmp_path / "b.img", 2 * MIB)
    with private_loop() as device:
        run("losetup", device, image)
        planned = ticket(device)
        run("losetup", "-d", device)
        with pytest.raises(DeviceError, match="No medium"):
            open_target(planned)
        run("losetup", device, other)
        with pytest.raises(Refused, match=f"size in bytes: was {MIB}, is now {2 * MIB}") as caught:
            open_target(planned)
        assert "Nothing was written" in caught.value.reason
        run("losetup", "-d", device)
        run("losetup", device, image)
        with pytest.raises(Refused, match="taken out or replaced"):
            open_target(planned)
        serial = dataclasses.replace(identify(device), serial="WD-1")
        with pytest.raises(Refused, match="serial number: was WD-1, is now unknown"):
            open_target(WriteTicket(serial, "plan-1"))
    assert image.read_bytes() == bytes(MIB) and other.read_bytes() == bytes(2 * MIB)


@pytest.mark.root
def test_a_device_that_changes_between_opening_and_the_first_write_is_refused(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "a.img", MIB)
    with loop_device(image) as device, open_target(ticket(device)) as target:
        os.truncate(image, 2 * MIB)
        run("losetup", "-c", device)
        for action in (
            lambda: target.write_at(0, b"x"),
            lambda: target.zero(0, 512),
            lambda: target.discard(0, 512),
            lambda: target.reread_table(),
        ):
            with pytest.raises(Refused, match="the opened size in bytes"):
                action()
    assert image.read_bytes() == bytes(2 * MIB)


@pytest.mark.root
def test_a_device_changed_after_the_first_write_goes_on(tmp_path: Path) -> None:
    """The look is taken once: after it, only the errors of the medium count."""
    image = sparse_file(tmp_path / "a.img", MIB)
    with loop_device(image) as device, open_target(ticket(device)) as target:
        target.write_at(0, b"a")
        os.truncate(image, 2 * MIB)
        run("losetup", "-c", device)
        target.write_at(1, b"b")
        target.flush()
    assert image.read_bytes()[:3] == b"ab\0"


def test_a_file_swapped_under_its_name_is_refused(tmp_path: Path) -> None:
    image, other = sparse_file(tmp_path / "a.img", MIB), sparse_file(tmp_path / "b.img", MIB)
    planned = ticket(image)
    with open_target(planned) as target:
        other.rename(image)
        with pytest.raises(Refused, match="file behind the name"):
            target.write_at(0, b"x")
    assert image.read_bytes() == bytes(MIB)
    with pytest.raises(Refused, match="file behind the name"):
        open_target(planned)
    image.unlink()
    image.symlink_to("/dev/null")
    with pytest.raises(Refused, match="character device"):
        open_target(planned)


@pytest.mark.root
def test_mounted_and_stacked_targets_are_refused(tmp_path: Path) -> None:
    image, where = tmp_path / "a.img", tmp_path / "m"
    with partitioned_loop(image, 40 * MIB, TWO) as (device, nodes):
        run("mkfs.ext4", "-q", "-F", nodes[0])
        for options in ("rw", "ro"):
            with mounted(["mount", "-o", options, nodes[0], where], where):
                for path in (image, device, nodes[0]):
                    with pytest.raises(Refused, match=f"mounted is {nodes[0]} on {where}"):
                        open_target(ticket(path))
                open_target(ticket(nodes[1])).close()
        with pytest.raises(Refused, match=f"{device}.* stands on it"):
            open_target(ticket(image))
        with loop_device(nodes[0]) as second, pytest.raises(Refused, match=f"{second} stands on it"):
            open_target(ticket(device))


@pytest.mark.root
def test_a_file_mounted_between_opening_and_the_first_write_is_refused(tmp_path: Path) -> None:
    image, where = sparse_file(tmp_path / "a.img", 16 * MIB), tmp_path / "m"
    run("mkfs.ext4", "-q", "-F", image)
    with (
        open_target(ticket(image)) as target,
        mounted(["mount", "-o", "loop", image, where], where),
        pytest.raises(Refused, match=f"on {where}"),
    ):
        target.write_at(0, b"x")


@pytest.mark.root
def test_a_file_that_got_a_loop_device_before_the_first_write_is_refused(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "a.img", MIB)
    with open_target(ticket(image)) as target, loop_device(image) as device:
        with pytest.raises(Refused, match=f"{device} stands on it"):
            target.write_at(0, b"x")
        with open_source(device), pytest.raises(Refused, match="this program itself"):
            open_source(device)


@pytest.mark.root
def test_one_writer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recovery.engine.device_target._LOCK_PATIENCE", 0.2)
    image = sparse_file(tmp_path / "a.img", 40 * MIB)
    with open_target(ticket(image)), pytest.raises(Refused, match="locked by another program"):
        open_target(ticket(image))
    with partitioned_loop(image, 40 * MIB, TWO) as (device, nodes):
        with open_target(ticket(device)) as target:
            target.write_at(0, b"x")
            for path in (device, nodes[0]):
                with pytest.raises(Refused, match="in use"):
                    open_target(ticket(path))
        with held_by_another_process(device), pytest.raises(Refused, match=r"process \d+"):
            open_target(ticket(device))
        fd = os.open(device, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(Refused, match="locked by another program"):
            open_target(ticket(device))
        os.close(fd)
        with open_target(ticket(nodes[0])), open_target(ticket(nodes[1])):
            pass


@pytest.mark.root
def test_read_only_targets_are_refused(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "a.img", MIB)
    with loop_device(image, read_only=True) as device, pytest.raises(Refused, match="is read-only") as caught:
        open_target(ticket(device))
    assert "blockdev --setrw" in caught.value.advice
    with loop_device(image) as device:
        run("blockdev", "--setro", device)
        with pytest.raises(Refused, match="is read-only"):
            open_target(ticket(device))
        run("blockdev", "--setrw", device)
        open_target(ticket(device)).close()


@pytest.mark.root
def test_a_full_file_system(tmp_path: Path) -> None:
    need_root()
    where = tmp_path / "small"
    where.mkdir()
    with mounted(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", where], where):
        with open_target(ticket(where / "a.img", absent=True), create_size=16 * MIB) as target:
            target.write_at(0, bytes(MIB))
            with pytest.raises(DeviceError) as caught:
                for at in range(1, 16):
                    target.write_at(at * MIB, b"x" * MIB)
        assert caught.value.errno == errno.ENOSPC and "full" in caught.value.advice
        assert 3 * MIB <= caught.value.offset <= 4 * MIB


@pytest.mark.root
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_write_that_fails_tells_where(tmp_path: Path, error: str) -> None:
    image = sparse_file(tmp_path / "a.img", MIB)
    with failing_writes(image, 131072, tmp_path, error=error) as path, open_target(ticket(path)) as target:
        target.write_at(0, b"a" * 65536)
        with pytest.raises(DeviceError) as caught:
            target.write_at(65536, b"b" * 262144)
        assert errno.errorcode[caught.value.errno] == error
        assert 65536 <= caught.value.offset <= 131072 and caught.value.advice
    assert image.read_bytes()[:65536] == b"a" * 65536


@pytest.mark.root
def test_a_write_that_fails_late_is_told_by_every_flush(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "a.img", 4 * MIB)
    with failing_writes_device(image, MIB, tmp_path) as device, open_target(ticket(device)) as target:
        target.write_at(0, b"a" * (3 * MIB))
        for _ in range(3):  # the kernel itself tells it only once
            with pytest.raises(DeviceError) as caught:
                target.flush()
            assert (caught.value.errno, caught.value.action) == (errno.EIO, "writing back")


@pytest.mark.root
def test_after_a_flush_the_medium_itself_is_read(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "a.img", MIB)
    with loop_device(image) as device, open_target(ticket(device)) as target:
        target.write_at(0, b"a" * 4096)
        target.flush()
        with image.open("r+b") as behind:  # the medium changes what it holds
            behind.write(b"b" * 4096)
        assert target.read_at(0, 4096) == b"b" * 4096


@pytest.mark.root
@pytest.mark.parametrize("partscan", [False, True])
def test_the_kernel_follows_a_new_table(tmp_path: Path, partscan: bool) -> None:
    """A loop device that is scanned takes BLKRRPART; one that is not refuses it with EINVAL."""
    image = tmp_path / "a.img"
    sparse_file(tmp_path / "b.img", 40 * MIB)
    run("sfdisk", "-q", tmp_path / "b.img", stdin=DOS)
    table = (tmp_path / "b.img").read_bytes()
    with private_loop() as device:
        sparse_file(image, 40 * MIB)
        run("sfdisk", "-q", image, stdin=TWO.encode())
        run("losetup", *(["-P"] if partscan else []), device, image)
        run("partx", "-a", device, ok=(0, 1))
        with open_target(ticket(device)) as target:
            target.write_at(0, table)
            seen = target.reread_table()
            numbers = [(n.number, n.start, n.size) for n in seen if n.number != 3]
            assert numbers[:2] == [(1, MIB, 8 * MIB), (2, 9 * MIB, 4 * MIB)]
            assert numbers[2] == (5, 14 * MIB, 4 * MIB)
            assert all(Path(n.path).is_block_device() for n in seen)
            meant = [PartitionNode("", 1, 2 * MIB, MIB), PartitionNode("", 7, 4 * MIB, MIB)]
            seen = target.reread_table(meant)
            seen = tuple(n for n in seen if n.size > 1024)
            assert [(n.number, n.start, n.size) for n in seen] == [(1, 2 * MIB, MIB), (7, 4 * MIB, MIB)]
            assert Path(seen[1].path).is_block_device()
            target.zero(0, 40 * MIB)
            assert target.reread_table() == ()


@pytest.mark.root
def test_a_partition_in_use_keeps_the_old_view_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recovery.engine.partition_nodes._PATIENCE", 0.3)
    with partitioned_loop(tmp_path / "a.img", 40 * MIB, TWO) as (device, nodes):
        with open_target(ticket(device)) as target:
            fd = os.open(nodes[0], os.O_RDONLY)
            with pytest.raises(Refused, match="one is in use"):
                target.reread_table([PartitionNode("", 1, MIB, MIB)])
            os.close(fd)
            for wrong in ((1, 39 * MIB, 2 * MIB), (0, 0, MIB), (1, -512, MIB), (1, 0, 1 << 70), (1 << 40, 0, MIB)):
                with pytest.raises(Refused, match="does not lie on this disk"):
                    target.reread_table([PartitionNode("", *wrong)])
            with pytest.raises((Refused, DeviceError)):  # two that overlap: the kernel does not take the second
                target.reread_table([PartitionNode("", 1, MIB, 4 * MIB), PartitionNode("", 2, 2 * MIB, MIB)])
        with open_target(ticket(nodes[0])) as part:
            assert part.reread_table() == ()


@pytest.mark.root
def test_threads_share_a_target_and_the_check_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    original = DeviceTarget._check_again
    monkeypatch.setattr(DeviceTarget, "_check_again", lambda self: (calls.append(1), original(self))[1])
    image = sparse_file(tmp_path / "a.img", 8 * MIB)
    with open_target(ticket(image)) as target:
        workers = [
            threading.Thread(target=lambda n=n: target.write_at(n * MIB, bytes([n + 1]) * MIB)) for n in range(8)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        target.flush()
    assert calls == [1]
    assert image.read_bytes() == b"".join(bytes([n + 1]) * MIB for n in range(8))


@pytest.mark.root
def test_what_the_kernel_says_of_a_device(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "a.img", 8 * MIB)
    with loop_device(image, sector_size=4096) as device:
        fd = os.open(device, os.O_RDONLY)
        try:
            asked = run("blockdev", "--getsize64", "--getss", "--getpbsz", "--getro", device).split()
            have = [
                blkdev.size(fd),
                blkdev.logical_sector(fd),
                blkdev.physical_sector(fd),
                int(blkdev.read_only(fd)),
            ]
            assert [int(word) for word in asked] == have
            status = blkdev.loop_status(fd)
            assert status is not None
            assert (status.st_dev, status.st_ino) == (image.stat().st_dev, image.stat().st_ino)
        finally:
            os.close(fd)
