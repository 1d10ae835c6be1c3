"""The way of a volume's used bytes from its disk through the pipeline: the same for an archive and for a clone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from formats.base.extent import Extent, ExtentList
from formats.base.source import Window
from recovery.engine.device import DeviceSource
from recovery.engine.events import StepProgress
from recovery.engine.gather import Batch, Reader
from recovery.engine.job import Job
from recovery.engine.pipeline import run_pipeline

R = TypeVar("R")


def read_volume(
    job: Job,
    disk: DeviceSource,
    place: tuple[Extent, str],
    extents: ExtentList,
    progress: StepProgress,
    work: Callable[[Batch], R],
    consume: Callable[[Batch, R], None],
) -> ExtentList:
    """consume(batch, work(batch)) for all blocks that `extents` touch, in their order; `work` runs in the workers.

    `place`: the volume's bytes of `disk`, and what to call it; `extents`: bytes of the volume. Returns what could not
    be read, in bytes of the volume. Raises DeviceError when the disk is gone, and what `work` and `consume` raise.
    """
    extent, title = place
    base = extent.start
    reader = Reader(
        Window(disk, extent, f"{disk.name}, {title}"),
        extents,
        job.settings,
        weak_read=lambda offset, length: disk.read_direct(base + offset, length),
        check_alive=disk.check_present,
        pace=job.throttle.take,
    )
    bad: list[tuple[int, int]] = []

    def done(result: tuple[Batch, R]) -> None:
        batch, made = result
        bad.extend(batch.unreadable)
        consume(batch, made)
        disk.drop_cache(base + batch.start, len(batch.data))
        progress.advance(batch.used)

    run_pipeline(
        reader.batches(),
        lambda batch: (batch, work(batch)),
        done,
        workers=job.settings.workers,
        cancel=job.cancel,
        on_wait=lambda seconds: job.waiting(reader.where, seconds),
    )
    return ExtentList(bad)
