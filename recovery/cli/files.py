"""The commands that read whole files out of volumes: extract, hash, diff."""

from __future__ import annotations

import sys

import click

from formats.base.problem import Severity
from fs.findings import Log
from fs.walk import shown
from recovery.cli.browse import streams_option
from recovery.cli.exit_codes import ExitCode
from recovery.cli.jobs import run_plan
from recovery.cli.lookup import complain, finish, json_option, looking, say, tell
from recovery.cli.output import json_line
from recovery.engine.browse import Place, VolumeInfo, open_place
from recovery.engine.events import Advanced, StepProgress
from recovery.engine.jobs.extract import ExtractWork, Form, plan_extract
from recovery.engine.listing import digests, manifest_line, problems_of
from recovery.engine.settings import Settings


@click.command()
@click.argument("source", metavar="SOURCE[:N]")
@click.argument("paths", metavar="[PATH...]", nargs=-1)
@click.argument("target", metavar="DIR")
@click.option("--as-tar", "form", flag_value="tar", help="DIR is a tar to write ('-' for standard output).")
@click.option("--as-zip", "form", flag_value="zip", help="DIR is a zip to write ('-' for standard output).")
@click.option("--overwrite", is_flag=True, help="Replace files that exist already.")
@click.option("--windows-names", is_flag=True, help="Only names that Windows allows; without it, where DIR needs it.")
@json_option
def extract(
    source: str,
    paths: tuple[str, ...],
    target: str,
    form: str | None,
    overwrite: bool,
    windows_names: bool,
    as_json: bool,
) -> None:
    """Copy files and folders (all without PATH) of partition N of SOURCE into DIR, with times, modes, links.

    Nothing that exists is overwritten. A damaged file is kept as NAME.damaged; exit code 4 says that there were some.
    """
    if target == "-" and (not form or sys.stdout.isatty()):
        raise click.UsageError("A tar or zip goes to standard output, and not to a terminal.")
    work = ExtractWork(source, paths or ("/",), target, Form(form or "folder"), overwrite, windows_names or None)
    run_plan(lambda token, shown: plan_extract(work), Settings(), as_json=as_json, to_stderr=target == "-")


@click.command(name="hash")
@click.argument("source", metavar="SOURCE[:N]")
@streams_option
@json_option
def hash_command(source: str, all_streams: bool, as_json: bool) -> None:
    """SHA-256 of every file in partition N of SOURCE, as 'sha256sum -c' reads it.

    Without N, of all partitions, below N/ as 'jurymast mount' shows them. What cannot be read to its end is named on
    standard error, and the exit code is 4.
    """
    with looking(as_json=as_json) as token, open_place(source) as (place, selector):
        bad = count = 0
        progress = StepProgress(lambda event: _show_progress(event, as_json), 0)
        for info, prefix in _chosen(place, selector):
            tree = place.tree(info)
            log = Log()
            for found in digests(tree, log, all_streams=all_streams, check=token.check, advance=progress.advance):
                count += 1
                bad += not found.digest
                if as_json:
                    path = prefix + found.path.lstrip("/")
                    body = {"path": path, "size": found.size, "sha256": found.digest, "fault": found.fault}
                    json_line({"type": "file", **body}, sys.stdout)
                elif found.digest:
                    say(manifest_line(found, prefix))
                else:
                    complain(f"error: {shown(prefix + found.path.lstrip('/'))}: {found.fault}")
            problems = problems_of(log, tree)
            tell(problems, as_json=as_json)
            bad += sum(p.severity is Severity.ERROR for p in problems)
        code = ExitCode.LOSSES if bad else ExitCode.OK
        if as_json:
            finish(code, files=count, bytes=progress.done)
    sys.exit(code)


def _show_progress(event: object, as_json: bool) -> None:
    if as_json and isinstance(event, Advanced):
        json_line(event.to_json(), sys.stdout)


def _chosen(place: Place, selector: str) -> list[tuple[VolumeInfo, str]]:
    """The volumes that are meant, with what stands before their paths."""
    with_files = [v for v in place.volumes if v.has_files]
    if selector or len(with_files) < 2:
        return [(place.pick(selector), "")]
    return [(v, f"{v.address}/") for v in with_files]
