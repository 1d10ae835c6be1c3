"""Collecting problems: each once, and only the first few of a kind, so that a ruined volume fits in a report."""

from __future__ import annotations

from formats.base.problem import Problem, Severity

FEW = 5  # of one kind are named; the rest are counted


class Findings:
    """An ordered set of problems."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._seen: set[tuple[str, str]] = set()

    def add(self, severity: Severity, code: str, text: str, offset: int | None = None) -> None:
        """Add one unless the same sentence is there already (two walks find the same damage)."""
        if (code, text) not in self._seen:
            self._seen.add((code, text))
            self._problems.append(Problem(severity, code, text, offset))

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(self._problems)


class Tally:
    """One kind of damage during one walk: the first few become problems, the rest a number. Call close()."""

    def __init__(self, findings: Findings, severity: Severity, code: str, plural: str) -> None:
        """`plural` names what is counted: "MFT records in use are damaged"."""
        self._findings, self._severity, self._code, self._plural = findings, severity, code, plural
        self.count = 0

    def add(self, text: str, offset: int | None = None) -> None:
        self.count += 1
        if self.count <= FEW:
            self._findings.add(self._severity, self._code, text, offset)

    def close(self) -> None:
        """Say how many there were when not all were named."""
        if self.count > FEW:
            text = f"{self.count} {self._plural}; the first {FEW} are named."
            self._findings.add(self._severity, self._code, text)
