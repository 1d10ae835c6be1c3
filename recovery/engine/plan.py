"""Plans: everything that will happen and everything that will be lost, decided before the first byte moves."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from formats.base.extent import ExtentList
from formats.table.write import TableWrite
from recovery.engine.estimate import Expected
from recovery.engine.identity import DeviceIdentity
from recovery.engine.inspection import DiskReport


class Unused(StrEnum):
    """What happens to the space of the target that the image does not use. DISCARD where it can, else left."""

    DISCARD = "discard"
    ZERO = "zero"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Step:
    """`estimate`: bytes to move, 0 when nothing to speak of."""

    text: str
    estimate: int
    destructive: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "estimate": self.estimate, "destructive": self.destructive}


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that is on the target now and will be gone."""

    what: str
    size: int

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "size": self.size}


@dataclass(frozen=True, slots=True)
class BackupWork:
    """`disks`: (path, report, write mark) in the order of the archive; what is imaged are the reports' volumes.

    `expected`: how large the archive will be. `free`: bytes at its place. Both None when that is not known.
    """

    disks: tuple[tuple[str, DiskReport, tuple[int, ...]], ...]
    archive: str  # "-" for standard output
    whole_disks: bool
    split: int
    verify: bool
    live: bool
    expected: Expected | None = None
    free: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """One volume of the source, to bytes [offset, offset+room) of the target. `volume`: index in archive or report.

    `number`: of its partition on the source, 1-based.
    `size`: bytes of the volume; `image_bytes`: how many of them are held.
    """

    volume: int
    number: int
    offset: int
    size: int
    room: int
    image_bytes: int
    title: str


@dataclass(frozen=True, slots=True)
class WriteWork:
    """What a restore or a clone puts on its target.

    `areas`: bytes of the disk outside of the partitions to copy, from volume `areas_volume` of an archive (None for
    a clone: from the disk itself). `wipe`: zeroed first, so that an interrupted job looks blank. `table`: written last.
    `create_size`: for a file that does not exist yet. `nodes`: (number, start, size) of the partitions of that table.
    """

    placements: tuple[Placement, ...]
    areas_volume: int | None
    areas: ExtentList
    wipe: ExtentList
    table: tuple[TableWrite, ...]
    nodes: tuple[tuple[int, int, int], ...]
    create_size: int | None
    unused: Unused
    verify: bool
    archive_id: str = ""


@dataclass(frozen=True, slots=True)
class RestoreWork:
    archive: str
    write: WriteWork


@dataclass(frozen=True, slots=True)
class CloneWork:
    """`report`: the source as it was inspected; its volumes' maps say what is copied. `mark`: see activity."""

    source: str
    report: DiskReport
    write: WriteWork
    live: bool
    mark: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VerifyWork:
    """`files`: read every file through its file system as well."""

    archive: str
    files: bool = False


@dataclass(frozen=True, slots=True)
class PruneWork:
    """`delete`: (path, archive id) of what goes, `protect`: paths that stay whatever is found."""

    folder: str
    pattern: str
    keep: int
    delete: tuple[tuple[str, str], ...]
    protect: tuple[str, ...] = ()


W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class Plan(Generic[W]):
    """Immutable; accepted or refused as a whole. `target` None when nothing is overwritten."""

    job: str
    title: str
    sources: tuple[DeviceIdentity, ...]
    target: DeviceIdentity | None
    steps: tuple[Step, ...]
    losses: tuple[Loss, ...]
    warnings: tuple[str, ...]
    work: W
    created: float

    @property
    def plan_id(self) -> str:
        """Changes when anything in the plan does."""
        text = json.dumps(self.to_json(), sort_keys=True, default=str) + repr(self.work)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def destructive(self) -> bool:
        return any(step.destructive for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "job": self.job,
            "title": self.title,
            "created": self.created,
            "sources": [s.to_json() for s in self.sources],
            "target": self.target.to_json() if self.target else None,
            "steps": [s.to_json() for s in self.steps],
            "losses": [loss.to_json() for loss in self.losses],
            "warnings": list(self.warnings),
        }
        if isinstance(self.work, BackupWork) and self.work.expected is not None:
            body["expected"] = {**self.work.expected.to_json(), "free": self.work.free}
        return body


def now() -> float:
    """Seconds since 1970, for Plan.created."""
    return time.time()
