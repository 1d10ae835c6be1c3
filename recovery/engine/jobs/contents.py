"""What goes into an archive, decided from the plan: its volumes, and the manifest as planned."""

from __future__ import annotations

import dataclasses
import platform
import time
from typing import Any

from formats.archive.model import Manifest, VolumeRecord
from formats.base.extent import Extent, ExtentList
from recovery import __version__
from recovery.engine.inspection import VolumeReport
from recovery.engine.job import Job
from recovery.engine.plan import BackupWork, Plan
from recovery.engine.proof import NOT_VERIFIED, Proof


@dataclasses.dataclass(slots=True)
class Captured:
    """One volume of the archive being made. `extent`: bytes of its disk."""

    disk: int
    extent: Extent
    extents: ExtentList
    record: VolumeRecord
    report: VolumeReport | None  # None: the areas outside of the partitions
    title: str
    unreadable: ExtentList = dataclasses.field(default_factory=ExtentList)
    hit: tuple[str, ...] = ()  # files and structures in `unreadable`
    proof: Proof = NOT_VERIFIED

    @property
    def excluded(self) -> ExtentList:
        found = self.report.map.excluded if self.report and self.report.map else ()
        return ExtentList(extent for paging_file in found for extent in paging_file.extents)


def volumes_of(plan: Plan[BackupWork]) -> list[Captured]:
    """In the order of the archive: of each disk the areas outside of its partitions, then its volumes."""
    found = []
    for disk, (_, report, _) in enumerate(plan.work.disks):
        if plan.work.whole_disks and len(report.areas):
            record = VolumeRecord(report.size, report.sector_size, disk, 0, "areas", 0)
            found.append(Captured(disk, Extent(0, report.size), report.areas, record, None, "table and boot areas"))
        for volume in report.volumes:
            if volume.map is None:
                raise RuntimeError("a backup plan needs maps")
            role = "partition" if volume.partition else "whole"
            record = VolumeRecord(
                volume.extent.length, report.sector_size, disk, volume.extent.start, role, volume.number
            )
            found.append(Captured(disk, volume.extent, volume.map.extents, record, volume, volume.title))
    return found


def planned_manifest(plan: Plan[BackupWork], job: Job, archive_id: bytes, volumes: list[Captured]) -> Manifest:
    """As it stands at the head of the archive: nothing is complete yet."""
    disks = tuple(
        {
            "identity": identity.to_json(),
            "size": report.size,
            "sector_size": report.sector_size,
            "whole": plan.work.whole_disks,
            "table": report.table.to_json(),
        }
        for identity, (_, report, _) in zip(plan.sources, plan.work.disks, strict=True)
    )
    details = {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(plan.created)),
        "tool": f"jurymast {__version__}",
        "machine": {"name": platform.node(), "system": f"{platform.system()} {platform.release()}"},
        "consistency": "crash-consistent" if plan.work.live else "offline",
        "complete": False,
    }
    records = tuple(dataclasses.replace(v.record, details=_details(v)) for v in volumes)
    return Manifest(archive_id, job.settings.block_size, disks, records, details)


def _details(volume: Captured) -> dict[str, Any]:
    """What the manifest says of a volume beyond its place."""
    if volume.report is None:
        return {"title": volume.title, "file_system": "", "image_bytes": volume.extents.total}
    body = volume.report.to_json()
    for name in ("number", "start", "size", "left_out"):
        del body[name]
    found = volume.report.map
    body["title"] = volume.title
    body["left_out"] = [
        {
            "path": p.path,
            "reason": "its content is worthless after a restart",
            "extents": [list(e) for e in p.extents],
        }
        for p in (found.excluded if found else ())
    ]
    return body
