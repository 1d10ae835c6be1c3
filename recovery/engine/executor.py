"""Runs an accepted Plan to its end, whatever that end is, and always gives a report."""

from __future__ import annotations

import logging
import time
from importlib import import_module
from typing import Any

from formats.base.errors import Cancelled, RecoveryError, Refused
from formats.base.problem import Problem, Severity
from recovery.engine.cancel import CancelToken
from recovery.engine.eventlog import logged, settle
from recovery.engine.events import EventSink, JobFinished, JobStarted, Outcome
from recovery.engine.job import Job
from recovery.engine.kept import keep, new_id
from recovery.engine.moments.course import Moments
from recovery.engine.plan import Plan
from recovery.engine.report import Report
from recovery.engine.settings import Settings

_log = logging.getLogger(__name__)
# Loaded when asked for: a backup need not wait for what only an extraction uses.
_RUNNERS = {
    name: f"recovery.engine.jobs.{name}" for name in ("backup", "restore", "clone", "verify", "extract", "prune")
}


def execute(
    plan: Plan[Any], settings: Settings, sink: EventSink, cancel: CancelToken, moments: Moments | None = None
) -> Report:
    """Run `plan`. Never raises for what goes wrong in the job: the report and the last event say it.

    `moments`: the user's commands; whatever of them is due by then is run before this returns.
    """
    started_at = time.time()
    report_id = new_id(plan.job, started_at)
    sink = logged(sink, report_id)
    job = Job(plan, settings, sink, cancel, moments)
    report = job.report
    report.started, report.report_id = started_at, report_id
    runner = import_module(_RUNNERS[plan.job])
    sink(JobStarted(plan.job, plan.title, plan.plan_id))
    started = time.monotonic()
    try:
        runner.run(plan, job)
    except Cancelled as error:
        report.outcome, report.error = Outcome.CANCELLED, str(error)
    except Refused as error:
        report.outcome, report.error, report.advice = Outcome.REFUSED, str(error), error.advice
    except RecoveryError as error:
        report.outcome, report.error, report.advice = Outcome.FAILED, str(error), error.advice
    except Exception as error:
        # A fault of ours must not look like success, nor take the face down with it.
        _log.exception("internal error")
        report.outcome = Outcome.FAILED
        report.error = f"Internal error: {type(error).__name__}: {error}"
        report.advice = "This is a fault of Jurymast. Please report it with the log."
    if report.outcome in (Outcome.FAILED, Outcome.CANCELLED, Outcome.REFUSED):
        report.checked = False
        if report.outcome is Outcome.REFUSED and plan.destructive and job.aftermath:
            report.outcome = Outcome.FAILED  # something was changed before
        report.aftermath = job.aftermath or ("The target was not changed." if plan.destructive else "")
        job.moments.note(report.outcome.value, report.error)
    job.moments.after_thaw()  # where the job did not come to it
    _tell_commands(job)
    report.seconds = time.monotonic() - started
    done = plan.job == "backup" and report.outcome in (Outcome.OK, Outcome.LOSSES, Outcome.COMMAND_FAILED)
    if done:
        runner.save_report(job, plan)
    job.moments.after_backup(report)
    if job.moments.options.after_backup:
        _tell_commands(job)
        if done:
            runner.save_report(job, plan)  # once more, with what that command said
    _keep(job)
    sink(JobFinished(report.outcome, report.to_json()))
    settle()
    return report


def _keep(job: Job) -> None:
    """In the state folder, beside whatever was saved elsewhere: no medium of an archive is written to for it."""
    reason = keep(job.report)
    if reason:
        text = f"The report could not be kept for later: {reason}"
        job.problem("report", Problem(Severity.INFO, "report.not_kept", text))


def _tell_commands(job: Job) -> None:
    """What became of the user's commands, into the report. A failed one spoils a good outcome, and no archive."""
    report, known = job.report, len(job.report.commands)
    report.job_id = job.moments.facts.job_id if job.moments.results else ""
    report.commands = list(job.moments.results)
    for result in report.commands[known:]:
        if not result.ok:
            job.problem(
                result.text, Problem(Severity.ERROR, "command.failed", f"{result.moment.value}: {result.error}")
            )
            if report.outcome is Outcome.OK:
                report.outcome = Outcome.COMMAND_FAILED
