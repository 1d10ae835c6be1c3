"""The tasks: each a module with its questions, one screen after the other, to what the engine is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recovery.tui.flows.backup import Backup
from recovery.tui.flows.base import Flow
from recovery.tui.flows.check import Check
from recovery.tui.flows.clone import Clone
from recovery.tui.flows.look import Look
from recovery.tui.flows.more import More
from recovery.tui.flows.restore import Restore

if TYPE_CHECKING:
    from recovery.tui.app import JurymastApp

_TASKS: dict[str, type[Flow]] = {
    "backup": Backup,
    "restore": Restore,
    "clone": Clone,
    "look": Look,
    "check": Check,
    "more": More,
}


def begin(app: JurymastApp, task: str) -> None:
    """Start the questions of a task: a key of texts.TASKS."""
    _TASKS[task](app).begin()
