"""A limit on bytes a second: a bucket that fills with time, and is drawn from before every read."""

from __future__ import annotations

import time
from collections.abc import Callable

_FULL = 0.25  # seconds of the rate that may be saved up while nothing is read
_LEAST = 0.001  # seconds
_LOOK_EVERY = 0.2  # seconds in which a wish to stop is noticed


class Throttle:
    """`rate`: bytes a second, 0 for no limit. For one thread at a time. `stop` ends a wait."""

    def __init__(
        self,
        rate: int,
        stop: Callable[[], bool] = lambda: False,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._stop, self._clock, self._sleep = rate, stop, clock, sleep
        self._level = 0.0  # bytes that may be read at `_at`; below zero they are owed
        self._at = clock()

    def take(self, count: int) -> None:
        """Return when the bytes taken before are paid for by time: so a read larger than the bucket goes, too."""
        if not self._rate:
            return
        while True:
            now = self._clock()
            self._level = min(self._rate * _FULL, self._level + (now - self._at) * self._rate)
            self._at = now
            if self._level >= 0 or self._stop():
                break
            # Never so little that a clock would not move by it.
            self._sleep(max(_LEAST, min(_LOOK_EVERY, -self._level / self._rate)))
        self._level -= count
