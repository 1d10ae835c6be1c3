"""The folders of a volume, one at a time, filled while it is read; marks; the way to search, preview and extract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from formats.base.errors import Cancelled, RecoveryError
from formats.base.units import in_words
from fs.tree import NodeKind
from fs.walk import shown
from recovery.engine.cancel import CancelToken
from recovery.engine.folderlist import Folder, Row, growing
from recovery.engine.listing import Weight, weigh
from recovery.engine.look import Look
from recovery.filewords import exact, missing_text
from recovery.tui.aside import Call, aside, post
from recovery.tui.entries import row_line, weight_of
from recovery.tui.marks import Marks
from recovery.tui.screens.base import Page, wait_line
from recovery.tui.screens.dialog import Dialog
from recovery.tui.screens.find import Find
from recovery.tui.screens.preview import Preview
from recovery.tui.texts import look as texts
from recovery.tui.widgets.rows import Rows, shortened

_GLANCE = 0.3  # seconds between two looks at what is seen now
_JUDGED = 10_000  # files that are remembered
_ABOUT_LINES = 4  # of the full name: 255 letters fit
Extract = Callable[[Look, Sequence[str], int], None]


class Browse(Page):
    """`address`: SOURCE:N. `open_look` opens it, aside. `extract` asks what is left to ask, and copies."""

    help_key = "look"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "app.next_theme", show=False),
        Binding("space", "mark", texts.KEY_MARK, key_display="Space"),
        Binding("a", "mark_all", texts.KEY_ALL),
        Binding("slash", "find", texts.KEY_FIND, key_display="/"),
        Binding("i", "about", texts.KEY_ABOUT),
        Binding("e", "extract", texts.KEY_EXTRACT),
        Binding("backspace,left", "above", show=False),
        Binding("right", "enter", show=False),
        Binding("f5", "again", show=False),
    ]

    def __init__(self, name: str, open_look: Callable[[], Look], extract: Extract) -> None:
        super().__init__(shortened(texts.TITLE.format(name=shown(name)), 66))
        self._name, self._open_look, self._extract = name, open_look, extract
        self._look: Look | None = None
        self._left = False
        self.path = "/"
        self.rows: Sequence[Row] = ()
        self.marks = Marks()
        self._folder = Folder((), 0, True)
        self._reading: CancelToken | None = None  # of the folder that is being read
        self._weighing: tuple[str, CancelToken] | None = None
        self._marking = False
        self._missing: dict[str, int] = {}  # bytes that are gone, of the files that were looked at
        self._judging = False

    def content(self) -> ComposeResult:
        with Vertical(id="foot"):
            yield Static("", markup=False, id="where", classes="strong")
            yield wait_line()
        yield Rows(self._line, id="rows")
        with Vertical(id="bottom"):
            yield Static("", markup=False, id="about")
            yield Static("", markup=False, id="complaint", classes="bad")
            yield Static(texts.NOTHING_MARKED, markup=False, id="marks")

    def on_mount(self) -> None:
        super().on_mount()
        self._list.focus()
        self.query_one("#complaint").display = False
        self.set_interval(_GLANCE, self._judge)

        def opening() -> Look:
            look = self._open_look()
            if self._left:  # nobody waits for it any more
                look.close()
            return look

        self.load(texts.OPENING.format(name=self._name), opening, self._opened)

    def on_unmount(self) -> None:
        self._left = True
        for token in (self._reading, self._weighing[1] if self._weighing else None):
            if token is not None:
                token.cancel()
        if self._look is not None:
            self._look.close()

    @property
    def _list(self) -> Rows:
        return self.query_one(Rows)

    def _opened(self, look: Look) -> None:
        self._look = look
        if self._left:
            look.close()
        else:
            self.go("/")

    # folders

    def go(self, path: str, name: str = "") -> None:
        """Read the folder at `path` and show it, with the bar on `name`. The old one stays until something comes."""
        look = self._look
        if look is None:
            return
        if self._reading is not None:
            self._reading.cancel()
        token = self._reading = CancelToken()

        def work() -> None:
            with look.tree() as tree:
                for folder in growing(tree, path, token.check):
                    post(self, Call(partial(self._show, token, path, name, folder)))

        def done(_: None) -> None:
            if self._reading is token:
                self._reading = None
                self._stop_waiting()
                self._draw()

        def failed(error: RecoveryError) -> None:
            if self._reading is token:
                self._reading = None
                self._stop_waiting()
                if not isinstance(error, Cancelled):
                    self._complain(str(error))
                self._draw()

        self._complain("")
        self._wait_for(shown(path))
        aside(self, work, done, failed)

    def _show(self, token: CancelToken, path: str, name: str, folder: Folder) -> None:
        if self._reading is not token:
            return
        rows = self._list
        if path == self.path and self.rows and not name:
            name = self._name_at(rows.cursor)  # more of the same folder, or the folder again
        self.path, self._folder = path, folder
        self.rows = folder.rows
        self._stop_waiting()
        first = self._first
        rows.show_rows(len(folder.rows) + first, self._find(name))
        if folder.problems:
            text = texts.DAMAGED.format(count=len(folder.problems), text=shown(folder.problems[0]))
            self._complain(text)
        self._draw()

    @property
    def _first(self) -> int:
        """Lines ahead of the entries: the way up."""
        return 0 if self.path == "/" else 1

    def _find(self, name: str) -> int:
        if not name or name == texts.UP_NAME:
            return 0
        return next((n for n, row in enumerate(self.rows, self._first) if row.name == name), 0)

    def _row(self, index: int) -> Row | None:
        at = index - self._first
        return self.rows[at] if 0 <= at < len(self.rows) else None

    def _name_at(self, index: int) -> str:
        row = self._row(index)
        return row.name if row is not None else texts.UP_NAME

    def _path_of(self, row: Row) -> str:
        return f"{self.path.rstrip('/')}/{row.name}"

    def _line(self, index: int, width: int) -> str:
        row = self._row(index)
        if row is None:
            return f"    {texts.UP_NAME}"
        path = self._path_of(row)
        return row_line(row, self.marks.holds(path), width, hurt=self._missing.get(path, 0) > 0)

    def on_rows_moved(self, message: Rows.Moved) -> None:
        self._tell()

    def on_rows_opened(self, message: Rows.Opened) -> None:
        if self.on_top:
            self._open(message.index)

    def _open(self, index: int) -> None:
        row = self._row(index)
        if row is None:
            self.action_above()
        elif row.is_folder:
            self.go(self._path_of(row), texts.UP_NAME)
        elif self._look is not None:
            self.app.push_screen(Preview(self._look, self._path_of(row)))

    def action_enter(self) -> None:
        row = self._row(self._list.cursor)
        if row is not None and row.is_folder:
            self._open(self._list.cursor)

    def action_above(self) -> None:
        if self.path != "/":
            above, _, name = self.path.rpartition("/")
            self.go(above or "/", name)

    def action_again(self) -> None:
        self.go(self.path)

    def action_back(self) -> None:
        if not self.on_top:
            return
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
            self._stop_waiting()
            if self._look is not None and self._list.count:
                self._draw()
                return
        if not len(self.marks):
            super().action_back()
            return
        ask = Dialog(
            texts.LEAVE_ASK.format(count=len(self.marks)), texts.LEAVE_TEXT, yes=texts.LEAVE_YES, no=texts.LEAVE_NO
        )

        def answered(yes: bool | None) -> None:
            if yes:
                self.app.pop_screen()

        self.app.push_screen(ask, answered)

    # what is under the bar

    def _tell(self) -> None:
        """The full name of the entry under the bar, and what the list has no room for."""
        row = self._row(self._list.cursor) if self._list.count else None
        if row is None:
            text = texts.UP_ABOUT if self._list.count else ""
        else:
            size = f", {exact(row.size)}" if row.kind is NodeKind.FILE else ""
            note = f", {shown(row.note)}" if row.note else ""
            gone = self._missing.get(self._path_of(row), 0)
            hurt = f". {texts.NOT_READABLE}: {missing_text(gone)}" if gone else ""
            text = f"{shown(row.name)}{size}{note}{hurt}"
        self.query_one("#about", Static).update(shortened(text, (self.app.size.width - 2) * _ABOUT_LINES))

    def _draw(self) -> None:
        width = self.app.size.width - 2
        folder = self._folder
        if self._reading is not None:
            state = texts.READING.format(count=folder.total)
        elif not folder.complete:
            state = texts.STOPPED.format(count=folder.total)
        elif folder.total > len(folder.rows):
            state = texts.TOO_MANY.format(count=folder.total, shown=len(folder.rows))
        elif not folder.total:
            state = texts.EMPTY
        else:
            state = texts.ONE_ENTRY if folder.total == 1 else texts.ENTRIES.format(count=folder.total)
        self.query_one("#where", Static).update(f"{shortened(shown(self.path), width)}\n{state}")
        self._tell()
        self._draw_marks()

    def _complain(self, text: str) -> None:
        line = self.query_one("#complaint", Static)
        line.update(shortened(shown(text), 3 * (self.app.size.width - 2)))
        line.display = bool(text)

    def _judge(self) -> None:
        """Find out aside which of the files that are seen are not whole in the backup; its index tells."""
        look = self._look
        if look is None or look.held is None or self._judging or self._left:
            return
        first = self._list.scroll_offset.y
        seen = [self._row(index) for index in range(first, first + self._list.size.height)]
        paths = [self._path_of(row) for row in seen if row is not None and row.kind is NodeKind.FILE and not row.note]
        paths = [path for path in paths if path not in self._missing]
        if not paths:
            return
        self._judging = True
        if len(self._missing) > _JUDGED:
            self._missing = {}

        def done(found: dict[str, int]) -> None:
            self._judging = False
            self._missing.update(found)
            if any(found.values()):
                self._list.refresh()
                self._tell()

        def failed(error: RecoveryError) -> None:
            done(dict.fromkeys(paths, 0))  # whoever opens the file is told

        aside(self, partial(look.missing, paths), done, failed)

    # marks

    def action_mark(self) -> None:
        row = self._row(self._list.cursor)
        if row is not None:
            self.toggle(self._path_of(row), weight_of(row))
        self._list.action_move(1)

    def toggle(self, path: str, weight: Weight | None) -> None:
        """Mark what is not, or take the mark away. `weight`: None for a folder."""
        if self._marking:
            return
        inside = self.marks.above(path)
        self._complain(texts.INSIDE_MARKED.format(path=inside) if inside else "")
        if self.marks.is_mark(path):
            self.marks.remove(path)
        else:
            self.marks.add(path, weight)
        self.marks_changed()

    def action_mark_all(self) -> None:
        inside = self.path if self.marks.is_mark(self.path) else self.marks.above(self.path)
        self._complain(texts.INSIDE_MARKED.format(path=inside) if inside else "")
        if inside or not self.rows or self._marking:
            return
        self._marking = True
        path, rows, marks = self.path, self.rows, self.marks.copy()

        def work() -> None:
            prefix = f"{path.rstrip('/')}/"
            if all(marks.is_mark(prefix + row.name) for row in rows):
                marks.clear_below(path)
            else:
                marks.add_folder(path, ((row.name, weight_of(row)) for row in rows))

        def done(_: None) -> None:
            self._marking = False
            self.marks = marks
            self.marks_changed()

        def failed(error: RecoveryError) -> None:
            self._marking = False
            self._complain(str(error))

        aside(self, work, done, failed)  # a folder of 200,000 takes half a second

    def marks_changed(self) -> None:
        self._list.refresh()
        if self._weighing is not None and not self.marks.is_mark(self._weighing[0]):
            self._weighing[1].cancel()
        self._weigh()
        self._draw_marks()

    def _weigh(self) -> None:
        """Find out aside what the marked folders hold, one after another."""
        path, look = self.marks.unweighed(), self._look
        if self._weighing is not None or not path or look is None:
            return
        token = CancelToken()
        self._weighing = path, token

        def work() -> Weight:
            with look.tree() as tree:
                return weigh(tree, path, token.check)

        def done(weight: Weight) -> None:
            self._weighing = None
            self.marks.weigh(path, weight)
            self._weigh()
            self._draw_marks()

        def failed(error: RecoveryError) -> None:
            done(Weight(faults=1))

        aside(self, work, done, failed)

    def _draw_marks(self) -> None:
        total = self.marks.total
        text = texts.NOTHING_MARKED
        if len(self.marks):
            words = texts.MARKED_COUNTING if self.marks.unweighed() else texts.MARKED
            text = words.format(count=len(self.marks), size=in_words(total.bytes))
            text += texts.MARKED_FAULTS.format(count=total.faults) if total.faults else ""
        self.query_one("#marks", Static).update(text)

    # other screens

    def action_find(self) -> None:
        if self._look is not None and self.on_top:
            self.app.push_screen(Find(self, self._look, self.path))

    def action_about(self) -> None:
        row = self._row(self._list.cursor)
        if row is not None and self._look is not None and self.on_top:
            self.app.push_screen(Preview(self._look, self._path_of(row), mode="about"))

    def action_extract(self) -> None:
        if self._look is None or not self.on_top:
            return
        row = self._row(self._list.cursor)
        if len(self.marks):
            known = 0 if self.marks.unweighed() else self.marks.total.bytes
            self._extract(self._look, tuple(self.marks), known)
        elif row is not None:
            weight = weight_of(row)
            self._extract(self._look, (self._path_of(row),), weight.bytes if weight is not None else 0)
        else:
            self._complain(texts.EXTRACT_NOTHING)
