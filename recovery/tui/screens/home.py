"""The machine at a glance, and the tasks in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from formats.base.errors import RecoveryError
from formats.base.units import in_words
from recovery.engine.controllers import Hidden
from recovery.errorwords import error_word
from recovery.tui import texts
from recovery.tui.aside import aside
from recovery.tui.machine import Shown
from recovery.tui.screens.base import Page
from recovery.words import NO_DISKS, disk_name, disk_state, hidden_lines

MAP_WIDTH = 74  # of 80: a blank and a bracket on either side, and the scroll bar


def disk_lines(shown: Shown, *, fresh: bool = False) -> str:
    """Three lines: name and size, what it is and who uses it, its map."""
    disk = shown.disk
    notes = [disk_state(disk), texts.DESCRIBED if shown.described else "", texts.JUST_PLUGGED.upper() if fresh else ""]
    about = f"{disk_name(disk)}  ({', '.join(note for note in notes if note)})"
    lines = [f"{shown.path}  {in_words(disk.identity.size)}", f" {about}"]
    if shown.map:
        lines.append(f" {shown.map}")
    return "\n".join(lines)


class Home(Page):
    help_key = "home"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "look", texts.KEY_REFRESH, key_display="F5"),
        Binding("escape", "app.leave", show=False),
    ]

    def __init__(self) -> None:
        super().__init__("")
        self._known: frozenset[str] | None = None
        self._fresh: frozenset[str] = frozenset()
        self._looking = False

    def content(self) -> ComposeResult:
        real = self.jurymast.machine.real
        yield Static(
            texts.HOME_DISKS if real else texts.HOME_DESCRIBED, markup=False, classes="strong", id="disks-title"
        )
        with VerticalScroll(id="disks"):
            yield Static(texts.LOOKING, markup=False, id="disk-text")
        yield Static(texts.HOME, markup=False, classes="strong", id="tasks-title")
        yield OptionList(*(Option(text, id=key) for key, text in texts.TASKS), id="tasks", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        tasks = self.query_one("#tasks", OptionList)
        tasks.highlighted = 0
        tasks.focus()
        self.action_look()

    def on_screen_resume(self) -> None:
        self.jurymast.let_go()

    def action_look(self) -> None:
        """Look at the disks again. A look that is under way is the newest there is."""
        if self._looking:
            return
        self._looking = True
        machine = self.jurymast.machine
        aside(self, lambda: (machine.disks(MAP_WIDTH), machine.hidden()), self._show, self._fail)

    def _show(self, found: tuple[Sequence[Shown], Sequence[Hidden]]) -> None:
        self._looking = False
        disks, hidden = found
        now = frozenset(shown.path for shown in disks)
        if self._known is not None:
            self._fresh = (self._fresh & now) | (now - self._known)
        self._known = now
        text = "\n".join(disk_lines(shown, fresh=shown.path in self._fresh) for shown in disks)
        text = "\n".join(part for part in (text, *hidden_lines(hidden)) if part)
        self.query_one("#disk-text", Static).update(text or NO_DISKS)

    def _fail(self, error: RecoveryError) -> None:
        self._looking = False
        text = "\n".join(part for part in (f"{error_word(error)}: {error}", error.advice) if part)
        self.query_one("#disk-text", Static).update(text)

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        if message.option.id and self.on_top:
            self.jurymast.begin(message.option.id)
