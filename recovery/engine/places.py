"""Where an archive can be put and found: mounted file systems with their free space, and the files of a folder.

Everything here asks the file system and may wait for it: not for the thread of a screen.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from formats.base.errors import DeviceError
from recovery.engine import mounts

# File systems that hold no files of people, or forget them.
_NO_PLACES = frozenset(
    (
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs"),
        *("fusectl", "hugetlbfs", "iso9660", "mqueue", "nsfs", "proc", "pstore", "ramfs", "rpc_pipefs", "securityfs"),
        *("squashfs", "sysfs", "tmpfs", "tracefs", "udf"),
    )
)
_MOST = 5000  # entries of a folder; nobody picks from more


@dataclass(frozen=True, slots=True)
class Place:
    """A mounted file system. `free`, `size`: bytes, `free` for this user."""

    mountpoint: str
    device: str
    fstype: str
    free: int
    size: int
    read_only: bool = False

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """`size`: bytes of a file, 0 for a folder."""

    name: str
    path: str
    is_folder: bool
    size: int


def writable_places() -> list[Place]:
    """Mounted file systems for an archive, the roomiest first; each file system once."""
    return [place for place in mounted_places() if not place.read_only]


def mounted_places() -> list[Place]:
    """As writable_places, with those that can only be read; what does not answer any more is left out."""
    found: dict[str, Place] = {}
    for mount in mounts.all_mounts():
        if mount.fstype in _NO_PLACES:
            continue
        try:
            if not Path(mount.mountpoint).is_dir():
                continue
            room = os.statvfs(mount.mountpoint)
        except OSError:  # a disk that was pulled out, a server of FUSE that died
            continue
        place = Place(
            mount.mountpoint, mount.device, mount.fstype, room.f_bavail * room.f_frsize,
            room.f_blocks * room.f_frsize, mount.read_only,
        )  # fmt: skip
        known = found.get(mount.dev)
        if place.size and (known is None or len(place.mountpoint) < len(known.mountpoint)):
            found[mount.dev] = place
    return sorted(found.values(), key=lambda place: -place.free)


def free_below(path: str | Path) -> int | None:
    """Bytes that this user can still write where `path` is or will be; None when that cannot be told."""
    place = Path(path)
    for candidate in (place, *place.parents):
        try:
            room = os.statvfs(candidate)
        except OSError:
            continue
        return room.f_bavail * room.f_frsize
    return None


def list_folder(path: str | Path, suffix: str = "") -> list[FolderEntry]:
    """Folders first, then regular files whose name ends with `suffix`; hidden ones left out. Raises DeviceError."""
    found = []
    try:
        with os.scandir(path) as entries:
            for entry in islice(entries, _MOST):
                if entry.name.startswith("."):
                    continue
                try:
                    if entry.is_dir():
                        found.append(FolderEntry(entry.name, entry.path, True, 0))
                    elif entry.is_file() and entry.name.endswith(suffix):
                        found.append(FolderEntry(entry.name, entry.path, False, entry.stat().st_size))
                except OSError:  # it went away meanwhile, or is out of reach
                    continue
    except (OSError, ValueError) as error:
        number = error.errno or 0 if isinstance(error, OSError) else 0
        raise DeviceError(str(path), "reading the folder", 0, 0, number) from error
    return sorted(found, key=lambda entry: (not entry.is_folder, entry.name.casefold()))
