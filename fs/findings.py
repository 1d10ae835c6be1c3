"""What a parser found out about a volume, without duplicates and without end.

A hostile volume can hold millions of faults; a report needs the first ones and a count.
"""

from __future__ import annotations

from formats.base.problem import Problem, Severity

PER_CODE = 50  # problems of one code that are kept; the rest is counted


class Log:
    """The problems of one pass over a volume."""

    def __init__(self) -> None:
        self._kept: list[Problem] = []
        self._counts: dict[str, int] = {}
        self._worst: dict[str, Severity] = {}

    def add(self, severity: Severity, code: str, text: str, offset: int | None = None) -> None:
        """Note a problem. `offset`: bytes from the start of the volume."""
        count = self._counts[code] = self._counts.get(code, 0) + 1
        self._worst[code] = severity
        if count <= PER_CODE:
            self._kept.append(Problem(severity, code, text, offset))

    def full(self, code: str) -> bool:
        """True when further problems of this code are only counted: do not spend time on details."""
        return self._counts.get(code, 0) >= PER_CODE

    def problems(self) -> list[Problem]:
        more = [
            Problem(self._worst[code], code, f"and {count - PER_CODE} more of the same kind")
            for code, count in self._counts.items()
            if count > PER_CODE
        ]
        return self._kept + more


class Findings:
    """The logs of all passes. Repeating a pass replaces what it said before."""

    def __init__(self) -> None:
        self._logs: dict[str, Log] = {}

    def start(self, phase: str) -> Log:
        """A new, empty log for `phase` (such as "open", "allocated", "references")."""
        log = self._logs[phase] = Log()
        return log

    def problems(self) -> list[Problem]:
        """All of them in the order of the phases, each once."""
        return list(dict.fromkeys(p for log in self._logs.values() for p in log.problems()))
