"""Choosing one of a list (disks, contents of a backup, partitions), or ticking some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from recovery.tui import texts
from recovery.tui.screens.base import Page, wait_line
from recovery.tui.widgets.choice import Check, Push, row


@dataclass(frozen=True, slots=True)
class Menu:
    """`entries`: (value, text of one or more lines). `head`: what stands above them, such as a map."""

    entries: Sequence[tuple[str, str]]
    head: str = ""


class PickOne(Page):
    """`work` finds the entries, aside; `done` gets the value that was chosen."""

    help_key = "pick"

    def __init__(
        self, heading: str, text: str, what: str, work: Callable[[], Menu], done: Callable[[str], None]
    ) -> None:
        super().__init__(heading)
        self._text, self._looked_at, self._work, self._done = text, what, work, done

    def content(self) -> ComposeResult:
        with Vertical(id="foot"):
            yield Static(self._text, markup=False)
            yield wait_line()
            yield Static("", markup=False, id="head")
        yield OptionList(id="entries", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#head").display = False
        self.query_one("#entries").focus()
        self.load(self._looked_at, self._work, self._show)

    def _show(self, menu: Menu) -> None:
        head = self.query_one("#head", Static)
        head.update(menu.head)
        head.display = bool(menu.head)
        entries = self.query_one("#entries", OptionList)
        self._values = [value for value, _ in menu.entries]
        entries.add_options([Option(text) for _, text in menu.entries])
        entries.highlighted = 0
        entries.focus()

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        if self.on_top:
            self._done(self._values[message.option_index])


class PickSome(Page):
    """Tick one or more; `done` gets their values, None when all are ticked."""

    help_key = "parts"

    def __init__(
        self,
        heading: str,
        text: str,
        what: str,
        work: Callable[[], Menu],
        done: Callable[[frozenset[str] | None], None],
    ) -> None:
        super().__init__(heading)
        self._text, self._looked_at, self._work, self._done = text, what, work, done

    def content(self) -> ComposeResult:
        with VerticalScroll(id="body"):
            yield Static(self._text, markup=False)
            yield wait_line()
            yield Static("", markup=False, id="head")
            yield Vertical(id="ticks", classes="gap")
        with Vertical(id="foot"):
            yield Static("", markup=False, id="complaint", classes="bad")
            yield row(Push(texts.CONTINUE, id="continue", disabled=True), Push(texts.BACK, id="back"))

    def on_mount(self) -> None:
        super().on_mount()
        self.load(self._looked_at, self._work, self._show)

    def _show(self, menu: Menu) -> None:
        self.query_one("#head", Static).update(menu.head)
        self.query_one("#ticks").mount_all(Check(value, text, True) for value, text in menu.entries)
        go_on = self.query_one("#continue", Push)
        go_on.disabled = False
        go_on.focus()

    def pushed(self, id: str) -> None:
        if id == "back":
            self.action_back()
            return
        checks = list(self.query(Check))
        ticked = frozenset(check.key for check in checks if check.value)
        if not ticked:
            self.query_one("#complaint", Static).update(texts.BACKUP_PARTS_NONE)
        else:
            self._done(None if len(ticked) == len(checks) else ticked)
