"""What every job has: its events, its steps, its cancel token, its report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from formats.base.problem import Problem
from recovery.engine.cancel import CancelToken
from recovery.engine.events import (
    EventSink,
    Paused,
    ProblemFound,
    Resumed,
    Stalled,
    StepFinished,
    StepProgress,
    StepStarted,
)
from recovery.engine.moments.course import Moments, no_moments
from recovery.engine.plan import Plan
from recovery.engine.report import Report
from recovery.engine.settings import Settings
from recovery.engine.throttle import Throttle


class Job:
    """Handed to the module that runs a plan. For one thread."""

    def __init__(
        self,
        plan: Plan[object],
        settings: Settings,
        sink: EventSink,
        cancel: CancelToken,
        moments: Moments | None = None,
    ) -> None:
        self.settings, self.sink, self.cancel = settings, sink, cancel
        self.moments = moments or no_moments()
        self.throttle = Throttle(settings.bandwidth, lambda: cancel.cancelled)
        self.report = Report(plan.job, plan.title, plan.plan_id)
        self.aftermath = ""  # what became of the target or archive, when the job does not end well; '': nothing did
        self._plan = plan
        self._step = 0
        self._stalled = 0.0
        cancel.on_hold = lambda held: sink(Paused() if held else Resumed())

    @contextmanager
    def step(self, total: int | None = None) -> Iterator[StepProgress]:
        """The next step of the plan; `total`: its bytes when they are known better than in the plan."""
        step = self._plan.steps[self._step]
        self._step += 1
        size = step.estimate if total is None else total
        self.cancel.check()
        self.sink(StepStarted(self._step, len(self._plan.steps), step.text, size))
        progress = StepProgress(self.sink, size)
        yield progress
        progress.finish()
        self.sink(StepFinished(self._step, step.text))

    def problem(self, subject: str, problem: Problem) -> None:
        """Show it and keep it for the report."""
        self.report.problems.append((subject, problem))
        self.sink(ProblemFound(subject, problem))

    def waiting(self, where: str, seconds: float) -> None:
        """Tell that a request hangs, when it does, about once a `stall_seconds`."""
        now = self.cancel.clock()
        if seconds >= self.settings.stall_seconds and now - self._stalled >= self.settings.stall_seconds:
            self._stalled = now
            self.sink(Stalled(where, round(seconds, 1)))
