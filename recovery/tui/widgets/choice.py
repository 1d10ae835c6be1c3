"""Buttons, ticks and choices that tell their state by their letters: [x], (*), [ Start ]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Static


class _Line(Static, can_focus=True):
    """Something on one line that is pressed. Arrow keys go to its neighbours."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "act", show=False),
        Binding("up,left", "app.focus_previous", show=False),
        Binding("down,right", "app.focus_next", show=False),
    ]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__("", markup=False, id=id, classes=classes)

    def on_mount(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        self.update(self.line())

    def line(self) -> str:
        raise NotImplementedError

    def action_act(self) -> None:
        raise NotImplementedError

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.action_act()


class Push(_Line):
    """A button."""

    class Pressed(Message):
        def __init__(self, push: Push) -> None:
            self.push = push
            super().__init__()

    def __init__(self, label: str, *, id: str, disabled: bool = False) -> None:
        self.label = label
        super().__init__(id=id)
        self.disabled = disabled

    def line(self) -> str:
        return f"( {self.label} )" if self.disabled else f"[ {self.label} ]"

    def watch_disabled(self, disabled: bool) -> None:
        super().watch_disabled(disabled)
        if self.is_mounted:
            self.redraw()

    def action_act(self) -> None:
        if not self.disabled:
            self.post_message(self.Pressed(self))


class Check(_Line):
    """A tick: on or off. `key` is its key in the answers."""

    class Changed(Message):
        def __init__(self, check: Check) -> None:
            self.check = check
            super().__init__()

    def __init__(self, key: str, label: str, value: bool) -> None:
        self.key, self.label, self.value = key, label, value
        super().__init__(id=f"check-{key}")

    def line(self) -> str:
        return f"[{'x' if self.value else ' '}] {self.label}"

    def action_act(self) -> None:
        self.value = not self.value
        self.redraw()
        self.post_message(self.Changed(self))


class Pick(_Line):
    """One of several in a `Picks`."""

    class Chosen(Message):
        def __init__(self, pick: Pick) -> None:
            self.pick = pick
            super().__init__()

    def __init__(self, key: str, value: str, label: str, chosen: bool) -> None:
        self.key, self.value, self.label, self.chosen = key, value, label, chosen
        super().__init__(id=f"pick-{key}-{value}")

    def line(self) -> str:
        return f"({'*' if self.chosen else ' '}) {self.label}"

    def action_act(self) -> None:
        self.post_message(self.Chosen(self))


class Picks(Vertical):
    """Exactly one of `choices` (value, label) is chosen."""

    def __init__(self, key: str, choices: Sequence[tuple[str, str]], value: str) -> None:
        self.key, self.value = key, value
        super().__init__(*(Pick(key, v, label, v == value) for v, label in choices), id=f"picks-{key}")

    def on_pick_chosen(self, message: Pick.Chosen) -> None:
        message.stop()
        self.value = message.pick.value
        for pick in self.query(Pick):
            pick.chosen = pick.value == self.value
            pick.redraw()


def row(*pushes: Push) -> Horizontal:
    """Buttons beside each other."""
    return Horizontal(*pushes, classes="row")
