"""Clone: the used blocks of one disk or partition straight to another, with no archive between."""

from __future__ import annotations

from itertools import groupby

from formats.base.errors import DeviceError, Refused
from formats.base.extent import ExtentList
from formats.base.problem import Problem, Severity
from formats.base.zeros import is_zero
from recovery.engine.activity import write_mark
from recovery.engine.device import open_source
from recovery.engine.events import Outcome, StepProgress
from recovery.engine.gather import Batch
from recovery.engine.imprint import MAX_SECTOR, Imprinter, Piece
from recovery.engine.job import Job
from recovery.engine.jobs.reading import read_volume
from recovery.engine.jobs.write import run_write
from recovery.engine.plan import CloneWork, Placement, Plan


def run(plan: Plan[CloneWork], job: Job) -> None:
    """Run an accepted plan. Fills job.report; raises RecoveryError when it could not be completed."""
    work = plan.work
    with open_source(work.source, allow_mounted=work.live) as disk:
        moved = plan.sources[0].differences(disk.identity)
        if not moved and not work.live and write_mark(disk.identity) != work.mark:
            moved = ["it was written to"]
        if moved:
            raise Refused(f"{work.source} is not what was inspected: {'; '.join(moved)}.", "Plan again.")

        for problem in work.report.table.problems:
            job.problem(work.source, problem)

        def feed(placement: Placement, imprinter: Imprinter, progress: StepProgress) -> ExtentList:
            volume = work.report.volumes[placement.volume]
            if volume.map is None:
                raise RuntimeError("a clone plan needs maps")
            for problem in volume.problems:
                job.problem(placement.title, problem)

            def copy(batch: Batch) -> list[Piece]:
                return imprinter.write_ahead(placement, _pieces(batch, job.settings.block_size))

            def consume(batch: Batch, pieces: list[Piece]) -> None:
                for piece in pieces:
                    imprinter.put(placement, piece)

            return read_volume(job, disk, (volume.extent, placement.title), volume.map.extents, progress, copy, consume)

        def read_area(offset: int, length: int) -> bytes:
            try:
                return disk.read_at(offset, length) if length > MAX_SECTOR else disk.read_direct(offset, length)
            except DeviceError:
                disk.check_present()
                raise

        run_write(plan, job, work.write, feed, read_area)
        if not work.live and write_mark(disk.identity) != work.mark:
            text = "Somebody wrote to it while it was copied: the copy mixes two states. Make it again."
            job.problem(work.source, Problem(Severity.ERROR, "source.changed", text))
            job.report.outcome = Outcome.LOSSES


def _pieces(batch: Batch, step: int) -> list[Piece]:
    """Neighbouring blocks of zeros, and of data, as one piece each."""
    out: list[Piece] = []
    runs = [(at, is_zero(batch.data[at : at + step])) for at in range(0, len(batch.data), step)]
    for zero, group in groupby(runs, key=lambda run: run[1]):
        blocks = [at for at, _ in group]
        start, end = blocks[0], min(blocks[-1] + step, len(batch.data))
        whole = start == 0 and end == len(batch.data)
        data = None if zero else batch.data if whole else batch.data[start:end]
        out.append(Piece(batch.start + start, end - start, data))
    return out
