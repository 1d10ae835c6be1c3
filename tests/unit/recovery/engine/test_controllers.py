"""Disks that are not to be seen, and the stick that the system was started from: on faked sysfs and /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from recovery.engine import inventory, mounts, sysblock
from recovery.engine.controllers import Hidden, hidden_disks
from recovery.engine.inventory import disk_of, list_disks
from recovery.words import disk_state, hidden_lines, unmounted_line
from tests.fault.conftest import archive, disk, shared, tree
from tests.support import little
from tests.support.command import here
from tests.support.disks import MIB, partitioned_loop
from tests.support.tools import loop_device, need_root, run, sparse_file

__all__ = ["archive", "disk", "shared", "tree"]  # fixtures


def pci(sys: Path, place: str, kind: str, vendor: str, device: str, driver: str = "", remapped: str = "") -> None:
    folder = sys / "bus/pci/devices" / place
    folder.mkdir(parents=True)
    for name, value in (("class", f"0x{kind}"), ("vendor", f"0x{vendor}"), ("device", f"0x{device}")):
        (folder / name).write_text(value + "\n")
    if remapped:
        (folder / "remapped_nvme").write_text(remapped + "\n")
    if driver:
        (sys / "bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        (folder / "driver").symlink_to(sys / "bus/pci/drivers" / driver)


@pytest.fixture
def sys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sysblock, "SYS", tmp_path / "sys")
    return tmp_path / "sys"


@pytest.mark.parametrize("number", ["9a0b", "467f", "a77f", "7d0b", "ad0b", "28c0", "201d", "4c3d", "b60b"])
def test_vmd_without_a_driver_hides_disks_and_with_one_it_does_not(sys: Path, number: str) -> None:
    pci(sys, "0000:00:0e.0", "010400", "8086", number)
    pci(sys, "0000:00:1f.6", "020000", "8086", "15fb")
    (found,) = hidden_disks()
    assert found.place == "0000:00:0e.0" and "hide behind Intel VMD/RST" in found.text
    assert "Switch the controller to AHCI" in found.advice and "switch it back" in found.advice
    (sys / "bus/pci/drivers/vmd").mkdir(parents=True)
    (sys / "bus/pci/devices/0000:00:0e.0/driver").symlink_to(sys / "bus/pci/drivers/vmd")
    assert hidden_disks() == []


def test_nvme_disks_that_rst_remapped_are_counted(sys: Path) -> None:
    pci(sys, "0000:00:17.0", "010400", "8086", "282a", "ahci", remapped="2")
    (found,) = hidden_disks()
    assert found.text.startswith("2 NVMe disk(s) hide behind the SATA controller at 0000:00:17.0")
    assert "AHCI" in found.advice


def test_a_controller_without_a_driver_is_named(sys: Path) -> None:
    pci(sys, "0000:03:00.0", "010400", "1000", "005d")
    pci(sys, "0000:04:00.0", "010802", "144d", "a808", "nvme")
    pci(sys, "0000:00:17.0", "010601", "8086", "a352", "ahci", remapped="0")
    (found,) = hidden_disks()
    assert "RAID controller (1000:005d at 0000:03:00.0) has no driver" in found.text
    assert "newer rescue system" in found.advice


def test_a_machine_without_pci_and_a_strange_sysfs_hide_nothing(sys: Path) -> None:
    assert hidden_disks() == []
    (sys / "bus/pci/devices/odd").mkdir(parents=True)
    pci(sys, "0000:00:17.0", "010601", "8086", "a352", "ahci", remapped="many")
    assert hidden_disks() == []


def test_the_same_advice_is_given_once() -> None:
    assert hidden_lines([Hidden("a", "one", "do it"), Hidden("b", "two", "do it")]) == ["one", "two", "do it"]
    assert hidden_lines([]) == []


def test_the_command_tells_it(sys: Path) -> None:
    pci(sys, "0000:00:0e.0", "010400", "8086", "9a0b")
    done = here("disks", "--json", ok=0)
    (line,) = (line for line in done.lines if line["type"] == "hidden")
    assert "VMD" in line["text"] and "AHCI" in line["advice"] and line["place"] == "0000:00:0e.0"


@pytest.fixture
def medium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(inventory, "MEDIUM", tmp_path / "run" / "medium")
    (tmp_path / "run").mkdir()
    return tmp_path / "run" / "medium"


@pytest.mark.root
def test_the_stick_we_started_from_is_marked_and_refused_as_a_target(
    tmp_path: Path, medium: Path, archive: Path, disk: Path
) -> None:
    need_root()
    with partitioned_loop(tmp_path / "a.img", 60 * MIB, "label: gpt\nsize=46MiB\nsize=8MiB\n") as (stick, nodes):
        assert not disk_of(stick).live_medium
        medium.write_text(f"{nodes[0]}\n")
        assert disk_of(stick).live_medium and disk_of(nodes[1]).live_medium
        listed = next(d for d in list_disks() if d.identity.path == str(stick))
        assert listed.boot_medium and "the stick you started from" in disk_state(listed)
        line = next(
            li for li in here("disks", "--json", ok=0).lines if li.get("identity", {}).get("path") == str(stick)
        )
        assert line["live_medium"] is True
        before = little.digest(stick)
        for argv in (
            ("restore", archive, stick),
            ("restore", archive, nodes[0], "--partition", "1"),
            ("clone", disk, stick),
        ):
            words = here(*argv, "--yes", "--json", ok=3).words
            assert "stick that you started from" in words and "another target" in words
        assert little.digest(stick) == before
        run("mkfs.ext4", "-q", "-F", nodes[1])
        from recovery.engine.unmounted import list_unmounted

        found = next(u for u in list_unmounted([disk_of(stick)]) if u.device == str(nodes[1]))
        assert unmounted_line(found).endswith("the stick you started from"), "its data partition may take archives"


@pytest.mark.root
@pytest.mark.parametrize("word", ["live-media={}", "root=live:{}"])
def test_the_kernel_command_line_names_the_stick(
    tmp_path: Path, medium: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    with loop_device(sparse_file(tmp_path / "a.img", MIB)) as stick:
        proc = tmp_path / "proc"
        (proc / "self").mkdir(parents=True)
        (proc / "self" / "mountinfo").write_text(Path("/proc/self/mountinfo").read_text())
        monkeypatch.setattr(mounts, "PROC", proc)
        (proc / "cmdline").write_text("quiet live-media=/dev/nothing boot=live\n")
        assert not disk_of(stick).live_medium
        (proc / "cmdline").write_text(f"quiet {word.format(stick)} boot=live\n")
        assert disk_of(stick).live_medium and disk_of(stick).boot_medium
