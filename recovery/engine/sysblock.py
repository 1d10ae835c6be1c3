"""Block devices as sysfs shows them, read without opening the device.

Source: Linux Documentation/ABI/stable/sysfs-block and admin-guide/devices. `start` and `size` in sysfs count
512-byte units whatever the sector size of the disk.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

SYS = Path("/sys")
DEV = Path("/dev")
_ATTRIBUTE_LIMIT = 64 << 10


@dataclass(frozen=True, slots=True)
class PartitionNode:
    """A partition as the kernel has it now. `start` and `size`: bytes, `start` from the start of the disk."""

    path: str
    number: int
    start: int
    size: int

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def folder_of(dev: str) -> Path | None:
    """The sysfs folder of a device number such as "8:1"; None when the kernel has no such block device."""
    link = SYS / "dev" / "block" / dev
    return link.resolve() if link.exists() else None


def all_folders() -> dict[str, Path]:
    """Device number to sysfs folder, of every block device and partition."""
    found = {}
    for link in _entries(SYS / "class" / "block"):
        folder = link.resolve()
        dev = text(folder, "dev")
        if dev:
            found[dev] = folder
    return found


def text(folder: Path, name: str) -> str:
    """An attribute without the blanks around it; '' when it is absent or does not want to be read."""
    return raw(folder, name).decode("utf-8", "replace").replace("\0", "").strip()


def raw(folder: Path, name: str) -> bytes:
    try:
        with (folder / name).open("rb") as file:
            return file.read(_ATTRIBUTE_LIMIT)
    except OSError:
        return b""


def number(folder: Path, name: str, default: int = 0) -> int:
    """A non-negative decimal attribute."""
    value = text(folder, name)
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else default


def node_path(folder: Path) -> str:
    """The device node: /dev/sda1. The kernel's own name says where it lies below /dev."""
    for line in text(folder, "uevent").splitlines():
        key, _, value = line.partition("=")
        if key == "DEVNAME" and value:
            return str(DEV / value)
    return str(DEV / folder.name.replace("!", "/"))


def is_partition(folder: Path) -> bool:
    return bool(text(folder, "partition"))


def disk_folder(folder: Path) -> Path:
    """The folder of the whole disk: of a partition its parent, else itself."""
    return folder.parent if is_partition(folder) else folder


def size(folder: Path) -> int:
    """Bytes."""
    return number(folder, "size") * 512


def start(folder: Path) -> int:
    """Bytes from the start of the disk; 0 for a whole disk."""
    return number(folder, "start") * 512


def partitions(folder: Path) -> tuple[PartitionNode, ...]:
    """The partitions that the kernel has on a disk, by number."""
    nodes = [
        PartitionNode(node_path(entry), number(entry, "partition"), start(entry), size(entry))
        for entry in _entries(folder)
        if (entry / "partition").is_file()
    ]
    return tuple(sorted(nodes, key=lambda node: node.number))


def slaves(folder: Path) -> tuple[str, ...]:
    """Device numbers of what a dm, md or bcache device is made of."""
    found = (text(entry.resolve(), "dev") for entry in _entries(folder / "slaves"))
    return tuple(dev for dev in found if dev)


def btrfs_members(devs: set[str]) -> set[str]:
    """All device numbers of the btrfs file systems of which one of `devs` is a member."""
    found: set[str] = set()
    for volume in _entries(SYS / "fs" / "btrfs"):
        members = {text(entry.resolve(), "dev") for entry in _entries(volume / "devices")} - {""}
        if members & devs:
            found |= members
    return found


def is_block_number(dev: str) -> bool:
    return (SYS / "dev" / "block" / dev).exists()


def dev_name(number: int) -> str:
    """A number as from st_rdev, written "8:1"."""
    return f"{os.major(number)}:{os.minor(number)}"


def natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Sorts sda2 before sda10, and sdb before sdaa."""
    pieces = re.findall(r"\d+|\D+", name)
    return tuple((piece.isdecimal(), int(piece) if piece.isdecimal() else len(piece), piece) for piece in pieces)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
