"""Searching below a folder: what is found appears while the search goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static

from formats.base.errors import Cancelled, RecoveryError
from fs.findings import Log
from fs.walk import shown
from recovery.engine.cancel import CancelToken
from recovery.engine.folderlist import Row
from recovery.engine.listing import as_pattern, find, is_internal
from recovery.engine.look import Look
from recovery.tui.aside import Call, aside, post
from recovery.tui.entries import row_line, weight_of
from recovery.tui.screens.base import Page
from recovery.tui.screens.preview import Preview
from recovery.tui.texts import look as texts
from recovery.tui.widgets.rows import Rows, shortened

if TYPE_CHECKING:
    from recovery.tui.screens.look import Browse

_MOST = 10_000  # results; nobody reads more
_OFTEN = 0.2  # seconds between two hand-overs
Found = tuple[str, Row]


class Find(Page):
    """`browse`: the screen below, whose marks are used and which is led to what was found."""

    help_key = "find"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "app.next_theme", show=False),
        Binding("space", "mark", texts.KEY_MARK, key_display="Space"),
        Binding("a", "mark_all", texts.KEY_ALL),
        Binding("slash", "type", texts.KEY_FIND, key_display="/"),
        Binding("i", "about", texts.KEY_ABOUT),
    ]

    def __init__(self, browse: Browse, look: Look, below: str) -> None:
        super().__init__(shortened(texts.FIND_TITLE.format(path=shown(below)), 66))
        self._browse, self._look, self._below = browse, look, below
        self.found: list[Found] = []
        self._token: CancelToken | None = None  # of the search that goes on
        self._began = 0.0
        self._state = texts.FIND_TEXT

    def content(self) -> ComposeResult:
        with Vertical(id="foot"):
            with Horizontal(id="typed-row"):
                yield Static(texts.FIND_LABEL, markup=False, id="path-label")
                yield Input(id="typed", select_on_focus=False)
            yield Static(self._state, markup=False, id="state")
        yield Rows(self._line, id="rows")
        with Vertical(id="bottom"):
            yield Static("", markup=False, id="about")
            yield Static("", markup=False, id="complaint", classes="bad")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#complaint").display = False
        self.query_one("#typed").focus()
        self.set_interval(1.0, self._draw)

    def on_unmount(self) -> None:
        if self._token is not None:
            self._token.cancel()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        text = message.value.strip()
        if not text:
            self._say(texts.FIND_NONE)
        elif self.on_top:
            self._search(as_pattern(text))

    def _search(self, pattern: str) -> None:
        if self._token is not None:
            self._token.cancel()
        token = self._token = CancelToken()
        look, below, log = self._look, self._below, Log()
        self.found, self._began = [], time.monotonic()
        self.query_one("#complaint").display = False
        self.query_one(Rows).show_rows(0, 0)

        def work() -> bool:
            """Whether there was more than can be shown."""
            batch: list[Found] = []
            count, handed = 0, 0.0
            with look.tree() as tree:
                for path, node in find(tree, pattern, log, token.check, below):
                    if is_internal(tree, path, node):
                        continue
                    name = path.rpartition("/")[2]
                    batch.append((path, Row(name, node.kind, node.size, node.times.modified, node.note)))
                    count += 1
                    if time.monotonic() - handed > _OFTEN or count >= _MOST:
                        hand_over(batch)
                        batch, handed = [], time.monotonic()
                    if count >= _MOST:
                        return True
            hand_over(batch)
            return False

        def hand_over(batch: list[Found]) -> None:
            post(self, Call(lambda: self._add(token, batch)))

        def done(limit: bool) -> None:
            if self._token is token:
                words = texts.FIND_LIMIT if limit else texts.FIND_DONE
                self._end(words.format(count=len(self.found)))
                problems = log.problems()
                if problems:
                    self._complain(texts.FIND_FAULTS.format(count=len(problems), text=shown(problems[0].text)))

        def failed(error: RecoveryError) -> None:
            if self._token is token:
                self._end(texts.FIND_STOPPED.format(count=len(self.found)))
                if not isinstance(error, Cancelled):
                    self._complain(shown(str(error)))

        aside(self, work, done, failed)
        self._draw()

    def _add(self, token: CancelToken, batch: list[Found]) -> None:
        if self._token is not token:
            return
        first = not self.found
        self.found += batch
        rows = self.query_one(Rows)
        rows.show_rows(len(self.found), rows.cursor)
        if first and self.found and not rows.has_focus:
            rows.focus()
        self._draw()

    def _end(self, text: str) -> None:
        self._token = None
        self._say(text)

    def _draw(self) -> None:
        if self._token is not None:
            seconds = int(time.monotonic() - self._began)
            self._say(texts.FIND_RUNNING.format(count=len(self.found), seconds=seconds))

    def _say(self, text: str) -> None:
        self.query_one("#state", Static).update(text)

    def _complain(self, text: str) -> None:
        line = self.query_one("#complaint", Static)
        line.update(shortened(text, 2 * (self.app.size.width - 2)))
        line.display = bool(text)

    def _line(self, index: int, width: int) -> str:
        path, row = self.found[index]
        inside = path[len(self._below.rstrip("/")) + 1 :]
        return row_line(row, self._browse.marks.holds(path), width, inside)

    def on_rows_moved(self, message: Rows.Moved) -> None:
        rows = message.rows
        text = shown(self.found[rows.cursor][0]) if rows.count else ""
        self.query_one("#about", Static).update(shortened(text, 4 * (self.app.size.width - 2)))

    def on_rows_opened(self, message: Rows.Opened) -> None:
        if self.on_top:
            path, _ = self.found[message.index]
            folder, _, name = path.rpartition("/")
            self.app.pop_screen()
            self._browse.go(folder or "/", name)

    def action_type(self) -> None:
        self.query_one("#typed").focus()

    def action_mark(self) -> None:
        rows = self.query_one(Rows)
        if rows.count:
            self._toggle(*self.found[rows.cursor])
            rows.action_move(1)

    def _toggle(self, path: str, row: Row) -> None:
        inside = self._browse.marks.above(path)
        self._complain(texts.INSIDE_MARKED.format(path=shown(inside)) if inside else "")
        self._browse.toggle(path, weight_of(row))
        self.query_one(Rows).refresh()

    def action_mark_all(self) -> None:
        """All that was found; nothing when all of it is marked."""
        marks = self._browse.marks
        if all(marks.holds(path) for path, _ in self.found):
            for path, _ in self.found:
                marks.remove(path)
        else:
            for path, row in self.found:
                marks.add(path, weight_of(row))
        self._browse.marks_changed()
        self.query_one(Rows).refresh()

    def action_about(self) -> None:
        rows = self.query_one(Rows)
        if rows.count and self.on_top:
            self.app.push_screen(Preview(self._look, self.found[rows.cursor][0], mode="about"))

    def action_back(self) -> None:
        if not self.on_top:
            return
        if self._token is not None:
            self._token.cancel()
            self._end(texts.FIND_STOPPED.format(count=len(self.found)))
        else:
            super().action_back()
