"""The report of a job: what a person reads afterwards, and what a program keeps. JSON and text."""

from __future__ import annotations

import calendar
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from formats.base.problem import Problem, Severity
from formats.base.units import in_words
from recovery.engine.events import Outcome
from recovery.engine.moments.model import CommandResult

_SENTENCE = {
    ("backup", Outcome.OK): "PROVEN",
    ("restore", Outcome.OK): "RESTORED AND CHECKED",
    ("clone", Outcome.OK): "CLONED AND CHECKED",
    ("verify", Outcome.OK): "THE ARCHIVE IS GOOD",
    ("extract", Outcome.OK): "EXTRACTED",
    ("prune", Outcome.OK): "RETENTION DONE",
}
_GOOD_PROOFS = ("PROVEN", "STORED-RAW", "complete")  # of volumes; the last one of what was written and read back
_WHEN = "%Y-%m-%dT%H:%M:%SZ"
_UNCHECKED = {
    "backup": "STORED, NOT VERIFIED",
    "restore": "RESTORED, NOT CHECKED",
    "clone": "CLONED, NOT CHECKED",
}


@dataclass(slots=True)
class VolumeResult:
    """`proof`: verdict, or how a written volume was checked. `lost`: byte ranges of the volume that are gone.

    `missing`: who is hit by it: files by path, and structures. `files`: how many were read to their end, None when
    nobody did.
    """

    title: str
    number: int
    file_system: str
    image_bytes: int
    proof: str = ""
    text: str = ""
    missing: tuple[str, ...] = ()
    lost: list[tuple[int, int]] = field(default_factory=list)
    lost_bytes: int = 0
    left_out: tuple[str, ...] = ()
    files: int | None = None

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> VolumeResult:
        """The way back from to_json(). Raises KeyError, TypeError, ValueError."""
        return cls(
            str(body["title"]),
            int(body["number"]),
            str(body["file_system"]),
            int(body["image_bytes"]),
            str(body["proof"]),
            str(body["text"]),
            tuple(map(str, body["missing"])),
            [(int(start), int(end)) for start, end in body["lost"]],
            int(body["lost_bytes"]),
            tuple(map(str, body["left_out"])),
            None if body.get("files") is None else int(body["files"]),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "number": self.number,
            "file_system": self.file_system,
            "image_bytes": self.image_bytes,
            "proof": self.proof,
            "text": self.text,
            "missing": list(self.missing),
            "lost": [list(pair) for pair in self.lost],
            "lost_bytes": self.lost_bytes,
            "left_out": list(self.left_out),
            "files": self.files,
        }


