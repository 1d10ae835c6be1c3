"""The command as its users have it: a process of its own, its words, its JSON lines and its exit code.

Every call checks the promises that always hold: no traceback, and with --json nothing but JSON lines, the last of
which is the result and tells the exit code of the process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Line = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
ARGV = (sys.executable, "-m", "recovery")
WORDS = {0: "ok", 3: "refused", 4: "losses", 130: "cancelled", 1: "failed", 5: "failed", 6: "command_failed"}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


def hear_signals() -> None:
    """In a child: what the tests were started with (nohup, a background job) may have signals ignored."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@dataclass(frozen=True)
class Done:
    """A run that has ended. `lines`: with --json, all lines but the result."""

    code: int
    stdout: bytes
    stderr: str
    lines: tuple[Line, ...] = ()
    result: Line | None = None

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")

    @property
    def told(self) -> Line:
        """The result line; fails the test when there is none."""
        assert self.result is not None, (self.code, self.text, self.stderr)
        return self.result

    @property
    def words(self) -> str:
        """What a person is told about the end: error, what it left behind, and advice."""
        return " ".join(str(self.told.get(name, "")) for name in ("error", "aftermath", "advice")).strip()

    def problems(self, code: str) -> list[Line]:
        return [p for p in self.told.get("problems", []) if p["code"] == code]


def parse(stdout: bytes, stderr: str, code: int) -> Done:
    """Check the contract of --json and take it apart."""
    assert "Traceback" not in stderr and b"Traceback" not in stdout, stderr + stdout.decode(errors="replace")
    lines: list[Line] = []
    for raw in stdout.splitlines():
        try:
            lines.append(json.loads(raw))
        except ValueError:
            raise AssertionError(f"not JSON on standard output: {raw!r}") from None
    assert all(isinstance(line, dict) and "type" in line for line in lines), lines
    if code == 2:  # usage: nothing was begun
        return Done(code, stdout, stderr, tuple(lines), None)
    assert lines and lines[-1]["type"] == "result", (code, lines[-1:], stderr)
    assert [line["type"] for line in lines].count("result") == 1
    result = lines[-1]
    assert result["exit_code"] == code, (code, result, stderr)
    assert result["outcome"] == WORDS[code], result
    return Done(code, stdout, stderr, tuple(lines[:-1]), result)


def jurymast(*argv: str | Path, stdin: bytes = b"", timeout: float = 120, ok: int | None = None) -> Done:
    """Run it to its end. With --json among `argv`, the JSON contract is checked. `ok`: the exit code it must have."""
    done = subprocess.run(
        [*ARGV, *map(str, argv)], input=stdin, capture_output=True, timeout=timeout, env=environment(), check=False
    )
    stderr = done.stderr.decode(errors="replace")
    assert "Traceback" not in stderr, stderr
    if "--json" in argv and "-" not in argv:
        out = parse(done.stdout, stderr, done.returncode)
    else:
        assert b"Traceback" not in done.stdout or "-" in argv, done.stdout.decode(errors="replace")
        out = Done(done.returncode, done.stdout, stderr)
    assert ok is None or out.code == ok, (argv, out.code, out.text[-3000:], stderr)
    return out


def here(*argv: str | Path, ok: int | None = None) -> Done:
    """As jurymast() with --json, in this process: for what is told before any work is done, many times."""
    from click.testing import CliRunner

    from recovery.cli.main import command

    result = CliRunner().invoke(command, list(map(str, argv)), prog_name="jurymast")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    done = parse(result.stdout_bytes, "", result.exit_code)
    assert ok is None or done.code == ok, (argv, done.code, done.text[-3000:])
    return done


class Running:
    """A run with --json that can be watched and stopped."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log
        self._out: list[bytes] = []
        self.began = time.monotonic()

    def events(self) -> Iterator[Line]:
        """The lines as they come, to the end."""
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            self._out.append(raw)
            if raw.endswith(b"\n"):
                yield json.loads(raw)

    def wait_for(self, wanted: Callable[[Line], bool]) -> Line | None:
        """The first line from now on that is wanted; None when the run ended before."""
        return next((line for line in self.events() if wanted(line)), None)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> list[Line]:
        """kill -9. Returns all complete lines that it had printed."""
        self.process.kill()
        list(self.events())
        self.process.wait(30)
        return [json.loads(raw) for raw in self._out if raw.endswith(b"\n")]

    def finish(self, timeout: float = 60) -> Done:
        """Wait for the end."""
        for _ in self.events():
            pass
        code = self.process.wait(timeout)
        return parse(b"".join(self._out), self._log.read_text(errors="replace"), code)


@contextmanager
def running(*argv: str | Path, log: Path, nohup: bool = False) -> Iterator[Running]:
    """Start it; `--json` is added. `log`: where its standard error goes. It is gone when the block ends.

    `nohup`: started so that it ignores SIGHUP.
    """

    def set_signals() -> None:
        hear_signals()
        if nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*ARGV, *map(str, argv), "--json"],
            stdout=subprocess.PIPE, stderr=stderr, stdin=subprocess.DEVNULL, env=environment(),
            preexec_fn=set_signals,
        )  # fmt: skip
    try:
        yield Running(process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def step(number: int) -> Callable[[Line], bool]:
    """For Running.wait_for: step `number` has started."""
    return lambda line: line["type"] == "step_started" and line["step"] == number


def share(number: int, percent: float) -> Callable[[Line], bool]:
    """For Running.wait_for: `percent` of step `number` is done."""
    now = [0]

    def reached(line: Line) -> bool:
        if line["type"] == "step_started":
            now[0] = line["step"]
        done = line["type"] == "advanced" and line["bytes_total"] > 0
        return now[0] > number or (
            now[0] == number and done and line["bytes_done"] * 100 >= percent * line["bytes_total"]
        )

    return reached
