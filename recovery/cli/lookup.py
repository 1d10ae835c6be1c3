"""What the commands that read files have in common: stopping, errors, and a reader of the output that went away."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console

from formats.base.errors import RecoveryError
from formats.base.problem import Problem
from fs.walk import shown
from recovery.cli.exit_codes import ExitCode
from recovery.cli.output import code_of, json_line
from recovery.cli.stopping import stoppable
from recovery.engine.cancel import CancelToken
from recovery.errorwords import error_word


@contextmanager
def looking(*, as_json: bool) -> Iterator[CancelToken]:
    """Run the body of a command; its errors go to standard error (JSON: to the result line), and end the process."""
    token = CancelToken()
    try:
        with stoppable(token):
            yield token
        sys.stdout.flush()
    except RecoveryError as error:
        sys.exit(_fail(error, as_json=as_json))
    except BrokenPipeError:
        # Whoever read our output has seen enough (head, less).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)


def _fail(error: RecoveryError, *, as_json: bool) -> ExitCode:
    code = code_of(error)
    if as_json:
        finish(code, error=str(error), advice=error.advice)
    if not as_json:
        complain(f"{error_word(error)}: {error}")
        if error.advice:
            complain(error.advice)
    return code


def finish(code: ExitCode, **body: object) -> None:
    """The last line of JSON."""
    outcome = {
        ExitCode.OK: "ok",
        ExitCode.LOSSES: "losses",
        ExitCode.REFUSED: "refused",
        ExitCode.CANCELLED: "cancelled",
    }.get(code, "failed")
    json_line({"type": "result", "outcome": outcome, "exit_code": int(code), **body}, sys.stdout)


def complain(text: str) -> None:
    """A line on standard error."""
    Console(file=sys.stderr, highlight=False, soft_wrap=True).print(text, markup=False)


def say(text: str) -> None:
    """A line on standard output, as it is: no wrapping, no markup."""
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")


def tell(problems: Iterable[Problem], *, as_json: bool) -> None:
    """Problems that were passed over."""
    for problem in problems:
        if as_json:
            json_line({"type": "problem", **problem.to_json()}, sys.stdout)
        else:
            complain(f"{problem.severity.value}: {shown(problem.text)}")
