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
from recovery.engine.plan import Plan
from recovery.engine.report import Report
from recovery.engine.settings import Settings

_log = logging.getLogger(__name__)
# Loaded when asked for: a backup need not wait for what only an extraction uses.
_RUNNERS = {name: f"recovery.engine.jobs.{name}" for name in ("backup", "restore", "clone", "verify", "extract")}


def execute(plan: Plan[Any], settings: Settings, sink: EventSink, cancel: CancelToken) -> Report:
    """Run `plan`. Never raises for what goes wrong in the job: the report and the last event say it."""
    started_at = time.time()
    report_id = new_id(plan.job, started_at)
    sink = logged(sink, report_id)
    job = Job(plan, settings, sink, cancel)
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
    report.seconds = time.monotonic() - started
    if plan.job == "backup" and report.outcome in (Outcome.OK, Outcome.LOSSES):
        runner.save_report(job, plan)
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
