"""File systems that are there and not mounted: where a backup could go to or come from, once somebody mounts them.

Everything here opens disks read-only and may wait for them, but not longer than a few seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from formats.base.errors import RecoveryError
from formats.base.problem import Problem
from fs.registry import identify_volume
from recovery.engine.bounded import NoAnswer, ask_all
from recovery.engine.device import open_source
from recovery.engine.identity import DeviceIdentity
from recovery.engine.inventory import Disk, list_disks
from recovery.engine.storage import Storage

PATIENCE = 4.0  # seconds for all disks together
MOUNTABLE = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "ntfs", "fat12", "fat16", "fat32", "exfat")
)  # fmt: skip

# Why a file system must not be written now, by the code of the problem that our parser found.
_UNSAFE = {
    "ntfs.hibernated": (
        "Windows is hibernated on it, or was shut down with fast startup: writing to it now would destroy that "
        "session and may damage the file system.",
        "Start Windows from it and shut it down fully (shutdown /s /f /t 0), or choose another place.",
    ),
    "ntfs.dirty": (
        "Windows has marked it as damaged or not cleanly closed.",
        "Attach it to Windows, run chkdsk /f on it and take it out with 'Safely remove', or choose another place.",
    ),
    "ntfs.log_dirty": (
        "it was not closed properly, and Windows has changes to finish on it.",
        "Attach it to Windows once and take it out with 'Safely remove', or choose another place.",
    ),
}


@dataclass(frozen=True, slots=True)
class Unmounted:
    """`device`: a partition or disk with a mountable file system of `size` bytes (of the device).

    `disk`: on which it is. `unsafe`, `advice`: why it must not be written now, and what would help; '' when it may.
    """

    device: str
    fstype: str
    label: str
    uuid: str
    size: int
    disk: DeviceIdentity
    live_medium: bool = False
    read_only: bool = False
    unsafe: str = ""
    advice: str = ""

    def to_json(self) -> dict[str, object]:
        return {
            "device": self.device,
            "fstype": self.fstype,
            "label": self.label,
            "uuid": self.uuid,
            "size": self.size,
            "disk": self.disk.to_json(),
            "live_medium": self.live_medium,
            "read_only": self.read_only,
            "unsafe": self.unsafe,
            "advice": self.advice,
        }


def list_unmounted(disks: Iterable[Disk] | None = None, seconds: float = PATIENCE) -> list[Unmounted]:
    """What could be mounted, sorted by disk. Disks that do not answer in time are left out.

    `disks`: only these; None for all of this machine. Raises RecoveryError only when no disk can be listed at all.
    """
    storage = Storage()
    questions = {}
    for disk in list_disks() if disks is None else disks:
        for path, size in _candidates(disk, storage):
            questions[path] = lambda path=path, size=size, disk=disk: look_at(path, size, disk)
    found = ask_all(questions, seconds)
    return [answer for answer in found.values() if isinstance(answer, Unmounted)]


def _candidates(disk: Disk, storage: Storage) -> list[tuple[str, int]]:
    """Partitions (of a disk without any, the disk) that nothing uses."""
    nodes = [(node.path, node.size) for node in disk.partitions] or [(disk.identity.path, disk.identity.size)]
    return [(path, size) for path, size in nodes if not in_use(path, storage)]


def in_use(path: str, storage: Storage) -> bool:
    """Whether it is mounted, swapped to, or a part of something larger."""
    node = storage.node_of(path)
    if node is None:
        return True
    return bool(storage.mounts_of_node(node) or storage.swaps_of_node(node) or storage.on_top(node))


def look_at(path: str, size: int, disk: Disk) -> Unmounted | None:
    """What is on it; None when it is nothing that can be mounted. Raises RecoveryError."""
    with open_source(path, allow_mounted=True) as source:
        content = identify_volume(source)
    identity = content.identity
    if identity.kind not in MOUNTABLE:
        return None
    unsafe, advice = _state(content.problems)
    label = "".join(c if c.isprintable() else "?" for c in identity.label)
    return Unmounted(
        path, identity.kind, label, identity.uuid, size, disk.identity, disk.live_medium, disk.read_only, unsafe, advice
    )  # fmt: skip


def _state(problems: Iterable[Problem]) -> tuple[str, str]:
    codes = {problem.code for problem in problems}
    return next((words for code, words in _UNSAFE.items() if code in codes), ("", ""))


def look_at_one(path: str, disk: Disk, seconds: float = PATIENCE) -> Unmounted | None:
    """As look_at, for one device, in bounded time. Raises RecoveryError, also when it does not answer."""
    size = next((node.size for node in disk.partitions if node.path == path), disk.identity.size)
    answer = ask_all({path: lambda: look_at(path, size, disk)}, seconds)[path]
    if isinstance(answer, NoAnswer):
        answer.advice = f"Check the cable and power of {Path(path).name}, or choose another."
    if isinstance(answer, RecoveryError):
        raise answer
    return answer
