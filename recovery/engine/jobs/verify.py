"""Verify: read a whole archive, list what is damaged and lost, and walk its file systems again."""

from __future__ import annotations

import time

from formats.archive.opening import open_archive
from formats.archive.reader import ArchiveReader
from formats.archive.verify import verify
from formats.base.errors import Cancelled, Corrupt, RecoveryError
from formats.base.extent import Extent, ExtentList
from formats.base.problem import Problem, Severity
from fs.trees import open_tree
from recovery.engine.browse import TREE_KINDS
from recovery.engine.events import EVENTS_PER_SECOND, Outcome, Stage, StepProgress
from recovery.engine.filecheck import FileCheck, check_files
from recovery.engine.held import HeldVolume
from recovery.engine.job import Job
from recovery.engine.jobs.judging import Judge
from recovery.engine.owners import lost_in_archive
from recovery.engine.plan import Plan, VerifyWork
from recovery.engine.proof import Verdict, prove_volume
from recovery.engine.report import VolumeResult

_DAMAGE_NAMED = 100
_LOST_NAMED = 1000


def run(plan: Plan[VerifyWork], job: Job) -> None:
    """Fills job.report; raises RecoveryError when the archive cannot be opened at all."""
    archive = plan.work.archive
    try:
        reader = open_archive(archive)
    except Corrupt:
        job.report.damaged_archive = True
        raise
    with reader:
        for problem in reader.problems:
            job.problem(archive, problem)
        judge = Judge(job.sink, reader.manifest)
        for number in range(len(reader.manifest.volumes)):
            judge.tell(number, Stage.STORED, "", "its stored blocks are being read")
        with job.step(reader.source.size) as progress:

            def reached(offset: int) -> None:
                job.cancel.check()
                progress.reach(offset)

            result = verify(reader, workers=job.settings.workers, progress=reached)
        for damage in result.damage[:_DAMAGE_NAMED]:
            text = f"Archive bytes {damage.start} to {damage.end}: {damage.reason}"
            job.problem(archive, Problem(Severity.ERROR, "archive.damaged", text, damage.start))
        for number in range(len(reader.manifest.volumes)):
            judge.stored(number, reader.map(number).total, result.lost.get(number, ExtentList()).total)
        with job.step():
            for number in range(len(reader.manifest.volumes)):
                judge.tell(number, Stage.PROOF, "", "its file system is being walked")
                found = _volume(reader, number, result.lost.get(number, ExtentList()), job)
                judge.tell(number, Stage.PROOF, found.proof, found.text, found.missing)
                job.report.volumes.append(found)
        faults = 0
        if plan.work.files:
            with job.step() as progress:
                for number, volume in enumerate(job.report.volumes):
                    faults += _files(reader, number, volume, job, progress, judge)
    report = job.report
    report.numbers = {
        "records": result.records,
        "checked_bytes": result.checked_bytes,
        "damaged_places": result.damage_count,
        "lost_bytes": sum(x.total for x in result.lost.values()),
    }
    report.damaged_archive = not result.good or not reader.structure.complete
    if report.damaged_archive:
        report.outcome = Outcome.FAILED
        report.error = f"{result.damage_count} places of the archive are damaged or missing."
        if not report.numbers["lost_bytes"]:
            report.error += " Nothing of the data is lost: what was hit exists twice."
        report.advice = "Restore what is left, make a new backup, and do not trust the medium that it was on."
    elif faults or any(v.proof == Verdict.FAILED for v in report.volumes):
        report.outcome = Outcome.LOSSES
    else:
        report.outcome = Outcome.OK


def _files(
    reader: ArchiveReader, number: int, volume: VolumeResult, job: Job, progress: StepProgress, judge: Judge
) -> int:
    """Read every file of a volume from the archive; how many faults were found."""
    if volume.file_system not in TREE_KINDS:
        return 0
    record = reader.manifest.volumes[number]
    source = HeldVolume(reader, number, lenient=True)
    try:
        tree = open_tree(source)
    except Cancelled:
        raise
    except RecoveryError as error:
        text = f"Its files cannot be read: {error}"
        job.problem(volume.title, Problem(Severity.ERROR, "files.unreadable", text))
        judge.tell(number, Stage.FILES, "FAILED", text)
        return 1
    source.lenient = False
    told = 0.0

    def fault(text: str) -> None:
        job.problem(volume.title, Problem(Severity.ERROR, "files.fault", text))

    found = FileCheck(on_fault=fault)

    def advance(count: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= 1 / EVENTS_PER_SECOND:
            told = now
            judge.tell(number, Stage.FILES, "", f"{found.files} files read so far, {found.fault_count} faults")
        progress.advance(count)

    check_files(
        tree,
        left_out=excluded_of(record.details, record.size),
        check=job.cancel.check,
        advance=advance,
        result=found,
    )
    volume.files = found.files
    volume.text = f"{volume.text} {found.to_text()}".strip()
    for text in found.notes:
        job.problem(volume.title, Problem(Severity.INFO, "files.not_here", text))
    judge.tell(number, Stage.FILES, "FAILED" if found.fault_count else "OK", found.to_text(), tuple(found.faults))
    return found.fault_count


def _volume(reader: ArchiveReader, number: int, lost: ExtentList, job: Job) -> VolumeResult:
    record = reader.manifest.volumes[number]
    details = record.details
    proof = prove_volume(
        reader,
        number,
        mapped=details.get("handling") == "mapped",
        kind=str(details.get("file_system", "")),
        excluded=excluded_of(details, record.size),
        lost=lost,
        check=job.cancel.check,
    )
    missing = proof.missing
    if len(lost):
        missing += lost_in_archive(reader, number, lost, job.cancel.check)
    return VolumeResult(
        str(details.get("title", f"volume {number}")),
        record.number,
        str(details.get("file_system", "")),
        reader.map(number).total,
        proof.verdict.value,
        proof.text,
        missing,
        [(e.start, e.end) for _, e in zip(range(_LOST_NAMED), lost, strict=False)],
        lost.total,
    )


def excluded_of(details: dict[str, object], size: int) -> ExtentList:
    """The extents of the files that were left out, from the manifest; what leaves the volume is ignored."""
    found: list[Extent] = []
    files = details.get("left_out")
    for file in files if isinstance(files, list) else []:
        extents = file.get("extents") if isinstance(file, dict) else None
        for pair in extents if isinstance(extents, list) else []:
            if isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, int) for n in pair):
                start, end = pair
                if 0 <= start < end <= size:
                    found.append(Extent(start, end))
    return ExtentList(found)
