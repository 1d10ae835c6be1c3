"""Backup: capture, read back, prove, commit. The archive gets its name only when all of that was done."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from formats.archive.opening import reader_of, structure_of
from formats.archive.parts import open_files
from formats.archive.reader import ArchiveReader
from formats.archive.sink import FileSink, PipeSink
from formats.archive.verify import verify, verify_tail
from formats.archive.writer import ArchiveWriter
from formats.base.errors import Corrupt, DeviceError, Refused
from formats.base.extent import ExtentList
from formats.base.problem import Problem, Severity
from formats.base.source import Window
from fs.registry import Handling
from recovery.engine.activity import write_mark
from recovery.engine.device import DeviceSource, open_source
from recovery.engine.events import Outcome, Stage
from recovery.engine.identity import DeviceIdentity
from recovery.engine.job import Job
from recovery.engine.jobs.capture import capture
from recovery.engine.jobs.contents import Captured, planned_manifest, volumes_of
from recovery.engine.jobs.judging import Judge
from recovery.engine.owners import WithoutBad, hit_names, lost_in_archive
from recovery.engine.plan import BackupWork, Plan
from recovery.engine.proof import Proof, Verdict, prove_volume
from recovery.engine.report import VolumeResult

_UNREADABLE_NAMED = 1000


def run(plan: Plan[BackupWork], job: Job) -> None:
    """Run an accepted plan. Fills job.report; raises RecoveryError when the archive could not be completed."""
    work = plan.work
    sources: list[DeviceSource] = []
    job.moments.before_freeze()  # does nothing when it was done before the sources were looked at
    try:
        for identity, (path, _, mark) in zip(plan.sources, work.disks, strict=True):
            source = open_source(path, allow_mounted=work.live)
            sources.append(source)
            _same_source(identity, source, mark, work.live)
        for path, report, _ in work.disks:
            for problem in report.table.problems:
                job.problem(path, problem)
        volumes = volumes_of(plan)
        sink = PipeSink(os.dup(1)) if work.archive == "-" else FileSink(Path(work.archive), work.split)
        archive_id = os.urandom(16)
        manifest = planned_manifest(plan, job, archive_id, volumes)
        try:
            writer = ArchiveWriter(sink, manifest)
            _capture_all(job, writer, sources, volumes)
            _name_hit_files(job, writer, sources, volumes)
            changed = _changed_sources(job, work, sources)
            job.moments.after_thaw()
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


def _capture_all(job: Job, writer: ArchiveWriter, sources: list[DeviceSource], volumes: list[Captured]) -> None:
    for number, volume in enumerate(volumes):
        source = sources[volume.disk]
        if volume.report:
            for problem in volume.report.problems:
                job.problem(volume.title, problem)
        with job.step(volume.extents.total) as progress:
            writer.begin_volume(number, volume.extents)
            volume.unreadable = capture(job, writer, source, volume, progress)
            writer.end_volume()
        if len(volume.unreadable):
            text = (
                f"{volume.unreadable.total} bytes in {len(volume.unreadable)} places could not be read. They stand "
                "as zeros in the archive."
            )
            first = next(iter(volume.unreadable)).start
            job.problem(volume.title, Problem(Severity.ERROR, "source.unreadable", text, first))
    writer.end_data()


def _name_hit_files(job: Job, writer: ArchiveWriter, sources: list[DeviceSource], volumes: list[Captured]) -> None:
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


def _read_back(job: Job, writer: ArchiveWriter, volumes: list[Captured]) -> None:
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
        judge = Judge(job.sink, reader.manifest)
        for number, volume in enumerate(volumes):
            judge.stored(number, volume.extents.total, 0)
        with job.step():
            for number, volume in enumerate(volumes):
                judge.tell(number, Stage.PROOF, "", "its file system is being walked")
                proof = volume.proof = _prove(reader, number, volume, job.cancel.check)
                # The large word is for the end: until the archive has its name, it may still come to nothing.
                verdict = "OK" if proof.verdict is Verdict.PROVEN else proof.verdict.value
                judge.tell(number, Stage.PROOF, verdict, proof.text, proof.missing)


def _prove(reader: ArchiveReader, number: int, volume: Captured, check: Callable[[], None]) -> Proof:
    report = volume.report
    mapped = report is not None and report.map is not None and report.map.handling is Handling.MAPPED
    kind = report.content.identity.kind if report else ""
    return prove_volume(
        reader, number, mapped=mapped, kind=kind, excluded=volume.excluded, lost=ExtentList(), check=check
    )


def _finish(job: Job, plan: Plan[BackupWork], writer: ArchiveWriter, volumes: list[Captured], changed: bool) -> None:
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
    if job.moments.results:  # what a database said while it was held, such as a label, is needed for the restore
        details["commands"] = [result.to_json() for result in job.moments.results]
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
