"""What all screens have in common: a title line, keys, waiting for work aside, and the way to a refusal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Footer, Static

from formats.base.errors import RecoveryError
from recovery.tui import texts
from recovery.tui.aside import Hears, aside
from recovery.tui.widgets.choice import Push

if TYPE_CHECKING:
    from recovery.tui.app import JurymastApp

T = TypeVar("T")
_SLOW = 5  # seconds after which a wait is called by its name


class Page(Hears, Screen[None]):
    """A full screen. `title` stands in its first line, `help_key` names its help in texts.HELP."""

    help_key: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "app.explain", texts.KEY_HELP, key_display="F1"),
        Binding("question_mark", "app.explain", show=False),
        Binding("escape", "back", texts.KEY_BACK, key_display="Esc"),
        Binding("f2", "app.next_theme", texts.KEY_THEME, key_display="F2"),
        Binding("f10", "app.leave", texts.KEY_QUIT, key_display="F10"),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    def __init__(self, heading: str) -> None:
        super().__init__()
        self.heading = heading
        self._what = ""
        self._since: float | None = None

    @property
    def jurymast(self) -> JurymastApp:
        return cast("JurymastApp", self.app)

    @property
    def on_top(self) -> bool:
        """Whether keys are meant for this screen: nothing lies over it, and it was not left."""
        return self.app.screen is self

    def compose(self) -> ComposeResult:
        yield Static(f"{texts.PRODUCT}   {self.heading}", markup=False, id="top")
        yield from self.content()
        yield Footer(show_command_palette=False)

    def content(self) -> ComposeResult:
        """What stands between the title and the keys."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.set_interval(0.5, self._tell_waiting)

    def action_back(self) -> None:
        if self.on_top:
            self.app.pop_screen()

    def on_push_pressed(self, message: Push.Pressed) -> None:
        """Two quick presses are one: the second comes when another screen is there already."""
        if self.on_top:
            self.pushed(message.push.id or "")

    def pushed(self, id: str) -> None:
        """A button was pressed. Most screens have only one that does not go back."""
        self.action_back()

    def load(
        self,
        what: str,
        work: Callable[[], T],
        done: Callable[[T], None],
        refused: Callable[[RecoveryError], None] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        """Run `work` aside and say in #wait what is waited for; `quiet`: only when it takes a while.

        An error goes to `refused`, or becomes a refusal in place of this screen.
        """
        self._wait_for(what)
        if not quiet:
            self._tell_waiting()

        def arrived(result: T) -> None:
            self._stop_waiting()
            done(result)

        def failed(error: RecoveryError) -> None:
            self._stop_waiting()
            (refused or self.refuse)(error)

        aside(self, work, arrived, failed)

    def _wait_for(self, what: str) -> None:
        """From now on it is waited for this; it is said by and by."""
        self._since = time.monotonic()
        self._what = what

    def looking(self, what: str) -> None:
        """What is waited for now."""
        self._what = what
        self._tell_waiting()

    def refuse(self, error: RecoveryError) -> None:
        """Show why it cannot go on; from there one goes back to the screen before this one."""
        from recovery.tui.screens.refusal import Refusal

        if self.uncover():
            self.app.switch_screen(Refusal(error))

    def uncover(self) -> bool:
        """Close what lies over this screen (help, a question). False: this screen was left."""
        if self not in self.app.screen_stack:
            return False
        while isinstance(self.app.screen, ModalScreen):
            self.app.pop_screen()
        return self.on_top

    def _tell_waiting(self) -> None:
        if self._since is None:
            return
        seconds = int(time.monotonic() - self._since)
        text = texts.WAITING if seconds < _SLOW else texts.NO_ANSWER
        for line in self.query("#wait").results(Static):
            line.display = True
            line.update(text.format(what=self._what, seconds=seconds))

    def _stop_waiting(self) -> None:
        self._since = None
        for line in self.query("#wait").results(Static):
            line.update("")
            line.display = False


def wait_line() -> Widget:
    """The place where a screen says what it waits for."""
    return Static("", markup=False, id="wait", classes="note")
