"""Restore: from the blocks of an archive to a disk, a partition or a file. What does not prove is not written."""

from __future__ import annotations

from collections.abc import Iterator

from formats.archive.opening import open_archive
from formats.archive.reader import ArchiveReader, Entry
from formats.base.errors import Refused
from formats.base.extent import ExtentList
from recovery.engine.events import StepProgress
from recovery.engine.imprint import Imprinter, Piece
from recovery.engine.job import Job
from recovery.engine.jobs.write import run_write
from recovery.engine.pipeline import run_pipeline
from recovery.engine.plan import Placement, Plan, RestoreWork


def run(plan: Plan[RestoreWork], job: Job) -> None:
    """Run an accepted plan. Fills job.report; raises RecoveryError when it could not be completed."""
    work = plan.work
    with open_archive(work.archive) as reader:
        if reader.manifest.archive_id.hex() != work.write.archive_id:
            raise Refused(f"{work.archive} is not the archive that the plan was made for.", "Plan again.")
        for problem in reader.problems:
            job.problem(work.archive, problem)

        def feed(placement: Placement, imprinter: Imprinter, progress: StepProgress) -> ExtentList:
            return _feed(reader, job, placement, imprinter, progress)

        def read_area(offset: int, length: int) -> bytes:
            if work.write.areas_volume is None:
                raise RuntimeError("the plan names no volume for the areas")
            return reader.volume(work.write.areas_volume, strict=True).read_at(offset, length)

        areas = work.write.areas_volume
        gone = reader.unreadable(areas) if areas is not None else ExtentList()
        run_write(plan, job, work.write, feed, read_area, gone)


def _feed(
    reader: ArchiveReader, job: Job, placement: Placement, imprinter: Imprinter, progress: StepProgress
) -> ExtentList:
    step = reader.block_size
    size = placement.size
    per_batch = max(1, job.settings.batch // step)
    held = reader.map(placement.volume)
    lost: list[tuple[int, int]] = [(e.start, e.end) for e in reader.unreadable(placement.volume)]

    def work(batch: list[Entry]) -> list[Piece]:
        return imprinter.write_ahead(placement, _pieces(reader, batch, size))

    def consume(pieces: list[Piece]) -> None:
        for piece in pieces:
            if piece.lost:
                lost.extend(held.overlapping(piece.start, piece.start + piece.length))
            imprinter.put(placement, piece)
        progress.advance(sum(piece.length for piece in pieces))

    run_pipeline(
        _batches(reader.entries(placement.volume), per_batch),
        work,
        consume,
        workers=job.settings.workers,
        cancel=job.cancel,
        on_wait=lambda seconds: job.waiting(f"reading {reader.source.name}", seconds),
    )
    return ExtentList(lost)


def _pieces(reader: ArchiveReader, batch: list[Entry], size: int) -> list[Piece]:
    """Blocks as they are written: never joined with others, for that would copy all of the data once more.

    `size`: bytes of the volume.
    """
    stored = [entry.where for entry in batch if entry.where is not None]
    loaded = iter(reader.load_run(stored) if stored else ())
    pieces = []
    for entry in batch:
        start = entry.block * reader.block_size
        length = min(reader.block_size, size - start)
        if entry.where is None:
            pieces.append(Piece(start, length, None, entry.lost))
            continue
        data = next(loaded)
        if data is None or len(data) != length:
            pieces.append(Piece(start, length, None, lost=True))
        else:
            pieces.append(Piece(start, length, data, digest=entry.where.digest))
    return pieces


def _batches(entries: Iterator[Entry], most: int) -> Iterator[list[Entry]]:
    """Neighbouring blocks together, at most `most`."""
    batch: list[Entry] = []
    for entry in entries:
        if batch and (len(batch) >= most or entry.block != batch[-1].block + 1):
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch
