"""A terminal's screen as cells, and the least that has to be sent to turn one into another.

Textual sends every part that it draws again, also what looks as before: some 15 KB for a change of screens, which are
16 seconds on a serial line of 9600 baud. Here what it sends becomes cells, and only cells that differ go out.
Control sequences are those of ECMA-48 that Textual and Rich write; the rest passes as it is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rich.cells import get_character_cell_size

_TOKEN = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[(?P<style>[\d;]*)m"
    r"|(?P<sync>\x1b\[\?2026[hl])"
    r"|(?P<other>\x1b(?:\[[<=>?]?[\d;:]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]))"
    r"|(?P<text>[^\x00-\x1f\x7f]+)"
    r"|(?P<control>[\x00-\x1f\x7f])"
)
_ENDS = "\x1b[?1049l"  # back to the screen that was there before
_BEGINS = ("\x1b[?1049h", "\x1b[2J")
_PLAIN_MODES = re.compile(r"\x1b\[\?(?:7|25|1049)[hl]\Z")  # wrapping, cursor, other screen: all that old terminals take
_LINES = str.maketrans(dict.fromkeys("─━═", "-") | dict.fromkeys("│┃║", "|") | dict.fromkeys("┌┐└┘╭╮╰╯├┤┬┴┼╔╗╚╝", "+"))
_BRIDGE = 4  # cells that did not change cost less than a movement over them
_ERASABLE = ("", "40", "49")  # whether or not a terminal erases with the background that is set, these look alike


class Cell(NamedTuple):
    """`text`: '' in the second half of a wide character. `style`: parameters of SGR since its last reset; of a blank
    only what can be seen of it.
    """

    text: str
    style: str


_BLANK = Cell(" ", "")
_UNKNOWN = Cell("?", "unknown")  # equal to nothing that is ever wanted


class Cells:
    """What the screen of `width` by `height` shall show, as it was written.

    `mono`: for a terminal that knows no colours, but attributes; no lines, and none of the modes of newer ones.
    """

    def __init__(self, width: int, height: int, *, mono: bool = False) -> None:
        self._mono = mono
        self._styles: dict[str, str] = {}
        self._backs: dict[str, str] = {}
        self._style = ""
        self.row = self.column = self.width = self.height = 0
        self.wanted: list[list[Cell]] = []
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Another size: nothing of what the terminal shows is relied on any more."""
        self.width, self.height = max(1, width), max(1, height)
        self.wanted = [(line + [_BLANK] * self.width)[: self.width] for line in self.wanted[: self.height]]
        self.wanted += [[_BLANK] * self.width for _ in range(self.height - len(self.wanted))]
        self.forget()

    def forget(self) -> None:
        """The terminal may show anything: all goes out anew."""
        self._shown = [[_UNKNOWN] * self.width for _ in range(self.height)]
        self._cursor: tuple[int, int] | None = None

    def write(self, data: str) -> str:
        """Take what is meant for the terminal; what is no cells (modes, questions) comes back, to be sent as it is."""
        passing = []
        for token in _TOKEN.finditer(data):
            kind = token.lastgroup
            if kind == "text":
                self._put(token["text"])
            elif kind == "style":
                self._set_style(token["style"])
            elif kind == "column":
                self.row, self.column = int(token["row"]) - 1, int(token["column"]) - 1
            elif kind == "control":
                self._control(token["control"])
            elif kind == "other":
                sequence = token["other"]
                if sequence in _BEGINS:
                    self.forget()
                elif sequence == _ENDS:
                    self._shown = [list(row) for row in self.wanted]  # nothing of ours goes onto that screen
                if not self._mono or _PLAIN_MODES.match(sequence):
                    passing.append(sequence)
        return "".join(passing)

    def _put(self, text: str) -> None:
        if not 0 <= self.row < self.height:
            return
        line, style = self.wanted[self.row], self._style
        if self._mono:
            text = text.translate(_LINES)
        if text.isascii():
            end = min(self.column + len(text), self.width)
            if end > self.column:
                blank = Cell(" ", self._back(style))
                shown = text[: end - self.column]
                cells = [blank if character == " " else Cell(character, style) for character in shown]
                self._split(line, self.column, end)
                line[self.column : end] = cells
            self.column += len(text)
            return
        for character in text:
            size = get_character_cell_size(character)
            if size == 0:
                if 0 < self.column <= self.width:  # belongs to the character before it
                    before = line[self.column - 1]
                    line[self.column - 1] = Cell(before.text + character, before.style)
                continue
            if self.column + size <= self.width:
                self._split(line, self.column, self.column + size)
                line[self.column] = Cell(character, style)
                if size == 2:
                    line[self.column + 1] = Cell("", style)
            self.column += size

    @staticmethod
    def _split(line: list[Cell], start: int, end: int) -> None:
        """A wide character that is overwritten by half loses the other half too."""
        if start < len(line) and line[start].text == "" and start > 0:
            line[start - 1] = Cell(" ", line[start - 1].style)
        if end < len(line) and line[end].text == "":
            line[end] = Cell(" ", line[end].style)

    def _control(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row, self.column = self.row + 1, 0

    def _set_style(self, parameters: str) -> None:
        if parameters in ("", "0"):
            self._style = ""
            return
        known = self._styles.get(parameters)
        if known is None:
            known = self._styles[parameters] = _without_colours(parameters) if self._mono else parameters
        self._style = known if not self._style else f"{self._style};{known}".rstrip(";")

    def _back(self, style: str) -> str:
        """What of `style` can be seen on a blank."""
        known = self._backs.get(style)
        if known is None:
            known = self._backs[style] = _of_blanks(style)
        return known

    def changes(self) -> str:
        """What makes the terminal show what is wanted; it is taken as shown from now on."""
        out: list[str] = []
        style: str | None = None
        at: tuple[int, int] | None = self._cursor
        for row, (wanted, shown) in enumerate(zip(self.wanted, self._shown, strict=True)):
            if wanted == shown:
                continue
            blank_from = _blank_from(wanted)
            column = 0
            while column < self.width:
                if wanted[column] == shown[column]:
                    column += 1
                    continue
                end = _run_end(wanted, shown, column)
                column -= wanted[column].text == ""  # never from the middle of a wide character
                if at != (row, column):
                    out.append(f"\x1b[{row + 1};{column + 1}H")
                erase = end > blank_from
                for cell in wanted[column : max(column, blank_from) if erase else end]:
                    style = self._dress(out, cell, style)
                    out.append(cell.text)
                if erase:
                    style = self._dress(out, wanted[-1], style)
                    out.append("\x1b[K")
                    at = (row, max(column, blank_from))
                    break
                at = (row, end) if end < self.width else None  # at the edge terminals differ
                column = end
        self._shown = [list(line) for line in self.wanted]
        if style:
            out.append("\x1b[0m")
        cursor = (min(max(self.row, 0), self.height - 1), min(max(self.column, 0), self.width - 1))
        if at != cursor:
            out.append(f"\x1b[{cursor[0] + 1};{cursor[1] + 1}H")
        self._cursor = cursor
        return "".join(out)

    def _dress(self, out: list[str], cell: Cell, style: str | None) -> str:
        """Set the style for `cell`; the one that is set then."""
        if style == cell.style or (style is not None and cell.text == " " and self._back(style) == cell.style):
            return style
        out.append(f"\x1b[0;{cell.style}m" if cell.style else "\x1b[0m")
        return cell.style


def _run_end(wanted: list[Cell], shown: list[Cell], start: int) -> int:
    """Behind the last cell that has to go out with the one at `start`."""
    end = same = start
    while same < len(wanted) and same - end <= _BRIDGE:
        same += 1
        if wanted[same - 1] != shown[same - 1]:
            end = same
    while end < len(wanted) and wanted[end].text == "":
        end += 1
    return end


def _blank_from(line: list[Cell]) -> int:
    """Where the blanks begin that erasing to the end of the line makes; the width when there are too few."""
    last = line[-1]
    if last.text != " " or last.style not in _ERASABLE:
        return len(line)
    start = len(line)
    while start and line[start - 1] == last:
        start -= 1
    return start if len(line) - start > _BRIDGE else len(line)


def _parameters(style: str) -> list[str]:
    """The parameters of SGR, those that belong together (38;5;N, 48;2;R;G;B) as one."""
    numbers = style.split(";")
    found = []
    while numbers:
        size = {"5": 3, "2": 5}.get(numbers[1], 1) if numbers[0] in ("38", "48") and len(numbers) > 1 else 1
        found.append(";".join(numbers[:size]))
        del numbers[:size]
    return found


def _is_background(parameter: str) -> bool:
    return parameter.startswith("48;") or (
        parameter.isdigit() and (40 <= int(parameter) <= 49 or int(parameter) >= 100)
    )


def _of_blanks(style: str) -> str:
    parameters = _parameters(style)
    if "7" in parameters:
        return style
    return ";".join(p for p in parameters if _is_background(p) or p in ("4", "9"))


def _without_colours(style: str) -> str:
    """The same for a terminal that knows no colours: another background than black is shown as reverse."""
    kept = []
    for parameter in _parameters(style):
        if parameter in ("1", "4", "5", "7"):
            kept.append(parameter)
        elif _is_background(parameter) and parameter not in ("40", "49", "48;5;0", "48;2;0;0;0"):
            kept.append("7")
    return ";".join(dict.fromkeys(kept))
