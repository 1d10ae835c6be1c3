"""The event log: the course of every job, and what the program says of itself, as JSON lines in the state folder."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from formats.base.errors import DeviceError
from recovery.engine.events import (
    Advanced,
    Event,
    EventSink,
    JobFinished,
    ProblemFound,
    VolumeJudged,
)
from recovery.engine.state import SCRIBE, ready_folder, stamp, state_folder

NAME = "events.jsonl"
_FILE_BYTES, _OLDER = 1 << 20, 4  # so five files of a mebibyte at most
_PROBLEMS = 200  # lines of one job; its report has all
_OURS = ("recovery", "formats", "fs")


class _File(RotatingFileHandler):
    """Used by the scribe's thread alone, and so without locks.

    At the end of the program logging.shutdown() goes through all handlers; on a dead disk it would wait there for ever.
    """

    def createLock(self) -> None:
        self.lock = None
        self._owner = threading.get_ident()

    def acquire(self) -> None:
        """Nobody else is there."""

    release = acquire

    def flush(self) -> None:
        if threading.get_ident() == self._owner:
            super().flush()

    def close(self) -> None:
        if threading.get_ident() == self._owner:
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """A log that cannot be written disturbs nobody: the screens would be full of it."""
        SCRIBE.dropped += 1


def _append(folder: Path, lines: list[str]) -> None:
    """In the scribe's thread. Opened each time, because another process may have rotated it meanwhile."""
    lost = SCRIBE.take_dropped()
    if lost:
        lines = [_line({"type": "dropped", "count": lost}), *lines]
    try:
        ready_folder(folder)
        file = _File(folder / NAME, maxBytes=_FILE_BYTES, backupCount=_OLDER, encoding="utf-8", errors="replace")
    except OSError:
        SCRIBE.dropped += len(lines)
        return
    try:
        for line in lines:
            file.emit(logging.makeLogRecord({"msg": line}))
    finally:
        file.close()


def _line(body: dict[str, Any], at: float | None = None) -> str:
    return json.dumps({"at": stamp(time.time() if at is None else at), **body}, ensure_ascii=True, default=str)


def note(body: dict[str, Any]) -> None:
    """Put one line, with the time of now, into the log. Never waits and never raises."""
    folder, line = state_folder(), _line(body)
    SCRIBE.do(lambda: _append(folder, [line]))


def settle(seconds: float = 1.0) -> bool:
    """Wait until all lines so far are written, `seconds` at most: a program that ends takes its thread along."""
    return SCRIBE.settle(seconds)


def logged(sink: EventSink, job_id: str) -> EventSink:
    """`sink`, and into the log what a person would want to read there later."""
    problems = 0

    def both(event: Event) -> None:
        nonlocal problems
        sink(event)
        if isinstance(event, Advanced) or (isinstance(event, VolumeJudged) and not event.verdict):
            return
        if isinstance(event, ProblemFound):
            problems += 1
            if problems > _PROBLEMS:
                return
        body = event.to_json()
        if isinstance(event, JobFinished):
            body["problems"] = problems
            report = body.pop("report")
            body |= {k: report[k] for k in ("job", "title", "headline", "error", "aftermath", "advice", "seconds")}
        body.pop("time", None)
        note({"type": body.pop("type"), "job_id": job_id, **body})

    return both


class _Ours(logging.Handler):
    """Takes what the program says of itself."""

    def emit(self, record: logging.LogRecord) -> None:
        body = {"type": "said", "level": record.levelname.lower(), "by": record.name, "text": record.getMessage()}
        if record.exc_info:
            body["trace"] = logging.Formatter().formatException(record.exc_info)
        note(body)


def keep_what_is_said() -> None:
    """From now on warnings and errors of the program's own modules go into the log, too."""
    for name in _OURS:
        logger = logging.getLogger(name)
        if not any(isinstance(handler, _Ours) for handler in logger.handlers):
            logger.addHandler(_Ours(logging.WARNING))


def read_log(most: int = 1000, keep: Callable[[dict[str, Any]], bool] = lambda line: True) -> list[dict[str, Any]]:
    """The newest lines, the oldest of them first; what is no line of a log is passed over. Raises DeviceError."""
    found: deque[dict[str, Any]] = deque(maxlen=max(1, most))
    for number in range(_OLDER, -1, -1):
        path = state_folder() / (f"{NAME}.{number}" if number else NAME)
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise DeviceError(str(path), "reading the event log", 0, 0, error.errno or 0) from error
        found.extend(line for line in _parsed(text.split("\n")) if keep(line))
    return list(found)


def _parsed(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            body = json.loads(line)
        except ValueError:
            continue
        if isinstance(body, dict) and isinstance(body.get("type"), str) and isinstance(body.get("at"), str):
            yield body
