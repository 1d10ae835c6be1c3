"""What is wished for at the moments of a backup, and how each command ended."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

HOOKS_DIR = Path("/etc/jurymast/hooks.d")
DEFAULT_TIMEOUT = 60.0  # seconds


class Moment(StrEnum):
    """The first four are the words that an executable of hooks.d is called with."""

    PREPARE = "prepare"
    FREEZE = "freeze"
    THAW = "thaw"
    ABORT = "abort"
    BEFORE_SNAPSHOT = "before-snapshot"
    AFTER_SNAPSHOT = "after-snapshot"
    AFTER_BACKUP = "after-backup"


@dataclass(frozen=True, slots=True)
class MomentOptions:
    """Commands go through the system's shell; '' is none. `timeout`: seconds of each. `hooks_dir` None: no hooks."""

    before_snapshot: str = ""
    after_snapshot: str = ""
    after_backup: str = ""
    timeout: float = DEFAULT_TIMEOUT
    hooks_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class CommandResult:
    """`text`: the command, or the path of the hook. `code`: of its exit, negative for a signal. `error`: '' when ok.

    `output`: the last 64 KiB of what it printed, harmless for terminals; `cut`: there was more.
    """

    moment: Moment
    text: str
    code: int
    seconds: float
    error: str
    output: str
    cut: bool = False

    @property
    def ok(self) -> bool:
        return not self.error

    def to_json(self) -> dict[str, Any]:
        return {
            "moment": self.moment.value,
            "command": self.text,
            "ok": self.ok,
            "code": self.code,
            "seconds": round(self.seconds, 1),
            "error": self.error,
            "output": self.output,
            "cut": self.cut,
        }

    def to_text(self) -> str:
        """One line that says how it went."""
        return f"{self.moment.value}: {self.text}: {self.error or f'done in {self.seconds:.1f} s'}"


class SnapshotMoments(Protocol):
    """What a snapshot calls: right before it stops the world, and as soon as the world runs again."""

    def before_freeze(self) -> None:
        """Raises CommandFailed or Refused: then there must be no snapshot, and after_thaw() is due all the same."""

    def after_thaw(self) -> None:
        """Runs once, and only when before_freeze() was begun; further calls do nothing. Does not raise."""


def harmless(text: str) -> str:
    """Text that changes nothing of a terminal but its lines: control and direction characters become '?'."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "?" for c in text)
