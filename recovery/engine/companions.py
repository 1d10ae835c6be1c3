"""Programs that live on beside this one: a guard that acts when we die, and a client that holds a session open."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from formats.base.errors import RecoveryError
from recovery.engine.run import OWN_GROUP, ToolMissing, find_tool

_PATIENCE = 5.0  # seconds for a companion to end by itself
_SAID = 4096  # characters of its errors that are kept


class SessionLost(RecoveryError):
    """The program at the other end did not do what was asked: it ended, said why, or took too long."""


class Guard:
    """A helper process of ours that acts when this process ends without release()."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def tell(self, state: dict[str, Any]) -> None:
        """What it has to know from now on. A guard that is gone is no reason to stop: it is the second line."""
        self._write(json.dumps(state, default=str).encode() + b"\n")

    def release(self) -> None:
        """Nothing is left to be done. Waits for its end."""
        self._write(b"\n")
        _end(self._process)

    def _write(self, line: bytes) -> None:
        pipe = self._process.stdin
        try:
            if pipe is not None:
                pipe.write(line)
                pipe.flush()
        except OSError:
            return


def start_guard(module: str) -> Guard | None:
    """Start our own `module` with a pipe to it, in a session of its own. None where it cannot be started."""
    if getattr(sys, "frozen", False):  # a bundled program has no interpreter beside it
        return None
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],  # -P: nothing from the folder that we happen to be in
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            **OWN_GROUP,
        )
    except OSError:
        return None
    return Guard(process)


class HeldSession:
    """A client such as psql that reads statements from a pipe; closing the pipe ends it, and with it the session."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Raises ToolMissing, SessionLost."""
        program = find_tool(argv[0])
        if program is None:
            raise ToolMissing(argv[0])
        self._name = argv[0]
        try:
            self._process = subprocess.Popen(
                [program, *argv[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **env},
                **OWN_GROUP,
            )
        except OSError as error:
            raise SessionLost(f"{program} could not be started: {error.strerror}") from error
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors = ""
        self._threads = [
            threading.Thread(target=self._read_lines, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def ask(self, text: str, marker: str, timeout: float) -> list[str]:
        """Send `text`, and return the lines up to one that is `marker`. `timeout` in seconds. Raises SessionLost."""
        deadline = time.monotonic() + timeout
        pipe = self._process.stdin
        try:
            if pipe is not None:
                pipe.write(text.encode())
                pipe.flush()
        except OSError:
            pass  # what it said before it ended comes below
        found: list[str] = []
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise SessionLost(f"{self._name} did not answer within {timeout:g} seconds") from None
            if line is None:
                self._threads[1].join(1)
                said = self._errors.strip() or "it said nothing"
                raise SessionLost(f"{self._name} ended: {said}")
            if line == marker:
                return found
            found.append(line)

    def close(self) -> None:
        """End it: the server then drops whatever the session held."""
        try:
            _end(self._process)
        finally:
            for thread in self._threads:
                thread.join(1)

    def _read_lines(self, pipe: IO[bytes]) -> None:
        with pipe:
            for raw in pipe:
                self._lines.put(raw.decode(errors="replace").rstrip("\n"))
        self._lines.put(None)

    def _read_errors(self, pipe: IO[bytes]) -> None:
        with pipe:
            for raw in pipe:
                self._errors = (self._errors + raw.decode(errors="replace"))[-_SAID:]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        try:
            process.stdin.close()
        except OSError:
            pass
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
