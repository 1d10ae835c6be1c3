"""Extract: files of a volume into a folder, a tar or a zip; everything that did not arrive whole is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from formats.base.errors import DeviceError, Refused
from formats.base.problem import Problem, Severity
from formats.base.units import in_words
from fs.walk import shown
from recovery.engine.browse import open_volume, split_address
from recovery.engine.events import Outcome
from recovery.engine.extract import Destination, Extraction
from recovery.engine.extract_folder import Folder
from recovery.engine.extract_notes import Loss, Tally
from recovery.engine.extract_stream import Tar, Zip
from recovery.engine.inventory import holds_path
from recovery.engine.job import Job
from recovery.engine.places import free_below
from recovery.engine.plan import Plan, Step, now

_NAMED = 3  # paths in a title; there may be thousands


class Form(StrEnum):
    FOLDER = "folder"
    TAR = "tar"
    ZIP = "zip"


@dataclass(frozen=True, slots=True)
class ExtractWork:
    """`paths`: in the volume. `target`: a folder, or the tar or zip ('-' for standard output).

    `windows_names`: None means as the target needs it. `folders`: several paths keep the folders that they lie in.
    """

    source: str
    paths: tuple[str, ...]
    target: str
    form: Form = Form.FOLDER
    overwrite: bool = False
    windows_names: bool | None = None
    folders: bool = False


def plan_extract(work: ExtractWork, content_bytes: int = 0) -> Plan[ExtractWork]:
    """Nothing that exists is lost by it, unless `overwrite` says so. `content_bytes`: of the files, 0 if not known."""
    more = len(work.paths) - _NAMED
    what = ", ".join(shown(path) for path in work.paths[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    title = f"Extract {what} of {work.source} into {work.target}"
    room = free_below(work.target) if work.target != "-" else None
    warnings = []
    if room is not None and content_bytes > room:
        warnings.append(
            f"The files have {in_words(content_bytes)}, and only {in_words(room)} are free there: they may not fit."
        )
    if _on_source(work):
        warnings.append("The target lies on the disk that is read. If that disk is failing, choose a place on another.")
    if work.overwrite:
        warnings.append("Files that exist there already under the same names are replaced.")
    step = Step("Copy the files", content_bytes)
    return Plan("extract", title, (), None, (step,), (), tuple(warnings), work, now())


def _on_source(work: ExtractWork) -> bool:
    """Whether the target lies on the disk that is read."""
    source, _ = split_address(work.source)
    return work.target != "-" and Path(source).is_block_device() and holds_path(source, work.target)


def run(plan: Plan[ExtractWork], job: Job) -> None:
    """Fills job.report; raises RecoveryError when it could not go on."""
    work = plan.work

    def lost(loss: Loss) -> None:
        job.problem(shown(loss.path), Problem(Severity.ERROR, loss.code, loss.text))

    with open_volume(work.source) as volume, job.step() as progress:
        tally = Tally(on_loss=lost, advance=progress.advance)
        try:
            with _destination(work) as destination:
                extraction = Extraction(
                    volume.tree, destination, tally, job.cancel.check, volume.place.left_out(volume.info)
                )
                if work.folders:
                    extraction.take_with_folders(work.paths)
                else:
                    for path in work.paths:
                        extraction.take(path)
        finally:
            _tell(job, tally)
        for problem in volume.tree.problems:
            job.problem(volume.info.title, problem)
    job.report.outcome = Outcome.LOSSES if tally.loss_count else Outcome.OK


def _tell(job: Job, tally: Tally) -> None:
    for path, name, reason in tally.renamed:
        job.problem(shown(path), Problem(Severity.WARNING, "extract.renamed", f"stored as {shown(name)}: {reason}"))
    for what, entry in sorted(tally.unkept.items()):
        text = f"not kept for {entry.count} of them: {what} (such as {', '.join(map(shown, entry.examples))})"
        job.problem("files", Problem(Severity.INFO, "extract.not_kept", text))
    job.report.numbers = {
        "files": tally.files,
        "directories": tally.directories,
        "links": tally.links,
        "content_bytes": tally.bytes,
        "renamed": tally.renamed_count,
        "not_whole": tally.loss_count,
    }


@contextmanager
def _destination(work: ExtractWork) -> Iterator[Destination]:
    if work.form is Form.FOLDER:
        with Folder(Path(work.target), overwrite=work.overwrite, windows=work.windows_names) as folder:
            yield folder
        return
    with _output(work.target, overwrite=work.overwrite) as file:
        made = Tar(file, work.target) if work.form is Form.TAR else Zip(file, work.target)
        yield made
        made.close()


@contextmanager
def _output(target: str, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Standard output, or a file that gets its name when it is complete."""
    if target == "-":
        try:
            with os.fdopen(os.dup(1), "wb") as pipe:
                yield pipe
        except OSError as error:
            raise DeviceError("standard output", "write", 0, 0, error.errno or 0) from error
        return
    final = Path(target)
    if final.exists() and not overwrite:
        raise Refused(f"{target} exists already.", "Choose another name, or use --overwrite.")
    temporary = final.with_name(f"{final.name}.{os.getpid()}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    except OSError as error:
        raise DeviceError(target, "write", 0, 0, error.errno or 0) from error
    finally:
        temporary.unlink(missing_ok=True)
