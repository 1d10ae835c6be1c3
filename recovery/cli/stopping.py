"""Stopping and pausing on request: signals become a cancel token, and a disk that hangs does not hold the command."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from formats.base.errors import Cancelled
from recovery.engine.cancel import CancelToken

T = TypeVar("T")
_SIGNALS = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
_LOOK_EVERY = 0.2  # seconds
_PATIENCE = 2.0  # seconds from a wish to stop to the end, when a disk hangs


class Asking:
    """True while a person is asked something: Ctrl-C then means "no", and not "stop soon"."""

    now = False


@contextmanager
def stoppable(token: CancelToken) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP ask the engine to stop; it leaves things clean. A second Ctrl-C ends at once.

    SIGUSR1 pauses, and goes on. Ctrl-Z stops the process as everywhere; the time until it goes on (fg) is left out of
    rates. What the caller ignores (nohup, or the shell for jobs in the background) stays ignored.
    """

    def stop(number: int, _: object) -> None:
        if Asking.now or (token.cancelled and number == signal.SIGINT):
            raise KeyboardInterrupt
        token.cancel()

    def pause(number: int, _: object) -> None:
        if token.paused:
            token.resume()
        else:
            token.pause()

    def stand_still(number: int, _: object) -> None:
        before = time.monotonic()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(signal.Signals(number))  # to this thread, so that all of them have stood still behind it
        signal.signal(number, stand_still)
        token.stood_still(time.monotonic() - before)

    handlers = {**dict.fromkeys(_SIGNALS, stop), signal.SIGUSR1: pause, signal.SIGTSTP: stand_still}
    heard = [number for number in handlers if signal.getsignal(number) is not signal.SIG_IGN]
    old = {number: signal.signal(number, handlers[number]) for number in heard}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def aside(work: Callable[[], T], token: CancelToken) -> T:
    """Run `work` in a thread: a hanging disk holds it in the kernel, and this one must stay free to hear Ctrl-C."""
    done: Future[T] = Future()

    def body() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=body, name="planner", daemon=True).start()
    stop_at = float("inf")
    while True:
        try:
            return done.result(timeout=_LOOK_EVERY)
        except TimeoutError:
            if done.done():
                raise
            if token.cancelled:
                stop_at = min(stop_at, time.monotonic() + _PATIENCE)
            if time.monotonic() >= stop_at:
                raise Cancelled("Stopped on request, while a disk did not answer. Nothing was changed.") from None
