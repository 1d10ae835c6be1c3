"""What a pipeline of programs costs, as the kernel counts it."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple


class Cost(NamedTuple):
    """`user`, `sys`, `wall`: seconds. `peak`: bytes of memory. CPU and memory are sums over the programs."""

    user: float
    sys: float
    wall: float
    peak: int

    @property
    def cpu(self) -> float:
        """user + sys, the figure to compare: it does not depend on what else the machine does."""
        return self.user + self.sys


def pipeline(
    *programs: Sequence[str | Path], stdin: Path | None = None, stdout: Path | None = None, log: Path | None = None
) -> Cost:
    """Run `programs`, each one's output into the next one's input, and wait for all of them.

    What they say goes to `log`. Raises RuntimeError, with the end of that, when one of them fails.
    """
    argvs = [[str(a) for a in program] for program in programs]
    with (
        Path(stdin or os.devnull).open("rb") as first,
        Path(stdout or os.devnull).open("wb") as last,
        Path(log or os.devnull).open("w+b") as said,
    ):
        started = time.monotonic()
        running = _start(argvs, first, last, said)
        results = [os.wait4(process.pid, 0) for process in running]
        wall = time.monotonic() - started
        user = sys = 0.0
        peak = 0
        for process, argv, (_, status, usage) in zip(running, argvs, results, strict=True):
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                said.seek(0)
                text = said.read()[-2000:].decode(errors="replace")
                raise RuntimeError(f"{shlex.join(argv)} ended with {process.returncode}: {text}")
            user, sys, peak = user + usage.ru_utime, sys + usage.ru_stime, peak + usage.ru_maxrss * 1024
    return Cost(user, sys, wall, peak)


def _start(argvs: list[list[str]], first: IO[bytes], last: IO[bytes], said: IO[bytes]) -> list[subprocess.Popen[bytes]]:
    running: list[subprocess.Popen[bytes]] = []
    reading: IO[bytes] = first
    for number, argv in enumerate(argvs):
        end = number == len(argvs) - 1
        process = subprocess.Popen(argv, stdin=reading, stdout=last if end else subprocess.PIPE, stderr=said)
        if reading is not first:
            reading.close()  # so that a writer notices when its reader ends
        if process.stdout is not None:
            reading = process.stdout
        running.append(process)
    return running


def apart(work: Callable[..., int], *arguments: object) -> int:
    """work(*arguments) in a process of its own; what it returns.

    The kernel counts the memory that a parent had against the children that it starts: it has to stay small.
    """
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result()
