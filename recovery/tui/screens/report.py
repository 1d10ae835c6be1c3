"""How a job ended: one phrase in large letters, then what, where, how long, what was lost, and what to do next."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from recovery.engine.events import Outcome
from recovery.engine.report import Report
from recovery.tui import texts
from recovery.tui.screens.base import Page
from recovery.tui.widgets.big import big
from recovery.tui.widgets.choice import Push, row
from recovery.tui.widgets.meter import plain_terminal

_WIDTH = 76


class ReportPage(Page):
    help_key = "report"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", texts.START_OVER, key_display="Esc")]

    def __init__(self, report: Report, saved: str = "") -> None:
        """`saved`: the file in which the report can be read later."""
        super().__init__(texts.REPORT)
        self.report, self._saved = report, saved

    def content(self) -> ComposeResult:
        report = self.report
        good = report.outcome is Outcome.OK and report.checked
        headline, _, rest = report.to_text().partition("\n")
        with VerticalScroll(id="body"):
            yield Static(
                big(headline, _WIDTH, plain=plain_terminal()), markup=False, id="big", classes="good" if good else "bad"
            )
            yield Static(headline, markup=False, id="headline", classes="strong gap")
            unchecked = report.outcome is Outcome.OK and not report.checked
            to_do = texts.REPORT_NEXT.get((report.job, report.outcome.value), texts.REPORT_NEXT_ELSE)
            to_do = texts.REPORT_UNCHECKED.get(report.job, to_do) if unchecked else to_do
            yield Static(texts.NEXT + (report.advice or to_do), markup=False, id="next")
            yield Static(rest.rstrip(), markup=False, id="report-text")
            if self._saved:
                yield Static(texts.REPORT_SAVED.format(path=self._saved), markup=False, id="saved", classes="gap")
        with Vertical(id="foot"):
            yield row(Push(texts.START_OVER, id="home"))

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#home").focus()

    def action_back(self) -> None:
        if self.on_top:
            self.jurymast.go_home()
