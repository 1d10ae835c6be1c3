"""What an adapter for a database must be able to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from recovery.engine.companions import HeldSession


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: until it is frozen, that it stays so at most, and for letting go."""

    freeze: float
    hold: float
    thaw: float


class Database(Protocol):
    """`name`: as it is called on the command line. `settings`: lines of the installed hook that people may change."""

    name: str
    title: str
    settings: tuple[str, ...]

    @property
    def limits(self) -> Limits: ...

    def connect(self) -> HeldSession:
        """A session that is held until it is closed. Raises RecoveryError."""

    def check(self, session: HeldSession) -> str:
        """Before anything is frozen: is it there, and can it be done? Raises RecoveryError."""

    def freeze(self, session: HeldSession) -> str:
        """Bring it to the point; what is to be reported. Raises RecoveryError."""

    def thaw(self, session: HeldSession) -> str:
        """Let it go; what is to be reported, and kept for the restore. Raises RecoveryError."""


def as_user(argv: Sequence[str]) -> list[str]:
    """The command as the system user of JURYMAST_DB_USER, when we are root and it is set."""
    user = os.environ.get("JURYMAST_DB_USER", "")
    return ["runuser", "-u", user, "--", *argv] if user and os.geteuid() == 0 else list(argv)


def hold_limit(usual: float, most: float) -> float:
    """JURYMAST_HOLD_SECONDS, or what is usual; `most` at most."""
    try:
        return min(most, max(0.1, float(os.environ["JURYMAST_HOLD_SECONDS"])))
    except (KeyError, ValueError):
        return usual
