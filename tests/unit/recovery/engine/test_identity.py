"""Identities: what is seen of files, loop devices and partitions, and every kind of swap is noticed."""

from __future__ import annotations

import dataclasses
import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.base.errors import DeviceError, Refused
from recovery.engine import sysblock
from recovery.engine.hardware import hardware_of
from recovery.engine.identity import DeviceIdentity, identify, of_folder
from tests.support.disks import MIB, FakeSys, partitioned_loop, private_loop
from tests.support.tools import loop_device, run, sparse_file


def test_a_file_is_known_by_its_inode(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "a.img", 5 * MIB)
    (tmp_path / "link").symlink_to(image)
    seen = identify(tmp_path / "link")
    status = image.stat()
    assert (seen.path, seen.kind, seen.size, seen.dev) == (str(image), "file", 5 * MIB, "")
    assert seen.inode == (status.st_dev, status.st_ino)
    assert seen.confirm_text == "a.img"
    other = sparse_file(tmp_path / "b.img", 5 * MIB)
    other.rename(image)
    assert [words.split(":")[0] for words in seen.differences(identify(image))] == ["file behind the name"]


def test_what_is_not_there_and_what_is_no_disk(tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as missing:
        identify(tmp_path / "no.img")
    assert missing.value.errno == errno.ENOENT
    with pytest.raises(Refused, match="a folder"):
        identify(tmp_path)
    with pytest.raises(Refused, match="a character device"):
        identify("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Refused, match="a named pipe"):
        identify(tmp_path / "pipe")
    with pytest.raises(Refused, match="cannot be a file name"):
        identify("a\0b")
    with pytest.raises(DeviceError):
        identify(tmp_path / ("x" * 300))


def test_a_file_that_is_still_to_be_made(tmp_path: Path) -> None:
    seen = identify(tmp_path / "new.img", may_be_absent=True)
    assert (seen.kind, seen.size, seen.inode[1]) == ("absent", 0, tmp_path.stat().st_ino)
    sparse_file(tmp_path / "new.img", 10)
    moved = seen.differences(identify(tmp_path / "new.img", may_be_absent=True))
    assert any("was absent, is now file" in words for words in moved)
    with pytest.raises(DeviceError, match="No such file"):
        identify(tmp_path / "nowhere" / "new.img", may_be_absent=True)
    with pytest.raises(DeviceError) as mistyped:
        identify("/dev/sdzzz", may_be_absent=True)
    assert mistyped.value.advice == "There is no such device."


@pytest.mark.root
@pytest.mark.parametrize("sector", [512, 4096])
def test_a_loop_device(tmp_path: Path, sector: int) -> None:
    image = sparse_file(tmp_path / "a.img", 8 * MIB)
    with loop_device(image, sector_size=sector) as device:
        seen = identify(device)
        number = device.stat().st_rdev
        assert (seen.path, seen.kind, seen.size, seen.logical_sector) == (str(device), "loop", 8 * MIB, sector)
        assert seen.dev == f"{os.major(number)}:{os.minor(number)}"
        assert seen.backing == str(image)
        assert seen.inode == (image.stat().st_dev, image.stat().st_ino)
        assert seen.disk_sequence > 0
        assert seen.confirm_text == device.name
        assert seen.differences(identify(device)) == []


@pytest.mark.root
def test_every_swap_under_a_loop_device_is_noticed(tmp_path: Path) -> None:
    image, other = sparse_file(tmp_path / "a.img", 8 * MIB), sparse_file(tmp_path / "b.img", 8 * MIB)
    with private_loop() as device:
        run("losetup", device, image)
        seen = identify(device)
        run("losetup", "-d", device)
        with pytest.raises(DeviceError) as empty:
            identify(device)
        assert (empty.value.errno, empty.value.advice) == (errno.ENOMEDIUM, "There is no medium in the drive.")
        # The same file again: only the kernel's sequence number tells.
        run("losetup", device, image)
        assert [words.split(" ")[0] for words in seen.differences(identify(device))] == ["appearance"]
        run("losetup", "-d", device)
        run("losetup", device, other)
        moved = " ".join(seen.differences(identify(device)))
        assert "file behind the loop device" in moved and "file behind the name" in moved
        run("losetup", "-d", device)
        run("losetup", "-o", str(MIB), device, image)
        moved = " ".join(seen.differences(identify(device)))
        assert f"size in bytes: was {8 * MIB}, is now {7 * MIB}" in moved
        assert f"start on the disk in bytes: was 0, is now {MIB}" in moved


@pytest.mark.root
def test_a_partition_knows_its_place(tmp_path: Path) -> None:
    with partitioned_loop(tmp_path / "a.img", 16 * MIB, "label: gpt\nsize=4MiB\nsize=8MiB\n") as (_, nodes):
        first, second = identify(nodes[0]), identify(nodes[1])
        assert (second.kind, second.start, second.size) == ("partition", 5 * MIB, 8 * MIB)
        assert first.disk_sequence == second.disk_sequence > 0


def test_each_field_that_moved_is_said_in_words() -> None:
    disk = DeviceIdentity("/dev/sda", "disk", 1 << 40, model="M", serial="WD-1234ABCD", wwn="0x5", dev="8:0")
    later = dataclasses.replace(disk, path="/dev/sdb", serial="", dev="8:16", size=1 << 41)
    assert disk.differences(later) == [
        "name: was /dev/sda, is now /dev/sdb",
        f"size in bytes: was {1 << 40}, is now {1 << 41}",
        "serial number: was WD-1234ABCD, is now unknown",
        "device number: was 8:0, is now 8:16",
    ]
    assert disk.differences(disk) == []
    # Every field counts but a sequence number that one of the looks does not have.
    for field in dataclasses.fields(disk):
        value = (7, 7) if field.name == "inode" else "other" if isinstance(getattr(disk, field.name), str) else 77
        changed = dataclasses.replace(disk, **{field.name: value})
        assert len(disk.differences(changed)) == (0 if field.name == "disk_sequence" else 1), field.name
    assert dataclasses.replace(disk, disk_sequence=3).differences(dataclasses.replace(disk, disk_sequence=4))


def test_what_a_person_must_type() -> None:
    disk = DeviceIdentity("/dev/sda", "disk", 1, serial="WD-1234ABCD", dev="8:0")
    assert disk.confirm_text == "ABCD"
    assert dataclasses.replace(disk, path="/dev/sda12", kind="partition").confirm_text == "ABCD-12"
    assert dataclasses.replace(disk, path="/dev/nvme0n1p3", kind="partition").confirm_text == "ABCD-3"
    assert dataclasses.replace(disk, serial="").confirm_text == "sda"
    assert dataclasses.replace(disk, serial="7").confirm_text == "7"


def test_disks_of_other_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSys(tmp_path)
    monkeypatch.setattr(sysblock, "SYS", tmp_path)
    gib = 1 << 30
    sata = fake.add(
        "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda", "8:0", 500 * gib,
        {
            "device/vendor": "ATA     ", "device/model": "Samsung SSD 870 ", "device/wwid": "naa.5002538e40123456",
            "device/vpd_pg80": b"\x00\x80\x00\x14S5STNG0N123456A     ", "queue/logical_block_size": "512",
            "queue/physical_block_size": "4096", "diskseq": "9",
        },
    )  # fmt: skip
    nvme = fake.add(
        "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1", "259:0", 1000 * gib,
        {
            "device/model": "WDC PC SN730   ", "device/serial": "2045A9801234  ",
            "wwid": "eui.e8238fa6bf530001001b448b45e6b4ff", "queue/logical_block_size": "4096",
        },
    )  # fmt: skip
    usb = "pci0000:00/0000:00:14.0/usb1/1-2"
    (fake.root / "devices" / usb).mkdir(parents=True)
    (fake.root / "devices" / usb / "idVendor").write_text("0781\n")
    (fake.root / "devices" / usb / "serial").write_text("4C530001230\n")
    stick = fake.add(
        f"{usb}/1-2:1.0/host6/target6:0:0/6:0:0:0/block/sdb", "8:16", 32 * gib,
        {"device/vendor": "SanDisk ", "device/model": "Ultra\x07 Fit", "device/wwid": "t10.SanDisk Ultra"},
    )  # fmt: skip
    virtio = fake.add("pci0000:00/0000:00:04.0/virtio1/block/vda", "254:0", gib, {"serial": "disk-1"})
    card = fake.add(
        "platform/sdhci/mmc_host/mmc0/mmc0:0001/block/mmcblk0", "179:0", gib,
        {"device/name": "SD32G", "device/serial": "0x1234abcd"},
    )  # fmt: skip
    volume = fake.add("virtual/block/dm-0", "252:0", gib, {"dm/name": "vg-root", "dm/uuid": "LVM-abc"})

    seen = of_folder(sata)
    assert (seen.path, seen.kind, seen.model, seen.serial) == (
        "/dev/sda", "disk", "Samsung SSD 870", "S5STNG0N123456A"
    )  # fmt: skip
    assert (seen.wwn, seen.transport, seen.size) == ("0x5002538e40123456", "sata", 500 * gib)
    assert (seen.logical_sector, seen.physical_sector, seen.disk_sequence) == (512, 4096, 9)
    assert seen.confirm_text == "456A"
    seen = of_folder(nvme)
    assert (seen.path, seen.model, seen.serial, seen.transport, seen.logical_sector) == (
        "/dev/nvme0n1", "WDC PC SN730", "2045A9801234", "nvme", 4096
    )  # fmt: skip
    assert seen.wwn.startswith("eui.")
    assert dataclasses.astuple(hardware_of(stick)) == ("SanDisk Ultra Fit", "4C530001230", "", "usb")
    assert dataclasses.astuple(hardware_of(virtio)) == ("", "disk-1", "", "virtio")
    assert dataclasses.astuple(hardware_of(card)) == ("SD32G", "0x1234abcd", "", "mmc")
    assert dataclasses.astuple(hardware_of(volume)) == ("vg-root", "", "LVM-abc", "dm")
    assert of_folder(volume).kind == "dm"


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.binary(max_size=40), min_size=9, max_size=9))
def test_a_lying_device_gives_one_line_of_printable_words(values: list[bytes]) -> None:
    names = ("device/vendor", "device/model", "device/serial", "device/wwid", "device/vpd_pg80", "wwid", "diskseq",
             "queue/logical_block_size", "uevent")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sysblock, "SYS", Path(folder))
        disk = FakeSys(Path(folder)).add("ata1/block/sda", "8:0", MIB, dict(zip(names, values, strict=True)))
        seen = of_folder(disk)
    for words in (seen.model, seen.serial, seen.wwn):
        assert words == " ".join(words.split()) and words.isprintable()
    assert seen.size == MIB and seen.disk_sequence >= 0


def test_the_udev_database_fills_what_sysfs_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysblock, "SYS", tmp_path)
    known = {"ID_MODEL": "Some_Disk", "ID_SERIAL_SHORT": "S1", "ID_WWN_WITH_EXTENSION": "0x5", "ID_BUS": "ata"}
    monkeypatch.setattr("recovery.engine.hardware._udev", lambda _dev: known)
    fake = FakeSys(tmp_path)
    bare = fake.add("x/block/sda", "8:0", MIB)
    assert dataclasses.astuple(hardware_of(bare)) == ("Some Disk", "S1", "0x5", "ata")
    full = fake.add("x/ata2/block/sdb", "8:16", MIB, {"device/model": "M", "device/serial": "T", "wwid": "naa.6"})
    assert dataclasses.astuple(hardware_of(full)) == ("M", "T", "0x6", "sata")


def test_a_stale_node_is_no_disk(tmp_path: Path) -> None:
    node = tmp_path / "stale"
    try:
        os.mknod(node, 0o600 | 0o060000, os.makedev(8, 240))
    except PermissionError:
        pytest.skip("needs root")
    with pytest.raises(DeviceError) as caught:
        identify(node)
    assert caught.value.errno == errno.ENXIO
