"""The results as a Markdown table, and the goals beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from tests.bench.measure import Cost


class Line(NamedTuple):
    """A row of the table. `group`: rows to compare. `rounds`: what each round cost.

    `output`: bytes that were written, 0 when that says nothing.
    """

    key: str
    group: str
    title: str
    rounds: Sequence[Cost]
    output: int = 0

    @property
    def cost(self) -> Cost:
        """The round in the middle by CPU time, whole, so that its figures belong together."""
        return sorted(self.rounds, key=lambda cost: cost.cpu)[(len(self.rounds) - 1) // 2]


def ratio_of(upper: Line, lower: Line, *, wall: bool = False) -> float:
    """The median of the rounds' ratios: what a round compares ran within a minute, in the same mood of the machine."""
    pairs = zip(upper.rounds, lower.rounds, strict=True)
    return median((a.wall / b.wall) if wall else (a.cpu / b.cpu) for a, b in pairs)


class Goal(NamedTuple):
    """`value` of the kind `words` should be at least (or, `most`, at most) `limit`."""

    words: str
    value: float
    limit: float
    most: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.most else self.value >= self.limit


_OWN = {"capture": "capture", "restore": "restore", "extract-ntfs": "extract-ntfs", "extract-ext4": "extract-ext4"}


def markdown(lines: Sequence[Line]) -> str:
    """One table; the last column compares user+sys with the first row (Jurymast's own) of the group."""
    rows = [("what", "user s", "sys s", "user+sys s", "beside Jurymast", "wall s", "peak MB", "output MB")]
    own = {line.key: line for line in lines}
    for line in lines:
        base = own.get(_OWN.get(line.group, ""))
        ratio = f"{ratio_of(line, base):.2f}x" if base else ""
        rows.append(
            (
                line.title,
                f"{line.cost.user:.1f}",
                f"{line.cost.sys:.1f}",
                f"{line.cost.cpu:.1f}",
                ratio,
                f"{line.cost.wall:.1f}",
                f"{line.cost.peak / 1e6:.0f}",
                f"{line.output / 1e6:.0f}" if line.output else "",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    text = []
    for number, row in enumerate(rows):
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        text.append(f"| {' | '.join(cells)} |")
        if number == 0:
            text.append("|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|")
    return "\n".join(text)


def goals(lines: Sequence[Line]) -> list[Goal]:
    """Those that can be told from the rows that were run."""
    rows = {line.key: line for line in lines}
    found = []

    def ratio(words: str, upper: str, lower: str, limit: float, *, most: bool = False, wall: bool = False) -> None:
        if upper in rows and lower in rows:
            found.append(Goal(words, ratio_of(rows[upper], rows[lower], wall=wall), limit, most))

    ratio("capture: user+sys of partclone | zstd over ours", "partclone", "capture", 2.0)
    ratio("capture: our user+sys over zstd -1 alone", "capture", "zstd", 1.15, most=True)
    ratio("capture: our wall time over partclone | zstd", "capture", "partclone", 1.0, most=True, wall=True)
    ratio("restore: user+sys of zstd | partclone over ours", "partclone-restore", "restore", 2.5)
    ratio("restore: our wall time over zstd | partclone", "restore", "partclone-restore", 1.0, most=True, wall=True)
    ratio("extract: wall time of ntfs-3g over ours", "ntfs-3g", "extract-ntfs", 0.5, wall=True)
    ratio("extract: wall time of debugfs over ours", "debugfs", "extract-ext4", 0.5, wall=True)
    found += _limits({key: row.cost for key, row in rows.items()})
    return found


def _limits(costs: Mapping[str, Cost]) -> list[Goal]:
    found = []
    for key, words in (("capture", "capture"), ("proven", "capture with proof"), ("map-ext4", "map of 15 TiB ext4")):
        if key in costs:
            found.append(Goal(f"{words}: peak memory in MB", costs[key].peak / 1e6, 200, most=True))
    if "map-ext4" in costs:
        found.append(Goal("map of 15 TiB ext4: wall seconds", costs["map-ext4"].wall, 10, most=True))
    return found


def goal_text(found: Sequence[Goal]) -> str:
    """One line a goal."""
    return "\n".join(
        f"{'met   ' if g.met else 'MISSED'}  {g.words}: {g.value:.2f} (goal: {'at most' if g.most else 'at least'} "
        f"{g.limit:g})"
        for g in found
    )
