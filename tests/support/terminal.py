"""The command at a terminal of 80 by 24, with a person who answers."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

from tests.support.command import ARGV, environment, hear_signals

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][0-9A-B]?|\x07")
_PRIVATE = re.compile(rb"\x1b\[[<=>?][0-9;]*\$?[A-Za-z]")  # the emulator does not know them all
_CUT = re.compile(rb"\x1b(?:\[[<=>?]?[0-9;]*\$?)?\Z")
_FULL = b"\x1b[?1049h"  # all of the screen is in use
COLUMNS, LINES = 80, 24


@dataclass(frozen=True)
class Shown:
    """`text`: all that was written, without colours and cursor movements; what a line was redrawn with is in it too.

    `raw`: as it was written. `screens`: what stood on the screen whenever something was answered, and at the end.
    """

    code: int
    text: str
    raw: bytes
    screens: tuple[tuple[str, ...], ...]

    @property
    def words(self) -> str:
        """The text with every run of blanks and line ends as one blank."""
        return " ".join(self.text.split())

    @property
    def widest(self) -> str:
        return max(re.split(r"[\r\n]+", self.text), key=len)


class _Emulator:
    """What a person sees."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        data = self._rest + piece
        cut = _CUT.search(data)
        end = cut.start() if cut else len(data)
        self._stream.feed(_PRIVATE.sub(b"", data[:end]))
        self._rest = data[end:]

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)


def _take_terminal() -> None:
    hear_signals()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C becomes a signal


def at_terminal(
    *argv: str | Path,
    answers: Sequence[tuple[str, str | signal.Signals]] = (),
    timeout: float = 60,
    term: str = "linux",
    rate: int = 0,
) -> Shown:
    """Run it. `answers`: (what must stand on the screen, what is typed then; or a signal to the process).

    What stands there is told by a terminal emulator. `rate`: bytes a second that the line takes, 0 for no limit.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    env = {k: v for k, v in environment().items() if k not in ("COLUMNS", "LINES", "NO_COLOR", "COLORTERM")}
    process = subprocess.Popen(
        [*ARGV, *map(str, argv)], stdin=theirs, stdout=theirs, stderr=theirs, env=env | {"TERM": term},
        start_new_session=True, preexec_fn=_take_terminal,
    )  # fmt: skip
    os.close(theirs)
    emulator = _Emulator()
    raw, screens, waiting, deadline = b"", [], list(answers), time.monotonic() + timeout
    pause = 0.05
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    piece = os.read(ours, max(1, int(rate * pause)) if rate else 65536)
                except OSError:  # EIO: the other side has closed
                    break
                if not piece:
                    break
                raw += piece
                emulator.feed(piece)
                time.sleep(pause if rate else 0)
            if waiting and waiting[0][0] in " ".join((emulator.text if _FULL in raw else _plain(raw)).split()):
                _, answer = waiting.pop(0)
                screens.append(tuple(emulator.screen.display))
                if isinstance(answer, signal.Signals):
                    process.send_signal(answer)
                else:
                    os.write(ours, answer.encode())
        code = process.wait(max(1.0, deadline - time.monotonic()))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
    text = _plain(raw)
    assert not waiting, (waiting, emulator.text if _FULL in raw else text)
    assert "Traceback" not in text, text
    return Shown(code, text, raw, (*screens, tuple(emulator.screen.display)))


def _plain(raw: bytes) -> str:
    return _CONTROL.sub("", raw.decode(errors="replace"))