@dataclass(slots=True)
class Report:
    """`numbers`: figures of the job by name, bytes or counts. `started`, `seconds`: wall clock.

    `job_id`, `commands`: what the user's commands were told, and how each of them ended.
    `error`: why it did not end well; `aftermath`: what that left behind; `advice`: what to do. `report_id`: by which it
    is found again, see kept; '' until the job has ended.
    """

    job: str
    title: str
    plan_id: str = ""
    outcome: Outcome = Outcome.FAILED
    checked: bool = True
    damaged_archive: bool = False
    error: str = ""
    advice: str = ""
    aftermath: str = ""
    started: float = field(default_factory=time.time)
    seconds: float = 0.0
    volumes: list[VolumeResult] = field(default_factory=list)
    problems: list[tuple[str, Problem]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    report_id: str = ""
    job_id: str = ""
    commands: list[CommandResult] = field(default_factory=list)

    @property
    def headline(self) -> str:
        """One phrase in capitals that cannot be misread."""
        if self.outcome in (Outcome.OK, Outcome.COMMAND_FAILED):
            done = _SENTENCE.get((self.job, Outcome.OK), "DONE") if self.checked else _UNCHECKED.get(self.job, "DONE")
            if self.outcome is Outcome.OK:
                return done
            failed = any(not command.ok for command in self.commands)
            return f"{done}, BUT {'A COMMAND FAILED' if failed else 'OLD ARCHIVES WERE NOT DELETED'}"
        return {
            Outcome.LOSSES: "COMPLETED WITH LOSSES",
            Outcome.REFUSED: "REFUSED, NOTHING WAS CHANGED",
            Outcome.CANCELLED: "STOPPED ON REQUEST",
            Outcome.FAILED: "THE ARCHIVE IS DAMAGED" if self.damaged_archive else "FAILED",
        }[self.outcome]

    def why_not_fully_good(self) -> str:
        """'' when all that was asked for was done and checked, so that nobody needs to look; else the reason.

        The rule for what happens without a person, such as switching the machine off.
        """
        if self.outcome is not Outcome.OK or self.damaged_archive:
            return f"It ended with: {self.headline}."
        if not self.checked or (self.job, Outcome.OK) not in _SENTENCE:
            return f"Nobody has checked the result: {self.headline}."
        for volume in self.volumes:
            if volume.proof not in _GOOD_PROOFS or volume.lost_bytes or volume.missing:
                return f"{volume.title} ended as: {volume.proof or 'not checked'}."
        for subject, problem in self.problems:
            if problem.severity is Severity.ERROR:
                return f"There was an error: {subject}: {problem.text}"
        return ""

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Report:
        """The way back from to_json(). Raises KeyError, TypeError, ValueError, AttributeError."""
        report = cls(str(body["job"]), str(body["title"]), str(body["plan_id"]), Outcome(body["outcome"]))
        report.checked, report.damaged_archive = bool(body["checked"]), bool(body["damaged_archive"])
        report.error, report.advice = str(body["error"]), str(body["advice"])
        report.aftermath = str(body["aftermath"])
        report.started = float(calendar.timegm(time.strptime(body["started"], _WHEN)))
        report.seconds = float(body["seconds"])
        report.volumes = [VolumeResult.from_json(volume) for volume in body["volumes"]]
        for problem in body["problems"]:
            offset = None if problem["offset"] is None else int(problem["offset"])
            found = Problem(Severity(problem["severity"]), str(problem["code"]), str(problem["text"]), offset)
            report.problems.append((str(problem["subject"]), found))
        report.numbers = {str(name): int(value) for name, value in body["numbers"].items()}
        report.paths = [str(path) for path in body["paths"]]
        report.report_id = str(body["report_id"])
        return report

    def to_json(self) -> dict[str, Any]:
        return {
            "report_id": self.report_id,
            "job": self.job,
            "title": self.title,
            "plan_id": self.plan_id,
            "outcome": self.outcome.value,
            "headline": self.headline,
            "checked": self.checked,
            "damaged_archive": self.damaged_archive,
            "error": self.error,
            "aftermath": self.aftermath,
            "advice": self.advice,
            "started": time.strftime(_WHEN, time.gmtime(self.started)),
            "seconds": round(self.seconds, 1),
            "volumes": [v.to_json() for v in self.volumes],
            "problems": [{"subject": subject, **problem.to_json()} for subject, problem in self.problems],
            "numbers": self.numbers,
            "paths": self.paths,
            "job_id": self.job_id,
            "commands": [command.to_json() for command in self.commands],
        }

    def to_text(self) -> str:
        """For people, 78 columns where words allow it."""
        lines = [self.headline, "", self.title]
        if self.error:
            lines += ["", self.error]
        lines += [text for text in (self.aftermath, self.advice) if text]
        lines.append("")
        for volume in self.volumes:
            lines.append(f"  {volume.title}: {volume.proof}")
            if volume.text:
                lines.append(f"      {volume.text}")
            lines += [f"      hit: {name}" for name in volume.missing]
            if volume.lost_bytes:
                lines.append(f"      lost: {in_words(volume.lost_bytes)}")
                lines += [f"        bytes {a} to {b}" for a, b in volume.lost[:20]]
            lines += [f"      left out: {name}" for name in volume.left_out]
        for subject, problem in self.problems:
            lines.append(f"  {problem.severity.value}: {subject}: {problem.text}")
        for command in self.commands:
            lines.append(f"  {command.to_text()}")
            lines += [f"      {line}" for line in (["(earlier output left out)"] if command.cut else [])]
            lines += [f"      {line}" for line in command.output.splitlines()]
        lines.append("")
        for name, value in self.numbers.items():
            shown = in_words(value) if name.endswith("_bytes") else str(value)
            lines.append(f"  {name.removesuffix('_bytes').replace('_', ' ')}: {shown}")
        lines.append(f"  seconds: {self.seconds:.1f}")
        lines += [f"  {path}" for path in self.paths]
        return "\n".join(lines) + "\n"

    def save_beside(self, archive: Path) -> None:
        """Write ARCHIVE.report.json and ARCHIVE.report.txt. Raises OSError."""
        write_whole(archive.with_name(archive.name + ".report.json"), self.json_text())
        write_whole(archive.with_name(archive.name + ".report.txt"), self.to_text())

    def json_text(self) -> str:
        """As it is stored."""
        return json.dumps(self.to_json(), indent=1) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
