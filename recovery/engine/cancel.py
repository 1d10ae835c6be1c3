"""The wishes to stop and to pause, set by a face and polled by the engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

from formats.base.errors import Cancelled

_LOOK = 0.05  # seconds


def _never() -> bool:
    return False


def _nobody(paused: bool) -> None:
    """Nobody wants to know."""


class CancelToken:
    """Thread-safe. Once cancelled it stays so; a pause ends with resume(), or with cancel().

    Signal handlers call these methods too, in the midst of anything that the main thread does: so there is no lock,
    the state of a pause is one tuple that is replaced as a whole, and a paused thread looks every now and then.
    """

    def __init__(self) -> None:
        self._event = Event()
        self._pause: tuple[float, float | None] = (0.0, None)  # seconds of earlier pauses, and when this one began
        self.on_hold: Callable[[bool], None] = _nobody  # told by the thread of the job: held, goes on

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def pause(self) -> None:
        """The job stands still from its next check() on, and keeps whatever it holds."""
        before, since = self._pause
        if since is None:
            self._pause = (before, time.monotonic())

    def resume(self) -> None:
        before, since = self._pause
        if since is not None:
            self._pause = (before + time.monotonic() - since, None)

    @property
    def paused(self) -> bool:
        return self._pause[1] is not None

    def stood_still(self, seconds: float) -> None:
        """The whole process was stopped from outside for that long (Ctrl-Z): counted as a pause."""
        before, since = self._pause
        # A pause that was on meanwhile has counted it already.
        self._pause = (before + seconds, None) if since is None else (before, since)

    @property
    def left_out(self) -> float:
        """Seconds of all pauses so far."""
        before, since = self._pause
        return before if since is None else before + time.monotonic() - since

    def clock(self) -> float:
        """Seconds of a clock that never goes back, and stands still in pauses: for rates and for stalls."""
        return time.monotonic() - self.left_out

    def hold(self, unless: Callable[[], bool] = _never) -> None:
        """Wait while it is paused, in any thread; not when it is cancelled, or `unless` says so."""
        while self.paused and not self.cancelled and not unless():
            time.sleep(_LOOK)

    def check(self) -> None:
        """For the thread of the job: wait while it is paused. Raise Cancelled when the user asked to stop."""
        if self.paused and not self.cancelled:
            self.on_hold(True)
            self.hold()
            self.on_hold(False)
        if self._event.is_set():
            raise Cancelled("Stopped on request.")
