"""A finding that does not stop the work: it is collected, shown and stored with the archive."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """`code` is stable for programs (``ntfs.dirty``), `text` is a sentence for people.

    `offset`: bytes from the start of the volume or disk that carries the problem, None when there is no place.
    """

    severity: Severity
    code: str
    text: str
    offset: int | None = None

    def to_json(self) -> dict[str, object]:
        return asdict(self)
