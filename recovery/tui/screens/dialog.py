"""A question over the screen. The careful answer has the focus, and Esc gives it too."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from recovery.tui import texts
from recovery.tui.widgets.choice import Push, row


class Dialog(ModalScreen[bool]):
    """True: yes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", show=False)]

    def __init__(self, title: str, text: str, *, yes: str, no: str) -> None:
        super().__init__()
        self._title, self._text, self._yes, self._no = title, text, yes, no

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(self._title, markup=False, classes="strong")
            yield Static(self._text, markup=False, classes="gap")
            yield Static("")
            yield row(Push(self._no, id="no"), Push(self._yes, id="yes"))

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    def action_no(self) -> None:
        self._answer(False)

    def on_push_pressed(self, message: Push.Pressed) -> None:
        self._answer(message.push.id == "yes")

    def _answer(self, yes: bool) -> None:
        """Once: two quick presses must not close the screen below as well."""
        if self.app.screen is self:
            self.dismiss(yes)


class Help(ModalScreen[None]):
    """What the screen below is for, and all keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,enter", "close", show=False)]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            with VerticalScroll(id="help-text"):
                yield Static(texts.HELP_TITLE, markup=False, classes="strong")
                yield Static(self._text, markup=False, classes="gap")
                yield Static(texts.HELP_KEYS, markup=False, classes="gap")
            yield Static("")
            yield row(Push(texts.CLOSE, id="close"))

    def on_mount(self) -> None:
        self.query_one("#close").focus()

    def action_close(self) -> None:
        if self.app.screen is self:
            self.dismiss(None)

    def on_push_pressed(self, message: Push.Pressed) -> None:
        self.action_close()
