"""Deleting old archives, one after the other, so that a half-deleted one never looks whole."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path

from formats.base.errors import DeviceError, RecoveryError
from formats.base.problem import Problem, Severity
from recovery.engine.events import Outcome
from recovery.engine.job import Job
from recovery.engine.plan import Plan, PruneWork
from recovery.engine.retention import DELETING, Held, decide, part_files, survey


class Changed(RecoveryError):
    """The folder is not what it was when the plan was made."""

    advice = "Nothing of it was deleted. Start again, and look at the new plan."


def run(plan: Plan[PruneWork], job: Job) -> None:
    """Looks at everything once more, and deletes only what may still go. Fills job.report; raises RecoveryError."""
    work, folder = plan.work, Path(plan.work.folder)
    job.aftermath = "Nothing was deleted."
    for marker in sorted(folder.glob(f"*{DELETING}")):
        name = marker.name.removesuffix(DELETING)
        if fnmatchcase(name, work.pattern) and not marker.with_name(name).exists():
            _remove(marker)  # of a run that was killed: it was accepted then
            job.problem(str(marker), Problem(Severity.INFO, "archive.deleted", "The rest of it is deleted."))
    may_go = _may_go(work, job) if work.delete else {}
    deleted = size = 0
    for path, archive_id in work.delete:
        with job.step():
            item = may_go.get((path, archive_id))
            if item is None:
                raise Changed(f"{path} may not be deleted any more: the folder has changed since the plan was made.")
            try:
                marker = item.path.with_name(item.path.name + DELETING)
                item.path.rename(marker)
                _remove(marker)
            except OSError as error:
                raise DeviceError(path, "delete", 0, 0, error.errno or 0) from error
        deleted, size = deleted + 1, size + item.size
        job.report.numbers = {"deleted_archives": deleted, "deleted_bytes": size}
        job.aftermath = f"{deleted} archives are deleted already."
        job.problem(path, Problem(Severity.INFO, "archive.deleted", f"Deleted; it was made {item.created}."))
    for warning in plan.warnings:
        job.problem(work.folder, Problem(Severity.INFO, "archive.kept", warning))
    job.report.numbers = {"deleted_archives": deleted, "deleted_bytes": size}
    job.report.outcome = Outcome.OK


def _may_go(work: PruneWork, job: Job) -> dict[tuple[str, str], Held]:
    found = survey(Path(work.folder), work.pattern, check=job.cancel.check)
    decision = decide(found, work.keep, protect=[Path(path) for path in work.protect])
    return {(str(item.path), item.archive_id): item for item in decision.delete}


def _remove(marker: Path) -> None:
    """The rest first: as long as the marker is there, a later run can finish it. Raises OSError."""
    for path in reversed(part_files(marker.parent, marker.name.removesuffix(DELETING))):
        path.unlink()
    marker.unlink()
    folder = os.open(marker.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
