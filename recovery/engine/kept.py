"""Reports that are kept in the state folder: the newest of them, to be listed, read again and taken along."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from formats.base.errors import Corrupt, DeviceError, RecoveryError
from recovery.engine.report import Report, write_whole
from recovery.engine.state import SCRIBE, ready_folder, state_folder

MOST = 200
LAST = "last"
_PATIENCE = 2.0  # seconds that the end of a job waits for its report to be written
_ID = re.compile(r"\d{8}-\d{6}-\d{3}-[a-z]+-[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A report in the list. `started`: UTC. What cannot be read has an `error`, and `headline` and the rest are ''."""

    report_id: str
    started: str
    job: str
    outcome: str
    headline: str
    title: str
    error: str = ""


def new_id(job: str, started: float) -> str:
    """Sorted by name, reports are sorted by time (UTC, milliseconds). `started`: seconds since 1970."""
    when = time.strftime("%Y%m%d-%H%M%S", time.gmtime(started))
    return f"{when}-{int(started % 1 * 1000):03}-{job}-{os.urandom(2).hex()}"


def reports_folder() -> Path:
    return state_folder() / "reports"


def keep(report: Report, patience: float = _PATIENCE) -> str:
    """Save it; '' when that is done, else the reason why not. Waits `patience` seconds for a slow disk, no longer."""
    folder, text = reports_folder(), report.json_text()
    outcome: SimpleQueue[str] = SimpleQueue()

    def work() -> None:
        try:
            write_whole(ready_folder(folder) / f"{report.report_id}.json", text)
            _prune(folder)
        except OSError as error:
            outcome.put(f"{folder}: {error.strerror or error}")
        else:
            outcome.put("")

    if not SCRIBE.do(work):
        return f"{folder}: it does not answer"
    try:
        return outcome.get(timeout=patience)
    except Empty:
        return f"{folder}: not written within {patience:g} seconds"


def _prune(folder: Path) -> None:
    for path in _files(folder)[MOST:]:
        with suppress(OSError):
            path.unlink()


def _files(folder: Path) -> list[Path]:
    """The newest first."""
    found = [path for path in folder.glob("*.json") if _ID.fullmatch(path.stem)]
    return sorted(found, key=lambda path: path.stem, reverse=True)


def list_reports() -> list[Kept]:
    """The newest first; none when nothing was kept. Raises DeviceError when the folder cannot be read."""
    folder = reports_folder()
    try:
        if not folder.exists():
            return []
        next(folder.iterdir(), None)  # glob passes over a folder that may not be read
        return [_listed(path) for path in _files(folder)]
    except OSError as error:
        raise DeviceError(str(folder), "reading the folder", 0, 0, error.errno or 0) from error


def _listed(path: Path) -> Kept:
    try:
        report = _load(path)
    except RecoveryError as error:
        return Kept(path.stem, "", "", "", "", "", str(error))
    body = report.to_json()
    return Kept(path.stem, *(str(body[name]) for name in ("started", "job", "outcome", "headline", "title")))


def find_report(report_id: str) -> Report:
    """By its id, the beginning of one that fits no other, or LAST. Raises RecoveryError."""
    found = _files(reports_folder())
    fits = found[:1] if report_id == LAST else [path for path in found if path.stem.startswith(report_id)]
    if len(fits) != 1 or not report_id:
        missing = RecoveryError(f"{'Several reports begin' if fits else 'No kept report begins'} with {report_id!r}.")
        missing.advice = "'jurymast reports' lists those that are kept."
        raise missing
    return _load(fits[0])


def _load(path: Path) -> Report:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeviceError(str(path), "reading the report", 0, 0, error.errno or 0) from error
    except ValueError as error:
        raise Corrupt("report", 0, f"it is no JSON: {error}", source=str(path)) from error
    try:
        return Report.from_json(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        detail = f"it is no report of a job: {type(error).__name__}: {error}"
        raise Corrupt("report", 0, detail, source=str(path)) from error


def export(report: Report, text_path: Path) -> list[Path]:
    """Write it as `text_path`, for people, and beside it as .json. Never over anything else. Raises RecoveryError."""
    paths = [text_path, text_path.with_suffix(".json")]
    if paths[0] == paths[1]:
        paths[1] = text_path.with_name(text_path.name + ".json")
    for path in paths:
        if path.exists():
            taken = RecoveryError(f"{path} exists already, and is not overwritten.")
            taken.advice = "Choose another name or folder."
            raise taken
    try:
        for path, text in zip(paths, (report.to_text(), report.json_text()), strict=True):
            write_whole(path, text)
    except OSError as error:
        advice = "Is there room, and may it be written?"
        raise DeviceError(str(text_path), "writing the report", 0, 0, error.errno or 0, advice) from error
    return paths


def export_name(report: Report) -> str:
    """What a copy is called."""
    return f"jurymast-{report.report_id}.txt"
