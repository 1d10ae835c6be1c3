"""The wish to stop, set by a face and polled by the engine."""

from __future__ import annotations

from threading import Event

from formats.base.errors import Cancelled


class CancelToken:
    """Thread-safe. Once set it stays set."""

    def __init__(self) -> None:
        self._event = Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise Cancelled when the user asked to stop."""
        if self._event.is_set():
            raise Cancelled("Stopped on request.")
