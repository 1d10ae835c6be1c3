"""One file: as text, as bytes, and what is known about it. Only what is shown is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from formats.base.errors import RecoveryError
from fs.walk import resolve, shown
from recovery.engine.filefacts import Facts, encoding_of, facts_of
from recovery.engine.look import Look
from recovery.engine.preview import Encoding, Glance, Text, hex_lines, hex_width
from recovery.filewords import facts_text
from recovery.tui.screens.base import Page, wait_line
from recovery.tui.texts import look as texts
from recovery.tui.widgets.rows import shortened

_LABEL = 11  # columns of the left side of what is known
_MODES = {"about": texts.VIEW_ABOUT, "text": texts.VIEW_TEXT, "hex": texts.VIEW_HEX}


class View(NamedTuple):
    """What is on the screen: bytes [start, end) of the file. `second`: the offset of the second line."""

    start: int
    end: int
    second: int
    lines: tuple[str, ...]
    reason: str


class Preview(Page):
    """`mode`: 'about', 'text', 'hex', or '' for what fits the file."""

    help_key = "view"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "app.next_theme", show=False),
        Binding("t", "mode('text')", texts.VIEW_TEXT),
        Binding("x", "mode('hex')", texts.VIEW_HEX),
        Binding("i", "mode('about')", texts.VIEW_ABOUT),
        Binding("up", "move('line', -1)", show=False, priority=True),
        Binding("down", "move('line', 1)", show=False, priority=True),
        Binding("pageup,b", "move('page', -1)", show=False, priority=True),
        Binding("pagedown,space", "move('page', 1)", show=False, priority=True),
        Binding("home", "move('end', -1)", show=False, priority=True),
        Binding("end", "move('end', 1)", show=False, priority=True),
        Binding("enter", "back", show=False),
    ]

    def __init__(self, look: Look, path: str, *, mode: str = "") -> None:
        name = shown(path.rpartition("/")[2])
        super().__init__(shortened(texts.VIEW_TITLE.format(name=name), 66))
        self._look, self._path = look, path
        self.mode = mode
        self._facts: Facts | None = None
        self.view = View(0, 0, 0, (), "")
        self._busy = False

    def content(self) -> ComposeResult:
        with Vertical(id="foot"):
            yield Static(shortened(shown(self._path), 4 * (self.app.size.width - 2)), markup=False, classes="strong")
            yield wait_line()
        with VerticalScroll(id="body"):
            yield Static("", markup=False, id="page")
        with Vertical(id="bottom"):
            yield Static("", markup=False, id="complaint", classes="bad")
            yield Static("", markup=False, id="state")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#complaint").display = False
        self.query_one("#body").focus()
        self._busy = True

        def work() -> Facts:
            with self._look.tree() as tree:
                return facts_of(tree, self._path, self._look.left_out, self._look.held)

        self.load(texts.VIEW_LOOKING, work, self._known)

    def _known(self, facts: Facts) -> None:
        self._busy = False
        self._facts = facts
        first = {"text": "text", "bytes": "hex"}.get(facts.content, "about")
        # Afterwards, for the line that told of waiting is gone only then, and the page is higher by it.
        self.call_after_refresh(self.action_mode, self.mode or first)

    def action_mode(self, mode: str) -> None:
        facts = self._facts
        if facts is None or self._busy:
            return
        self.mode = mode
        body = self.query_one("#body")
        if mode == "about":
            width = self.app.size.width - 2 - _LABEL
            lines = [
                f"{what:<{_LABEL}}{part}"
                for label, value in facts_text(facts, ext=self._look.info.kind.startswith("ext"))
                for what, part in zip([label] + [""] * (len(value) // width + 1), _broken(value, width), strict=False)
            ]
            self.query_one("#page", Static).update("\n".join(lines))
            self._complain("")
            self.query_one("#state", Static).update(texts.VIEW_ABOUT)
            body.scroll_home(animate=False)
        elif not facts.content:
            self.query_one("#page", Static).update(texts.VIEW_NOTHING)
            self.query_one("#state", Static).update(_MODES[mode])
        else:
            self._read(lambda glance, height, width: self.view.start)

    def action_move(self, what: str, by: int) -> None:
        body = self.query_one("#body")
        if self.mode == "about":
            far = {"line": 1, "page": body.size.height}.get(what, body.max_scroll_y)
            body.scroll_relative(y=by * far, animate=False)
            return
        facts = self._facts
        if facts is None or self._busy or not facts.content:
            return
        view, text = self.view, self.mode == "text"

        def where(glance: Glance, height: int, width: int) -> int:
            size, step = glance.size, hex_width(glance.size)
            if text:
                pages = Text(glance, self._encoding, width)
                if what == "end":
                    return pages.first if by < 0 else pages.back(size, height - 1)
                if by < 0:
                    return pages.back(view.start, 1 if what == "line" else height - 1)
                return view.second if what == "line" else max(view.second, pages.back(view.end, 1))
            last = max(0, (size - 1) // step * step - (height - 1) * step)
            if what == "end":
                return 0 if by < 0 else last
            return max(0, min(last, view.start + by * step * (1 if what == "line" else height - 1)))

        if by > 0 and view.end >= facts.entry.node.size:
            return
        self._read(where)

    @property
    def _encoding(self) -> Encoding:
        found = encoding_of(self._facts) if self._facts is not None else None
        return found or Encoding.WESTERN

    def _read(self, where: Callable[[Glance, int, int], int]) -> None:
        """Show the piece that begins at `where`, which is asked aside: it may have to read to find out."""
        size = self.query_one("#body").size
        height, width = max(2, size.height), max(16, size.width - 1)
        text = self.mode == "text"
        self._busy = True

        def work() -> View:
            with self._look.tree() as tree:
                glance = Glance(tree.open(resolve(tree, self._path)))
                start = where(glance, height, width)
                if text:
                    pages = Text(glance, self._encoding, width)
                    page = pages.page(start, height)
                    start = page.lines[0].offset if page.lines else start
                    second = page.lines[1].offset if len(page.lines) > 1 else page.end
                    return View(start, page.end, second, tuple(line.text for line in page.lines), glance.reason)
                step = hex_width(glance.size)
                start -= start % step
                chunk = glance.read(start, height * step)
                lines = tuple(hex_lines(chunk, glance.size))
                return View(start, start + len(chunk.data), start + step, lines, glance.reason if chunk.bad else "")

        def failed(error: RecoveryError) -> None:
            self._busy = False
            self._complain(shown(str(error)))

        self.load(texts.VIEW_LOOKING, work, self._show, failed, quiet=True)

    def _show(self, view: View) -> None:
        self._busy = False
        if self.mode == "about":
            return
        self.view = view
        self.query_one("#page", Static).update("\n".join(view.lines))
        self._complain(texts.VIEW_BAD.format(reason=shown(view.reason)) if view.reason else "")
        size = self._facts.entry.node.size if self._facts is not None else 0
        if view.start == 0 and view.end >= size:
            state = texts.VIEW_WHOLE.format(mode=_MODES[self.mode], size=size)
        else:
            share = min(100, view.end * 100 // max(1, size))
            state = texts.VIEW_PLACE.format(mode=_MODES[self.mode], start=view.start, size=size, share=share)
        self.query_one("#state", Static).update(state)

    def _complain(self, text: str) -> None:
        line = self.query_one("#complaint", Static)
        line.update(shortened(text, 2 * (self.app.size.width - 2)))
        line.display = bool(text)


def _broken(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, max(1, len(text)), width)]
