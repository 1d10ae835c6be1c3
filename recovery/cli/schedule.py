"""The command for backups by the clock."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from formats.base.errors import RecoveryError
from formats.base.problem import Problem, Severity
from recovery.cli.course import carry_out
from recovery.cli.exit_codes import ExitCode
from recovery.cli.jobs import backup, backup_of, shown_plan
from recovery.cli.moments import moments_of
from recovery.cli.output import Face, TextFace, face, json_line, say, told
from recovery.cli.parameters import json_option
from recovery.cli.stopping import stoppable
from recovery.engine.cancel import CancelToken
from recovery.engine.events import Outcome
from recovery.engine.planners.prune import PruneRequest
from recovery.engine.prepare import prepare_prune
from recovery.engine.report import Report
from recovery.engine.schedule import Schedule, Schedules, check_calendar
from recovery.engine.settings import Settings

_UNIT = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_unit_dir = click.option(
    "--unit-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Another folder for the units; systemd is then not told of them.",
)


class _Duration(click.ParamType[int]):
    """Seconds: 90, 30m, 2h."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,7})\s*(s|m|min|h|d|)", str(value))
        if not match:
            self.fail(f"{value!r} is not a time such as 30m or 2h", param, ctx)
        return int(match[1]) * _UNIT[match[2]]


@click.group()
def schedule() -> None:
    """Make backups by the clock of systemd."""


