"""A job while it runs: steps, bytes, rate, time left, warnings as they come, and stopping with open eyes."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from formats.base.errors import RecoveryError
from formats.base.units import in_words
from recovery.engine import power
from recovery.engine.cancel import CancelToken
from recovery.engine.events import (
    Advanced,
    Event,
    EventSink,
    Outcome,
    Paused,
    ProblemFound,
    Resumed,
    Stalled,
    StepFinished,
    StepStarted,
    VolumeJudged,
)
from recovery.engine.executor import execute
from recovery.engine.plan import BackupWork, Plan
from recovery.engine.report import Report
from recovery.engine.settings import Settings
from recovery.tui import texts
from recovery.tui.aside import aside, post
from recovery.tui.screens.base import Page
from recovery.tui.screens.dialog import Dialog
from recovery.tui.screens.report import ReportPage
from recovery.tui.texts import more
from recovery.tui.widgets.choice import Check, Push, row
from recovery.tui.widgets.meter import Rate, bar, clock, plain_terminal, spark
from recovery.tui.widgets.results import Results

_BAR = 60
_WARNINGS = 200  # the newest; the report has all


class Happened(Message):
    """An event of the engine. Of several numbers of bytes that wait, only the newest counts."""

    bubble = False

    def __init__(self, event: Event) -> None:
        self.event = event
        super().__init__()

    def can_replace(self, message: Message) -> bool:
        newer = isinstance(message, Happened) and isinstance(message.event, Advanced)
        return newer and isinstance(self.event, Advanced)


class Progress(Page):
    """Begins to execute the plan when it is shown. `then_off`: shut down afterwards, if all went well."""

    help_key = "progress"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", texts.PROGRESS_CANCEL, key_display="Esc"),
        Binding("p", "pause", more.KEY_PAUSE),
        Binding("o", "then_off", more.KEY_OFF),
    ]

    def __init__(self, plan: Plan[Any], settings: Settings, *, then_off: bool = False) -> None:
        super().__init__(texts.PROGRESS[plan.job])
        self.plan, self._settings = plan, settings
        self.token = CancelToken()
        self.running = True
        self._exit_then = False
        self._then_off = then_off
        self._held = False  # it stands still, after it was asked to pause
        self._began = time.monotonic()
        self._step = 0
        self._done = self._total = 0
        self._rate = Rate()
        self._stalled: tuple[str, float] | None = None  # what is waited for, and since when
        self._warnings: deque[str] = deque(maxlen=_WARNINGS)

    def content(self) -> ComposeResult:
        with Vertical(id="foot"):
            yield Static(self.plan.title, markup=False, id="title")
            yield Static("", markup=False, id="step", classes="strong")
            yield Static("", markup=False, id="bar")
            yield Static("", markup=False, id="numbers")
            yield Static("", markup=False, id="course")
            yield Static("", markup=False, id="notice", classes="bad")
        yield VerticalScroll(Static("", markup=False, id="steps-text"), id="steps")
        yield Results()
        yield VerticalScroll(Static(texts.PROGRESS_QUIET, markup=False, id="log-text"), id="log", classes="gap")
        with Vertical(id="bottom"):
            yield Check("then-off", more.THEN_OFF, self._then_off)
            yield row(Push(more.PAUSE, id="pause"), Push(texts.PROGRESS_CANCEL, id="stop"))

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#check-then-off").display = self.jurymast.may_power_off
        self.query_one("#log").focus()
        self.set_interval(1.0, self._tick)
        self._draw_steps()

        def sink(event: Event) -> None:
            post(self, Happened(event))

        aside(
            self,
            lambda: self._work(sink),
            self._finish,
            self._fail,
            name="job",
        )

    def _work(self, sink: EventSink) -> tuple[Report, str]:
        """The report; and why the machine would stay on after it, '' when it need not."""
        report = execute(self.plan, self._settings, sink, self.token)
        return report, power.after(report)

    def on_happened(self, message: Happened) -> None:
        event = message.event
        if not self.running:
            return
        if isinstance(event, StepStarted):
            self._step, self._done, self._total = event.step, 0, event.bytes_total
            self._rate.restart()
            self._stalled = None
            text = texts.PROGRESS_STEP.format(step=event.step, steps=event.steps, text=event.text)
            self.query_one("#step", Static).update(text)
            self._draw_steps()
        elif isinstance(event, Advanced):
            if event.bytes_done > self._done:
                self._stalled = None
            self._done, self._total = event.bytes_done, event.bytes_total
            self._rate.reach(event.time - self.token.left_out, event.bytes_done)
        elif isinstance(event, Stalled):
            self._stalled = (event.text, event.time - event.seconds)
        elif isinstance(event, ProblemFound):
            self._warnings.append(f"{event.problem.severity.value}: {event.subject}: {event.problem.text}")
            self.query_one("#log-text", Static).update("\n".join(self._warnings))
            self.query_one("#log").scroll_end(animate=False)
        elif isinstance(event, VolumeJudged):
            self.query_one(Results).take(event)
            self.query_one("#steps").add_class("short")  # room for the results
            self._show_step()
        elif isinstance(event, Paused | Resumed):
            self._held = isinstance(event, Paused)
        elif isinstance(event, StepFinished):
            self._step = event.step + 1
            self._draw_steps()
        self._draw()

    def _tick(self) -> None:
        if self.running and not self.token.paused:
            if self._stalled:
                self._rate.reach(self.token.clock(), self._done)
            self._rate.mark()
        if self.running:
            self._draw()

    def _draw(self) -> None:
        now = time.monotonic()
        self.query_one("#bar", Static).update(bar(self._done, self._total, _BAR))
        left = self._rate.left(self._total)
        text = texts.PROGRESS_LINE.format(
            done=in_words(self._done),
            total=in_words(max(self._done, self._total)),
            rate=in_words(int(self._rate.now)),
            left=texts.PROGRESS_LEFT_UNKNOWN if left is None else texts.PROGRESS_LEFT.format(left=clock(left)),
            elapsed=clock(now - self._began),
        )
        self.query_one("#numbers", Static).update(text)
        self.query_one("#course", Static).update(spark(self._rate.course, plain=plain_terminal()))
        notice = texts.PROGRESS_STOPPING if self.token.cancelled else ""
        if self.token.paused and not self.token.cancelled:
            notice = more.PAUSED if self._held else more.PAUSING
        elif self._stalled:
            what, since = self._stalled
            notice = f"{notice} {texts.PROGRESS_STALLED.format(text=what, seconds=int(now - since))}".strip()
        self.query_one("#notice", Static).update(notice)

    def _draw_steps(self) -> None:
        marks = {-1: texts.PROGRESS_STEPS_DONE, 0: texts.PROGRESS_STEPS_NOW, 1: texts.PROGRESS_STEPS_TODO}
        lines = []
        for number, step in enumerate(self.plan.steps, 1):
            mark = marks[(number > self._step) - (number < self._step)]
            lines.append(f"{mark} {number:>2}. {step.text}")
        self.query_one("#steps-text", Static).update("\n".join(lines))
        self._show_step()

    def _show_step(self) -> None:
        """The step that is at work is to be seen, with the one before it."""
        self.query_one("#steps").scroll_to(y=max(0, self._step - 2), animate=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys for what is not possible here are not shown either."""
        return self.jurymast.may_power_off if action == "then_off" else True

    def action_pause(self) -> None:
        """Pause, or go on."""
        if not self.running or self.token.cancelled:
            return
        if self.token.paused:
            self.token.resume()
        else:
            self.token.pause()
        push = self.query_one("#pause", Push)
        push.label = more.GO_ON if self.token.paused else more.PAUSE
        push.redraw()
        self._draw()

    def action_then_off(self) -> None:
        self.query_one("#check-then-off", Check).action_act()

    def on_check_changed(self, message: Check.Changed) -> None:
        self._then_off = message.check.value

    def pushed(self, id: str) -> None:
        if id == "pause":
            self.action_pause()
        else:
            self.action_back()

    def action_back(self) -> None:
        if self.running and self.on_top and not self.token.cancelled:
            ask = Dialog(texts.CANCEL_ASK, texts.CANCEL_STATE[self.plan.job], yes=texts.YES_STOP, no=texts.NO_GO_ON)
            self.app.push_screen(ask, lambda yes: self.stop() if yes else None)

    def stop(self, *, then_exit: bool = False) -> None:
        """Ask the engine to stop; it leaves things in order, and its report says what became of them."""
        self._exit_then = self._exit_then or then_exit
        if self.running:
            self.token.cancel()
            self.query_one("#stop", Push).disabled = self.query_one("#pause", Push).disabled = True
            self._draw()

    def _finish(self, result: tuple[Report, str]) -> None:
        report, stays_on = result
        self.running = False
        if self._exit_then:
            self.app.exit()
            return
        self.uncover()
        page = ReportPage(report, self._saved(report), stays_on=stays_on if self._then_off else None)
        self.app.switch_screen(page)

    def _saved(self, report: Report) -> str:
        work = self.plan.work
        whole = report.outcome in (Outcome.OK, Outcome.LOSSES)
        missed = any(problem.code == "report.not_saved" for _, problem in report.problems)
        return f"{work.archive}.report.txt" if isinstance(work, BackupWork) and whole and not missed else ""

    def _fail(self, error: RecoveryError) -> None:
        """execute() tells everything in its report, so this is a fault of ours."""
        self.running = False
        self.refuse(error)
