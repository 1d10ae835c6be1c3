"""Which partition of a target is likely meant for which partition of a backup: a proposal, never a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """`number`: from 1. `size`: bytes. `kind`: of its contents as blkid names it, '' when that is not known."""

    number: int
    size: int
    kind: str = ""


def propose(wanted: Sequence[Part], there: Sequence[Part]) -> dict[int, int]:
    """Number in the backup to number on the target, each target once; what fits nowhere is left out.

    What agrees best comes first: number, contents and size, then two of them, and so on; of equals the smallest.
    """
    candidates = [(_agreement(one, other), -other.size, one, other) for one in wanted for other in there
                  if other.size >= one.size]  # fmt: skip
    candidates.sort(key=lambda found: (-found[0], -found[1], found[2].number, found[3].number))
    pairs: dict[int, int] = {}
    for _, _, one, other in candidates:
        if one.number not in pairs and other.number not in pairs.values():
            pairs[one.number] = other.number
    return {part.number: pairs[part.number] for part in wanted if part.number in pairs}


def _agreement(one: Part, other: Part) -> int:
    """Size weighs most, for partitions of exactly one size are seldom strangers; then the number, then the contents."""
    same_kind = bool(one.kind) and one.kind == other.kind
    return 4 * (one.size == other.size) + 3 * (one.number == other.number) + 2 * same_kind
