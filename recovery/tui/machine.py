"""The disks that the screens show: those of this machine, described ones, or image files in the place of disks.

All methods look at disks and may wait for them: call them through `aside`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from formats.base.errors import RecoveryError, Refused
from recovery.engine.attach import refuse_same_disk
from recovery.engine.controllers import Hidden, hidden_disks
from recovery.engine.inventory import Disk, disk_of, list_disks
from recovery.engine.machine import load_machine
from recovery.engine.prepare import inspect_path
from recovery.engine.unmounted import Unmounted, list_unmounted
from recovery.words import MAP_WIDTH, disk_map, span_map


@dataclass(frozen=True, slots=True)
class Shown:
    """A disk with its map as text, '' when that is not known. `described`: it is only written down, and not here."""

    disk: Disk
    map: str
    described: bool

    @property
    def path(self) -> str:
        return self.disk.identity.path


class Machine:
    """`described`: machine descriptions. `images`: image files. Neither: the machine that this runs on."""

    def __init__(self, described: Sequence[Path] = (), images: Sequence[Path] = ()) -> None:
        self._described, self._images = tuple(described), tuple(images)
        self._maps: dict[tuple[object, ...], str] = {}

    @property
    def real(self) -> bool:
        return not self._described and not self._images

    def disks(self, map_width: int = MAP_WIDTH) -> list[Shown]:
        """Raises RecoveryError when a description or an image cannot be read."""
        if self.real:
            return [Shown(disk, self._map(disk, map_width), False) for disk in list_disks()]
        found = [
            Shown(disk, _of_nodes(disk, map_width), True) for path in self._described for disk in load_machine(path)
        ]
        images = [disk_of(path) for path in self._images]
        return found + [Shown(disk, self._map(disk, map_width), False) for disk in images]

    def hidden(self) -> list[Hidden]:
        """Why disks of the real machine are not to be seen."""
        return hidden_disks() if self.real else []

    def unmounted(self, sources: Sequence[str] = ()) -> list[Unmounted]:
        """What could be mounted, but for what lies on the disks of `sources`. Only of the real machine."""
        return [found for found in list_unmounted() if _apart(found.device, sources)] if self.real else []

    def allow(self, path: str) -> None:
        """Raise Refused for a disk that is only described, and for real devices while a machine is described.

        A description may name /dev/sda, and this machine may have one: that one is not meant.
        """
        described = {disk.identity.path for one in self._described for disk in load_machine(one)}
        if path in described or (self._described and Path(path).is_block_device()):
            raise Refused(
                f"{path} is only described here; no disk stands behind it.",
                "Choose an image file, or open Jurymast without --machine to work with the disks of this machine.",
            )

    def _map(self, disk: Disk, width: int) -> str:
        """Of devices as the kernel has them; of files as they are, looked at again only when they have changed."""
        if disk.identity.is_block:
            return _of_nodes(disk, width)
        key = (disk.identity, width, _changed(disk.identity.path))
        if key not in self._maps:
            self._maps[key] = disk_map(inspect_path(disk.identity.path), width)
        return self._maps[key]


def _apart(device: str, sources: Sequence[str]) -> bool:
    try:
        refuse_same_disk(device, sources)
    except RecoveryError:
        return False
    return True


def _of_nodes(disk: Disk, width: int) -> str:
    return span_map(
        disk.identity.size, [(n.number, n.start, n.start + n.size) for n in disk.partitions], width
    )  # fmt: skip


def _changed(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0
