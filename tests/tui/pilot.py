"""The screens without a terminal: keys go in, and what stands on the screen comes out as lines of text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static

from recovery.tui.app import JurymastApp
from recovery.tui.machine import Machine
from recovery.tui.screens.home import Home
from recovery.tui.screens.progress import Progress
from recovery.tui.screens.report import ReportPage
from recovery.tui.screens.review import Review
from recovery.tui.widgets.choice import Check, Pick, Push

PICTURES = Path(__file__).resolve().parents[2] / "build" / "tui"
PATIENCE = 20.0  # seconds for anything to appear


class Hand:
    """A person before the screens."""

    def __init__(self, app: JurymastApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def screen(self) -> Screen[Any]:
        return self.app.screen

    def lines(self) -> list[str]:
        """The screen as a person sees it."""
        strips = self.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.lines()).split())

    @property
    def all_words(self) -> str:
        """Also what one has to scroll to."""
        texts = [str(static.render()) for static in self.screen.query(Static)]
        texts += [str(option.prompt) for entries in self.screen.query(OptionList) for option in entries.options]
        return " ".join(" ".join(texts).split())

    def check_layout(self, name: str) -> None:
        """Nothing is cut off and nothing scrolls sideways. A picture goes to build/tui for the eye."""
        width, height = self.app.size
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.app.save_screenshot(f"{name}-{width}x{height}.svg", str(PICTURES))
        (PICTURES / f"{name}-{width}x{height}.txt").write_text("\n".join(self.lines()) + "\n")
        for widget in self.screen.walk_children(Widget):
            if not widget.display or not widget.size:
                continue
            where, about = widget.region, f"{name} {width}x{height}: {widget!r} {widget.region}"
            assert where.x >= 0 and where.right <= width, about
            if widget.is_scrollable:
                assert widget.max_scroll_x == 0, about
            if not any(isinstance(parent, VerticalScroll | OptionList) for parent in widget.ancestors):
                assert where.y >= 0 and where.bottom <= height and where.height > 0, about
            if isinstance(widget, Static) and not widget.is_scrollable:
                text = str(widget.render())
                if widget.styles.height is not None and widget.styles.height.is_cells:
                    assert max(map(len, text.split("\n"))) <= widget.content_size.width, about
        assert all(len(line) <= width for line in self.lines())

    async def until(self, true: Callable[[], bool], what: str = "") -> None:
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, f"{what or 'it'} did not come:\n" + "\n".join(self.lines())
            await self.pilot.pause(0.02)
        await self.pilot.pause()

    async def see(self, text: str) -> None:
        await self.until(lambda: text in self.all_words, repr(text))

    async def on(self, kind: type[Screen[Any]]) -> None:
        await self.until(lambda: isinstance(self.screen, kind), kind.__name__)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def choose(self, words: str) -> None:
        """The entry of the list that has `words` in it."""

        def place() -> int | None:
            for entries in self.screen.query(OptionList):
                for index, option in enumerate(entries.options):
                    if words in " ".join(str(option.prompt).split()):
                        return index
            return None

        await self.until(lambda: place() is not None, repr(words))
        entries = self.screen.query_one(OptionList)
        entries.focus()
        await self.pilot.pause()
        wanted = place()
        assert wanted is not None
        if wanted:  # the last step of the way by key
            entries.highlighted = wanted - 1
            await self.press("down")
        else:
            entries.highlighted = 0
        await self.press("enter")

    async def tick(self, key: str) -> None:
        await self.until(lambda: bool(self.screen.query(f"#check-{key}")), key)
        self.screen.query_one(f"#check-{key}", Check).focus()
        await self.press("space")

    async def pick(self, key: str, value: str) -> None:
        self.screen.query_one(f"#pick-{key}-{value}", Pick).focus()
        await self.press("space")

    async def push(self, id: str) -> None:
        """A button, with the keyboard."""
        await self.until(
            lambda: bool(self.screen.query(f"#{id}")) and not self.screen.query_one(f"#{id}", Push).disabled, id
        )
        self.screen.query_one(f"#{id}", Push).focus()
        await self.press("enter")

    async def type(self, text: str) -> None:
        """Into the line for typing, instead of what stands there."""
        await self.until(lambda: bool(self.screen.query("#typed")), "a line for typing")
        field = self.screen.query_one("#typed", Input)
        field.focus()
        field.value, last = text[:-1], text[-1]
        field.cursor_position = len(text)
        await self.press(_KEYS.get(last, last))

    async def path(self, path: Path) -> None:
        """Type a path where one is asked for, and go on."""
        await self.until(lambda: bool(self.screen.query("#entries")), "a list of files")
        await self.until(lambda: self.screen.query_one("#entries", OptionList).option_count > 0, "the folder")
        field = self.screen.query_one("#typed", Input)
        field.focus()
        field.value = str(path)
        await self.press("enter")

    async def accept(self, text: str) -> None:
        """Type what the plan asks for, and press the button."""
        await self.on(Review)
        await self.until(lambda: bool(self.screen.query_one("#ask").display), "the question")
        await self.type(text)
        await self.push("start")

    async def report(self) -> ReportPage:
        await self.until(lambda: isinstance(self.screen, ReportPage), "the report")
        assert isinstance(self.screen, ReportPage)
        return self.screen

    async def progress(self) -> Progress:
        await self.on(Progress)
        assert isinstance(self.screen, Progress)
        return self.screen


_KEYS = {".": "full_stop", "/": "slash", "-": "minus", "_": "underscore", " ": "space"}


def play(
    script: Callable[[Hand], Awaitable[None]],
    *,
    images: Sequence[Path] = (),
    machines: Sequence[Path] = (),
    machine: Machine | None = None,
    size: tuple[int, int] = (80, 24),
) -> None:
    """Open the screens on these disks and let `script` use them."""

    async def run() -> None:
        app = JurymastApp(machine or Machine(machines, images))
        async with app.run_test(size=size) as pilot:
            hand = Hand(app, pilot)
            await hand.on(Home)
            await script(hand)

    main: Coroutine[Any, Any, None] = run()
    asyncio.run(main)
