"""Backup: capture, read back, prove, commit. The archive gets its name only when all of that was done."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from formats.archive.model import Manifest, VolumeRecord
from formats.archive.opening import reader_of, structure_of
from formats.archive.parts import open_files
from formats.archive.reader import ArchiveReader
from formats.archive.record import Encoded, digest_of, encode
from formats.archive.sink import FileSink, PipeSink
from formats.archive.verify import verify, verify_tail
from formats.archive.writer import ArchiveWriter
from formats.base.errors import Corrupt, DeviceError, Refused
from formats.base.extent import Extent, ExtentList
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource, Window
from formats.base.zeros import is_zero
from fs.registry import Handling
from recovery import __version__
from recovery.engine.activity import write_mark
from recovery.engine.device import DeviceSource, open_source
from recovery.engine.events import Outcome, StepProgress
from recovery.engine.gather import Batch, Reader
from recovery.engine.identity import DeviceIdentity
from recovery.engine.inspection import VolumeReport
from recovery.engine.job import Job
from recovery.engine.owners import WithoutBad, hit_names, lost_in_archive
from recovery.engine.pipeline import run_pipeline
from recovery.engine.plan import BackupWork, Plan
from recovery.engine.proof import NOT_VERIFIED, Proof, Verdict, prove_volume
from recovery.engine.report import VolumeResult

_UNREADABLE_NAMED = 1000


@dataclasses.dataclass(slots=True)
class _Volume:
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


def run(plan: Plan[BackupWork], job: Job) -> None:
    """Run an accepted plan. Fills job.report; raises RecoveryError when the archive could not be completed."""
    work = plan.work
    sources: list[DeviceSource] = []
    try:
        for identity, (path, _, mark) in zip(plan.sources, work.disks, strict=True):
            source = open_source(path, allow_mounted=work.live)
            sources.append(source)
            _same_source(identity, source, mark, work.live)
        for path, report, _ in work.disks:
            for problem in report.table.problems:
                job.problem(path, problem)
        volumes = _volumes(plan)
        sink = PipeSink(os.dup(1)) if work.archive == "-" else FileSink(Path(work.archive), work.split)
        archive_id = os.urandom(16)
        manifest = _manifest(plan, job, archive_id, volumes)
        try:
            writer = ArchiveWriter(sink, manifest)
            _capture_all(job, writer, sources, volumes)
            _name_hit_files(job, writer, sources, volumes)
            changed = _changed_sources(job, work, sources)
            if work.verify and sink.readable:
                _read_back(job, writer, volumes)
            else:
                job.report.checked = False
            with job.step():
                _finish(job, plan, writer, volumes, changed)
        except BaseException as error:
            if isinstance(error, DeviceError) and error.device in {s.name for s in sources} and sink.partial_paths():
                # What a dying disk gave may be all that is left of it; it keeps its temporary name.
                sink.keep()
                kept = [str(p) for p in sink.partial_paths()]
                job.report.paths += kept
                job.aftermath = (
                    f"What was read until then is kept as {', '.join(kept)}: it is not a complete archive, "
                    "but what it holds can be restored."
                )
            else:
                sink.abort()
                if sink.readable:
                    job.aftermath = "Nothing was left behind."
            raise
    finally:
        for source in sources:
            source.close()


def _same_source(identity: DeviceIdentity, source: DeviceSource, mark: tuple[int, ...], live: bool) -> None:
    moved = identity.differences(source.identity)
    if not moved and not live and write_mark(source.identity) != mark:
        moved = ["it was written to"]
    if moved:
        raise Refused(f"{source.name} is not what was inspected any more: {'; '.join(moved)}.", "Start again.")


def _volumes(plan: Plan[BackupWork]) -> list[_Volume]:
    found = []
    for disk, (_, report, _) in enumerate(plan.work.disks):
        if plan.work.whole_disks and len(report.areas):
            record = VolumeRecord(report.size, report.sector_size, disk, 0, "areas", 0)
            found.append(_Volume(disk, Extent(0, report.size), report.areas, record, None, "table and boot areas"))
        for volume in report.volumes:
            if volume.map is None:
                raise RuntimeError("a backup plan needs maps")
            role = "partition" if volume.partition else "whole"
            record = VolumeRecord(
                volume.extent.length, report.sector_size, disk, volume.extent.start, role, volume.number
            )
            found.append(_Volume(disk, volume.extent, volume.map.extents, record, volume, volume.title))
    return found


def _manifest(plan: Plan[BackupWork], job: Job, archive_id: bytes, volumes: list[_Volume]) -> Manifest:
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


def _details(volume: _Volume) -> dict[str, Any]:
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


def _capture_all(job: Job, writer: ArchiveWriter, sources: list[DeviceSource], volumes: list[_Volume]) -> None:
    for number, volume in enumerate(volumes):
        source = sources[volume.disk]
        window = Window(source, volume.extent, f"{source.name}, {volume.title}")
        if volume.report:
            for problem in volume.report.problems:
                job.problem(volume.title, problem)
        with job.step(volume.extents.total) as progress:
            writer.begin_volume(number, volume.extents)
            volume.unreadable = _capture(job, writer, window, source, volume, progress)
            writer.end_volume()
        if len(volume.unreadable):
            text = (
                f"{volume.unreadable.total} bytes in {len(volume.unreadable)} places could not be read. They stand "
                "as zeros in the archive."
            )
            first = next(iter(volume.unreadable)).start
            job.problem(volume.title, Problem(Severity.ERROR, "source.unreadable", text, first))
    writer.end_data()


def _name_hit_files(job: Job, writer: ArchiveWriter, sources: list[DeviceSource], volumes: list[_Volume]) -> None:
    """Which files lie in what could not be read. From the archive where that is possible: the disk is weak enough."""
    hit = [(n, v) for n, v in enumerate(volumes) if len(v.unreadable) and v.report is not None]
    if hit and writer.sink.readable:
        with reader_of(writer) as reader:
            for number, volume in hit:
                volume.hit = lost_in_archive(reader, number, volume.unreadable, job.cancel.check)
        return
    for _, volume in hit:
        window = WithoutBad(Window(sources[volume.disk], volume.extent), volume.unreadable)
        volume.hit = hit_names(window, volume.unreadable, job.cancel.check)


def _changed_sources(job: Job, work: BackupWork, sources: list[DeviceSource]) -> bool:
    """True when somebody wrote to a source that was meant to stand still."""
    changed = False
    for source, (path, _, mark) in zip(sources, work.disks, strict=True):
        if not work.live and write_mark(source.identity) != mark:
            changed = True
            text = "Somebody wrote to it while it was imaged: the image mixes two states. Make it again."
            job.problem(path, Problem(Severity.ERROR, "source.changed", text))
    return changed


def _capture(
    job: Job,
    writer: ArchiveWriter,
    window: BlockSource,
    disk: DeviceSource,
    volume: _Volume,
    progress: StepProgress,
) -> ExtentList:
    step = job.settings.block_size
    base = volume.extent.start

    reader = Reader(
        window,
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


def _read_back(job: Job, writer: ArchiveWriter, volumes: list[_Volume]) -> None:
    with reader_of(writer) as reader:
        with job.step(reader.source.size) as progress:

            def reached(offset: int) -> None:
                job.cancel.check()
                progress.reach(offset)

            result = verify(reader, workers=job.settings.workers, progress=reached, footer=False)
            if not result.good:
                first = result.damage[0] if result.damage else None
                raise Corrupt(
                    "archive",
                    first.start if first else 0,
                    f"what was written cannot be read back ({result.damage_count} places): "
                    f"{first.reason if first else 'blocks are missing'}",
                    source=reader.source.name,
                    advice="The destination's medium or cable is not reliable. Use another one.",
                )
        with job.step():
            for number, volume in enumerate(volumes):
                volume.proof = _prove(reader, number, volume, job.cancel.check)


def _prove(reader: ArchiveReader, number: int, volume: _Volume, check: Callable[[], None]) -> Proof:
    report = volume.report
    mapped = report is not None and report.map is not None and report.map.handling is Handling.MAPPED
    kind = report.content.identity.kind if report else ""
    return prove_volume(
        reader, number, mapped=mapped, kind=kind, excluded=volume.excluded, lost=ExtentList(), check=check
    )


def _finish(job: Job, plan: Plan[BackupWork], writer: ArchiveWriter, volumes: list[_Volume], changed: bool) -> None:
    report = job.report
    for volume in volumes:
        result = VolumeResult(
            volume.title,
            volume.record.number,
            volume.report.content.identity.kind if volume.report else "",
            volume.extents.total,
            volume.proof.verdict.value,
            volume.proof.text,
            volume.hit or volume.proof.missing,
            [(e.start, e.end) for _, e in zip(range(_UNREADABLE_NAMED), volume.unreadable, strict=False)],
            volume.unreadable.total,
            tuple(p.path for p in volume.report.map.excluded) if volume.report and volume.report.map else (),
        )
        report.volumes.append(result)
    failed = changed or any(v.proof.verdict is Verdict.FAILED or len(v.unreadable) for v in volumes)
    report.outcome = Outcome.LOSSES if failed else Outcome.OK
    totals = writer.totals
    report.numbers = {
        "used_bytes": sum(v.extents.total for v in volumes),
        "stored_blocks": totals.blocks,
        "stored_bytes": totals.stored,
        "equal_blocks": totals.references,
        "zero_blocks": totals.zero,
    }
    records = tuple(
        dataclasses.replace(
            record,
            details={
                **record.details,
                "proof": volume.proof.to_json(),
                "unreadable_bytes": volume.unreadable.total,
                "hit": list(volume.hit),
            },
        )
        for record, volume in zip(writer.manifest.volumes, volumes, strict=True)
    )
    details = {
        **writer.manifest.details,
        "complete": True,
        "outcome": report.outcome.value,
        "numbers": report.numbers,
        "problems": [{"subject": s, **p.to_json()} for s, p in report.problems],
    }
    writer.write_tail(dataclasses.replace(writer.manifest, volumes=records, details=details))
    report.numbers["archive_bytes"] = writer.sink.position
    if not writer.sink.readable:
        return
    with open_files(writer.sink.name, writer.sink.partial_paths()) as written:
        damage = verify_tail(written, writer.last_checkpoint, writer.manifest.archive_id)
        structure = structure_of(written)
        if damage or structure.problems or not structure.complete:
            reason = damage[0].reason if damage else "it does not open as it was written"
            raise Corrupt("archive", writer.last_checkpoint, f"its end cannot be read back: {reason}")
    writer.commit()
    report.paths.append(plan.work.archive)


def save_report(job: Job, plan: Plan[BackupWork]) -> None:
    """Beside the archive, as good as can be: a full disk must not turn a good archive into a failed one."""
    if plan.work.archive == "-":
        return
    try:
        job.report.save_beside(Path(plan.work.archive))
    except OSError as error:
        problem = Problem(Severity.WARNING, "report.not_saved", f"The report could not be saved beside it: {error}")
        job.problem("report", problem)
