"""The commands that look back: reports and log."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from formats.base.errors import RecoveryError
from recovery.cli.exit_codes import ExitCode
from recovery.cli.lookup import finish, looking, say
from recovery.cli.output import json_line
from recovery.cli.parameters import json_option
from recovery.engine.eventlog import read_log
from recovery.engine.kept import MOST, Kept, export, export_name, find_report, list_reports
from recovery.pastwords import NO_LOG, NO_REPORTS, kept_lines, log_line


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def reports(ctx: click.Context, as_json: bool) -> None:
    """List the reports of earlier jobs, the newest first; 'show' and 'export' take the ID of one, or 'last'."""
    ctx.obj = as_json
    if ctx.invoked_subcommand is not None:
        return
    with looking(as_json=as_json):
        found = list_reports()
        if as_json:
            for kept in found:
                json_line({"type": "report", **_json(kept)}, sys.stdout)
            finish(ExitCode.OK, reports=len(found), most=MOST)
        for kept in found if not as_json else ():
            say("\n    ".join(kept_lines(kept)))
        if not found and not as_json:
            say(NO_REPORTS)


def _json(kept: Kept) -> dict[str, str]:
    return {name: getattr(kept, name) for name in kept.__slots__}


@reports.command()
@click.argument("report_id", metavar="ID")
@json_option
@click.pass_obj
def show(outer: bool, report_id: str, as_json: bool) -> None:
    """Show one report: ID, the beginning of one, or 'last'."""
    as_json = as_json or outer
    with looking(as_json=as_json):
        report = find_report(report_id)
        if as_json:
            json_line({"type": "report", **report.to_json()}, sys.stdout)
            finish(ExitCode.OK)
        else:
            say(report.to_text().rstrip())


@reports.command(name="export")
@click.argument("report_id", metavar="ID")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def export_command(outer: bool, report_id: str, folder: Path, as_json: bool) -> None:
    """Copy one report (ID, or 'last') into FOLDER, such as a stick: as text for people, and as JSON."""
    as_json = as_json or outer
    with looking(as_json=as_json):
        report = find_report(report_id)
        if not folder.is_dir():
            raise RecoveryError(f"{folder} is no folder.")
        paths = [str(path) for path in export(report, folder / export_name(report))]
        if as_json:
            finish(ExitCode.OK, paths=paths)
        else:
            say("\n".join(paths))


@click.command()
@click.option("--last", type=click.IntRange(1), default=1000, show_default=True, help="How many lines at most.")
@json_option
def log(last: int, as_json: bool) -> None:
    """Show the event log: what earlier jobs did and met, with the time of each. --json gives its lines as they are."""
    with looking(as_json=as_json):
        lines = read_log(last)
        for line in lines:
            if as_json:
                json_line(line, sys.stdout)
            else:
                say(log_line(line))
        if as_json:
            finish(ExitCode.OK, lines=len(lines))
        elif not lines:
            say(NO_LOG)
