"""A list of any length: only the lines that are seen are made, so that 200,000 cost what 20 do."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

_ELLIPSIS = "~"  # one cell on every terminal, which the sign for it is not


class Rows(ScrollView, can_focus=True):
    """`line`: (index, columns) to the text of a line, which is cut to that. One line is under the bar: `cursor`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--line", "rows--bar"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "first", show=False),
        Binding("end", "last", show=False),
        Binding("enter", "open", show=False),
    ]

    class Moved(Message):
        """Another line is under the bar."""

        def __init__(self, rows: Rows) -> None:
            self.rows = rows
            super().__init__()

    class Opened(Message):
        """Enter, or a second click."""

        def __init__(self, rows: Rows, index: int) -> None:
            self.rows, self.index = rows, index
            super().__init__()

    def __init__(self, line: Callable[[int, int], str], *, id: str) -> None:
        super().__init__(id=id)
        self._line = line
        self.count = 0
        self.cursor = 0

    def show_rows(self, count: int, cursor: int) -> None:
        """There are `count` lines now, and the bar is on `cursor`."""
        self.count = count
        self.virtual_size = Size(1, count)
        self.cursor = max(0, min(cursor, count - 1))
        self._see()
        self.refresh()
        self.post_message(self.Moved(self))

    def render_line(self, y: int) -> Strip:
        index = self.scroll_offset.y + y
        width = self.size.width
        bar = index == self.cursor and self.count > 0
        style = self.get_component_rich_style("rows--bar" if bar else "rows--line")
        text = f" {self._line(index, width - 2)}" if index < self.count else ""
        return Strip([Segment(set_cell_size(text, width), style)], width)

    def on_resize(self) -> None:
        self._see()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        event.stop()
        index = self.scroll_offset.y + event.y
        if index >= self.count:
            return
        if index == self.cursor:
            self.action_open()
        else:
            self._go(index)

    def action_move(self, by: int) -> None:
        self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        self._go(self.cursor + by * max(1, self.size.height - 1))

    def action_first(self) -> None:
        self._go(0)

    def action_last(self) -> None:
        self._go(self.count - 1)

    def action_open(self) -> None:
        if self.count:
            self.post_message(self.Opened(self, self.cursor))

    def _go(self, index: int) -> None:
        index = max(0, min(index, self.count - 1))
        if index != self.cursor:
            self.cursor = index
            self._see()
            self.refresh()
            self.post_message(self.Moved(self))

    def _see(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True, immediate=True)


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` columns; the middle goes, for beginning and end tell the most."""
    if cell_len(text) <= width:
        return text
    if width < 5:
        return set_cell_size(text, max(0, width))
    tail = (width - 1) // 2
    end = text[-tail:]
    while cell_len(end) > tail:
        end = end[1:]
    return set_cell_size(text, width - 1 - cell_len(end)).rstrip(" ") + _ELLIPSIS + end


def padded(text: str, width: int) -> str:
    """`text` shortened or filled with blanks to exactly `width` columns."""
    text = shortened(text, width)
    return text + " " * (width - cell_len(text))
