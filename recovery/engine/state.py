"""The state folder of the program, and the thread that writes there, so that a dead disk behind it holds nobody."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

_WAITING = 1000  # pieces of work; what comes beyond is dropped and counted
_OWN_VARIABLE = "JURYMAST_STATE"
_log = logging.getLogger(__name__)


def state_folder() -> Path:
    """$JURYMAST_STATE; else /var/lib/jurymast for root, and the user's state folder (XDG) for others.

    It need not be there. Source: XDG Base Directory Specification 0.8, $XDG_STATE_HOME.
    """
    own = os.environ.get(_OWN_VARIABLE)
    if own:
        return Path(own)
    if os.geteuid() == 0:
        return Path("/var/lib/jurymast")
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if home.startswith("/") else Path(os.environ.get("HOME", "/"), ".local", "state")
    return base / "jurymast"


def ready_folder(folder: Path) -> Path:
    """Make it where it is missing, for this user alone: reports name files and serial numbers. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class Scribe:
    """Does pieces of work in their order, in a thread of its own. They see to their errors themselves."""

    def __init__(self, most: int = _WAITING) -> None:
        self._most = most
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def do(self, work: Callable[[], None]) -> bool:
        """Never waits. False: there was no room."""
        if self._work.qsize() >= self._most:
            self.dropped += 1
            return False
        self._put(work)
        return True

    def settle(self, seconds: float) -> bool:
        """Wait until all that was asked for so far is done, `seconds` at most. False: it is not."""
        done = threading.Event()
        self._put(done.set)
        return done.wait(seconds)

    def _put(self, work: Callable[[], None]) -> None:
        self._work.put(work)
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a fork takes no threads along
                self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)
                self._thread.start()

    def take_dropped(self) -> int:
        """How much was dropped since this was asked last."""
        count, self.dropped = self.dropped, 0
        return count

    def _run(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            except Exception as error:  # this thread must outlive any fault of ours
                _log.debug("not written: %s", error)


SCRIBE = Scribe()


def stamp(at: float) -> str:
    """Seconds since 1970 as UTC, with milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}Z"
