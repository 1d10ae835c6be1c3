"""Capturing one volume: its used blocks, read, digested and compressed, into the archive in their order."""

from __future__ import annotations

from formats.archive.record import Encoded, digest_of, encode
from formats.archive.writer import ArchiveWriter
from formats.base.extent import ExtentList
from formats.base.source import Window
from formats.base.zeros import is_zero
from recovery.engine.device import DeviceSource
from recovery.engine.events import StepProgress
from recovery.engine.gather import Batch, Reader
from recovery.engine.job import Job
from recovery.engine.jobs.contents import Captured
from recovery.engine.pipeline import run_pipeline


def capture(
    job: Job, writer: ArchiveWriter, disk: DeviceSource, volume: Captured, progress: StepProgress
) -> ExtentList:
    """Put all of `volume` into `writer`, between begin_volume() and end_volume().

    Returns what could not be read, in bytes of the volume: it stands as zeros. Raises DeviceError when the disk is
    gone, or the destination fails.
    """
    step = job.settings.block_size
    base = volume.extent.start
    reader = Reader(
        Window(disk, volume.extent, f"{disk.name}, {volume.title}"),
        volume.extents,
        job.settings,
        weak_read=lambda offset, length: disk.read_direct(base + offset, length),
        check_alive=disk.check_present,
    )
    bad: list[tuple[int, int]] = []

    def work(batch: Batch) -> tuple[Batch, list[tuple[bytes, Encoded | None] | None]]:
        """Per block: None for zeros, else its digest, and its payload when no equal block is known."""
        done: list[tuple[bytes, Encoded | None] | None] = []
        view = memoryview(batch.data)  # whose slices are no copies
        for at in range(0, len(view), step):
            plain = view[at : at + step]
            if is_zero(plain):
                done.append(None)
                continue
            digest = digest_of(plain)
            payload = None if writer.lookup(digest) else encode(plain, job.settings.level, digest)
            done.append((digest, payload))
        return batch, done

    def consume(result: tuple[Batch, list[tuple[bytes, Encoded | None] | None]]) -> None:
        batch, done = result
        for start, end in batch.unreadable:
            writer.put_unreadable(start, end)
            bad.append((start, end))
        for position, item in enumerate(done):
            block = batch.start // step + position
            if item is None:
                writer.put_zero(block)
                continue
            digest, payload = item
            size = min(step, len(batch.data) - position * step)
            if not writer.put_block(block, size, digest, payload):
                # The equal block was forgotten in between: the table of known blocks is bounded.
                plain = batch.data[position * step : (position + 1) * step]
                writer.put_block(block, size, digest, encode(plain, job.settings.level, digest))
        disk.drop_cache(base + batch.start, len(batch.data))
        progress.advance(batch.used)

    run_pipeline(
        reader.batches(),
        work,
        consume,
        workers=job.settings.workers,
        cancel=job.cancel,
        on_wait=lambda seconds: job.waiting(reader.where, seconds),
    )
    return ExtentList(bad)
