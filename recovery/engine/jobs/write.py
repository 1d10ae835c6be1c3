"""The common course of restore and clone: blank, copy, check, and the partition table last of all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from formats.base.errors import RecoveryError
from formats.base.extent import ExtentList
from formats.base.problem import Problem, Severity
from recovery.engine.device import WriteTicket, open_target
from recovery.engine.device_target import DeviceTarget
from recovery.engine.events import Outcome, StepProgress
from recovery.engine.identity import ABSENT
from recovery.engine.imprint import Imprinter, copy_areas
from recovery.engine.job import Job
from recovery.engine.plan import Placement, Plan, WriteWork
from recovery.engine.report import VolumeResult
from recovery.engine.sysblock import PartitionNode

_LOST_NAMED = 1000

# Copies one volume to the imprinter; what of it is gone (bytes of the volume).
Feed = Callable[[Placement, Imprinter, StepProgress], ExtentList]


def run_write(plan: Plan[Any], job: Job, work: WriteWork, feed: Feed, read_area: Callable[[int, int], bytes]) -> None:
    """Run the steps that planners.writing.write_steps() listed. `read_area(offset, length)`: bytes of the source disk.

    Raises RecoveryError; the target then has no partition table and no boot sectors, and looks blank.
    """
    if plan.target is None:
        raise RuntimeError("a plan that writes needs a target")
    fresh = plan.target.kind == ABSENT
    try:
        _write(plan, job, work, feed, read_area, fresh)
    except BaseException:
        if fresh:  # we made it, and it is not what it should be
            Path(plan.target.path).unlink(missing_ok=True)
        raise


def _write(
    plan: Plan[Any], job: Job, work: WriteWork, feed: Feed, read_area: Callable[[int, int], bytes], fresh: bool
) -> None:
    if plan.target is None:
        raise RuntimeError("a plan that writes needs a target")
    with open_target(WriteTicket(plan.target, plan.plan_id), create_size=work.create_size) as target:
        imprinter = Imprinter(target, fresh=fresh, keep_ledger=work.verify)
        try:
            _blank(job, work, target, imprinter, fresh)
            lost = [_copy(job, placement, imprinter, feed) for placement in work.placements]
            with job.step():
                whole = Placement(0, 0, 0, target.size, target.size, work.areas.total, "table and boot areas")
                lost.append(copy_areas(read_area, work.areas, imprinter, whole))
                imprinter.settle()
                if len(lost[-1]):
                    _result(job, whole, lost[-1])
            if work.verify:
                with job.step() as progress:
                    imprinter.check(progress, job.cancel)
            job.report.checked = work.verify
            with job.step():
                _write_table(job, work, target)
        finally:
            imprinter.close()
        job.report.numbers["written_bytes"] = imprinter.written
        job.report.paths.append(target.name)
    job.report.outcome = Outcome.LOSSES if any(len(x) for x in lost) else Outcome.OK


def _blank(job: Job, work: WriteWork, target: DeviceTarget, imprinter: Imprinter, fresh: bool) -> None:
    with job.step():
        if not fresh:
            for start, end in work.wipe:
                target.zero(start, end - start)
            target.flush()
        for placement in work.placements:
            imprinter.prepare(placement, work.unused)
        if not fresh:
            # Discarding may bring anything back: what must look blank is blanked behind it.
            for start, end in work.wipe:
                target.zero(start, end - start)
            target.flush()


def _copy(job: Job, placement: Placement, imprinter: Imprinter, feed: Feed) -> ExtentList:
    with job.step() as progress:
        lost = feed(placement, imprinter, progress)
    _result(job, placement, lost)
    return lost


def _result(job: Job, placement: Placement, lost: ExtentList) -> None:
    result = VolumeResult(placement.title, placement.number, "", placement.image_bytes)
    if len(lost):
        result.lost = [(e.start, e.end) for _, e in zip(range(_LOST_NAMED), lost, strict=False)]
        result.lost_bytes = lost.total
        result.proof = "WITH LOSSES"
        text = f"{lost.total} bytes in {len(lost)} places are lost. They stand as zeros on the target."
        job.problem(placement.title, Problem(Severity.ERROR, "restore.lost", text, next(iter(lost)).start))
    else:
        result.proof = "complete"
    job.report.volumes.append(result)


def _write_table(job: Job, work: WriteWork, target: DeviceTarget) -> None:
    for write in work.table:
        if write is work.table[-1]:
            target.flush()  # everything else first: sector 0 is the commit
        target.write_at(write.offset, write.data)
    target.flush()
    if work.table:
        try:
            target.reread_table([PartitionNode("", number, start, size) for number, start, size in work.nodes])
        except RecoveryError as error:
            text = f"The system still shows the old partitions: {error} Unplug the disk or restart before using it."
            job.problem(target.name, Problem(Severity.WARNING, "target.table_not_reread", text))
