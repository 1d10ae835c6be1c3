"""Capturing one volume: its used blocks, read, digested and compressed, into the archive in their order."""

from __future__ import annotations

from formats.archive.record import Encoded, digest_of, encode
from formats.archive.writer import ArchiveWriter
from formats.base.extent import ExtentList
from formats.base.zeros import is_zero
from recovery.engine.device import DeviceSource
from recovery.engine.events import StepProgress
from recovery.engine.gather import Batch
from recovery.engine.job import Job
from recovery.engine.jobs.contents import Captured
from recovery.engine.jobs.reading import read_volume


def capture(
    job: Job, writer: ArchiveWriter, disk: DeviceSource, volume: Captured, progress: StepProgress
) -> ExtentList:
    """Put all of `volume` into `writer`, between begin_volume() and end_volume().

    Returns what could not be read, in bytes of the volume: it stands as zeros. Raises DeviceError when the disk is
    gone, or the destination fails.
    """
    step = job.settings.block_size

    def work(batch: Batch) -> list[tuple[bytes, Encoded | None] | None]:
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
        return done

    def consume(batch: Batch, done: list[tuple[bytes, Encoded | None] | None]) -> None:
        for start, end in batch.unreadable:
            writer.put_unreadable(start, end)
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

    return read_volume(job, disk, (volume.extent, volume.title), volume.extents, progress, work, consume)
