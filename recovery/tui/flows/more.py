"""More: reports kept, the event log, a shell, and switching the machine off."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from formats.base.errors import RecoveryError, Refused
from recovery.engine import power
from recovery.engine.kept import find_report, list_reports
from recovery.engine.power import Power
from recovery.engine.report import Report
from recovery.engine.run import find_tool, run_at_terminal
from recovery.pastwords import NO_REPORTS, kept_lines
from recovery.tui.aside import aside
from recovery.tui.flows.base import Flow
from recovery.tui.screens.base import Page
from recovery.tui.screens.dialog import Dialog
from recovery.tui.screens.log import LogPage
from recovery.tui.screens.pick import Menu, PickOne
from recovery.tui.screens.refusal import Refusal
from recovery.tui.screens.report import ReportPage
from recovery.tui.texts import more

if TYPE_CHECKING:
    from recovery.tui.app import JurymastApp

_PLAIN_SHELL = "/bin/sh"


class More(Flow):
    def begin(self) -> None:
        can_suspend = can_lend_terminal(self.app)

        def entries() -> Menu:
            found = [("reports", more.MORE_REPORTS), ("log", more.MORE_LOG)]
            missing = []
            if can_suspend:
                found.append(("shell", more.MORE_SHELL))
            else:
                missing.append(more.MORE_NO_SHELL)
            reason = power.why_not()
            if reason:
                missing.append(more.MORE_NO_POWER.format(why=reason))
            else:
                found += [("restart", more.MORE_RESTART), ("off", more.MORE_OFF)]
            return Menu(found, "\n".join(missing))

        self.app.push_screen(PickOne(more.MORE, more.MORE_TEXT, more.MORE_WAIT, entries, self._chosen))

    def _chosen(self, value: str) -> None:
        if value == "reports":
            self.app.push_screen(
                PickOne(more.REPORTS, more.REPORTS_TEXT, more.REPORTS_WAIT, _reports, self._open_report)
            )
        elif value == "log":
            self.app.push_screen(LogPage())
        elif self.app.running_job is not None:
            self._refuse(Refused(more.BUSY, more.BUSY_ADVICE))
        elif value == "shell":
            self._shell()
        elif value == "restart":
            self._ask_power(more.RESTART_ASK, more.RESTART_YES, Power.RESTART)
        else:
            self._ask_power(more.OFF_ASK, more.OFF_YES, Power.OFF)

    def _open_report(self, report_id: str) -> None:
        page = self.app.screen
        if not isinstance(page, Page):
            return

        def show(report: Report) -> None:
            if page.on_top:  # two quick presses are one
                self.app.push_screen(ReportPage(report, earlier=True))

        page.load(more.REPORT_WAIT, lambda: find_report(report_id), show, self._refuse)

    def _shell(self) -> None:
        """Errors are kept until the screens are back: they could not be shown before."""
        fault: RecoveryError | None = None
        with self.app.suspend():
            shell = os.environ.get("SHELL") or _PLAIN_SHELL
            sys.stdout.write(more.SHELL_HINT)
            sys.stdout.flush()
            try:
                run_at_terminal([shell if find_tool(shell) else _PLAIN_SHELL])
            except RecoveryError as error:
                fault = error
        if fault is not None:
            self._refuse(fault)
        self.app.home.action_look()  # who knows what was done there

    def _ask_power(self, question: str, yes: str, what: Power) -> None:
        def answered(sure: bool | None) -> None:
            if sure:
                aside(self.app, lambda: power.switch(what), lambda _: None, self._refuse)

        self.app.push_screen(Dialog(question, more.POWER_TEXT, yes=yes, no=more.POWER_NO), answered)

    def _refuse(self, error: RecoveryError) -> None:
        self.app.push_screen(Refusal(error))


def can_lend_terminal(app: JurymastApp) -> bool:
    """Whether another program can have the terminal for a while."""
    return app._driver is not None and app._driver.can_suspend


def _reports() -> Menu:
    found = [(kept.report_id, "\n ".join(kept_lines(kept))) for kept in list_reports()]
    return Menu(found, "" if found else NO_REPORTS)
