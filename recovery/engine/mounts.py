"""What is mounted and what is swapped to, as the kernel tells this process.

Source: proc(5), /proc/pid/mountinfo and /proc/swaps. Mounts of other name spaces are not seen here; the
exclusive open of a device finds those out.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

PROC = Path("/proc")
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """`device`: as the mount names it (/dev/sda1, or a file for some FUSE file systems).

    `read_only` is about the file system: False when it can be written through any of its mount points.
    `dev`: "8:1" of the file system's device number, which is no block device for btrfs, tmpfs, overlay.
    """

    mountpoint: str
    device: str
    fstype: str
    read_only: bool
    dev: str = ""
    mount_id: int = 0
    options: str = ""

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def unescape(text: str) -> str:
    """Undo the kernel's \\040 for blanks, tabs, line ends and backslashes."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """Lines that do not have the shape of a mount are left out."""
    mounts = []
    for line in text.split("\n"):
        head, dash, tail = line.partition(" - ")
        fields, rest = head.split(" "), tail.split(" ")
        if not dash or len(fields) < 6 or len(rest) < 3 or not _is_id(fields[0]):
            continue
        mounts.append(
            Mount(
                mountpoint=unescape(fields[4]),
                device=unescape(rest[1]),
                fstype=rest[0],
                read_only="ro" in rest[2].split(","),
                dev=fields[2],
                mount_id=int(fields[0]),
                options=rest[2],
            )
        )
    return tuple(mounts)


def _is_id(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 20


def all_mounts() -> tuple[Mount, ...]:
    """Everything mounted now, in this process's name space. Empty when /proc is not there."""
    return parse_mountinfo(_read(PROC / "self" / "mountinfo"))


def swaps() -> tuple[str, ...]:
    """The paths (devices and files) that are swapped to now."""
    lines = _read(PROC / "swaps").split("\n")[1:]
    return tuple(unescape(re.split(r"[ \t]", line, maxsplit=1)[0]) for line in lines if line)


def mount_carrying(path: str | Path, mounts: tuple[Mount, ...] | None = None) -> Mount | None:
    """The mount in which `path` itself lies (not what may be mounted from it); None when that cannot be told.

    The descriptor's mnt_id is asked for, because the numbers of stat() do not lead to a mount on btrfs.
    """
    mounts = all_mounts() if mounts is None else mounts
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = re.search(r"^mnt_id:\s*(\d+)$", _read(PROC / "self" / "fdinfo" / str(fd)), re.MULTILINE)
    finally:
        os.close(fd)
    if found is None:
        return None
    return next((mount for mount in mounts if mount.mount_id == int(found[1])), None)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""
