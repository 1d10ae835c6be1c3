"""Problems of one volume, bounded however damaged it is: the first of each kind are kept, the rest are counted."""

from __future__ import annotations

from collections import Counter

from formats.base.problem import Problem, Severity

KEEP_PER_CODE = 40


class Findings:
    """Collects problems of one phase of work. At most KEEP_PER_CODE of each code are kept in full."""

    def __init__(self) -> None:
        self._kept: list[Problem] = []
        self._count: Counter[tuple[Severity, str]] = Counter()

    def add(self, severity: Severity, code: str, text: str, offset: int | None = None) -> None:
        """`offset`: bytes from the start of the volume."""
        self._count[severity, code] += 1
        if self._count[severity, code] <= KEEP_PER_CODE:
            self._kept.append(Problem(severity, code, text, offset))

    def error(self, code: str, text: str, offset: int | None = None) -> None:
        self.add(Severity.ERROR, code, text, offset)

    def warning(self, code: str, text: str, offset: int | None = None) -> None:
        self.add(Severity.WARNING, code, text, offset)

    def problems(self) -> list[Problem]:
        """What was kept, then one line for each kind that had more."""
        rest = [
            Problem(severity, code, f"{count - KEEP_PER_CODE} more problems of this kind are not listed")
            for (severity, code), count in self._count.items()
            if count > KEEP_PER_CODE
        ]
        return self._kept + rest
