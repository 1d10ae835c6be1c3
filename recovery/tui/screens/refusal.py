"""Why something cannot be done, in words, and what can be done about it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from formats.base.errors import RecoveryError
from recovery.errorwords import error_word
from recovery.tui import texts
from recovery.tui.screens.base import Page
from recovery.tui.widgets.choice import Push, row


class Refusal(Page):
    help_key = "refusal"

    def __init__(self, error: RecoveryError) -> None:
        super().__init__(texts.REFUSAL_TITLE)
        self.error = error

    def content(self) -> ComposeResult:
        with VerticalScroll(id="body"):
            yield Static(error_word(self.error).upper(), markup=False, classes="bad gap")
            yield Static(str(self.error), markup=False, classes="gap", id="reason")
            yield Static(texts.REFUSAL_ADVICE, markup=False, classes="strong gap")
            yield Static(self.error.advice or texts.REFUSAL_DEFAULT, markup=False, id="advice")
            yield Static("")
            yield row(Push(texts.BACK, id="back"))

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#back").focus()
