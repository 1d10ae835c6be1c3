"""Progress as text: a bar, a rate, a time, and the course of the rate as a line of marks."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence

_PLAIN = " .:-=+*#"
_BLOCKS = " ▁▂▃▄▅▆▇█"


def plain_terminal() -> bool:
    """Whether the terminal's font has little more than letters: the Linux console and real terminals."""
    return os.environ.get("TERM", "").startswith(("linux", "vt", "dumb", "ansi"))


def bar(done: int, total: int, width: int) -> str:
    """`[####....]  45 %`, `width` without the rest; without a total only the brackets."""
    if total <= 0:
        return "[" + "." * width + "]"
    share = min(1.0, done / total)
    full = int(share * width)
    return f"[{'#' * full}{'.' * (width - full)}] {int(share * 100):>3} %"


def spark(rates: Sequence[float], *, plain: bool) -> str:
    """One mark for each rate, the highest of them full."""
    marks = _PLAIN if plain else _BLOCKS
    top = max(rates, default=0.0)
    if top <= 0:
        return marks[0] * len(rates)
    return "".join(marks[min(len(marks) - 1, round(rate / top * (len(marks) - 1)))] for rate in rates)


def clock(seconds: float) -> str:
    """`1:05` or `2:03:00`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Rate:
    """Bytes a second: now (over some seconds), and its course. Times in seconds of any clock."""

    def __init__(self, window: float = 5.0, marks: int = 60) -> None:
        self._window = window
        self._seen: deque[tuple[float, int]] = deque()
        self.course: deque[float] = deque(maxlen=marks)

    def restart(self) -> None:
        """A new step counts from zero."""
        self._seen.clear()

    def reach(self, now: float, done: int) -> None:
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > self._window:
            self._seen.popleft()

    def mark(self) -> None:
        """Keep the rate of now for the course."""
        self.course.append(self.now)

    @property
    def now(self) -> float:
        if len(self._seen) < 2:
            return 0.0
        (first, was), (last, done) = self._seen[0], self._seen[-1]
        return (done - was) / (last - first) if last > first else 0.0

    def left(self, total: int) -> float | None:
        """Seconds to `total` bytes; None when that cannot be told."""
        rate = self.now
        return (total - self._seen[-1][1]) / rate if rate > 0 and total else None
