"""Exit codes of the command. Documented in the README; scripts rely on them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from recovery.engine.events import Outcome

if TYPE_CHECKING:
    from recovery.engine.report import Report


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    LOSSES = 4
    DAMAGED = 5
    COMMAND_FAILED = 6
    CANCELLED = 130


_BY_OUTCOME = {
    Outcome.OK: ExitCode.OK,
    Outcome.COMMAND_FAILED: ExitCode.COMMAND_FAILED,
    Outcome.LOSSES: ExitCode.LOSSES,
    Outcome.FAILED: ExitCode.FAILED,
    Outcome.REFUSED: ExitCode.REFUSED,
    Outcome.CANCELLED: ExitCode.CANCELLED,
}


def exit_code(report: Report) -> ExitCode:
    """What the process ends with."""
    if report.damaged_archive:
        return ExitCode.DAMAGED
    return _BY_OUTCOME[report.outcome]
