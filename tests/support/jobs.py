"""The engine's jobs in this process: quick, and with a hook at every event, where a test can do its mischief."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recovery.cli.exit_codes import ExitCode, exit_code
from recovery.engine.cancel import CancelToken
from recovery.engine.events import Event, StepStarted
from recovery.engine.executor import execute
from recovery.engine.plan import Plan
from recovery.engine.planners.backup import BackupRequest
from recovery.engine.planners.clone import CloneRequest
from recovery.engine.planners.restore import RestoreRequest
from recovery.engine.prepare import plan_verify, prepare_backup, prepare_clone, prepare_restore
from recovery.engine.report import Report
from recovery.engine.settings import Settings

Hook = Callable[[Event], None]


def nothing(event: Event) -> None:
    """No mischief."""


def at_step(words: str, mischief: Callable[[], object]) -> Hook:
    """Do `mischief` once, when the first step begins whose text has `words` in it."""
    left = [mischief]

    def hook(event: Event) -> None:
        if left and isinstance(event, StepStarted) and words in event.text:
            left.pop()()

    return hook


def carry_out(
    plan: Plan[Any], hook: Hook = nothing, *, settings: Settings | None = None, cancel: CancelToken | None = None
) -> tuple[ExitCode, Report]:
    """Execute an accepted plan. The exit code is what the command would end with."""
    report = execute(plan, settings or Settings(), hook, cancel or CancelToken())
    assert "Internal error" not in report.error, report.error
    return exit_code(report), report


def backup(source: Path, archive: Path, hook: Hook = nothing, **wishes: Any) -> tuple[ExitCode, Report]:
    return carry_out(prepare_backup(BackupRequest((str(source),), str(archive), **wishes)), hook)


def restore(archive: Path, target: Path, hook: Hook = nothing, **wishes: Any) -> tuple[ExitCode, Report]:
    return carry_out(prepare_restore(RestoreRequest(str(archive), str(target), **wishes)), hook)


def clone(source: Path, target: Path, hook: Hook = nothing, **wishes: Any) -> tuple[ExitCode, Report]:
    return carry_out(prepare_clone(CloneRequest(str(source), str(target), **wishes)), hook)


def verify(archive: Path) -> tuple[ExitCode, Report]:
    return carry_out(plan_verify(str(archive)))


def told(report: Report) -> str:
    """What a person reads of it."""
    return report.to_text()
