"""Where an archive can be put and found."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pytest

from formats.base.errors import DeviceError
from recovery.engine import hotplug, mounts, places
from recovery.engine.mounts import Mount


def test_only_writable_file_systems_of_people_are_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(tmp_path)
    (tmp_path / "deeper").mkdir()
    found = (
        Mount(f"{here}/deeper", "/dev/sda1", "ext4", False, "8:1"),
        Mount(here, "/dev/sda1", "ext4", False, "8:1"),  # the same file system
        Mount(here, "/dev/sdb1", "ext4", True, "8:17"),
        Mount(here, "proc", "proc", False, "0:5"),
        Mount(f"{here}/gone", "/dev/sdc1", "vfat", False, "8:33"),
    )
    monkeypatch.setattr(mounts, "all_mounts", lambda: found)
    room = os.statvfs(here)
    assert [(p.mountpoint, p.size) for p in places.writable_places()] == [(here, room.f_blocks * room.f_frsize)]


def test_free_space_is_told_for_what_is_not_there_yet(tmp_path: Path) -> None:
    free = places.free_below(tmp_path / "not" / "there.jmi")
    assert free is not None and 0 < free <= os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize


def test_a_folder_lists_folders_first_and_only_what_fits(tmp_path: Path) -> None:
    (tmp_path / "z folder").mkdir()
    for name in ("B.jmi", "a.jmi", "other.txt", ".hidden.jmi"):
        (tmp_path / name).write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe.jmi")
    found = places.list_folder(tmp_path, ".jmi")
    assert [(e.name, e.is_folder, e.size) for e in found] == [
        ("z folder", True, 0), ("a.jmi", False, 5), ("B.jmi", False, 5),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["missing", "a\0b"])
def test_a_folder_that_cannot_be_read_is_our_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DeviceError):
        places.list_folder(tmp_path / name)


def test_without_udev_there_is_no_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotplug, "UDEV_CONTROL", tmp_path / "none")
    assert not hotplug.has_udev()
    heard: list[int] = []
    hotplug.watch(lambda: heard.append(1), Event())  # comes back at once
    assert not heard


def test_a_burst_of_news_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyudev = pytest.importorskip("pyudev")
    monkeypatch.setattr(hotplug, "UDEV_CONTROL", tmp_path)
    answers: list[object] = ["sda", "sda1", "sda2", None, None, "sdb", None]
    stop = Event()

    class FakeMonitor:
        @classmethod
        def from_netlink(cls, context: object) -> FakeMonitor:
            return cls()

        def filter_by(self, subsystem: str) -> None:
            assert subsystem == "block"

        def start(self) -> None:
            """Nothing to start."""

        def poll(self, timeout: float) -> object:
            if not answers:
                stop.set()
                return None
            return answers.pop(0)

    monkeypatch.setattr(pyudev, "Context", lambda: None)
    monkeypatch.setattr(pyudev, "Monitor", FakeMonitor)
    heard: list[int] = []
    hotplug.watch(lambda: heard.append(1), stop)
    assert len(heard) == 2
