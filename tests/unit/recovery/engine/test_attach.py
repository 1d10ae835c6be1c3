"""Mounting places for archives: on real loop devices, with every file system that this kernel or FUSE can mount."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from formats.base.errors import Refused, Unsupported
from recovery.engine import attach, unmounted
from recovery.engine.attach import Attachments
from recovery.engine.bounded import NoAnswer, ask_all
from recovery.engine.inventory import disk_of
from recovery.engine.unmounted import Unmounted, list_unmounted
from tests.support import little, ntfs_images
from tests.support.command import ROOT as CHECKOUT
from tests.support.command import environment, here
from tests.support.disks import MIB, partitioned_loop
from tests.support.tools import loop_device, mounted, need, need_root, run, sparse_file

MAKE = {
    "ext4": (("mkfs.ext4", "-q", "-F", "-L", "BACKUP"), 24),
    "xfs": (("mkfs.xfs", "-q", "-f", "-L", "BACKUP"), 320),
    "btrfs": (("mkfs.btrfs", "-q", "-f", "-L", "BACKUP"), 128),
    "ntfs": (("mkfs.ntfs", "-q", "-F", "-f", "-L", "BACKUP"), 24),
    "exfat": (("mkfs.exfat", "-L", "BACKUP"), 24),
}


@pytest.fixture(autouse=True)
def own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every mount is gone after the test, whatever it did."""
    need_root()
    monkeypatch.setattr(attach, "ROOT", tmp_path / "mnt")
    yield
    for one in attach.ours():
        subprocess.run(["umount", one.folder], check=False)


def volume(path: Path, kind: str = "ext4") -> Path:
    argv, size = MAKE[kind]
    need(argv[0])
    sparse_file(path, size * MIB)
    run(*argv, path)
    return path


def can_mount(kind: str) -> bool:
    kernel = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    fuse = {"ntfs": "ntfs-3g", "exfat": "mount.exfat-fuse"}.get(kind, "")
    return kind in kernel or bool(fuse and shutil.which(fuse) and Path("/dev/fuse").exists())


def flags(folder: str) -> set[str]:
    lines = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return next(set(fields[5].split(",")) for fields in lines if fields[4] == folder)


def seen(device: Path) -> Unmounted | None:
    return next((u for u in list_unmounted([disk_of(device)]) if u.device == str(device)), None)


@pytest.mark.root
@pytest.mark.parametrize("kind", list(MAKE))
def test_a_place_is_found_mounted_written_and_let_go(tmp_path: Path, kind: str) -> None:
    if not can_mount(kind):
        pytest.skip(f"nothing here mounts {kind}")
    with loop_device(volume(tmp_path / "a.img", kind)) as device:
        found = seen(device)
        assert found is not None and (found.fstype, found.label, found.unsafe) == (kind, "BACKUP", "")
        writing = Attachments()
        folder = writing.attach(str(device), read_only=False)
        assert {"rw", "nosuid", "nodev", "noexec"} <= flags(folder) and seen(device) is None
        (Path(folder) / "a.jmi").write_bytes(b"archive")
        assert writing.release_all() == [] and not Path(folder).exists() and seen(device) == found
        reading = Attachments()
        folder = reading.attach(str(device), read_only=True)
        assert {"ro", "nosuid", "nodev", "noexec"} <= flags(folder)
        assert (Path(folder) / "a.jmi").read_bytes() == b"archive"
        with pytest.raises(OSError, match="Read-only"):
            (Path(folder) / "b").write_bytes(b"x")
        assert reading.release_all() == [] and not Path(folder).exists()


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_reading_never_replays_a_journal_and_writing_does(tmp_path: Path, kind: str) -> None:
    """A copy of a mounted volume is as after a power cut."""
    if not can_mount(kind):
        pytest.skip(f"nothing here mounts {kind}")
    image, torn = volume(tmp_path / "a.img", kind), tmp_path / "torn.img"
    with loop_device(image) as device, mounted(["mount", device, tmp_path / "m"], tmp_path / "m") as place:
        for number in range(20):
            (place / f"file {number}").write_bytes(b"x" * 5000)
        run("sync", "-f", place)
        shutil.copyfile(image, torn)
    with loop_device(torn) as device:
        before = little.digest(device)
        reading = Attachments()
        assert reading.attach(str(device), read_only=True)
        assert reading.release_all() == []
        assert little.digest(device) == before == little.digest(torn)
        writing = Attachments()
        folder = writing.attach(str(device), read_only=False)
        assert (Path(folder) / "file 7").read_bytes() == b"x" * 5000
        assert writing.release_all() == []
        assert little.digest(device) != before


