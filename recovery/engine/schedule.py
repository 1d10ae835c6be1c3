"""Backups by the clock of systemd: a service and a timer for each, and nothing else that would have to be kept.

What is to be run stands in the service file itself, in a section of ours ("X-…" sections are ignored by systemd and
meant for this, systemd.unit(5)), as JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from formats.base.errors import DeviceError, RecoveryError, Refused
from recovery.engine.run import find_tool, run_tool

UNIT_DIR = Path("/etc/systemd/system")
DATE = "{date}"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_SECTION = "[X-Jurymast]\nSchedule="
_BOOTED = Path("/run/systemd/system")  # sd_booted(3)


class BadSchedule(RecoveryError):
    """The unit file is not one of ours, or was changed."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`calendar`: as in systemd.time(7). `random_delay`: seconds. `keep`: proven archives; 0 deletes nothing.

    `sources`, `archive`: absolute; `archive` with {date} in its name. `options`: of `jurymast backup`.
    """

    name: str
    calendar: str
    sources: tuple[str, ...]
    archive: str
    options: tuple[str, ...] = ()
    random_delay: int = 0
    keep: int = 0

    def check(self) -> None:
        """Raise Refused when it cannot be written as units, or makes no sense."""
        if not _NAME.fullmatch(self.name):
            raise Refused(
                f"{self.name!r} is no name for a schedule.", "Use small letters, digits, '-' and '_', such as nightly."
            )
        if any(ord(c) < 32 or ord(c) == 127 for c in self.calendar) or not self.calendar.strip():
            raise Refused(f"{self.calendar!r} is no calendar expression.", "Use one such as 'Mon..Fri 02:00'.")
        if DATE not in Path(self.archive).name:
            raise Refused(
                f"The name {Path(self.archive).name} has no {DATE} in it: the second run would find it taken.",
                f"Use a name such as pc-{DATE}.jmi.",
            )

    @property
    def pattern(self) -> str:
        """What the names of its archives look like, as a pattern of a shell."""
        name = re.sub(r"([*?[])", r"[\1]", Path(self.archive).name)
        return name.replace(DATE, "*")

    def archive_now(self) -> str:
        """The archive of a run that begins now, in local time."""
        path = Path(self.archive)
        return str(path.with_name(path.name.replace(DATE, time.strftime("%Y-%m-%d_%H%M%S"))))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "sources": list(self.sources), "options": list(self.options)}


def service_name(name: str) -> str:
    return f"jurymast-{name}.service"


def timer_name(name: str) -> str:
    return f"jurymast-{name}.timer"


def service_text(schedule: Schedule, program: Sequence[str], python_path: str = "") -> str:
    """The service: in the background of everything else, and for as long as it takes."""
    lines = [
        "[Unit]",
        f"Description=Jurymast backup {schedule.name}",
        "Documentation=man:systemd.service(5)",
        f"RequiresMountsFor={_quoted(str(Path(schedule.archive).parent))}",
        "",
        "[Service]",
        "Type=oneshot",
        *([f"Environment={_quoted('PYTHONPATH=' + python_path)}"] if python_path else []),
        "ExecStart=" + " ".join(_quoted(word, command=True) for word in program),
        "TimeoutStartSec=infinity",
        "Nice=10",
        "CPUWeight=20",
        "IOWeight=20",
        "IOSchedulingClass=best-effort",
        "IOSchedulingPriority=7",
        "",
        _SECTION + json.dumps(schedule.to_json(), sort_keys=True),
    ]
    return "\n".join(lines) + "\n"


def timer_text(schedule: Schedule) -> str:
    """The timer. A run that was missed because the machine was off is caught up with (Persistent)."""
    lines = [
        "[Unit]",
        f"Description=Time of the Jurymast backup {schedule.name}",
        "",
        "[Timer]",
        f"OnCalendar={schedule.calendar.replace('%', '%%')}",
        "Persistent=true",
        *([f"RandomizedDelaySec={schedule.random_delay}"] if schedule.random_delay else []),
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str, *, command: bool = False) -> str:
    """One word of a unit file (systemd.syntax(7)): specifiers, variables of command lines, quotes, backslashes."""
    text = text.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    if command:
        text = text.replace("$", "$$")
    return f'"{text}"' if command or re.search(r"[^A-Za-z0-9_./:=@%-]", text) else text


def parse_service(text: str, path: str) -> Schedule:
    """The Schedule of a service file. Raises BadSchedule."""
    _, found, rest = text.partition(_SECTION)
    try:
        if not found:
            raise ValueError("it has no section of Jurymast")
        body = json.loads(rest.splitlines()[0])
        schedule = Schedule(**{**body, "sources": tuple(body["sources"]), "options": tuple(body["options"])})
        texts = (schedule.name, schedule.calendar, schedule.archive, *schedule.sources, *schedule.options)
        if not all(isinstance(t, str) for t in texts) or not isinstance(schedule.keep, int):
            raise ValueError("a value is of the wrong type")
        return schedule
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise BadSchedule(f"{path} is not a schedule of Jurymast: {error}") from error


class Schedules:
    """The schedules of a unit folder. `started`: systemd is told; else only the files are written."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder, self.started = folder or UNIT_DIR, folder is None

    def add(self, schedule: Schedule) -> list[Path]:
        """Write, check and start. Raises Refused, DeviceError, ToolFailed; then nothing of it is left."""
        schedule.check()
        if self.started:
            require_systemd()
        check_calendar(schedule.calendar)
        paths = [self.folder / service_name(schedule.name), self.folder / timer_name(schedule.name)]
        for path in paths:
            if path.exists() or path.is_symlink():
                raise Refused(f"{path} exists already.", "Remove that schedule first, or choose another name.")
        texts = [service_text(schedule, *self._program(schedule.name)), timer_text(schedule)]
        try:
            for path, text in zip(paths, texts, strict=True):
                _write(path, text)
            if find_tool("systemd-analyze"):
                run_tool(["systemd-analyze", "verify", *map(str, paths)], 60)
            if self.started:
                run_tool(["systemctl", "daemon-reload"])
                run_tool(["systemctl", "enable", "--now", timer_name(schedule.name)])
        except BaseException:
            for path in paths:
                with suppress(OSError):
                    path.unlink()
            raise
        return paths

    def every(self) -> list[Schedule]:
        """All of them, by name. Files that are not ours are passed over."""
        found = []
        for path in sorted(self.folder.glob("jurymast-*.service")):
            with suppress(BadSchedule, DeviceError):
                found.append(self._read(path))
        return found

    def get(self, name: str) -> Schedule:
        """Raises Refused when there is none, BadSchedule, DeviceError."""
        path = self.folder / service_name(name)
        if not _NAME.fullmatch(name) or not path.exists():
            raise Refused(f"There is no schedule {name!r} in {self.folder}.", "See: jurymast schedule list")
        return self._read(path)

    def remove(self, name: str) -> list[Path]:
        """Stop its clock, and delete its units; a backup that runs is left alone. Raises as get(), and ToolFailed."""
        self.get(name)
        paths = [self.folder / timer_name(name), self.folder / service_name(name)]
        if self.started and _BOOTED.is_dir():
            run_tool(["systemctl", "disable", "--now", timer_name(name)])
        for path in paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise DeviceError(str(path), "delete", 0, 0, error.errno or 0) from error
        if self.started and _BOOTED.is_dir():
            run_tool(["systemctl", "daemon-reload"])
        return paths

    def _read(self, path: Path) -> Schedule:
        try:
            return parse_service(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise DeviceError(str(path), "read", 0, 0, getattr(error, "errno", 0) or 0) from error

    def _program(self, name: str) -> tuple[list[str], str]:
        """The command line of the service, and what Python needs to find us."""
        where = [] if self.started else ["--unit-dir", str(self.folder.resolve())]
        script = Path(sys.executable).with_name("jurymast")
        tail = ["schedule", "run", *where, name]
        if script.is_file() and os.access(script, os.X_OK):
            return [str(script), *tail], ""
        root = str(Path(__file__).resolve().parents[2])
        return [sys.executable, "-P", "-m", "recovery", *tail], root


def require_systemd() -> None:
    """Raise Refused where systemd does not run the machine."""
    if not _BOOTED.is_dir() or find_tool("systemctl") is None:
        raise Refused(
            "Schedules need systemd, and it does not run this machine.",
            "Let another clock, such as cron, run 'jurymast backup' and then 'jurymast prune --yes'.",
        )


def check_calendar(calendar: str) -> str:
    """When it is due next, in systemd's words, '' without its tools. Raises Refused when it is no calendar."""
    if find_tool("systemd-analyze") is None:
        return ""
    done = run_tool(["systemd-analyze", "calendar", "--", calendar], 30, ok=None)
    if done.code:
        raise Refused(
            f"systemd does not understand the calendar expression {calendar!r}.",
            "Use one such as 'Mon..Fri 02:00', 'daily' or '*-*-1 03:30' (man systemd.time).",
        )
    found = re.search(r"Next elapse: (.+)", done.stdout)
    return found[1].strip() if found else ""


def _write(path: Path, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        advice = "Schedules are made by root." if error.errno in (1, 13) else ""
        raise DeviceError(str(path), "write", 0, len(text), error.errno or 0, advice) from error
