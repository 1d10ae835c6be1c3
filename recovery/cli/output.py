"""Two ways to show what happens: rich text for people, one JSON object a line for programs."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

import click

from formats.base.errors import Cancelled, Corrupt, RecoveryError, Refused
from recovery.cli.exit_codes import ExitCode, exit_code
from recovery.engine.events import (
    Advanced,
    CommandFinished,
    CommandStarted,
    Event,
    JobFinished,
    Outcome,
    Paused,
    ProblemFound,
    Resumed,
    Stalled,
    StepFinished,
    StepStarted,
    VolumeJudged,
)
from recovery.errorwords import error_word, internal_fault

if TYPE_CHECKING:  # what is slow to load waits until it is needed
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from recovery.engine.plan import Plan
    from recovery.engine.report import Report

_log = logging.getLogger(__name__)
PAUSED = "Paused. The job keeps what it holds; SIGUSR1 lets it go on, Ctrl-C stops it."
RESUMED = "It goes on."


def json_line(body: dict[str, Any], stream: IO[str]) -> None:
    """One object, one line, at once. When nobody reads any more, it goes nowhere: the work is not stopped by that."""
    try:
        stream.write(json.dumps(body, ensure_ascii=True, default=str) + "\n")
        stream.flush()
    except BrokenPipeError:
        _silence(stream)


def say(text: str) -> None:
    """Text on standard output: broken between words at a terminal, whole lines where a program reads them."""
    if sys.stdout.isatty():
        width = max(40, shutil.get_terminal_size().columns - 1)
        lines = []
        for line in text.split("\n"):
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            lines += textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
        text = "\n".join(lines)
    click.echo(text)


def _silence(stream: IO[str]) -> None:
    """From now on everything that is written there disappears, also what the interpreter flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


