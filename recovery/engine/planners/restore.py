"""The restore planner: an archive's manifest and a target in, a Plan out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from formats.archive.model import Manifest
from formats.base.errors import Refused
from formats.base.extent import Extent, ExtentList
from formats.base.units import in_words
from formats.table.model import PartitionTable
from recovery.engine.plan import Plan, RestoreWork, Unused, WriteWork, now
from recovery.engine.planners.cautions import of_target
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
class RestoreRequest:
    """`partitions`: number in the archive to number on the target (None: the same). Empty: everything.

    `disk`: which disk of the archive, 0-based.
    """

    archive: str
    target: str
    partitions: tuple[tuple[int, int | None], ...] = ()
    disk: int | None = None
    unused: Unused = Unused.DISCARD
    verify: bool = True


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """`areas`: map of each disk's areas volume, by the number of that volume. `problems`: what is wrong with it."""

    manifest: Manifest
    areas: Mapping[int, ExtentList]
    problems: tuple[str, ...]
    on_target: bool


def plan_restore(request: RestoreRequest, archive: ArchiveFacts, target: TargetFacts) -> Plan[RestoreWork]:
    """Decide where everything goes and what is lost by it. Raises Refused, Unsupported or Corrupt, with words."""
    check_target(target)
    if archive.on_target:
        raise Refused(
            f"{request.target} holds the archive itself.", "Choose another target, or copy the archive away first."
        )
    manifest = archive.manifest
    disk = _disk(manifest, request.disk)
    if request.partitions:
        work, numbers = _partitions(request, manifest, disk, target)
    else:
        work, numbers = _all(request, archive, disk, target), None
    work = replace(work, archive_id=manifest.archive_id.hex())
    warnings = list(archive.problems) + _proof_warnings(manifest) + of_target(target.report, numbers)
    if work.create_size is None and target.identity.size > sum(p.room for p in work.placements) and work.table:
        extra = target.identity.size - int(manifest.disks[disk]["size"])
        if extra > 0:
            warnings.append(f"The target is {in_words(extra)} larger than the source was; that space stays free.")
    if work.table:
        warnings.append(
            "The target gets the identifiers of the original disk. Do not start a system with both attached."
        )
    return Plan(
        job="restore",
        title=f"Restore {request.archive} to {request.target}",
        sources=(),
        target=target.identity,
        steps=write_steps(work, request.target, "Restore"),
        losses=losses_of(target, numbers),
        warnings=tuple(warnings),
        work=RestoreWork(request.archive, work),
        created=now(),
    )


def _disk(manifest: Manifest, wanted: int | None) -> int:
    if wanted is None:
        if len(manifest.disks) > 1:
            raise Refused(
                f"The archive holds {len(manifest.disks)} disks.", "Say which one with --disk (1 is the first)."
            )
        return 0
    if not 0 <= wanted < len(manifest.disks):
        raise Refused(f"The archive has no disk {wanted + 1}.", f"It holds {len(manifest.disks)}.")
    return wanted


def _facts(manifest: Manifest, index: int) -> VolumeFacts:
    record = manifest.volumes[index]
    details: Mapping[str, Any] = record.details
    image = details.get("image_bytes")
    return VolumeFacts(
        index,
        record.number,
        record.disk_offset,
        record.size,
        image if isinstance(image, int) else 0,
        str(details.get("title", f"volume {index}")),
        record.sector_size,
    )


def _all(request: RestoreRequest, archive: ArchiveFacts, disk: int, target: TargetFacts) -> WriteWork:
    manifest = archive.manifest
    mine = [i for i, v in enumerate(manifest.volumes) if v.disk == disk]
    roles = {manifest.volumes[i].role for i in mine}
    if roles == {"whole"} or (not manifest.disks[disk].get("whole") and len(mine) == 1):
        return place_volume(
            _facts(manifest, mine[0]), Extent(0, target.identity.size), target, request.unused, request.verify
        )
    if not manifest.disks[disk].get("whole"):
        numbers = ", ".join(str(manifest.volumes[i].number) for i in mine)
        raise Refused(
            f"The archive holds only partitions {numbers} of its disk, not the whole disk.",
            "Restore them one by one with --partition.",
        )
    table = PartitionTable.from_json(manifest.disks[disk].get("table"))
    areas_volume = next((i for i in mine if manifest.volumes[i].role == "areas"), None)
    volumes = [_facts(manifest, i) for i in mine if manifest.volumes[i].role == "partition"]
    areas = archive.areas.get(areas_volume, ExtentList()) if areas_volume is not None else ExtentList()
    return place_disk(volumes, table, areas, areas_volume, target, request.unused, request.verify)


def _partitions(
    request: RestoreRequest, manifest: Manifest, disk: int, target: TargetFacts
) -> tuple[WriteWork, frozenset[int] | None]:
    """The work, and the numbers of the target's partitions that are overwritten, None for all of it."""
    if len(request.partitions) > 1 and (target.absent or target.report is None or not target.report.table.partitions):
        raise Refused("Several partitions need a target that has a partition for each.", "Restore them one by one.")
    works = []
    numbers: list[int | None] = []
    for number, wanted in request.partitions:
        index = next(
            (i for i, v in enumerate(manifest.volumes) if v.disk == disk and v.number == number and v.role != "areas"),
            None,
        )
        if index is None:
            there = ", ".join(str(v.number) for v in manifest.volumes if v.disk == disk and v.role != "areas")
            raise Refused(f"The archive has no partition {number}.", f"It has: {there}.")
        has_table = target.report is not None and bool(target.report.table.partitions)
        to = wanted if wanted is not None else (number if has_table else None)
        if to in numbers:
            raise Refused(f"Two partitions would go to partition {to} of the target.")
        numbers.append(to)
        works.append(
            place_volume(_facts(manifest, index), target_room(target, to), target, request.unused, request.verify)
        )
    merged = works[0]
    for work in works[1:]:
        merged = replace(merged, placements=merged.placements + work.placements, wipe=merged.wipe.union(work.wipe))
    return merged, None if None in numbers else frozenset(n for n in numbers if n is not None)


def _proof_warnings(manifest: Manifest) -> list[str]:
    found = []
    for volume in manifest.volumes:
        proof = volume.details.get("proof")
        verdict = proof.get("verdict") if isinstance(proof, dict) else None
        title = volume.details.get("title", "a volume")
        if verdict == "FAILED":
            found.append(f"{title}: its proof FAILED when it was made: {proof.get('text') if proof else ''}")
        elif verdict in (None, "NOT-VERIFIED"):
            found.append(f"{title}: was never proven (it was not read back when it was made).")
    return found
