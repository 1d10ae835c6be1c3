"""The application: themes, keys that mean the same everywhere, the machine, and the task that is begun."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import suppress
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.scrollbar import ScrollBar, ScrollBarRender

from formats.base.errors import RecoveryError
from recovery.engine import power
from recovery.engine.attach import Attachments, sweep
from recovery.engine.hotplug import watch
from recovery.tui import flows, texts
from recovery.tui.aside import Call, Hears, aside, post
from recovery.tui.driver import LeanDriver
from recovery.tui.machine import Machine
from recovery.tui.screens.base import Page
from recovery.tui.screens.dialog import Dialog, Help
from recovery.tui.screens.home import Home
from recovery.tui.screens.progress import Progress
from recovery.tui.screens.refusal import Refusal
from recovery.tui.themes import THEMES

STOPPED = 130  # exit code, as of the command


class _WholeCells(ScrollBarRender):
    """Consoles have no eighths of a cell."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8


class JurymastApp(Hears, App[None]):
    """`machine`: which disks there are. `attached`: what was mounted for it; whoever runs it releases that at the end.

    `exit_code`: 0, or 130 when a signal ended it and a job had to be stopped.
    """

    CSS_PATH = "app.tcss"
    TITLE = texts.PRODUCT
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, machine: Machine) -> None:
        super().__init__(driver_class=LeanDriver)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name
        self.machine = machine
        self.attached = Attachments()
        self.exit_code = 0
        self._unplugged = threading.Event()  # set: no more news of disks are wanted
        self.may_power_off = False  # until that is known
        self.home = Home()

    def on_mount(self) -> None:
        ScrollBar.renderer = _WholeCells
        self.push_screen(self.home)
        aside(self, power.why_not, self._know_power, lambda error: None)
        if self.machine.real:
            news = Call(self.home.action_look)
            threading.Thread(
                target=watch, args=(lambda: post(self.home, news), self._unplugged), name="hotplug", daemon=True
            ).start()
            aside(self, sweep, lambda troubles: None, lambda error: None, name="sweep")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            with suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread: a test
                loop.add_signal_handler(number, self._end)

    def on_unmount(self) -> None:
        self._unplugged.set()

    def _know_power(self, why_not: str) -> None:
        self.may_power_off = not why_not

    def begin(self, task: str) -> None:
        """Start the questions of a task: a key of texts.TASKS."""
        flows.begin(self, task)

    def go_home(self) -> None:
        """Close everything above the first screen, and look at the disks as they are now."""
        while len(self.screen_stack) > 1 and self.screen is not self.home:
            self.pop_screen()
        self.home.action_look()

    def let_go(self) -> None:
        """Unmount what was mounted for a task that is over. What is in use stays until the end."""
        if not self.attached.folders or self.running_job is not None:
            return

        def done(troubles: list[RecoveryError]) -> None:
            if troubles and self.screen is self.home:
                self.push_screen(Refusal(troubles[0]))

        aside(self, self.attached.release_all, done, lambda error: None, name="unmount")

    @property
    def running_job(self) -> Progress | None:
        return next((s for s in self.screen_stack if isinstance(s, Progress) and s.running), None)

    def _end(self) -> None:
        """Somebody wants this process to end: what runs is stopped in order first."""
        running = self.running_job
        if running is None:
            self.exit()
        else:
            self.exit_code = STOPPED
            running.stop(then_exit=True)

    def action_explain(self) -> None:
        if isinstance(self.screen, Page):
            self.push_screen(Help(texts.HELP.get(self.screen.help_key, "")))

    def action_next_theme(self) -> None:
        names = [theme.name for theme in THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)]

    async def action_quit(self) -> None:
        """Ctrl-Q and the like of Textual's: as F10."""
        self.action_leave()

    def action_leave(self) -> None:
        running = self.running_job
        if running is not None:
            running.action_back()  # asks; nothing when it asks already
        elif not isinstance(self.screen, Dialog):
            ask = Dialog(texts.LEAVE_ASK, texts.LEAVE_TEXT, yes=texts.LEAVE_YES, no=texts.LEAVE_NO)
            self.push_screen(ask, lambda yes: self.exit() if yes else None)
