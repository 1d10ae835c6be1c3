"""The results as a Markdown table, and the goals beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tests.bench.measure import Cost


class Line(NamedTuple):
    """A row of the table. `output`: bytes that were written, 0 when that says nothing. `group`: rows to compare."""

    key: str
    group: str
    title: str
    cost: Cost
    output: int = 0


class Goal(NamedTuple):
    """`value` of the kind `words` should be at least (or, `most`, at most) `limit`."""

    words: str
    value: float
    limit: float
    most: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.most else self.value >= self.limit


_OWN = {"capture": "capture", "restore": "restore"}


def markdown(lines: Sequence[Line]) -> str:
    """One table; the last column compares user+sys with the first row (Jurymast's own) of the group."""
    rows = [("what", "user s", "sys s", "user+sys s", "beside Jurymast", "wall s", "peak MB", "output MB")]
    own = {line.key: line.cost for line in lines}
    for line in lines:
        base = own.get(_OWN.get(line.group, ""))
        ratio = f"{line.cost.cpu / base.cpu:.2f}x" if base and base.cpu else ""
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
    costs = {line.key: line.cost for line in lines}
    found = []

    def ratio(words: str, upper: str, lower: str, limit: float, *, most: bool = False, wall: bool = False) -> None:
        if upper in costs and lower in costs:
            top, bottom = (costs[k].wall if wall else costs[k].cpu for k in (upper, lower))
            found.append(Goal(words, top / bottom if bottom else 0.0, limit, most))

    ratio("capture: user+sys of partclone | zstd over ours", "partclone", "capture", 2.0)
    ratio("capture: our user+sys over zstd -1 alone", "capture", "zstd", 1.15, most=True)
    ratio("capture: our wall time over partclone | zstd", "capture", "partclone", 1.0, most=True, wall=True)
    ratio("restore: user+sys of zstd | partclone over ours", "partclone-restore", "restore", 2.5)
    ratio("restore: our wall time over zstd | partclone", "restore", "partclone-restore", 1.0, most=True, wall=True)
    found += _limits(costs)
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
