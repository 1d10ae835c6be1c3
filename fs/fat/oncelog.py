"""Problems of a tree that is asked again and again: each is told once, however often a directory is listed."""

from __future__ import annotations

from formats.base.problem import Severity
from fs.findings import Log

REMEMBERED = 20_000


class OnceLog(Log):
    """A Log that takes a problem (code, text and offset) once. After REMEMBERED different ones it takes no more."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[int] = set()

    def add(self, severity: Severity, code: str, text: str, offset: int | None = None) -> None:
        """See Log.add()."""
        key = hash((code, text, offset))
        if key not in self._told and len(self._told) < REMEMBERED:
            self._told.add(key)
            super().add(severity, code, text, offset)
