"""kill -9 at an exact moment: the command runs in a process that kills itself at the n-th system call of a kind.

`python -m tests.support.tripwire` imports the command once and then forks for every run that standard input asks
for, so that a sweep over many moments takes little time. Each run is the real `main()` in a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Tripwire:
    """See tripwire()."""

    def __init__(self, process: subprocess.Popen[str], output: Path) -> None:
        self._process, self._output = process, output

    def run(self, call: str, number: int, *argv: str | Path) -> tuple[bool, str]:
        """Run the command; at call `number` (from 1) of os.`call` it is killed before the call is made.

        Returns whether it was killed, and its standard output. Fails when it ended in another way than well.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        order = {"call": call, "number": number, "argv": [str(a) for a in argv], "output": str(self._output)}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        text = self._output.read_text(errors="replace")
        assert code in (-signal.SIGKILL, 0), (order, code, text)
        return code != 0, text


@contextmanager
def tripwire(scratch: Path) -> Iterator[Tripwire]:
    """A process that waits for orders. `scratch`: a folder for the output of its children."""
    from tests.support.command import environment

    argv = [sys.executable, "-m", "tests.support.tripwire"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            yield Tripwire(process, scratch / "tripwire.out")
        finally:
            process.kill()


def _child(order: dict[str, Any]) -> None:
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    count = [0]

    def wire(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            count[0] += 1
            if count[0] == order["number"]:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **named)

        return call

    setattr(os, order["call"], wire(getattr(os, order["call"])))
    from recovery.cli.main import command

    command(order["argv"], prog_name="jurymast")


def _serve() -> None:
    import recovery.cli.main  # noqa: F401 - everything is loaded before the first fork

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                _child(json.loads(line))
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
