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

from tests.support.command import ARGV, environment, hear_signals

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][0-9A-B]?|\x07")
COLUMNS, LINES = 80, 24


@dataclass(frozen=True)
class Shown:
    """`text`: all that was written, without colours and cursor movements; what a line was redrawn with is in it too."""

    code: int
    text: str

    @property
    def words(self) -> str:
        """The text with every run of blanks and line ends as one blank."""
        return " ".join(self.text.split())

    @property
    def widest(self) -> str:
        return max(re.split(r"[\r\n]+", self.text), key=len)


def _take_terminal() -> None:
    hear_signals()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C becomes a signal


def at_terminal(
    *argv: str | Path, answers: Sequence[tuple[str, str | signal.Signals]] = (), timeout: float = 60
) -> Shown:
    """Run it. `answers`: (what must have appeared, what is typed then; or a signal to the process)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    env = {k: v for k, v in environment().items() if k not in ("COLUMNS", "LINES", "NO_COLOR")} | {"TERM": "linux"}
    process = subprocess.Popen(
        [*ARGV, *map(str, argv)], stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True,
        preexec_fn=_take_terminal,
    )  # fmt: skip
    os.close(theirs)
    raw, waiting, deadline = b"", list(answers), time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # EIO: the other side has closed
                    break
                if not piece:
                    break
                raw += piece
            if waiting and waiting[0][0] in " ".join(_plain(raw).split()):
                _, answer = waiting.pop(0)
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
    assert not waiting, (waiting, text)
    assert "Traceback" not in text, text
    return Shown(code, text)


def _plain(raw: bytes) -> str:
    return _CONTROL.sub("", raw.decode(errors="replace"))
