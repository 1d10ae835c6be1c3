"""All options of a task on one screen, each with a sentence and a good answer set already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from recovery.tui import texts
from recovery.tui.screens.base import Page
from recovery.tui.widgets.choice import Check, Picks, Push, row


@dataclass(frozen=True, slots=True)
class Tick:
    key: str
    text: str
    value: bool


@dataclass(frozen=True, slots=True)
class OneOf:
    key: str
    text: str
    choices: Sequence[tuple[str, str]]
    value: str


@dataclass(frozen=True, slots=True)
class Answers:
    """`ticks` and `choices` by key."""

    ticks: dict[str, bool]
    choices: dict[str, str]


class Options(Page):
    help_key = "options"

    def __init__(self, heading: str, fields: Sequence[Tick | OneOf], done: Callable[[Answers], None]) -> None:
        super().__init__(heading)
        self._fields, self._done = fields, done

    def content(self) -> ComposeResult:
        with VerticalScroll(id="body"):
            for field in self._fields:
                if isinstance(field, Tick):
                    yield Check(field.key, field.text, field.value)
                else:
                    yield Static(field.text, markup=False, classes="strong")
                    yield Picks(field.key, field.choices, field.value)
        with Vertical(id="foot"):
            yield row(Push(texts.CONTINUE, id="continue"), Push(texts.BACK, id="back"))

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#body").can_focus = False
        self.query_one("#continue").focus()

    def pushed(self, id: str) -> None:
        if id == "back":
            self.action_back()
            return
        self._done(
            Answers(
                {check.key: check.value for check in self.query(Check)},
                {picks.key: picks.value for picks in self.query(Picks)},
            )
        )
