"""The backup planner: what was inspected in, a Plan out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from formats.base.errors import Refused
from formats.base.units import in_words
from recovery.engine.estimate import Expected
from recovery.engine.identity import DeviceIdentity
from recovery.engine.inspection import DiskReport
from recovery.engine.plan import BackupWork, Plan, Step, now
from recovery.engine.planners.cautions import of_source

FAT_LIMIT = (4 << 30) - 1  # bytes of the largest file of FAT32


@dataclass(frozen=True, slots=True)
class Room:
    """`expected`: bytes of the archive; `free`: bytes at its place; `fat`: no file of 4 GiB can lie there."""

    expected: Expected | None
    free: int | None
    fat: bool = False


NOWHERE = Room(None, None)


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """`sources`: devices or image files. `numbers`: partitions of the only source, None for all. `split`: bytes."""

    sources: tuple[str, ...]
    archive: str
    numbers: frozenset[int] | None = None
    split: int = 0
    include_paging: bool = False
    verify: bool = True
    force_live: bool = False


def plan_backup(
    request: BackupRequest,
    disks: Sequence[tuple[DeviceIdentity, DiskReport, tuple[int, ...]]],
    *,
    archive_on_source: bool,
    twice: bool,
    room: Room = NOWHERE,
) -> Plan[BackupWork]:
    """Decide what goes into the archive. `disks`: each with its activity.write_mark() from before it was inspected.

    `archive_on_source`: it would lie on one of the disks it images. `twice`: two sources share storage. `room`: how
    large it will be, and what is free for it. Raises Refused with words.
    """
    if twice:
        raise Refused("Two of the sources are the same disk, or one is a part of the other.", "Name each disk once.")
    if archive_on_source:
        raise Refused(
            f"{request.archive} would lie on the disk that is backed up.",
            "Choose a destination on another disk: a backup on the same disk dies with it.",
        )
    if request.numbers is not None and len(disks) > 1:
        raise Refused("Partitions can be chosen from one disk at a time.", "Make one archive for each disk.")
    for _, report, _ in disks:
        found = {v.number for v in report.volumes}
        missing = sorted((request.numbers or frozenset()) - found)
        if missing:
            there = ", ".join(str(p.number) for p in report.table.partitions) or "none"
            raise Refused(f"{report.name} has no partition {missing[0]}.", f"It has: {there}.")
    if request.archive == "-" and request.split:
        raise Refused("A pipe cannot be split into parts.", "Leave --split out.")
    if request.split and request.split < 1 << 20:
        raise Refused("Parts of less than 1 MiB make no sense.", "Choose a larger size for --split, such as 4G.")
    whole = request.numbers is None
    steps: list[Step] = []
    warnings: list[str] = []
    for identity, report, _ in disks:
        if whole and len(report.areas):
            steps.append(Step(f"Save the partition table and boot areas of {identity.path}", report.areas.total))
        for volume in report.volumes:
            if volume.map is None:
                raise RuntimeError("a backup plan needs maps")
            steps.append(Step(f"Save {volume.title} of {identity.path}", volume.map.extents.total))
        warnings += of_source(report)
    if request.force_live:
        warnings.append("The source is in use: the image is at best what a power cut would leave (crash-consistent).")
    if request.verify and request.archive != "-":
        steps.append(Step("Read everything back from the archive", 0))
        steps.append(Step("Prove: walk the file systems from the archive", 0))
    else:
        warnings.append("The archive will not be read back: it will be stored, but not proven.")
    warnings += _room_warnings(request, room)
    steps.append(Step("Complete the archive", 0))
    names = ", ".join(identity.path for identity, _, _ in disks)
    return Plan(
        job="backup",
        title=f"Back up {names} to {'standard output' if request.archive == '-' else request.archive}",
        sources=tuple(identity for identity, _, _ in disks),
        target=None,
        steps=tuple(steps),
        losses=(),
        warnings=tuple(warnings),
        work=BackupWork(
            tuple((identity.path, report, mark) for identity, report, mark in disks),
            request.archive,
            whole,
            request.split,
            request.verify and request.archive != "-",
            request.force_live,
            room.expected,
            room.free,
        ),
        created=now(),
    )


def _room_warnings(request: BackupRequest, room: Room) -> list[str]:
    """What may not fit. Raises Refused for what cannot fit."""
    expected, free = room.expected, room.free
    if expected is None or free is None:
        return []
    if expected.cannot_fit(free):
        raise Refused(
            f"The archive cannot fit: about {in_words(expected.low)} to {in_words(expected.high)} are expected, and "
            f"only {in_words(free)} are free at {request.archive}.",
            "Choose a larger destination, or fewer partitions.",
        )
    warnings = []
    if expected.low > free:
        warnings.append(
            f"The archive will hardly fit: at least {in_words(expected.low)} are expected, and {in_words(free)} are "
            "free there. When the place is full, the job ends and nothing is left."
        )
    elif not expected.fits(free):
        warnings.append(
            f"The archive may not fit: up to {in_words(expected.high)} are expected, and {in_words(free)} are free "
            "there. When the place is full, the job ends and nothing is left."
        )
    if room.fat and not request.split and expected.high > FAT_LIMIT:
        advice = "Choose parts of less than 4 GiB (--split 4G), or a place with another file system."
        if expected.low > FAT_LIMIT:
            raise Refused(
                f"The place of {request.archive} is FAT, which holds no file of 4 GiB, and about "
                f"{in_words(expected.low)} to {in_words(expected.high)} are expected.",
                advice,
            )
        warnings.append(f"The place is FAT, which holds no file of 4 GiB; the archive may become larger. {advice}")
    return warnings
