"""Choosing a file that is there, or the name of a new one: through folders, or by typing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from formats.base.errors import RecoveryError
from formats.base.units import in_words
from recovery.engine.places import FolderEntry, Place, list_folder, writable_places
from recovery.tui import texts
from recovery.tui.screens.base import Page, wait_line
from recovery.tui.widgets.choice import Push, row


class PickPath(Page):
    """`suffix`: only such files are listed. `name`: proposed for a new file; '' when the file must be there already.

    `folders`: a folder is wanted, which may be a new one; no files are listed. `start`: the folder that is shown
    first. `done` gets the path as it was typed or chosen.
    """

    help_key = "path"

    def __init__(
        self,
        heading: str,
        text: str,
        start: str,
        done: Callable[[str], None],
        *,
        suffix: str = "",
        name: str = "",
        folders: bool = False,
    ) -> None:
        super().__init__(heading)
        self._folders = folders
        self._text, self._folder, self._done, self._suffix, self._name = text, start, done, suffix, name
        self._entries: list[FolderEntry] = []

    def content(self) -> ComposeResult:
        with Vertical(id="foot"):
            yield Static(self._text, markup=False)
            yield wait_line()
        yield OptionList(id="entries", markup=False)
        with Vertical(id="bottom"):
            with Horizontal(id="typed-row"):
                yield Static(texts.PATH, markup=False, id="path-label")
                yield Input(id="typed", select_on_focus=False)
            yield Static("", markup=False, id="complaint", classes="bad")
            yield row(Push(texts.CONTINUE, id="continue"), Push(texts.BACK, id="back"))

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#entries").focus()
        self._enter(self._folder)

    def _enter(self, folder: str) -> None:
        """Show a folder. One that cannot be read is told below the list, and the old one stays."""

        def work() -> tuple[list[Place], list[FolderEntry]]:
            places = writable_places() if self._name or self._folders else []
            entries = list_folder(folder, self._suffix)
            return places, [entry for entry in entries if entry.is_folder or not self._folders]

        def done(found: tuple[list[Place], list[FolderEntry]]) -> None:
            self._show(folder, *found)

        def failed(error: RecoveryError) -> None:
            self.query_one("#complaint", Static).update(str(error))

        self.load(folder, work, done, failed)

    def _show(self, folder: str, places: list[Place], entries: list[FolderEntry]) -> None:
        self._folder = folder
        above = str(Path(folder).parent)
        rows = [(FolderEntry("..", above, True, 0), texts.UP)] if above != folder else []
        for place in places:
            text = texts.FREE.format(
                path=place.mountpoint, free=in_words(place.free), size=in_words(place.size), kind=place.fstype
            )
            rows.append((FolderEntry(place.mountpoint, place.mountpoint, True, 0), text))
        rows += [(e, f"{e.name}/" if e.is_folder else f"{e.name}   {in_words(e.size)}") for e in entries]
        self._entries = [entry for entry, _ in rows]
        options = self.query_one("#entries", OptionList)
        options.clear_options()
        options.add_options([Option(text) for _, text in rows])
        options.highlighted = 0 if rows else None
        typed = str(Path(folder, self._name)) if self._name else f"{folder.rstrip('/')}/"
        if self._folders:
            typed = folder
        line = self.query_one("#typed", Input)
        line.value = typed
        line.cursor_position = len(typed)
        self.query_one("#complaint", Static).update("")

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        if not self.on_top or message.option_index >= len(self._entries):
            return
        entry = self._entries[message.option_index]
        if entry.is_folder:
            self._enter(entry.path)
        else:
            self.query_one("#typed", Input).value = entry.path
            self._take()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        if self.on_top:
            self._take()

    def pushed(self, id: str) -> None:
        if id == "back":
            self.action_back()
        else:
            self._take()

    def _take(self) -> None:
        typed = self.query_one("#typed", Input).value.strip()
        if self._folders:
            typed = typed.rstrip("/") or typed
        if not typed or (typed.endswith("/") and not self._folders):
            self.query_one("#complaint", Static).update(texts.NO_PATH)
        else:
            self._done(typed)
