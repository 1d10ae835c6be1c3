"""Choosing a file that is there, or the name of a new one: through folders, or by typing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from formats.base.errors import RecoveryError, Refused
from formats.base.units import in_words
from recovery.engine.places import FolderEntry, Place, list_folder, mounted_places, writable_places
from recovery.engine.unmounted import Unmounted
from recovery.tui import texts
from recovery.tui.aside import aside
from recovery.tui.screens.base import Page, wait_line
from recovery.tui.screens.dialog import Dialog
from recovery.tui.screens.refusal import Refusal
from recovery.tui.texts import places as words
from recovery.tui.widgets.choice import Push, row
from recovery.words import unmounted_line


class PickPath(Page):
    """`suffix`: only such files are listed. `name`: proposed for a new file; '' when the file must be there already.

    `folders`: a folder is wanted, which may be a new one; no files are listed. `start`: the folder that is shown
    first. `done` gets the path as it was typed or chosen. `sources`: disks that are read meanwhile, on which nothing
    is to be written; with a `name` or for a folder, what is not mounted is mounted to be written.
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
        sources: tuple[str, ...] = (),
    ) -> None:
        super().__init__(heading)
        self._folders, self._sources = folders, sources
        self._to_write = folders or bool(name)
        self._places: list[Place] = []
        self._unmounted: list[Unmounted] = []
        self._files: list[FolderEntry] = []
        self._text, self._folder, self._done, self._suffix, self._name = text, start, done, suffix, name
        self._entries: list[FolderEntry | Unmounted] = []

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
        self._look_around()

    def _look_around(self) -> None:
        """What is not mounted is found meanwhile: a dead disk must not hold up the folders."""
        machine, sources = self.jurymast.machine, self._sources if self._to_write else ()
        aside(self, lambda: machine.unmounted(sources), self._found, lambda error: None, name="unmounted")

    def _found(self, unmounted: list[Unmounted]) -> None:
        self._unmounted = unmounted
        if self._since is None:  # else the folder that is being read brings them along
            self._fill()

    def _enter(self, folder: str) -> None:
        """Show a folder. One that cannot be read is told below the list, and the old one stays."""

        def work() -> tuple[list[Place], list[FolderEntry]]:
            places = writable_places() if self._to_write else mounted_places()
            entries = list_folder(folder, self._suffix)
            return places, [entry for entry in entries if entry.is_folder or not self._folders]

        def done(found: tuple[list[Place], list[FolderEntry]]) -> None:
            self._show(folder, *found)

        def failed(error: RecoveryError) -> None:
            self.query_one("#complaint", Static).update(str(error))

        self.load(folder, work, done, failed)

    def _show(self, folder: str, places: list[Place], entries: list[FolderEntry]) -> None:
        self._folder, self._places, self._files = folder, places, entries
        self._entries = []
        self._fill()
        typed = str(Path(folder, self._name)) if self._name else f"{folder.rstrip('/')}/"
        if self._folders:
            typed = folder
        line = self.query_one("#typed", Input)
        line.value = typed
        line.cursor_position = len(typed)
        self.query_one("#complaint", Static).update("")

    def _fill(self) -> None:
        """The list; what was chosen in it stays chosen."""
        options = self.query_one("#entries", OptionList)
        at = options.highlighted
        chosen = self._entries[at] if at is not None and at < len(self._entries) else None
        rows = self._rows()
        self._entries = [entry for entry, _ in rows]
        options.clear_options()
        options.add_options([Option(text) for _, text in rows])
        options.highlighted = self._entries.index(chosen) if chosen in self._entries else 0 if rows else None

    def _rows(self) -> list[tuple[FolderEntry | Unmounted, str]]:
        above = str(Path(self._folder).parent)
        rows: list[tuple[FolderEntry | Unmounted, str]] = []
        if above != self._folder:
            rows.append((FolderEntry("..", above, True, 0), texts.UP))
        for place in self._places:
            text = texts.FREE.format(
                path=place.mountpoint, free=in_words(place.free), size=in_words(place.size), kind=place.fstype
            )
            rows.append((FolderEntry(place.mountpoint, place.mountpoint, True, 0), text))
        for found in self._unmounted:
            text = words.NOT_SAFE if self._why_not(found) else words.NOT_MOUNTED
            rows.append((found, text.format(what=unmounted_line(found))))
        rows += [(e, f"{e.name}/" if e.is_folder else f"{e.name}   {in_words(e.size)}") for e in self._files]
        return rows

    def _why_not(self, found: Unmounted) -> str:
        return found.unsafe if self._to_write else ""

    def _ask_to_mount(self, found: Unmounted) -> None:
        reason = self._why_not(found)
        if reason:
            self.app.push_screen(Refusal(Refused(f"{found.device} is not written to: {reason}", found.advice)))
            return
        text = (words.MOUNT_WRITE if self._to_write else words.MOUNT_READ).format(what=unmounted_line(found))
        ask = Dialog(words.MOUNT_ASK, text, yes=words.MOUNT_YES, no=words.MOUNT_NO)
        self.app.push_screen(ask, lambda yes: self._mount(found) if yes else None)

    def _mount(self, found: Unmounted) -> None:
        attached, to_write = self.jurymast.attached, self._to_write

        def work() -> str:
            return attached.attach(found.device, read_only=not to_write, sources=self._sources)

        def done(folder: str) -> None:
            self._unmounted = [one for one in self._unmounted if one != found]
            self._enter(folder)

        def failed(error: RecoveryError) -> None:
            if self.uncover():
                self.app.push_screen(Refusal(error))

        self.load(words.MOUNTING.format(device=found.device), work, done, failed)

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        if not self.on_top or message.option_index >= len(self._entries):
            return
        entry = self._entries[message.option_index]
        if isinstance(entry, Unmounted):
            self._ask_to_mount(entry)
        elif entry.is_folder:
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
