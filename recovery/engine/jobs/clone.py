"""Clone: the used blocks of one disk or partition straight to another, with no archive between."""

from __future__ import annotations

from formats.base.errors import DeviceError, Refused
from formats.base.extent import ExtentList
from formats.base.source import Window
from formats.base.zeros import is_zero
from recovery.engine.device import open_source
from recovery.engine.events import StepProgress
from recovery.engine.gather import Batch, Reader
from recovery.engine.identity import identify
from recovery.engine.imprint import Imprinter, Piece
from recovery.engine.job import Job
from recovery.engine.jobs.write import run_write
from recovery.engine.pipeline import run_pipeline
from recovery.engine.plan import CloneWork, Placement, Plan


def run(plan: Plan[CloneWork], job: Job) -> None:
    """Run an accepted plan. Fills job.report; raises RecoveryError when it could not be completed."""
    work = plan.work
    with open_source(work.source, allow_mounted=work.live) as disk:
        moved = plan.sources[0].differences(identify(work.source))
        if moved:
            raise Refused(f"{work.source} is not what was inspected: {'; '.join(moved)}.", "Plan again.")

        def alive() -> None:
            gone = disk.identity.differences(identify(disk.name))
            if gone:
                raise DeviceError(disk.name, "read", 0, 0, 19, f"The disk is gone: {'; '.join(gone)}")  # ENODEV

        def feed(placement: Placement, imprinter: Imprinter, progress: StepProgress) -> ExtentList:
            volume = work.report.volumes[placement.volume]
            if volume.map is None:
                raise RuntimeError("a clone plan needs maps")
            for problem in volume.problems:
                job.problem(placement.title, problem)
            base = volume.extent.start
            reader = Reader(
                Window(disk, volume.extent, f"{disk.name}, {placement.title}"),
                volume.map.extents,
                job.settings,
                weak_read=lambda offset, length: disk.read_direct(base + offset, length),
                check_alive=alive,
            )
            bad: list[tuple[int, int]] = []

            def consume(found: tuple[Batch, bool]) -> None:
                batch, zero = found
                bad.extend(batch.unreadable)
                imprinter.put(placement, Piece(batch.start, len(batch.data), None if zero else batch.data))
                disk.drop_cache(base + batch.start, len(batch.data))
                progress.advance(batch.used)

            run_pipeline(
                reader.batches(),
                lambda batch: (batch, is_zero(batch.data)),
                consume,
                workers=job.settings.workers,
                cancel=job.cancel,
                on_wait=lambda seconds: job.waiting(reader.where, seconds),
            )
            return ExtentList(bad)

        run_write(plan, job, work.write, feed, disk.read_at)
