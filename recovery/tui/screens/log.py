"""The event log, to be read and scrolled."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from recovery.engine.eventlog import read_log
from recovery.pastwords import NO_LOG, log_line
from recovery.tui import texts
from recovery.tui.screens.base import Page, wait_line
from recovery.tui.texts import more
from recovery.tui.widgets.choice import Push, row

_LINES = 1000


class LogPage(Page):
    help_key = "log"

    def __init__(self) -> None:
        super().__init__(more.LOG)

    def content(self) -> ComposeResult:
        with VerticalScroll(id="body"):
            yield wait_line()
            yield Static("", markup=False, id="log-lines")
        with Vertical(id="foot"):
            yield row(Push(texts.BACK, id="back"))

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#body").focus()
        self.load(more.LOG_WAIT, lambda: [log_line(line) for line in read_log(_LINES)], self._show)

    def _show(self, lines: list[str]) -> None:
        self.query_one("#log-lines", Static).update("\n".join(lines) or NO_LOG)
        self.query_one("#body").scroll_end(animate=False)
