"""What goes to the terminal makes it show the same as all that was drawn would; another program is the judge."""

from __future__ import annotations

import random

import pyte
import pytest
from rich.cells import cell_len, set_cell_size

from recovery.tui.cells import Cells

WIDTH, HEIGHT = 24, 6
STYLES = ("0", "37;40", "1;97;44", "40", "44", "31", "4", "7", "38;5;196;48;5;21", "38;2;10;20;30", "9;32")
TEXTS = ("word", "two words", "   ", " ", "e\u0301a", "a" * 30, " " * 30, "x ", "[####....]")

WIDE = ("日本", "x語", "日本 日本")


def screen() -> tuple[pyte.Screen, pyte.Stream]:
    made = pyte.Screen(WIDTH, HEIGHT)
    made.reset_mode(pyte.modes.DECAWM)  # as Textual does it: nothing goes on in the next line
    return made, pyte.Stream(made)


def looks(shown: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """The cells as a person sees them: of a blank only background, underline and the like."""
    return [
        [
            (c.data, c.bg, c.underscore, c.reverse, c.strikethrough, *(() if c.data == " " else (c.fg, c.bold)))
            for c in (shown.buffer[row][column] for column in range(WIDTH))
        ]
        for row in range(HEIGHT)
    ]


def drawn(rng: random.Random, *, wide: bool) -> str:
    """Some of what Textual draws: at a place, parts in styles of their own, each reset at its end.

    `wide`: whole lines, so that no wide character is cut in half: terminals differ in what they show then.
    """
    out = ""
    for _ in range(rng.randint(1, 6)):
        column = 0 if wide else rng.randrange(WIDTH)
        out += f"\x1b[{rng.randint(1, HEIGHT)};{column + 1}H"
        for last in (False, False, True):
            text = " " * WIDTH if wide and last else rng.choice(TEXTS + WIDE if wide else TEXTS)
            room = min(cell_len(text), WIDTH - column)  # Textual never draws over the edge
            out += f"\x1b[{rng.choice(STYLES)}m{set_cell_size(text, room)}\x1b[0m" if room else ""
            column += room
    return out


@pytest.mark.parametrize("seed", range(150))
def test_the_difference_shows_the_same(seed: int) -> None:
    rng = random.Random(seed)
    cells = Cells(WIDTH, HEIGHT)
    (all_of_it, everything), (ours, least) = screen(), screen()
    for _ in range(8):
        for _ in range(rng.randint(1, 3)):
            text = drawn(rng, wide=seed % 2 == 0)
            everything.feed(text)
            assert cells.write(text) == ""
        least.feed(cells.changes())
        assert looks(ours) == looks(all_of_it)
    assert cells.changes() == ""


def test_what_is_drawn_again_costs_nothing_and_one_letter_little() -> None:
    cells = Cells(80, 24)
    page = "".join(f"\x1b[{row};1H\x1b[37;40m{f'line {row}':80}\x1b[0m" for row in range(1, 25))
    cells.write(page)
    assert 24 * 6 < len(cells.changes()) < 24 * 25
    cells.write(page)
    assert cells.changes() == ""
    cells.write("\x1b[5;6H\x1b[37;40mX\x1b[0m")
    assert cells.changes() == "\x1b[5;6H\x1b[0;37;40mX\x1b[0m"
    cells.resize(80, 24)
    assert len(cells.changes()) > 24 * 6


def test_modes_and_questions_pass_and_the_former_screen_is_left_alone() -> None:
    cells = Cells(WIDTH, HEIGHT)
    passing = "\x1b[?1049h\x1b[?25l\x1b[>1u\x1b[?1003h\x1b]0;title\x07"
    assert cells.write(passing + "\x1b[?2026hA\x1b[?2026l") == passing
    assert "A" in cells.changes()
    cells.write("\x1b[2;2HB")
    assert cells.write("\x1b[?1049l") == "\x1b[?1049l"
    assert "B" not in cells.changes()


def test_a_terminal_without_colours_gets_attributes() -> None:
    cells = Cells(WIDTH, HEIGHT, mono=True)
    cells.write("\x1b[1;1H\x1b[1;97;44mbar\x1b[0m \x1b[37;40mtext\x1b[0m\x1b[48;2;0;0;170mrgb\x1b[0m\x1b[2;1H┌──┐")
    assert cells.write("\x1b[?1003h\x1b[?25l\x1b]22;default\x07") == "\x1b[?25l"
    sent = cells.changes()
    assert "+--+" in sent
    assert "\x1b[0;1;7mbar" in sent and "\x1b[0m text" in sent and "\x1b[0;7mrgb" in sent
