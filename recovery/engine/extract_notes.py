"""What an extraction brought back, changed and could not keep; bounded, whatever the tree holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

EXAMPLES = 5
LOSSES_KEPT = 1000


class Loss(NamedTuple):
    """Content that did not arrive whole. `code`: extract.damaged, extract.unreadable, extract.skipped …"""

    path: str
    code: str
    text: str


@dataclass(slots=True)
class Unkept:
    """Something that is not content and that the target could not take: how often, and where first."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """`renamed`: (path in the volume, name given, reason), the first of `renamed_count`."""

    on_loss: Callable[[Loss], None] = lambda loss: None
    advance: Callable[[int], None] = lambda count: None
    files: int = 0
    directories: int = 0
    links: int = 0
    bytes: int = 0
    losses: list[Loss] = field(default_factory=list)
    loss_count: int = 0
    renamed: list[tuple[str, str, str]] = field(default_factory=list)
    renamed_count: int = 0
    unkept: dict[str, Unkept] = field(default_factory=dict)

    def lose(self, path: str, code: str, text: str) -> None:
        self.loss_count += 1
        if len(self.losses) < LOSSES_KEPT:
            loss = Loss(path, code, text)
            self.losses.append(loss)
            self.on_loss(loss)

    def rename(self, path: str, name: str, reason: str) -> None:
        self.renamed_count += 1
        if len(self.renamed) < LOSSES_KEPT:
            self.renamed.append((path, name, reason))

    def not_kept(self, what: str, path: str) -> None:
        entry = self.unkept.setdefault(what, Unkept())
        entry.count += 1
        if len(entry.examples) < EXAMPLES:
            entry.examples.append(path)
