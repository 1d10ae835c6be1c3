"""The moments of one backup in their order: what was stopped is always let go, whatever happens in between."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING

from formats.base.errors import Cancelled, RecoveryError, Refused
from recovery.engine.companions import Guard, start_guard
from recovery.engine.events import CommandFinished, CommandStarted, EventSink
from recovery.engine.moments.hooks import find_hooks
from recovery.engine.moments.model import CommandResult, Moment, MomentOptions, harmless
from recovery.engine.run import run_command

if TYPE_CHECKING:
    from recovery.engine.report import Report

_AFTER_THAT = "Nothing was written. Look at what it printed, correct it, and start again."


class CommandFailed(RecoveryError):
    """A command that had to succeed before anything begins did not."""

    def __init__(self, result: CommandResult) -> None:
        self.result = result
        self.advice = _AFTER_THAT
        super().__init__(f"The command {result.text!r} ({result.moment.value}) failed: {result.error}")


@dataclass(slots=True)
class MomentFacts:
    """What the commands are told, in their environment and as JSON. `volumes`: SOURCE or SOURCE:N, as asked for.

    `method`: how the source stands still: `offline`, or the name of a snapshot provider. `status`: `running`, then
    the outcome of the job.
    """

    archive: str
    volumes: tuple[str, ...]
    method: str = "offline"
    consistency: str = "offline"
    status: str = "running"
    error: str = ""
    job_id: str = field(default_factory=lambda: os.urandom(8).hex())

    def environment(self, moment: Moment) -> dict[str, str]:
        """Environment variables; NUL, which none may hold, becomes '?'."""
        found = {
            "JURYMAST_JOB_ID": self.job_id,
            "JURYMAST_PHASE": moment.value,
            "JURYMAST_STATUS": self.status,
            "JURYMAST_ERROR": self.error,
            "JURYMAST_METHOD": self.method,
            "JURYMAST_VOLUMES": "\n".join(self.volumes),
            "JURYMAST_ARCHIVE": self.archive,
            "JURYMAST_CONSISTENCY": self.consistency,
        }
        return {name: value.replace("\0", "?") for name, value in found.items()}

    def document(self, moment: Moment) -> bytes:
        """What a hook reads on its standard input. `pid`: the backup, so that a hook can let go when it is gone."""
        body = {
            "version": 1,
            "job_id": self.job_id,
            "phase": moment.value,
            "status": self.status,
            "error": self.error,
            "method": self.method,
            "volumes": list(self.volumes),
            "archive": self.archive,
            "consistency": self.consistency,
            "pid": os.getpid(),
        }
        return (json.dumps(body) + "\n").encode()


def _nowhere(_: object) -> None:
    """Nobody looks."""


class Moments:
    """A SnapshotMoments, and the context of a whole backup: leaving it runs whatever is still due.

    `stop`: the wish to stop, asked while something is being stopped for us; letting go is never stopped by it.
    """

    def __init__(
        self,
        options: MomentOptions,
        facts: MomentFacts,
        sink: EventSink = _nowhere,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.options, self.facts = options, facts
        self.results: list[CommandResult] = []
        self._sink, self._stop = sink, stop
        self._lock = RLock()
        self._begun = self._let_go = self._told = False
        self._prepared: list[Path] = []
        self._frozen: list[Path] = []  # and those that were asked to and failed
        self._guard: Guard | None = None

    @property
    def failed(self) -> list[CommandResult]:
        return [result for result in self.results if not result.ok]

    def before_freeze(self) -> None:
        """Run hooks `prepare`, the command, hooks `freeze`. Once; further calls do nothing.

        Raises CommandFailed, Refused for a hook that must not be trusted, Cancelled.
        """
        with self._lock:
            if self._begun:
                return
            hooks = find_hooks(self.options.hooks_dir) if self.options.hooks_dir else []
            self._begun = True
            if hooks or self.options.after_snapshot:
                self._guard = start_guard("recovery.engine.moments.guard")
            self._tell_guard()
            for hook in hooks:
                self._prepared.append(hook)
                self._tell_guard()
                self._must(Moment.PREPARE, [str(hook), Moment.PREPARE.value])
            if self.options.before_snapshot:
                self._must(Moment.BEFORE_SNAPSHOT, self.options.before_snapshot)
            for hook in hooks:
                self._frozen.append(hook)
                self._tell_guard()
                self._must(Moment.FREEZE, [str(hook), Moment.FREEZE.value])

    def after_thaw(self) -> None:
        """Run hooks `thaw` in reverse order (`abort` for those that were only prepared), then the command."""
        with self._lock:
            if not self._begun or self._let_go:
                return
            self._let_go = True
            for hook in reversed(self._prepared):
                moment = Moment.THAW if hook in self._frozen else Moment.ABORT
                self._run(moment, [str(hook), moment.value])
            if self.options.after_snapshot:
                self._run(Moment.AFTER_SNAPSHOT, self.options.after_snapshot)
            if self._guard:
                self._guard.release()

    def take_over(self, prepared: Sequence[Path], frozen: Sequence[Path]) -> None:
        """Stand where a process stood that is gone. For the guard."""
        self._begun, self._prepared, self._frozen = True, list(prepared), list(frozen)

    def _tell_guard(self) -> None:
        if self._guard:
            facts = {name: getattr(self.facts, name) for name in self.facts.__slots__}
            options = {name: getattr(self.options, name) for name in self.options.__slots__}
            self._guard.tell(
                {
                    "options": options,
                    "facts": facts,
                    "prepared": [str(hook) for hook in self._prepared],
                    "frozen": [str(hook) for hook in self._frozen],
                }
            )

    def after_backup(self, report: Report) -> None:
        """Run the command for the end. Once."""
        self._end(report.outcome.value, report.error)

    def note(self, status: str, error: str) -> None:
        """What the next commands are told about the course of the job."""
        self.facts.status, self.facts.error = status, error

    def _end(self, status: str, error: str) -> None:
        with self._lock:
            if self._told:
                return
            self._told = True
            self.note(status, error)
            if self.options.after_backup:
                self._run(Moment.AFTER_BACKUP, self.options.after_backup)

    def __enter__(self) -> Moments:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._told and not isinstance(error, SystemExit):
            self.note(_status_of(error), str(error) or type(error).__name__)
        try:
            self.after_thaw()
        finally:
            if error is not None and not isinstance(error, SystemExit):
                self._end(self.facts.status, self.facts.error)

    def _must(self, moment: Moment, command: str | Sequence[str]) -> None:
        result = self._run(moment, command, self._stop)
        if self._stop():
            raise Cancelled("Stopped on request.")
        if not result.ok:
            raise CommandFailed(result)

    def _run(
        self, moment: Moment, command: str | Sequence[str], stop: Callable[[], bool] | None = None
    ) -> CommandResult:
        hook = not isinstance(command, str)
        text = harmless(command[0] if hook else str(command))
        self._sink(CommandStarted(moment.value, text))
        ended = run_command(
            command,
            self.options.timeout,
            env=self.facts.environment(moment),
            stdin=self.facts.document(moment) if hook else None,
            stop=stop,
        )
        if ended.timed_out:
            error = f"not finished after {self.options.timeout:g} seconds, and ended"
        elif ended.stopped:
            error = "ended, because the backup was stopped"
        elif ended.code:
            error = f"exit code {ended.code}" if ended.code > 0 else f"killed by signal {-ended.code}"
        else:
            error = ""
        result = CommandResult(moment, text, ended.code, ended.seconds, error, harmless(ended.output), ended.cut)
        self.results.append(result)
        self._sink(CommandFinished(**result.to_json()))
        return result


def _status_of(error: BaseException) -> str:
    if isinstance(error, (Cancelled, KeyboardInterrupt)):
        return "cancelled"
    return "refused" if isinstance(error, Refused) else "failed"


def no_moments() -> Moments:
    """For jobs without commands."""
    return Moments(MomentOptions(), MomentFacts("", ()))
