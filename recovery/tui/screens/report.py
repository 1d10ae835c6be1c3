"""How a job ended: one phrase in large letters, then what, where, how long, what was lost, and what to do next."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from formats.base.errors import RecoveryError
from recovery.engine import power
from recovery.engine.events import Outcome
from recovery.engine.kept import export, export_name
from recovery.engine.power import Power
from recovery.engine.report import Report
from recovery.tui import texts
from recovery.tui.aside import aside
from recovery.tui.screens.base import Page
from recovery.tui.screens.countdown import Countdown
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.refusal import Refusal
from recovery.tui.texts import more
from recovery.tui.widgets.big import big
from recovery.tui.widgets.choice import Push, row
from recovery.tui.widgets.meter import plain_terminal

_WIDTH = 76


class ReportPage(Page):
    help_key = "report"

    def __init__(self, report: Report, saved: str = "", *, earlier: bool = False, stays_on: str | None = None) -> None:
        """`saved`: the file in which the report can be read later. `earlier`: it is one of those that are kept.

        `stays_on`: None when nobody asked for shutting down; '' when the machine does that now, else why it does not.
        """
        super().__init__(texts.REPORT)
        self.report, self._saved, self._earlier, self._stays_on = report, saved, earlier, stays_on

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
            off = more.STAYS_ON.format(why=self._stays_on) if self._stays_on else ""
            yield Static(off, markup=False, id="off", classes="note")
            yield Static(rest.rstrip(), markup=False, id="report-text")
            if self._saved:
                yield Static(texts.REPORT_SAVED.format(path=self._saved), markup=False, id="saved", classes="gap")
        with Vertical(id="foot"):
            yield Static("", markup=False, id="exported")
            back = more.REPORT_BACK if self._earlier else texts.START_OVER
            yield row(Push(back, id="home"), Push(more.REPORT_EXPORT, id="export"))

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#off").display = bool(self._stays_on)
        self.query_one("#exported").display = False
        self.query_one("#home").focus()
        if self._stays_on == "":
            self.app.push_screen(Countdown(), self._counted)

    def action_back(self) -> None:
        if not self.on_top:
            return
        if self._earlier:
            self.app.pop_screen()
        else:
            self.jurymast.go_home()

    def pushed(self, id: str) -> None:
        if id != "export":
            self.action_back()
            return
        name = export_name(self.report)
        self.app.push_screen(
            PickPath(more.REPORT_EXPORT_TITLE, more.REPORT_EXPORT_TEXT, str(Path.cwd()), self._export, name=name)
        )

    def _export(self, path: str) -> None:
        aside(self, lambda: export(self.report, Path(path)), self._exported, self._not_exported)

    def _exported(self, paths: list[Path]) -> None:
        while self in self.app.screen_stack and not self.on_top:
            self.app.pop_screen()
        line = self.query_one("#exported", Static)
        line.update(more.REPORT_EXPORTED.format(paths=", ".join(map(str, paths))))
        line.display = True

    def _not_exported(self, error: RecoveryError) -> None:
        self.app.push_screen(Refusal(error))

    def _counted(self, over: bool | None) -> None:
        """The countdown before shutting down has ended."""
        off = self.query_one("#off", Static)
        off.display = True
        off.update(more.SWITCHING_OFF if over else more.COUNTDOWN_STOPPED)
        if over:
            aside(self, lambda: power.switch(Power.OFF), lambda _: None, self._not_off)

    def _not_off(self, error: RecoveryError) -> None:
        self.query_one("#off", Static).update(more.STAYS_ON.format(why=error))
