"""What the engine tells the faces. One frozen type each, the same for text, JSON lines and screens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from formats.base.problem import Problem

EVENTS_PER_SECOND = 5


class Outcome(StrEnum):
    """How a job ended. LOSSES: done, but something could not be read, proven or brought back.

    COMMAND_FAILED: all of that is well, but what goes with it is not: a command of the user, or deleting old archives.
    """

    OK = "ok"
    COMMAND_FAILED = "command_failed"
    LOSSES = "losses"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"


class Stage(StrEnum):
    """What is looked at of a volume: its stored blocks, its file system (walked from them), its files."""

    STORED = "stored"
    PROOF = "proof"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Event:
    """`time`: seconds of a clock that never goes back."""

    time: float = field(default_factory=time.monotonic, kw_only=True)

    def to_json(self) -> dict[str, Any]:
        return {"type": self.kind(), **asdict(self)}

    @classmethod
    def kind(cls) -> str:
        """Name of the type in JSON: ``step_started`` for StepStarted."""
        return "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("_")


@dataclass(frozen=True, slots=True)
class JobStarted(Event):
    job: str
    title: str
    plan_id: str


@dataclass(frozen=True, slots=True)
class StepStarted(Event):
    """`step`: from 1 to `steps`. `bytes_total`: 0 when it cannot be told."""

    step: int
    steps: int
    text: str
    bytes_total: int


@dataclass(frozen=True, slots=True)
class Advanced(Event):
    """`bytes_done` of `bytes_total` of the current step. The newest one makes all earlier ones worthless."""

    bytes_done: int
    bytes_total: int


@dataclass(frozen=True, slots=True)
class Stalled(Event):
    """The request described by `text` has been waiting for `seconds`."""

    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Paused(Event):
    """The job stands still, and keeps what it holds: its locks, its temporary files."""


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """It goes on, or is about to stop."""


@dataclass(frozen=True, slots=True)
class ProblemFound(Event):
    """`subject`: the disk, volume or archive that has the problem."""

    subject: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class VolumeJudged(Event):
    """What is known so far of one volume. The newest of a `volume` (0-based, in the archive) and `stage` counts.

    `disk`: 1-based, 0 when there is only one. `verdict`: a word in capitals, '' while the stage is still going on.
    `hit`: who is hit by what is missing (the first of them).
    """

    volume: int
    disk: int
    title: str
    stage: Stage
    verdict: str
    text: str
    hit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandStarted(Event):
    """A command of the user, or a hook, was started. `moment`: see moments.model.Moment."""

    moment: str
    command: str


@dataclass(frozen=True, slots=True)
class CommandFinished(Event):
    """`code`: negative for a signal. `error`: '' when ok. `output`: the end of what it printed; `cut`: not all."""

    moment: str
    command: str
    ok: bool
    code: int
    seconds: float
    error: str
    output: str
    cut: bool


@dataclass(frozen=True, slots=True)
class StepFinished(Event):
    step: int
    text: str


@dataclass(frozen=True, slots=True)
class JobFinished(Event):
    """`report`: see report.Report.to_json()."""

    outcome: Outcome
    report: dict[str, Any]


EventSink = Callable[[Event], None]


class StepProgress:
    """Counts bytes of one step and passes at most a few events a second on. For one thread."""

    def __init__(self, sink: EventSink, total: int) -> None:
        self._sink, self._total = sink, total
        self.done = 0
        self._last = 0.0

    def advance(self, count: int) -> None:
        """`count` more bytes."""
        self.reach(self.done + count)

    def reach(self, done: int) -> None:
        """`done` bytes in all."""
        self.done = done
        now = time.monotonic()
        if now - self._last >= 1 / EVENTS_PER_SECOND:
            self._last = now
            self._sink(Advanced(self.done, max(self._total, self.done)))

    def finish(self) -> None:
        self._sink(Advanced(self.done, max(self._total, self.done)))
