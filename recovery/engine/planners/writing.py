"""What restore and clone plan alike: what is lost on the target, what is blanked, in which steps it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from formats.base.errors import Refused
from formats.base.extent import Extent, ExtentList
from formats.base.units import MiB, in_words
from formats.table.model import PartitionTable
from formats.table.write import build_table, minimum_size, wipe_extents
from recovery.engine.identity import ABSENT, DeviceIdentity
from recovery.engine.inspection import DiskReport
from recovery.engine.plan import Loss, Placement, Step, Unused, WriteWork

WIPE_EDGE = 1 * MiB  # holds the signatures of every file system, RAID and LVM at either end of a volume


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What is known of a target. `report` None: it does not exist yet. `in_use`: what stands in the way, in words.

    `first`: what would take that out of the way.
    """

    identity: DeviceIdentity
    report: DiskReport | None
    in_use: str = ""
    first: str = "Unmount it"

    @property
    def absent(self) -> bool:
        return self.identity.kind == ABSENT


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """A volume of the source. `offset`: bytes on its disk. `index`: in the archive or report."""

    index: int
    number: int
    offset: int
    size: int
    image_bytes: int
    title: str
    sector_size: int


def check_target(target: TargetFacts) -> None:
    """Raise Refused when the target is in use."""
    if target.in_use:
        raise Refused(target.in_use, f"{target.first}, or choose another target; nothing was changed.")


def check_sectors(volume: VolumeFacts, target: TargetFacts) -> None:
    """Raise Refused when they differ: file systems keep the sector size that they were made with."""
    if target.identity.is_block and target.identity.logical_sector != volume.sector_size:
        raise Refused(
            f"{volume.title} has sectors of {volume.sector_size} bytes, and {target.identity.path} has sectors of "
            f"{target.identity.logical_sector} bytes: it could not be read there.",
            "Choose a target with the same logical sector size.",
        )


def place_disk(
    volumes: Sequence[VolumeFacts],
    table: PartitionTable,
    areas: ExtentList,
    areas_volume: int | None,
    target: TargetFacts,
    unused: Unused,
    verify: bool,
) -> WriteWork:
    """A whole disk, every partition at its old place. Raises Refused when it does not fit."""
    for volume in volumes:
        check_sectors(volume, target)
    sector = target.identity.logical_sector if target.identity.is_block else table.sector_size
    needed = max([minimum_size(table)] + [v.offset + v.size for v in volumes])
    # A file that is still to be made gets the room that the table wants, even where the source had been cut short.
    size = max(table.disk_size, needed) if target.absent else target.identity.size
    if size < needed:
        raise Refused(
            f"{target.identity.path} is too small by {in_words(needed - size)}: it has {size} bytes, and {needed} "
            "are needed.",
            f"Choose a larger target (of at least {in_words(needed)}), or shrink the last partition of the source "
            "first, in its own system, and back it up again.",
        )
    writes = build_table(table, size, sector)
    own = ExtentList((w.offset, w.offset + len(w.data)) for w in writes)
    old = ExtentList(region.extent for region in table.regions)
    placements = tuple(Placement(v.index, v.number, v.offset, v.size, v.size, v.image_bytes, v.title) for v in volumes)
    wipe = ExtentList() if target.absent else wipe_extents(size, sector).union(_edges(placements))
    return WriteWork(
        placements=placements,
        areas_volume=areas_volume,
        areas=areas.clip(0, size).subtract(old).subtract(own),
        wipe=wipe,
        table=writes,
        nodes=tuple((p.number, p.extent.start, p.extent.length) for p in table.partitions) if writes else (),
        create_size=size if target.absent else None,
        unused=unused,
        verify=verify,
    )


def place_volume(volume: VolumeFacts, room: Extent, target: TargetFacts, unused: Unused, verify: bool) -> WriteWork:
    """One volume to bytes `room` of the target. Raises Refused when it does not fit."""
    check_sectors(volume, target)
    if target.absent:
        room = Extent(0, volume.size)
    if room.length < volume.size:
        raise Refused(
            f"The target is too small by {in_words(volume.size - room.length)}: it has {room.length} bytes, and "
            f"{volume.title} needs {volume.size}.",
            f"Choose a larger partition or disk (of at least {in_words(volume.size)}).",
        )
    placement = Placement(
        volume.index, volume.number, room.start, volume.size, room.length, volume.image_bytes, volume.title
    )
    return WriteWork(
        placements=(placement,),
        areas_volume=None,
        areas=ExtentList(),
        wipe=ExtentList() if target.absent else _edges((placement,)),
        table=(),
        nodes=(),
        create_size=volume.size if target.absent else None,
        unused=unused,
        verify=verify,
    )


def _edges(placements: Sequence[Placement]) -> ExtentList:
    found = []
    for p in placements:
        end = p.offset + p.room
        found += [(p.offset, min(p.offset + WIPE_EDGE, end)), (max(p.offset, end - WIPE_EDGE), end)]
    return ExtentList(found)


def target_room(target: TargetFacts, number: int | None) -> Extent:
    """Where partition `number` (None: the whole target) lies. Raises Refused when there is none."""
    if number is None or target.report is None:
        if number is not None:
            raise Refused(f"{target.identity.path} does not exist yet, so it has no partition {number}.")
        return Extent(0, target.identity.size)
    for partition in target.report.table.partitions:
        if partition.number == number:
            return partition.extent
    there = ", ".join(str(p.number) for p in target.report.table.partitions) or "none"
    raise Refused(f"{target.identity.path} has no partition {number}.", f"It has: {there}.")


def losses_of(target: TargetFacts, numbers: frozenset[int] | None) -> tuple[Loss, ...]:
    """What will be gone: every volume by name, or those partitions."""
    if target.report is None:
        return ()
    found = []
    for volume in target.report.volumes:
        if numbers is None or volume.number in numbers:
            identity = volume.content.identity
            label = f" '{identity.label}'" if identity.label else ""
            name = f"partition {volume.number}: " if volume.partition else ""
            what = identity.kind or "contents that Jurymast does not know"
            found.append(Loss(f"{name}{what}{label}", volume.extent.length))
    if not found:
        found.append(Loss(f"everything on {target.identity.path}", target.identity.size))
    return tuple(found)


def write_steps(work: WriteWork, target: str, verb: str) -> tuple[Step, ...]:
    """In the order in which jobs.write runs them."""
    steps = [Step(f"Blank {target}, so that an interrupted job cannot look complete", 0, destructive=True)]
    steps += [
        Step(f"{verb} {p.title} to bytes {p.offset} to {p.offset + p.size}", p.image_bytes, destructive=True)
        for p in work.placements
    ]
    if work.table:
        steps.append(Step("Write the boot areas", work.areas.total, destructive=True))
    if work.verify:
        total = sum(p.image_bytes for p in work.placements) + work.areas.total
        steps.append(Step("Read everything back from the target and compare", total))
    last = "Write the first block of each volume, then the partition table, sector 0 last"
    steps.append(Step(last if work.table else "Write the first block, which makes it valid", 0, destructive=True))
    return tuple(steps)