@schedule.command()
@click.argument("name")
@click.argument("arguments", metavar="-- BACKUP-ARGUMENTS", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--calendar", required=True, help="When, as systemd takes it: 'Mon..Fri 02:00', 'daily'.")
@click.option("--random-delay", type=_Duration(), default=0, help="Begin up to so much later, such as 30m.")
@click.option("--bandwidth", default="", metavar="SIZE", help="Read at most so many bytes a second, such as 50M.")
@click.option("--keep", type=click.IntRange(0), default=0, help="Delete what so many newer proven ones replace.")
@_unit_dir
@json_option
def add(
    name: str,
    arguments: tuple[str, ...],
    calendar: str,
    random_delay: int,
    bandwidth: str,
    keep: int,
    unit_dir: Path | None,
    as_json: bool,
) -> None:
    """Make the schedule NAME. Behind '--' stands what 'jurymast backup' takes; {date} in the archive's name."""
    if bandwidth:
        arguments = (*arguments, "--bandwidth", bandwidth)
    context = _parsed(arguments)
    found = context.params
    with face(as_json) as shown, told(shown):
        wish = Schedule(
            name,
            calendar,
            tuple(str(Path.cwd() / source) for source in found["sources"]),  # names in /dev/disk are not followed
            str(Path.cwd() / found["archive"]),
            _options(context),
            random_delay,
            keep,
        )
        schedules = Schedules(unit_dir)
        paths = [str(path) for path in schedules.add(wish)]
        due = check_calendar(calendar)
        if as_json:
            _result(schedule=wish.to_json(), paths=paths, next=due, started=schedules.started)
            return
        for path in paths:
            say(f"Written: {path}")
        say(f"Due next: {due or 'as systemd says'}" if schedules.started else "Not started: these are only files.")


def _parsed(arguments: tuple[str, ...]) -> click.Context:
    """What `backup` makes of them; a usage error is told as one."""
    context = backup.make_context("jurymast backup", list(arguments))
    if context.params["as_json"]:
        raise click.UsageError("--json belongs to 'jurymast schedule run'.")
    if context.params["archive"] == "-":
        raise click.UsageError("A schedule needs an archive with a name.")
    return context


def _options(context: click.Context) -> tuple[str, ...]:
    """The options that were given, each as one word."""
    words: list[str] = []
    for option in backup.params:
        name = option.name or ""
        if (
            not isinstance(option, click.Option)
            or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE
        ):
            continue
        value = context.params[name]
        if option.is_flag:
            words.append(option.opts[0])
        else:
            words += [f"{option.opts[0]}={item}" for item in (value if option.multiple else (value,))]
    return tuple(words)


@schedule.command("list")
@_unit_dir
@json_option
def list_command(unit_dir: Path | None, as_json: bool) -> None:
    """Show all schedules."""
    with face(as_json) as shown, told(shown):
        found = Schedules(unit_dir).every()
        if as_json:
            _result(schedules=[item.to_json() for item in found])
            return
        for item in found:
            say(f"{item.name:<16} {item.calendar:<20} {', '.join(item.sources)} -> {item.archive}")
        if not found:
            say("There are no schedules.")


@schedule.command()
@click.argument("name")
@_unit_dir
@json_option
def show(name: str, unit_dir: Path | None, as_json: bool) -> None:
    """Show the schedule NAME."""
    with face(as_json) as shown, told(shown):
        item = Schedules(unit_dir).get(name)
        due = check_calendar(item.calendar)
        if as_json:
            _result(schedule=item.to_json(), next=due)
            return
        say(f"{item.name}: {item.calendar}" + (f", up to {item.random_delay} s later" if item.random_delay else ""))
        say(f"Due next: {due}")
        say(f"From: {', '.join(item.sources)}")
        say(f"To: {item.archive}")
        if item.options:
            say(f"Options: {' '.join(item.options)}")
        say(f"Keeps {item.keep} newer proven ones, and deletes what they replace." if item.keep else "Deletes nothing.")


@schedule.command()
@click.argument("name")
@_unit_dir
@json_option
def remove(name: str, unit_dir: Path | None, as_json: bool) -> None:
    """Delete the schedule NAME; its archives stay."""
    with face(as_json) as shown, told(shown):
        paths = [str(path) for path in Schedules(unit_dir).remove(name)]
        if as_json:
            _result(paths=paths)
            return
        for path in paths:
            say(f"Removed: {path}")


@schedule.command()
@click.argument("name")
@_unit_dir
@json_option
def run(name: str, unit_dir: Path | None, as_json: bool) -> None:
    """Do now what the schedule NAME says, as its timer does: the backup, then the deleting."""
    token = CancelToken()
    with face(as_json) as shown, stoppable(token), told(shown):
        item = Schedules(unit_dir).get(name)
        params = _parsed((*item.options, "--", *item.sources, item.archive_now())).params
        request, settings = backup_of(params["sources"], params["archive"], params)
        report = carry_out(shown_plan(request), settings, shown, token, moments=moments_of(request, params))
        if report is None:
            raise RuntimeError("a backup is not only shown")
        retention = None
        if item.keep and report.outcome is Outcome.OK and report.checked:
            retention = _retain(item, params["archive"], shown, token)
        if retention and retention.outcome is not Outcome.OK:
            text = f"Old archives could not be deleted: {retention.error}"
            report.problems.append(("retention", Problem(Severity.ERROR, "retention.failed", text)))
            report.outcome = Outcome.COMMAND_FAILED
        code = shown.finish(report, retention=retention.to_json() if retention else None)
        if isinstance(shown, TextFace) and item.keep:
            no_proof = "Nothing old was deleted: this backup is not proven, or not without a fault."
            shown.console.print(retention.to_text() if retention else no_proof, markup=False)
        sys.exit(code)


def _retain(item: Schedule, made: str, shown: Face, token: CancelToken) -> Report:
    """Delete what is replaced. It went wrong: said, but the backup is what it is."""
    request = PruneRequest(str(Path(item.archive).parent), item.pattern, item.keep, protect=(made,))
    try:
        report = carry_out(lambda token, shown: prepare_prune(request, token, shown.look), Settings(), shown, token)
    except RecoveryError as error:
        report = Report("prune", f"Delete what {made} replaces", error=str(error), advice=error.advice)
    return report or Report("prune", "")


def _result(**body: Any) -> None:
    json_line({"type": "result", "outcome": "ok", "exit_code": int(ExitCode.OK), **body}, sys.stdout)
