"""The common course of restore and clone: blank, copy, check, and the partition table last of all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from formats.base.errors import Corrupt, RecoveryError
from formats.base.extent import ExtentList
from formats.base.problem import Problem, Severity
from recovery.engine.cancel import CancelToken
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
NOTHING = ExtentList()

# Copies one volume to the imprinter; what of it is gone (bytes of the volume).
Feed = Callable[[Placement, Imprinter, StepProgress], ExtentList]


def run_write(
    plan: Plan[Any],
    job: Job,
    work: WriteWork,
    feed: Feed,
    read_area: Callable[[int, int], bytes],
    areas_gone: ExtentList = NOTHING,
) -> None:
    """Run the steps that planners.writing.write_steps() listed. `read_area(offset, length)`: bytes of the source disk.

    `areas_gone`: bytes of the areas that were lost when the archive was made; they are read as zeros.

    Raises RecoveryError; the target then has no partition table and no boot sectors, and looks blank. What became of
    it is said in job.aftermath.
    """
    if plan.target is None:
        raise RuntimeError("a plan that writes needs a target")
    fresh = plan.target.kind == ABSENT
    with open_target(WriteTicket(plan.target, plan.plan_id), create_size=work.create_size) as target:
        imprinter = Imprinter(target, fresh=fresh, keep_ledger=work.verify)
        try:
            lost = _write(job, work, target, imprinter, feed, read_area, areas_gone, fresh)
        except BaseException:
            if fresh:  # we made it, and it is not what it should be
                with suppress(OSError):
                    Path(plan.target.path).unlink(missing_ok=True)
                job.aftermath = "The file that was begun is removed."
            raise
        finally:
            imprinter.close()
        job.report.numbers["written_bytes"] = imprinter.written
        job.report.paths.append(target.name)
    job.report.outcome = Outcome.LOSSES if any(len(x) for x in lost) else Outcome.OK


def _write(
    job: Job,
    work: WriteWork,
    target: DeviceTarget,
    imprinter: Imprinter,
    feed: Feed,
    read_area: Callable[[int, int], bytes],
    areas_gone: ExtentList,
    fresh: bool,
) -> list[ExtentList]:
    _blank(job, work, target, imprinter, fresh)
    lost = [_copy(job, placement, imprinter, feed) for placement in work.placements]
    if work.table:
        with job.step():
            whole = Placement(0, 0, 0, target.size, target.size, work.areas.total, "table and boot areas")
            found = copy_areas(read_area, work.areas, imprinter, whole)
            lost.append(found.union(areas_gone.intersect(work.areas)))
            if len(lost[-1]):
                _result(job, whole, lost[-1])
    imprinter.flush()
    if work.verify:
        with job.step() as progress:
            imprinter.check(progress, job.cancel)
    job.report.checked = work.verify
    with job.step() as progress:
        try:
            _make_valid(job, work, target, imprinter, progress)
        except BaseException:
            _blank_again(work, target)
            raise
    return lost


def _make_valid(job: Job, work: WriteWork, target: DeviceTarget, imprinter: Imprinter, progress: StepProgress) -> None:
    """From here on it looks whole: everything else is on the medium, and was read back."""
    before = imprinter.count
    imprinter.settle()
    if work.verify:
        imprinter.check(progress, CancelToken(), since=before)  # too late to stop
    _write_table(job, work, target)


def _blank_again(work: WriteWork, target: DeviceTarget) -> None:
    """As good as the medium lets us: what failed at the very end must not look whole."""
    for start, end in work.wipe:
        with suppress(RecoveryError):
            target.zero(start, end - start)
    with suppress(RecoveryError):
        target.flush()


def _blank(job: Job, work: WriteWork, target: DeviceTarget, imprinter: Imprinter, fresh: bool) -> None:
    with job.step():
        if not fresh:
            job.aftermath = (
                "What was on the target is gone, and what was to come is not complete: it has no valid "
                f"{'partition table or ' if work.table else ''}boot sectors now, and looks blank."
            )
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
    for write in work.table if work.verify else ():
        if target.read_at(write.offset, len(write.data)) != write.data:
            raise Corrupt(
                "partition table", write.offset, "what was written cannot be read back", source=target.name,
                advice="The target's medium or cable is not reliable. Use another one.",
            )  # fmt: skip
    if work.table:
        try:
            target.reread_table([PartitionNode("", number, start, size) for number, start, size in work.nodes])
        except RecoveryError as error:
            text = f"The system still shows the old partitions: {error} Unplug the disk or restart before using it."
            job.problem(target.name, Problem(Severity.WARNING, "target.table_not_reread", text))
