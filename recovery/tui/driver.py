"""The way to the terminal: only what changed, and never more than the terminal takes.

A serial line is slower than the screens change. What is to be shown is kept as cells; a thread sends the difference,
waits until the line took it, and sends the next difference. Nothing piles up, and the screens never wait for the line.
"""

from __future__ import annotations

import os
import termios
import threading
from collections.abc import Callable
from typing import IO

from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver

from recovery.tui.cells import Cells

_TOGETHER = 0.01  # seconds: what is drawn at once goes out at once
_ENOUGH = 5.0  # seconds that the last words may take on a line that is slow or dead


def colourless() -> bool:
    """Whether the terminal is of a kind that has attributes (bold, reverse) but no colours, as VT100 and VT220 are."""
    return os.environ.get("TERM", "").startswith(("vt1", "vt2", "vt3", "vt4", "wy", "dumb"))


class _Writer(WriterThread):
    """Stands where Textual has its writing thread."""

    def __init__(self, file: IO[str], size: Callable[[], tuple[int, int]]) -> None:
        super().__init__(file)
        self._out, self._size = file, size
        self._cells = Cells(*size(), mono=colourless())
        self._passing = ""
        self._news = threading.Condition()
        self._end = self._dirty = False

    def write(self, text: str) -> None:
        with self._news:
            if (size := self._size()) != (self._cells.width, self._cells.height):
                self._cells.resize(*size)
            self._passing += self._cells.write(text)
            self._dirty = True
            self._news.notify()

    def run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._dirty or self._end)
                if not self._end:
                    self._news.wait(_TOGETHER)
                text = self._passing + self._cells.changes()
                self._passing, self._dirty = "", False
                ending = self._end
            try:
                if text:
                    self._out.write(text)
                    self._out.flush()
                    termios.tcdrain(self._out.fileno())
            except (OSError, termios.error):
                return  # the terminal is gone
            if ending:
                return

    def stop(self) -> None:
        with self._news:
            self._end = True
            self._news.notify()
        self.join(_ENOUGH)


class LeanDriver(LinuxDriver):
    """Textual's driver for Linux with a writer that sends differences."""

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        plain = self._writer_thread
        if plain is not None and self._file is not None:
            plain.stop()
            self._writer_thread = _Writer(self._file, self._get_terminal_size)
            self._writer_thread.start()