class JsonFace:
    """Prints every event; the result comes last."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __enter__(self) -> JsonFace:
        return self

    def __exit__(self, *_: object) -> None:
        """Every line was flushed when it was written."""

    def event(self, event: Event) -> None:
        if not isinstance(event, JobFinished):
            json_line(event.to_json(), self._stream)

    def plan(self, plan: Plan[Any]) -> None:
        from recovery.review import confirm_text

        json_line(
            {"type": "plan", "plan_id": plan.plan_id, "confirm": confirm_text(plan), **plan.to_json()}, self._stream
        )

    def look(self, text: str) -> None:
        json_line({"type": "looking", "text": text}, self._stream)

    def finish(self, report: Report, stays_on: str | None = None, **more: Any) -> ExitCode:
        """The result line; `more`: further members of it.

        `stays_on`: why the machine was not switched off; '' when it was, None when nobody asked for it.
        """
        code = exit_code(report)
        if stays_on is not None:
            json_line({"type": "power", "switching_off": not stays_on, "text": stays_on}, self._stream)
        head = {"type": "result", "outcome": report.outcome.value, "exit_code": int(code)}
        json_line({**head, **_rest(report), **more}, self._stream)
        return code

    def error(self, error: RecoveryError) -> ExitCode:
        code = code_of(error)
        outcome = {ExitCode.REFUSED: "refused", ExitCode.CANCELLED: "cancelled"}.get(code, "failed")
        body = {
            "type": "result",
            "outcome": outcome,
            "exit_code": int(code),
            "error": str(error),
            "advice": error.advice,
        }
        json_line(body, self._stream)
        return code


def _rest(report: Report) -> dict[str, Any]:
    body = report.to_json()
    del body["outcome"]
    return body


class TextFace:
    """A progress bar with rate and time left, warnings as they come, and the report at the end."""

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, by which rates are told; it may stand still while a job does."""
        self._stream, self._clock = stream, clock
        self._task: TaskID | None = None

    @cached_property
    def console(self) -> Console:
        from rich.console import Console

        class QuietConsole(Console):
            def on_broken_pipe(self) -> None:
                """Of rich: would end the program, and with it a restore that is under way."""
                _silence(self.file)

        # A program that reads this wants whole lines.
        width = None if self._stream.isatty() else 4096
        return QuietConsole(file=self._stream, highlight=False, soft_wrap=False, width=width)

    @cached_property
    def _progress(self) -> Progress:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            get_time=self._clock,
        )

    def __enter__(self) -> TextFace:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_progress()

    def _stop_progress(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
            self._progress.stop()

    def look(self, text: str) -> None:
        if self.console.is_terminal:
            self.console.print(f"Looking at {text} …", style="dim", markup=False)

    def event(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self._begin(event)
        elif isinstance(event, Advanced) and self._task is not None:
            self._progress.update(self._task, completed=event.bytes_done, total=event.bytes_total or None)
        elif isinstance(event, StepFinished):
            self._end(event)
        elif isinstance(event, ProblemFound):
            self.console.print(f"{event.problem.severity.value}: {event.subject}: {event.problem.text}", markup=False)
        elif isinstance(event, CommandStarted):
            self.console.print(f"{event.moment}: {event.command}", markup=False)
        elif isinstance(event, CommandFinished):
            self._command(event)
        elif isinstance(event, Stalled):
            self.console.print(f"waiting for {event.seconds:.0f} s: {event.text}", markup=False)
        elif isinstance(event, VolumeJudged) and event.verdict:
            from recovery.words import judged_text  # what the quick commands need not load

            self.console.print(f"  {judged_text(event)}", markup=False)
            for name in event.hit:
                self.console.print(f"      hit: {name}", markup=False)
        elif isinstance(event, Paused | Resumed):
            self.console.print(PAUSED if isinstance(event, Paused) else RESUMED, markup=False)

    def _command(self, event: CommandFinished) -> None:
        """What a good one printed waits for the report; what failed may be all there will be."""
        if event.ok:
            return
        for line in event.output.splitlines():
            self.console.print(f"    {line}", markup=False)
        self.console.print(f"{event.moment}: {event.error}", style="bold red", markup=False)

    def _begin(self, event: StepStarted) -> None:
        text = f"[{event.step}/{event.steps}] {event.text}"
        self.console.print(text, markup=False)
        if self.console.is_terminal:
            self._progress.start()
            self._task = self._progress.add_task(f"{event.step}/{event.steps}", total=event.bytes_total or None)

    def _end(self, event: StepFinished) -> None:
        self._stop_progress()

    def finish(self, report: Report, stays_on: str | None = None, **more: Any) -> ExitCode:
        """The report. `stays_on`: as in JsonFace; `more` is for programs."""
        self._stop_progress()
        good = report.outcome is Outcome.OK
        self.console.print()
        headline, _, rest = report.to_text().partition("\n")
        self.console.print(headline, style="bold green" if good else "bold red", markup=False)
        self.console.print(rest, markup=False, end="")
        if stays_on is not None:
            told = f"The machine stays on. {stays_on}" if stays_on else "The machine is being switched off."
            self.console.print(f"\n{told}", markup=False)
        return exit_code(report)

    def error(self, error: RecoveryError) -> ExitCode:
        self._stop_progress()
        code = code_of(error)
        self.console.print(f"{error_word(error)}: {error}", style="bold red", markup=False)
        if error.advice:
            self.console.print(error.advice, markup=False)
        return code


Face = JsonFace | TextFace


def face(as_json: bool, *, to_stderr: bool = False, clock: Callable[[], float] = time.monotonic) -> Face:
    """The face that was asked for. `to_stderr`: standard output carries the archive. `clock`: see TextFace."""
    stream = sys.stderr if to_stderr else sys.stdout
    return JsonFace(stream) if as_json else TextFace(stream, clock)


@contextmanager
def told(shown: Face) -> Iterator[None]:
    """Whatever ends the block, the face tells it in words and the process ends with the right code."""
    try:
        yield
    except RecoveryError as error:
        sys.exit(shown.error(error))
    except (KeyboardInterrupt, click.Abort):
        sys.exit(shown.error(Cancelled("Stopped on request.")))
    except Exception as error:
        _log.exception("internal error")
        sys.exit(shown.error(internal_fault(error)))


def code_of(error: RecoveryError) -> ExitCode:
    """For an error before the job began."""
    if isinstance(error, Refused):
        return ExitCode.REFUSED
    if isinstance(error, Corrupt):  # only archives are refused for being damaged; disks are looked at as they are
        return ExitCode.DAMAGED
    return ExitCode.CANCELLED if isinstance(error, Cancelled) else ExitCode.FAILED