@pytest.mark.root
@pytest.mark.parametrize(("state", "word"), [("hibernated", "hibernated"), ("dirty", "damaged")])
def test_a_volume_that_windows_has_not_let_go_is_only_read(tmp_path: Path, state: str, word: str) -> None:
    need("ntfs-3g", "mkfs.ntfs", "ntfsfix")
    image = tmp_path / "w.img"
    ntfs_images.GENERATORS[state](image)
    with loop_device(image) as device:
        before = little.digest(device)
        found = seen(device)
        assert found is not None and word in found.unsafe and "Windows" in found.advice
        with pytest.raises(Refused, match="is not written to") as refused:
            Attachments().attach(str(device), read_only=False)
        assert "shutdown" in refused.value.advice or "chkdsk" in refused.value.advice
        reading = Attachments()
        assert reading.attach(str(device), read_only=True)
        assert reading.release_all() == []
        assert little.digest(device) == before


@pytest.mark.root
def test_what_the_helper_mounts_read_only_instead_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should our parser not see it: ntfs-3g falls back to read-only."""
    need("ntfs-3g", "mkfs.ntfs")
    image = tmp_path / "w.img"
    ntfs_images.GENERATORS["hibernated"](image)
    monkeypatch.setattr(unmounted, "_state", lambda _: ("", ""))
    with loop_device(image) as device:
        with pytest.raises(Refused, match=r"read-only|let go") as told:
            Attachments().attach(str(device), read_only=False)
        assert "chkdsk" in told.value.advice
        assert attach.ours() == [] and list(attach.ROOT.glob("loop*")) == []


@pytest.mark.root
def test_never_on_the_disk_that_is_backed_up(tmp_path: Path) -> None:
    with partitioned_loop(tmp_path / "a.img", 40 * MIB, "label: gpt\nsize=16MiB\nsize=16MiB\n") as (device, nodes):
        run("mkfs.ext4", "-q", "-F", nodes[1])
        for source in (device, nodes[0], nodes[1]):
            with pytest.raises(Refused, match="lies on the disk") as told:
                Attachments().attach(str(nodes[1]), read_only=False, sources=[str(source)])
            assert "another disk" in told.value.advice
        other = Attachments()
        assert other.attach(str(nodes[1]), read_only=False, sources=[str(tmp_path / "elsewhere.img")])
        assert other.release_all() == []


@pytest.mark.root
def test_what_is_in_use_or_nothing_to_mount_is_refused(tmp_path: Path) -> None:
    blank = sparse_file(tmp_path / "blank.img", 8 * MIB)
    with loop_device(volume(tmp_path / "a.img")) as device, loop_device(blank) as empty:
        with mounted(["mount", device, tmp_path / "m"], tmp_path / "m"):
            with pytest.raises(Refused, match="mounted at") as told:
                Attachments().attach(str(device), read_only=False)
            assert str(tmp_path / "m") in str(told.value)
        with pytest.raises(Refused, match="no file system that can be mounted"):
            Attachments().attach(str(empty), read_only=True)
        with pytest.raises(Refused, match="a file"):
            Attachments().attach(str(blank), read_only=True)
    with (
        loop_device(tmp_path / "a.img", read_only=True) as locked,
        pytest.raises(Refused, match="is read-only"),
    ):
        Attachments().attach(str(locked), read_only=False)


@pytest.mark.root
def test_a_kernel_without_the_driver_is_told(tmp_path: Path) -> None:
    need("mkfs.fat")
    if can_mount("vfat"):
        pytest.skip("this kernel mounts FAT")
    run("mkfs.fat", sparse_file(tmp_path / "f.img", 8 * MIB))
    with loop_device(tmp_path / "f.img") as device, pytest.raises(Unsupported) as told:
        Attachments().attach(str(device), read_only=False)
    assert "vfat" in told.value.advice and list(attach.ROOT.glob("loop*")) == []


@pytest.mark.root
def test_two_programs_share_a_mount_and_the_last_one_unmounts(tmp_path: Path) -> None:
    with loop_device(volume(tmp_path / "a.img")) as device:
        one, two = Attachments(), Attachments()
        folder = one.attach(str(device), read_only=False)
        assert two.attach(str(device), read_only=True) == folder
        assert [(o.users, o.kept, o.read_only) for o in attach.ours()] == [(2, False, False)]
        with pytest.raises(Refused, match="another Jurymast"):
            attach.detach(str(device))
        assert one.release_all() == [] and Path(folder).is_mount()
        assert two.release_all() == [] and not Path(folder).exists()


@pytest.mark.root
def test_what_a_killed_program_left_is_found_and_unmounted(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from recovery.engine import attach\n"
        "attach.ROOT = Path(sys.argv[1]); held = attach.Attachments()\n"
        "print(held.attach(sys.argv[2], read_only=False), flush=True)\n"
        "time.sleep(60)"
    )
    with loop_device(volume(tmp_path / "a.img")) as device:
        with subprocess.Popen(
            [sys.executable, "-c", code, str(attach.ROOT), str(device)],
            stdout=subprocess.PIPE, env=environment(), cwd=CHECKOUT,
        ) as killed:  # fmt: skip
            assert killed.stdout is not None
            folder = killed.stdout.readline().decode().strip()
            assert attach.sweep() == [] and Path(folder).is_mount(), "it is in use"
            killed.send_signal(signal.SIGKILL)
        assert Path(folder).is_mount() and [o.users for o in attach.ours()] == [0]
        again = Attachments()
        assert again.attach(str(device), read_only=False) == folder, "it is used again"
        assert attach.sweep() == [] and Path(folder).is_mount()
        (Path(folder) / "held").write_bytes(b"x")
        with (Path(folder) / "held").open("rb"):
            troubles = again.release_all()
            assert len(troubles) == 1 and "could not be unmounted" in str(troubles[0]) and "busy" in str(troubles[0])
        assert attach.sweep() == [] and not Path(folder).exists()


@pytest.mark.root
def test_a_stick_that_was_pulled_out_is_mounted_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loop_device(volume(tmp_path / "a.img")) as device:
        first, second = Attachments(), Attachments()
        folder = first.attach(str(device), read_only=True)
        with monkeypatch.context() as gone:
            gone.setattr(attach, "_answers", lambda _: False)
            assert second.attach(str(device), read_only=False) == folder
        assert "rw" in flags(folder)
        assert first.release_all() == second.release_all() == []


@pytest.mark.root
def test_the_command_lists_mounts_and_unmounts(tmp_path: Path) -> None:
    with loop_device(volume(tmp_path / "a.img")) as device:
        places = [line for line in here("places", "--json", ok=0).lines if line["type"] == "place"]
        assert any(p["mounted"] and p["free"] <= p["size"] for p in places)
        mine = next(p for p in places if not p["mounted"] and p["device"] == str(device))
        assert (mine["fstype"], mine["label"], mine["unsafe"]) == ("ext4", "BACKUP", "")
        assert mine["disk"]["backing"] == str(tmp_path / "a.img")
        told = here("places", "mount", device, "--json", ok=0).told
        assert Path(told["mountpoint"]).is_mount() and not told["read_only"]
        assert attach.sweep() == [] and Path(told["mountpoint"]).is_mount(), "it stays until it is unmounted by hand"
        listed = next(p for p in here("places", "--json", ok=0).lines if p.get("mountpoint") == told["mountpoint"])
        assert listed["by_jurymast"] and listed["mounted"]
        here("places", "unmount", told["mountpoint"], "--json", ok=0)
        assert not Path(told["mountpoint"]).exists()
        assert "not mounted by Jurymast" in here("places", "unmount", device, "--json", ok=3).words
        here("places", "mount", device, "--read-only", "--json", ok=0)
        assert [(o.read_only, o.kept) for o in attach.ours()] == [(True, True)]
        here("places", "unmount", device, "--json", ok=0)


def test_nobody_waits_for_a_disk_that_does_not_answer() -> None:
    began = time.monotonic()
    found = ask_all({"good": lambda: 7, "dead": lambda: time.sleep(30), "bad": _refuse}, 0.2)
    assert time.monotonic() - began < 5
    assert found["good"] == 7 and isinstance(found["dead"], NoAnswer) and str(found["bad"]) == "no"


def _refuse() -> None:
    raise Refused("no")
