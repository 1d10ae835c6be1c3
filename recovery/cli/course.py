"""Running a plan from the command line: prepare it, have it accepted, execute it, and end with the right code."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import click

from formats.base.errors import RecoveryError, Refused
from recovery.cli.exit_codes import ExitCode
from recovery.cli.output import Face, JsonFace, face, json_line, told
from recovery.cli.stopping import Asking, aside, stoppable
from recovery.engine import power
from recovery.engine.cancel import CancelToken
from recovery.engine.eventlog import keep_what_is_said
from recovery.engine.executor import execute
from recovery.engine.moments.course import Moments
from recovery.engine.plan import Plan
from recovery.engine.power import Power
from recovery.engine.report import Report
from recovery.engine.settings import Settings
from recovery.review import check_typed, question
from recovery.words import plan_text

MomentsMaker = Callable[[CancelToken, Face], Moments]
Prepare = Callable[[CancelToken, Face], Plan[Any]]
Accept = Callable[[Plan[Any], Face], bool]

_ASK_EVERY = 0.2  # seconds in which a Ctrl-C at the question is noticed


def run_plan(
    prepare: Prepare,
    settings: Settings,
    *,
    as_json: bool,
    to_stderr: bool = False,
    accept: Accept = lambda plan, shown: True,
    moments: MomentsMaker | None = None,
    then_poweroff: bool = False,
) -> None:
    """Plan, let it be accepted, execute, and end the process with the right code.

    `then_poweroff`: switch the machine off when the job ended fully good.
    """
    keep_what_is_said()
    token = CancelToken()
    with face(as_json, to_stderr=to_stderr, clock=token.clock) as shown, stoppable(token), told(shown):
        if then_poweroff and power.why_not():
            raise Refused(f"--then-poweroff: {power.why_not()}", "Leave that option out.")
        report = carry_out(prepare, settings, shown, token, accept=accept, moments=moments)
        if report is None:
            sys.exit(ExitCode.OK)
        sys.exit(shown.finish(report, _switch_off(report) if then_poweroff else None))


def _switch_off(report: Report) -> str:
    """The rule and the deed; '' when the machine is being switched off, else why it stays on."""
    reason = power.after(report)
    if not reason:
        try:
            power.switch(Power.OFF)
        except RecoveryError as error:
            reason = str(error)
    return reason


def carry_out(
    prepare: Prepare,
    settings: Settings,
    shown: Face,
    token: CancelToken,
    *,
    accept: Accept = lambda plan, shown: True,
    moments: MomentsMaker | None = None,
) -> Report | None:
    """The report of the plan; None when it was only shown. Raises what prepare and accept raise.

    `moments`: the user's commands. What comes before the snapshot comes before the sources are looked at.
    """
    with moments(token, shown) if moments else nullcontext() as course:
        if course:
            course.before_freeze()
        plan = aside(lambda: prepare(token, shown), token)
        token.check()
        return execute(plan, settings, shown.event, token, course) if accept(plan, shown) else None


def review(plan: Plan[Any], shown: Face, *, dry_run: bool, yes: bool) -> bool:
    """Show the Plan and get it accepted. False: only shown. Raises Refused when it is not accepted."""
    if isinstance(shown, JsonFace):
        shown.plan(plan)
    else:
        shown.console.print(plan_text(plan), markup=False)
        shown.console.print()
    if dry_run:
        if isinstance(shown, JsonFace):
            json_line({"type": "result", "outcome": "ok", "exit_code": 0, "dry_run": True}, sys.stdout)
        else:
            shown.console.print("Nothing was changed: this was a dry run.")
        return False
    if yes:
        return True
    if isinstance(shown, JsonFace) or not sys.stdin.isatty():
        raise Refused(
            "Nobody is there to accept the plan.",
            "Run it at a terminal, or look at --dry-run first and then use --yes.",
        )
    Asking.now = True
    try:
        typed = _ask(question(plan))
    finally:
        Asking.now = False
    check_typed(plan, typed)
    return True


def _ask(question: str) -> str:
    """What a person types. Raises click.Abort at the end of input.

    Not input(): a Ctrl-C in the moment before that waits would be noticed only with the next key.
    """
    click.echo(question, nl=False)
    while not select.select([sys.stdin], [], [], _ASK_EVERY)[0]:
        continue
    line = sys.stdin.readline()
    if not line:
        raise click.Abort
    return line
