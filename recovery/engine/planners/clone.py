"""The clone planner: an inspected source and a target in, a Plan out."""

from __future__ import annotations

from dataclasses import dataclass

from formats.base.errors import Refused
from formats.base.extent import Extent
from formats.table.model import Scheme
from recovery.engine.identity import DeviceIdentity
from recovery.engine.inspection import DiskReport
from recovery.engine.plan import CloneWork, Plan, Unused, now
from recovery.engine.planners.cautions import of_source, of_target
from recovery.engine.planners.writing import (
    TargetFacts,
    VolumeFacts,
    check_target,
    losses_of,
    place_disk,
    place_volume,
    target_room,
    write_steps,
)


@dataclass(frozen=True, slots=True)
class CloneRequest:
    """`partition`: (number on the source, number on the target or None for the same), None for the whole disk."""

    source: str
    target: str
    partition: tuple[int, int | None] | None = None
    unused: Unused = Unused.DISCARD
    include_paging: bool = False
    verify: bool = True
    force_live: bool = False


def plan_clone(
    request: CloneRequest,
    source: DeviceIdentity,
    report: DiskReport,
    target: TargetFacts,
    *,
    overlap: bool,
    mark: tuple[int, ...],
) -> Plan[CloneWork]:
    """Decide where everything goes and what is lost. `overlap`: source and target share storage.

    `mark`: the source's activity.write_mark() when it was inspected.

    Raises Refused or Unsupported, with words.
    """
    if overlap:
        raise Refused(
            f"{request.source} and {request.target} are the same disk, or one is a part of the other.",
            "Choose another target.",
        )
    check_target(target)
    number: int | None = None
    warnings = of_source(report)
    if request.partition is not None:
        wanted, to = request.partition
        index = next((i for i, v in enumerate(report.volumes) if v.number == wanted), None)
        if index is None:
            there = ", ".join(str(p.number) for p in report.table.partitions) or "none"
            raise Refused(f"{request.source} has no partition {wanted}.", f"It has: {there}.")
        has_table = target.report is not None and bool(target.report.table.partitions)
        number = to if to is not None else (wanted if has_table else None)
        work = place_volume(_facts(index, report), target_room(target, number), target, request.unused, request.verify)
    elif report.table.scheme is Scheme.NONE:
        whole = Extent(0, target.identity.size)
        work = place_volume(_facts(0, report), whole, target, request.unused, request.verify)
    else:
        volumes = [_facts(i, report) for i in range(len(report.volumes))]
        work = place_disk(volumes, report.table, report.areas, None, target, request.unused, request.verify)
    numbers = None if number is None else frozenset({number})
    warnings += of_target(target.report, numbers)
    warnings.append(
        "Source and target will have the same identifiers. Do not start a system with both attached: take one out."
    )
    if request.force_live:
        warnings.append("The source is in use: the copy is at best what a power cut would leave (crash-consistent).")
    return Plan(
        job="clone",
        title=f"Clone {request.source} to {request.target}",
        sources=(source,),
        target=target.identity,
        steps=write_steps(work, request.target, "Copy"),
        losses=losses_of(target, numbers),
        warnings=tuple(warnings),
        work=CloneWork(request.source, report, work, request.force_live, mark),
        created=now(),
    )


def _facts(index: int, report: DiskReport) -> VolumeFacts:
    volume = report.volumes[index]
    return VolumeFacts(
        index,
        volume.number,
        volume.extent.start,
        volume.extent.length,
        volume.map.extents.total if volume.map else 0,
        volume.title,
        report.sector_size,
    )
