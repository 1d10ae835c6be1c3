"""The volumes in anything that can be looked into: an archive, a disk, a partition, an image file.

SOURCE[:N]: N is the number of the partition, D.N when an archive holds several disks. A file may have ':' in its
name: what exists under the whole text goes before a number at its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formats.archive.opening import open_archive
from formats.archive.reader import ArchiveReader
from formats.base.errors import Cancelled, RecoveryError, Refused
from formats.base.source import BlockSource, Window
from fs.api import Identity
from fs.registry import identify_volume
from fs.tree import FileTree
from fs.trees import TREES, open_tree
from recovery.engine.device import open_source
from recovery.engine.held import HeldVolume
from recovery.engine.inspection import inspect_source
from recovery.engine.prepare import is_jurymast_archive

TREE_KINDS = frozenset(kind for parser in TREES for kind in parser.kinds)
_SELECTOR = re.compile(r"(?:([1-9]\d{0,3})\.)?([1-9]\d{0,4})")


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """One volume of a place. `disk` and `number` from 1; `address`: what goes behind the ':'.

    `start`, `size`: bytes. `index`: of the volume in an archive, None elsewhere.
    """

    disk: int
    number: int
    address: str
    kind: str
    label: str
    uuid: str
    start: int
    size: int
    index: int | None = None

    @property
    def has_files(self) -> bool:
        return self.kind in TREE_KINDS

    @property
    def title(self) -> str:
        """Its name for people."""
        named = f" {self.label}" if self.label else ""
        return f"partition {self.address} ({self.kind or 'unknown contents'}{named})"

    def to_json(self) -> dict[str, Any]:
        return {
            "type": "volume",
            "disk": self.disk,
            "number": self.number,
            "address": self.address,
            "file_system": self.kind,
            "label": self.label,
            "uuid": self.uuid,
            "start": self.start,
            "size": self.size,
            "has_files": self.has_files,
        }


class Place:
    """An opened source and its volumes. `reader`: when it is an archive. Made by open_place()."""

    def __init__(
        self,
        name: str,
        volumes: tuple[VolumeInfo, ...],
        reader: ArchiveReader | None,
        window: Callable[[VolumeInfo], BlockSource] | None,
    ) -> None:
        self.name, self.volumes, self.reader = name, volumes, reader
        self._window = window

    def raw(self, volume: VolumeInfo) -> BlockSource:
        """The bytes of a volume; zeros where an archive holds nothing because nothing was used."""
        if self.reader is not None and volume.index is not None:
            return HeldVolume(self.reader, volume.index, lenient=True)
        if self._window is None:
            raise RuntimeError("a place is an archive or has windows")
        return self._window(volume)

    def tree(self, volume: VolumeInfo) -> FileTree:
        """Its files. What an archive does not hold is an error when it is read. Raises RecoveryError."""
        source = self.raw(volume)
        tree = open_tree(source)
        if isinstance(source, HeldVolume):
            source.lenient = False
        return tree

    def left_out(self, volume: VolumeInfo) -> frozenset[str]:
        """Paths of the files whose content an archive leaves out on purpose, in lower case, with a leading '/'."""
        if self.reader is None or volume.index is None:
            return frozenset()
        files = self.reader.manifest.volumes[volume.index].details.get("left_out")
        paths = [f.get("path") for f in files if isinstance(f, dict)] if isinstance(files, list) else []
        return frozenset("/" + p.replace("\\", "/").lstrip("/").casefold() for p in paths if isinstance(p, str))

    def only(self) -> VolumeInfo:
        """The one volume that can be meant when none is named. Raises Refused with the list of all."""
        with_files = [v for v in self.volumes if v.has_files]
        if len(self.volumes) == 1:
            return self.volumes[0]
        if len(with_files) == 1:
            return with_files[0]
        shown = "; ".join(f"{self.name}:{v.address} {v.title}" for v in self.volumes) or "none"
        raise Refused(
            f"{self.name} holds {len(self.volumes)} volumes, and it is not clear which one is meant.",
            f"Name one: {shown}",
        )

    def pick(self, selector: str) -> VolumeInfo:
        """The volume that `selector` (N, D.N or '') names. Raises Refused."""
        if not selector:
            return self.only()
        found = [v for v in self.volumes if selector in (v.address, f"{v.disk}.{v.number}")]
        if not found:
            found = [v for v in self.volumes if selector == str(v.number)]
        if len(found) == 1:
            return found[0]
        there = ", ".join(v.address for v in self.volumes) or "none"
        if found:
            raise Refused(
                f"{self.name} holds several disks with a partition {selector}.", f"Name the disk as well: {there}"
            )
        raise Refused(f"{self.name} has no partition {selector}.", f"There are: {there}")


def split_address(text: str) -> tuple[str, str]:
    """(path, selector) of SOURCE[:N]; the selector is '' when there is none."""
    path, colon, selector = text.rpartition(":")
    if not colon or not path or not _SELECTOR.fullmatch(selector) or _there(text):
        return text, ""
    return path, selector


def _there(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


@contextmanager
def open_place(text: str) -> Iterator[tuple[Place, str]]:
    """Open SOURCE[:N] and find its volumes: (place, selector). Read-only; a mounted device is read as it is.

    Raises RecoveryError when it cannot be opened.
    """
    path, selector = split_address(text)
    with ExitStack() as stack:
        if is_jurymast_archive(path):
            reader = stack.enter_context(open_archive(path))
            yield Place(path, _archived(reader), reader, None), selector
            return
        source = stack.enter_context(open_source(path, allow_mounted=True))
        report = inspect_source(source, with_map=False)
        extents = {v.number: v.extent for v in report.volumes}
        volumes = tuple(
            _info(1, v.number, str(v.number), v.content.identity, v.extent.start, v.extent.length)
            for v in report.volumes
        )

        def window(volume: VolumeInfo) -> BlockSource:
            return Window(source, extents[volume.number], f"{path}:{volume.address}")

        yield Place(path, volumes, None, window), selector


@dataclass(frozen=True, slots=True)
class OpenVolume:
    """One volume with its files. `source`: its raw bytes."""

    place: Place
    info: VolumeInfo
    source: BlockSource
    tree: FileTree


@contextmanager
def open_volume(text: str) -> Iterator[OpenVolume]:
    """Open the one volume that SOURCE[:N] means, with its files. Raises RecoveryError."""
    with open_place(text) as (place, selector):
        info = place.pick(selector)
        yield OpenVolume(place, info, place.raw(info), place.tree(info))


def _info(
    disk: int, number: int, address: str, identity: Identity, start: int, size: int, index: int | None = None
) -> VolumeInfo:
    return VolumeInfo(disk, number, address, identity.kind, identity.label, identity.uuid, start, size, index)


def _archived(reader: ArchiveReader) -> tuple[VolumeInfo, ...]:
    manifest = reader.manifest
    several = len({v.disk for v in manifest.volumes}) > 1
    found = []
    for index, record in enumerate(manifest.volumes):
        if record.role == "areas":
            continue
        number = max(1, record.number)
        address = f"{record.disk + 1}.{number}" if several else str(number)
        found.append(
            _info(
                record.disk + 1, number, address, _identity(reader, index), record.disk_offset, record.size, index
            )
        )  # fmt: skip
    return tuple(found)


def _identity(reader: ArchiveReader, index: int) -> Identity:
    """As the manifest has it; looked at again when that does not say (foreign or rebuilt)."""
    details = reader.manifest.volumes[index].details
    if isinstance(details.get("file_system"), str):
        label, uuid = details.get("label"), details.get("uuid")
        kind = details["file_system"]
        return Identity(kind, label if isinstance(label, str) else "", uuid if isinstance(uuid, str) else "", 0, 0)
    try:
        return identify_volume(reader.volume(index)).identity
    except Cancelled:
        raise
    except RecoveryError:
        return Identity("", "", "", 0, 0)
