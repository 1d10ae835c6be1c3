"""The last minute before the machine is switched off by itself. Whatever a person does, stops it."""

from __future__ import annotations

import time

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from recovery.tui.texts import more

SECONDS = 60


class Countdown(ModalScreen[bool]):
    """True: the time is over and nobody objected."""

    def __init__(self) -> None:
        super().__init__()
        self._end = time.monotonic() + SECONDS
        self._stopped = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static("", markup=False, id="seconds", classes="strong")
            yield Static(more.COUNTDOWN_TEXT, markup=False, classes="gap")

    def on_mount(self) -> None:
        self.set_interval(0.25, self._tick)
        self._tick()

    def _tick(self) -> None:
        left = self._end - time.monotonic()
        self.query_one("#seconds", Static).update(more.COUNTDOWN.format(seconds=max(0, round(left))))
        if left <= 0 and not self._stopped:
            self._answer(True)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        self._answer(False)

    def on_click(self) -> None:
        self._answer(False)

    def on_paste(self) -> None:
        self._answer(False)

    def on_screen_suspend(self) -> None:
        """Something lies over it: somebody is there."""
        self._stopped = True

    def on_screen_resume(self) -> None:
        if self._stopped:
            self._answer(False)

    def _answer(self, go: bool) -> None:
        if self.app.screen is self:
            self._stopped = True
            self.dismiss(go)
