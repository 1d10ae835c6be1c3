"""Who uses a device or image file now, in words for a refusal."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from formats.base.errors import Refused
from recovery.engine import mounts
from recovery.engine.identity import DeviceIdentity
from recovery.engine.storage import Storage

_MOST_NAMED = 5

# What the user can do about an error of the medium.
_ADVICE = {
    errno.EIO: "The medium has a defect there, or the cable or adapter failed. The kernel log (dmesg) tells more.",
    errno.ENOSPC: "The file system that holds the file is full: make room, or choose another place.",
    errno.EDQUOT: "The quota on the file system that holds the file is used up: choose another place.",
    errno.EFBIG: "The file system cannot hold a file of that size (FAT32: 4 GiB): choose another place.",
    errno.ENXIO: "The device is gone: check its cable and power, then start again.",
    errno.ENODEV: "The device is gone: check its cable and power, then start again.",
    errno.ENOMEDIUM: "There is no medium in the drive.",
    errno.EROFS: "It is read-only: check the switch on the card or adapter, and how it is mounted.",
    errno.EACCES: "The right to do this is missing: run as root.",
    errno.EPERM: "The right to do this is missing: run as root.",
    errno.ENOTCONN: "The server behind this file is gone: connect again, then start again.",
    errno.ESTALE: "The server behind this file replaced or lost it: connect again, then start again.",
    errno.ETIMEDOUT: "The device does not answer: check its cable and power.",
    errno.EREMOTEIO: "The device reported a defect. The kernel's log (dmesg) tells more.",
    errno.EBADMSG: "The device reported a checksum error of its own.",
}


def advice_for(number: int) -> str:
    """What the user can do about an errno; '' when there is nothing to say."""
    return _ADVICE.get(number, "")


def users_of(identity: DeviceIdentity, storage: Storage | None = None) -> list[str]:
    """Everything that is known to use it: mounts, swaps, devices on top, and processes that have it open."""
    storage = Storage() if storage is None else storage
    words = [f"{m.device} is mounted on {m.mountpoint}" for m in storage.mounts_of(identity.path)]
    words += [f"{swap} is swap space in use" for swap in storage.swaps_of(identity.path)]
    words += [f"{name} stands on it" for name in holders_of(identity, storage)]
    return words + _processes(identity, storage)


def holders_of(identity: DeviceIdentity, storage: Storage) -> list[str]:
    """The paths of dm, md and loop devices on top; partitions are not holders."""
    node = storage.node_of(identity.path)
    on_top = storage.on_top(node) if node else []
    return [storage.path_of(dev) for dev in on_top if not _is_plain_partition(storage, dev)]


def _is_plain_partition(storage: Storage, dev: str) -> bool:
    return (storage.folders[dev] / "partition").is_file()


def _processes(identity: DeviceIdentity, storage: Storage) -> list[str]:
    node = storage.node_of(identity.path)
    names = {identity.path, *(storage.path_of(dev) for dev in (storage.on_top(node) if node else []))}
    found: list[str] = []
    for folder in _listing(mounts.PROC):
        if not folder.name.isdecimal():
            continue
        for link in _listing(folder / "fd"):
            try:
                target = str(link.readlink())
            except OSError:
                continue
            if target in names:
                who = "this program itself" if folder.name == str(os.getpid()) else _command(folder)
                found.append(f"{who} (process {folder.name}) has {target} open")
                break
        if len(found) >= _MOST_NAMED:
            break
    return found


def _command(folder: Path) -> str:
    try:
        return (folder / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a program"


def _listing(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def busy(identity: DeviceIdentity, storage: Storage | None = None) -> Refused:
    """The refusal for a device that somebody else holds exclusively."""
    users = users_of(identity, storage)
    if users:
        return Refused(f"{identity.path} is in use: {join(users)}.", "Unmount or close what uses it, then try again.")
    return Refused(
        f"{identity.path} is in use, and the kernel does not tell by whom.",
        "It may be mounted in a container, or part of a RAID, LVM or ZFS set: take that down, then try again.",
    )


def refuse_held(identity: DeviceIdentity, storage: Storage) -> None:
    """Raise Refused when dm, md or loop devices stand on it."""
    holders = holders_of(identity, storage)
    if holders:
        raise Refused(
            f"{identity.path} is in use: {join(holders)} stands on it.",
            "Take that down first (vgchange -an, mdadm --stop, cryptsetup close, losetup -d).",
        )


def refuse_mounted(identity: DeviceIdentity, storage: Storage, *, writable_only: bool) -> None:
    """Raise Refused when it, a part of it, or something on top of it is mounted or swapped to."""
    found = [m for m in storage.mounts_of(identity.path) if not (writable_only and m.read_only)]
    words = [f"{m.device} on {m.mountpoint}" for m in found]
    if words:
        how = " writable" if writable_only else ""
        raise Refused(
            f"{identity.path} is in use: mounted{how} is {join(words)}.",
            f"Unmount it first: umount {found[0].mountpoint}",
        )
    used = storage.swaps_of(identity.path)
    if used:
        raise Refused(f"{identity.path} is in use: swapped to is {join(list(used))}.", f"First: swapoff {used[0]}")


def join(words: list[str]) -> str:
    more = len(words) - _MOST_NAMED
    return ", ".join(words[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
