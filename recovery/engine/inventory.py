"""The disks of this machine, with everything that a person or a planner must know before touching one.

`list_disks` shows whole disks only; what stands on them (partitions, mounts, LVM, RAID) hangs at the disk.
Descriptions of machines as JSON are in `machine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from formats.base.errors import RecoveryError
from recovery.engine import mounts, sysblock
from recovery.engine.identity import DeviceIdentity, identify, of_folder
from recovery.engine.mounts import Mount
from recovery.engine.storage import Overlap, Storage
from recovery.engine.sysblock import PartitionNode

__all__ = [
    "Disk",
    "Mount",
    "Overlap",
    "PartitionNode",
    "disk_of",
    "holds_path",
    "list_disks",
    "mounts_of",
    "same_thing",
]

# Where live systems keep the medium that they were started from: live-boot (two generations), dracut, casper.
# MEDIUM: a file in which a live system of ours names the device that it was started from.
MEDIUM = Path("/run/jurymast/medium")
_BOOT_PLACES = ("/", "/run/live/medium", "/lib/live/mount/medium", "/run/initramfs/live", "/cdrom")


@dataclass(frozen=True, slots=True)
class Disk:
    """A whole disk (or loop device with a file, or image file). `partitions` as the kernel has them now.

    `holders`: paths of LVM, RAID, crypt and loop devices on top. `mounts` and `swaps`: of the disk itself, its
    partitions and all that stands on them. `boot_medium`: this system runs from it. `live_medium`: and it is the
    stick (or the like) of a live system, also when that was copied to memory and nothing of it is mounted any more.
    """

    identity: DeviceIdentity
    removable: bool = False
    read_only: bool = False
    rotational: bool = False
    holders: tuple[str, ...] = ()
    partitions: tuple[PartitionNode, ...] = ()
    mounts: tuple[Mount, ...] = ()
    swaps: tuple[str, ...] = ()
    boot_medium: bool = False
    live_medium: bool = False

    def to_json(self) -> dict[str, object]:
        return {
            "identity": self.identity.to_json(),
            "removable": self.removable,
            "read_only": self.read_only,
            "rotational": self.rotational,
            "holders": list(self.holders),
            "partitions": [node.to_json() for node in self.partitions],
            "mounts": [mount.to_json() for mount in self.mounts],
            "swaps": list(self.swaps),
            "boot_medium": self.boot_medium,
            "live_medium": self.live_medium,
        }


def list_disks() -> list[Disk]:
    """All disks, sorted by name: SATA, SAS, NVMe, USB, MMC, virtio, md and multipath, loop devices with a file.

    Left out: memory disks, optical drives, drives without a medium, empty loop devices, LVM and crypt volumes
    (they are holders of the disk below them).
    """
    storage = Storage()
    found = [folder for folder in storage.folders.values() if _is_listed(folder)]
    found.sort(key=lambda folder: sysblock.natural(folder.name))
    boot = _Boot(storage)
    return [_disk(storage, folder, boot) for folder in found]


def disk_of(path: str | Path) -> Disk:
    """The whole disk of a device or partition; an image file is a disk of its own.

    Raises DeviceError or Refused as `identify` does.
    """
    identity = identify(path)
    storage = Storage()
    folder = storage.folders.get(identity.dev)
    if folder is not None:
        return _disk(storage, sysblock.disk_folder(folder), _Boot(storage))
    node = storage.node_of(identity.path)
    return Disk(
        identity,
        read_only=not Path(identity.path).stat().st_mode & 0o222,
        holders=tuple(storage.path_of(dev) for dev in storage.on_top(node)) if node else (),
        mounts=storage.mounts_of(identity.path),
        swaps=storage.swaps_of(identity.path),
    )


def mounts_of(path: str | Path) -> tuple[Mount, ...]:
    """The mounts of what is inside a device or image file, also through partitions, LVM, RAID and loop devices.

    The file system in which an image file itself lies is not among them: see `mounts.mount_carrying`.
    """
    return Storage().mounts_of(path)


def holds_path(device_path: str | Path, file_path: str | Path) -> bool:
    """Does this device or image file carry the file system in which `file_path` (or its nearest folder) lies?"""
    return Storage().overlap(device_path, file_path) is not Overlap.NONE


def same_thing(a: str | Path, b: str | Path) -> Overlap:
    """Whether two devices or files share storage, whatever they are called and however they are stacked."""
    return Storage().overlap(a, b)


def _is_listed(folder: Path) -> bool:
    if sysblock.is_partition(folder) or not sysblock.size(folder) or sysblock.number(folder, "hidden"):
        return False
    kind = folder.name.rstrip("0123456789")
    if kind == "loop":
        return bool(sysblock.text(folder, "loop/backing_file"))
    if kind == "dm-":
        return sysblock.text(folder, "dm/uuid").startswith(("mpath-", "DMRAID-"))
    return kind not in ("ram", "zram", "sr")


class _Boot:
    """What this system runs from: `nodes` in all, `live` those of a live medium."""

    def __init__(self, storage: Storage) -> None:
        live = [place for place in _BOOT_PLACES if place != "/" and Path(place).is_mount()]
        live += _named_mediums()
        root = storage.below("/") if "/" in _BOOT_PLACES else frozenset()
        self.live = frozenset[str]().union(*map(storage.below, live))
        # The root of a live system is an overlay or a loop device over files of its medium.
        mount = mounts.mount_carrying("/", storage.mounts) if root else None
        if mount is not None and (mount.fstype in ("overlay", "squashfs", "erofs") or "/dev/loop" in mount.device):
            self.live |= root
        self.nodes = root | self.live


def _named_mediums() -> list[str]:
    """Devices that a file of the live system or the kernel's command line names, as far as they are there.

    Source: live-boot(7) (live-media=), dracut.cmdline(7) (root=live:), each with a device or UUID=, LABEL=, CDLABEL=.
    """
    names = sysblock.text(MEDIUM.parent, MEDIUM.name).split("\n")[:1]
    for word in sysblock.text(mounts.PROC, "cmdline").split():
        key, _, value = word.partition("=")
        if key == "live-media":
            names.append(value)
        elif key == "root" and value.startswith("live:"):
            names.append(value.removeprefix("live:"))
    return [path for path in map(_device_named, names) if path and Path(path).is_block_device()]


def _device_named(name: str) -> str:
    key, _, value = name.partition("=")
    folder = {"UUID": "by-uuid", "LABEL": "by-label", "CDLABEL": "by-label", "PARTUUID": "by-partuuid"}.get(key)
    if folder and value:
        return str(sysblock.DEV / "disk" / folder / value)
    return name if name.startswith(f"{sysblock.DEV}/") else ""


def _disk(storage: Storage, folder: Path, boot: _Boot) -> Disk:
    path, dev = sysblock.node_path(folder), sysblock.text(folder, "dev")
    try:
        identity = identify(path)
    except RecoveryError:  # no node, no right to open it, or it went away: sysfs still tells the most
        identity = of_folder(folder)
    nodes = sysblock.partitions(folder)
    inner = {node.path for node in nodes}
    holders = tuple(name for name in map(storage.path_of, storage.on_top(dev)) if name not in inner)
    return Disk(
        identity,
        removable=sysblock.number(folder, "removable") == 1 or identity.transport in ("usb", "mmc"),
        read_only=sysblock.number(folder, "ro") == 1,
        rotational=sysblock.number(folder, "queue/rotational") == 1,
        holders=holders,
        partitions=nodes,
        mounts=storage.mounts_of_node(dev),
        swaps=storage.swaps_of_node(dev),
        boot_medium=dev in boot.nodes,
        live_medium=dev in boot.live,
    )
