"""The inventory on real loop devices: partitions, mounts, swaps, stacks, and what shares storage with what."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.base.errors import DeviceError
from recovery.engine import inventory, mounts, storage, sysblock
from recovery.engine.inventory import Overlap, disk_of, holds_path, list_disks, mounts_of, same_thing
from recovery.engine.mounts import mount_carrying, parse_mountinfo
from recovery.engine.storage import Storage
from tests.support.disks import MIB, FakeSys, partitioned_loop, private_loop
from tests.support.tools import loop_device, mounted, need, need_root, run, sparse_file

TWO = "label: gpt\nsize=16MiB\nsize=16MiB\n"


@contextmanager
def ext4(device: Path, where: Path, *options: str) -> Iterator[Path]:
    run("mkfs.ext4", "-q", "-F", device)
    with mounted(["mount", *(["-o", ",".join(options)] if options else []), device, where], where) as place:
        yield place


@pytest.mark.root
def test_partitions_and_mounts_hang_at_the_disk(tmp_path: Path) -> None:
    need_root()
    image = tmp_path / "a.img"
    with partitioned_loop(image, 40 * MIB, TWO) as (device, nodes), ext4(nodes[1], tmp_path / "m n"):
        disk = next(d for d in list_disks() if d.identity.path == str(device))
        assert [(n.path, n.number, n.start, n.size) for n in disk.partitions] == [
            (str(nodes[0]), 1, 1 * MIB, 16 * MIB), (str(nodes[1]), 2, 17 * MIB, 16 * MIB),
        ]  # fmt: skip
        assert disk.identity.kind == "loop" and disk.identity.backing == str(image)
        assert [(m.mountpoint, m.device, m.fstype, m.read_only) for m in disk.mounts] == [
            (str(tmp_path / "m n"), str(nodes[1]), "ext4", False)
        ]
        assert not disk.boot_medium and disk.holders == ()
        assert mounts_of(nodes[0]) == ()
        assert mounts_of(nodes[1]) == mounts_of(device) == mounts_of(image) == disk.mounts
        assert disk_of(nodes[0]).identity.path == str(device)
        assert disk_of(nodes[0]).mounts == disk.mounts
        file = disk_of(image)
        assert file.identity.kind == "file" and file.mounts == disk.mounts
        assert file.holders == (str(device), str(nodes[0]), str(nodes[1]))


@pytest.mark.root
def test_a_read_only_mount_and_a_read_only_disk(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "a.img", 16 * MIB)
    run("mkfs.ext4", "-q", "-F", image)
    with loop_device(image, read_only=True) as device:
        where = tmp_path / "m"
        with mounted(["mount", "-o", "ro,noload", device, where], where):
            assert [m.read_only for m in mounts_of(device)] == [True]
            assert disk_of(device).read_only
    with loop_device(image) as device:
        where = tmp_path / "m"
        with mounted(["mount", device, where], where):
            bind = tmp_path / "bind"
            bind.mkdir()
            with mounted(["mount", "--bind", "-o", "ro", where, bind], bind):
                # Only one of the two doors is closed: the file system can be written.
                assert [m.read_only for m in mounts_of(device)] == [False, False]


@pytest.mark.root
def test_a_stack_of_loop_devices(tmp_path: Path) -> None:
    outer = sparse_file(tmp_path / "outer.img", 64 * MIB)
    with loop_device(outer) as disk, ext4(disk, tmp_path / "m") as place:
        inner = sparse_file(place / "inner.img", 16 * MIB)
        with loop_device(inner) as second, loop_device(second) as third, ext4(third, tmp_path / "m2"):
            inside = tmp_path / "m2" / "deep" / "archive.jmi"
            assert [m.mountpoint for m in mounts_of(second)] == [str(tmp_path / "m2")]
            assert disk_of(second).holders == (str(third),)
            for device in (outer, disk, inner, second, third):
                assert holds_path(device, inside), device
                assert holds_path(device, tmp_path / "m2"), device
            assert holds_path(disk, place / "other") and not holds_path(second, place / "other")
            assert not holds_path(third, tmp_path / "here.jmi")
            assert same_thing(second, third) is Overlap.SAME
            assert same_thing(inner, third) is Overlap.SAME
            assert same_thing(disk, third) is Overlap.PART_OF
            assert same_thing(disk, outer) is Overlap.SAME
            assert same_thing(outer, inner) is Overlap.PART_OF


@pytest.mark.root
def test_what_shares_storage(tmp_path: Path) -> None:
    image, other = tmp_path / "a.img", sparse_file(tmp_path / "b.img", 8 * MIB)
    (tmp_path / "again.img").symlink_to(image)
    with partitioned_loop(image, 40 * MIB, TWO) as (device, nodes), loop_device(other) as second:
        assert same_thing(device, device) is Overlap.SAME
        assert same_thing(image, tmp_path / "again.img") is Overlap.SAME
        assert same_thing(nodes[0], device) is Overlap.PART_OF
        assert same_thing(image, nodes[0]) is Overlap.PART_OF
        assert same_thing(nodes[0], nodes[1]) is Overlap.NONE
        assert same_thing(device, second) is Overlap.NONE
        assert same_thing(image, other) is Overlap.NONE
        # Two windows into one file: apart, then overlapping by one sector.
        for start, expected in ((17 * MIB, Overlap.NONE), (17 * MIB - 512, Overlap.PART_OF)):
            window = run(
                "losetup", "-f", "--show", "-o", str(start), "--sizelimit", str(MIB), image
            ).strip()  # fmt: skip
            try:
                assert same_thing(window, nodes[0]) is expected
            finally:
                run("losetup", "-d", window)
    assert same_thing(image, tmp_path / "not there") is Overlap.NONE


@pytest.mark.root
def test_swap_in_use(tmp_path: Path) -> None:
    with partitioned_loop(tmp_path / "a.img", 40 * MIB, TWO) as (device, nodes):
        run("mkswap", nodes[0])
        if subprocess.run(["swapon", nodes[0]], check=False, capture_output=True).returncode:
            pytest.skip("this kernel does not swap")
        try:
            assert disk_of(device).swaps == (str(nodes[0]),)
            assert disk_of(nodes[1]).swaps == (str(nodes[0]),)
            assert Storage().swaps_of(nodes[1]) == ()
        finally:
            run("swapoff", nodes[0])


@pytest.mark.root
def test_empty_loop_devices_are_not_listed_and_the_system_disk_is_marked(tmp_path: Path) -> None:
    root = Storage().below("/")
    listed = list_disks()
    assert {d.identity.path for d in listed if d.boot_medium} == {
        d.identity.path for d in listed if d.identity.dev in root
    }
    image = sparse_file(tmp_path / "a.img", MIB)
    with private_loop() as device:
        assert str(device) not in {d.identity.path for d in list_disks()}
        run("losetup", device, image)
        assert str(device) in {d.identity.path for d in list_disks()}
    with pytest.raises(DeviceError):
        disk_of(tmp_path / "nothing")


@pytest.mark.root
def test_a_file_system_over_an_image_file_by_fuse(tmp_path: Path) -> None:
    need("mkfs.ntfs", "ntfs-3g")
    image = sparse_file(tmp_path / "a.img", 16 * MIB)
    run("mkfs.ntfs", "-q", "-F", "-f", image)
    where = tmp_path / "m"
    with mounted(["ntfs-3g", image, where], where):
        assert [m.mountpoint for m in mounts_of(image)] == [str(where)]
        assert holds_path(image, where / "x.jmi")
        assert mount_carrying(image) == mount_carrying(tmp_path)


@pytest.mark.root
def test_both_members_of_a_btrfs_are_in_use(tmp_path: Path) -> None:
    need("mkfs.btrfs")
    one, two = (sparse_file(tmp_path / name, 128 * MIB) for name in ("1.img", "2.img"))
    with loop_device(one) as a, loop_device(two) as b:
        run("mkfs.btrfs", "-q", "-f", "-d", "raid1", "-m", "raid1", a, b)
        where = tmp_path / "m"
        run("btrfs", "device", "scan", a, b)
        with mounted(["mount", a, where], where):
            for device in (a, b, one, two):
                assert [m.mountpoint for m in mounts_of(device)] == [str(where)], device
                assert holds_path(device, where / "x.jmi"), device


def test_other_machines_with_lvm_raid_and_multipath(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sys, proc = tmp_path / "sys", tmp_path / "proc"
    sys.mkdir()
    (proc / "self").mkdir(parents=True)
    fake = FakeSys(sys)
    monkeypatch.setattr(sysblock, "SYS", sys)
    monkeypatch.setattr(sysblock, "DEV", tmp_path / "dev")
    monkeypatch.setattr(mounts, "PROC", proc)
    # Devices are named by their numbers here, for there are no nodes.
    monkeypatch.setattr(storage.Storage, "_find", lambda _self, path: (str(path), ""))
    monkeypatch.setattr(inventory, "_BOOT_PLACES", ())
    monkeypatch.setattr(storage, "_is_itself", lambda _path: True)
    disks = [fake.add(f"ata{i}/block/sd{n}", f"8:{16 * i}", 1 << 30) for i, n in enumerate("abc")]
    part = {"partition": "2", "start": "2048"}
    parts = [fake.add(f"ata{i}/block/sd{n}/sd{n}2", f"8:{16 * i + 2}", 1 << 29, part) for i, n in enumerate("abc")]
    fake.slaves(fake.add("virtual/block/md0", "9:0", 1 << 29, {"md/level": "raid1"}), parts[:2])
    root = fake.add("virtual/block/dm-0", "252:0", 1 << 28, {"dm/name": "vg-root", "dm/uuid": "LVM-1"})
    home = fake.add("virtual/block/dm-1", "252:1", 1 << 27, {"dm/name": "vg-home", "dm/uuid": "LVM-2"})
    fake.slaves(root, [sys / "devices/virtual/block/md0"])
    fake.slaves(home, [sys / "devices/virtual/block/md0"])
    fake.add("virtual/block/loop7", "7:7", 0)
    fake.add("virtual/block/zram0", "253:0", 1 << 20)
    fake.add("ata9/block/sr0", "11:0", 1 << 20)
    fake.add("nvme0c0n1", "259:9", 1 << 20, {"hidden": "1"})
    (proc / "self" / "mountinfo").write_text(
        "22 1 252:1 / /home\\040dir rw,relatime shared:1 - ext4 /dev/mapper/vg-home rw\n"
        "23 1 8:34 / /mnt ro - vfat /dev/sdc2 ro\nrubbish\n24 x\n"
    )
    (proc / "swaps").write_text("Filename\tType\n8:34 partition 1 2 3\n")
    found = {Path(d.identity.path).name: d for d in list_disks()}
    assert list(found) == ["md0", "sda", "sdb", "sdc"]
    names = [tuple(Path(h).name for h in found[n].holders) for n in ("md0", "sda", "sdb", "sdc")]
    assert names == [("dm-0", "dm-1"), ("md0", "dm-0", "dm-1"), ("md0", "dm-0", "dm-1"), ()]
    assert [m.mountpoint for m in found["sdb"].mounts] == ["/home dir"]
    assert [(m.mountpoint, m.read_only) for m in found["sdc"].mounts] == [("/mnt", True)]
    assert found["sdc"].swaps == ("8:34",) and found["sda"].swaps == ()
    look = Storage()
    assert look.overlap("252:0", "252:1") is Overlap.NONE  # two volumes of one group
    assert look.overlap("252:0", "8:2") is Overlap.PART_OF
    assert look.overlap("252:0", "8:16") is Overlap.PART_OF
    assert look.overlap("252:0", "8:32") is Overlap.NONE
    assert look.overlap("9:0", "8:0") is Overlap.PART_OF
    assert disks[0].is_dir()


@pytest.mark.root
def test_through_an_overlay_and_a_deleted_backing_file(tmp_path: Path) -> None:
    image, unrelated = (sparse_file(tmp_path / name, 32 * MIB) for name in ("a.img", "b.img"))
    with loop_device(image) as device, ext4(device, tmp_path / "m") as place, loop_device(unrelated) as other:
        for name in ("lower", "upper", "work"):
            (place / name).mkdir()
        options = ",".join(f"{key}={place / name}" for key, name in
                           (("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work")))  # fmt: skip
        where = tmp_path / "o"
        with mounted(["mount", "-t", "overlay", "-o", options, "overlay", where], where):
            assert holds_path(device, where / "x.jmi") and holds_path(image, where / "x.jmi")
            assert not holds_path(other, where / "x.jmi")
        inner = sparse_file(place / "inner.img", 8 * MIB)
        with loop_device(inner) as second, ext4(second, tmp_path / "m2"):
            inner.unlink()
            assert holds_path(device, tmp_path / "m2" / "x.jmi")
            sparse_file(inner, 8 * MIB)  # another file under the old name is not the one that is mounted
            assert same_thing(inner, second) is Overlap.NONE
            assert mounts_of(inner) == ()


@given(st.text())
def test_any_text_is_a_list_of_mounts(text: str) -> None:
    assert all(mount.mountpoint or " " in text for mount in parse_mountinfo(text))
    assert parse_mountinfo("9" * 5000 + " 1 8:1 / /x rw - ext4 /dev/sda1 rw") == ()


def test_mount_lines_of_every_shape() -> None:
    text = (
        "36 35 98:0 /mnt1 /a\\011b\\134c rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n"
        "37 35 0:44 / /n rw - nfs4 server:/x ro,vers=4\n"
        "38 35 0:45\n - \n39 35 0:46 / /x rw - tmpfs\n" + "\0" * 9 + "\n٣ 35 0:4 / /x rw - tmpfs none rw\n"
    )
    first, second, *rest = parse_mountinfo(text)
    assert (first.mountpoint, first.device, first.dev, first.read_only) == ("/a\tb\\c", "/dev/root", "98:0", False)
    assert (second.fstype, second.read_only, second.mount_id) == ("nfs4", True, 37)
    assert rest == []


def test_names_are_sorted_as_people_do() -> None:
    names = ["sdaa", "sdb", "sda", "nvme0n10", "nvme0n2", "loop10", "loop9"]
    assert sorted(names, key=sysblock.natural) == ["sda", "sdb", "loop9", "loop10", "nvme0n2", "nvme0n10", "sdaa"]


def test_the_mount_of_a_path_is_the_innermost(tmp_path: Path) -> None:
    mount = mount_carrying("/proc/self")
    assert mount is not None and (mount.mountpoint, mount.fstype) == ("/proc", "proc")
    assert mount_carrying(tmp_path / "nothing") is None
    device = os.stat(tmp_path).st_dev  # noqa: PTH116
    carrying = mount_carrying(tmp_path)
    assert carrying is not None and carrying.dev == f"{os.major(device)}:{os.minor(device)}"
