"""The commands that read whole files out of volumes: extract, hash, diff."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from formats.base.problem import Problem, Severity
from fs.findings import Log
from fs.walk import shown
from recovery.cli.browse import streams_option
from recovery.cli.course import run_plan
from recovery.cli.exit_codes import ExitCode
from recovery.cli.lookup import complain, finish, looking, say, tell
from recovery.cli.output import json_line
from recovery.cli.parameters import json_option
from recovery.engine.browse import OpenVolume, Place, VolumeInfo, open_place
from recovery.engine.compare import Comparison, Counts
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
@click.option("--with-folders", is_flag=True, help="Several PATHs keep the folders that they lie in.")
@json_option
def extract(
    source: str,
    paths: tuple[str, ...],
    target: str,
    form: str | None,
    overwrite: bool,
    windows_names: bool,
    with_folders: bool,
    as_json: bool,
) -> None:
    """Copy files and folders (all without PATH) of partition N of SOURCE into DIR, with times, modes, links.

    Nothing that exists is overwritten. A damaged file is kept as NAME.damaged; exit code 4 says that there were some.
    """
    if target == "-" and (not form or sys.stdout.isatty()):
        raise click.UsageError("A tar or zip goes to standard output, and not to a terminal.")
    work = ExtractWork(
        source, paths or ("/",), target, Form(form or "folder"), overwrite, windows_names or None, with_folders
    )
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
            for found in digests(
                tree,
                log,
                all_streams=all_streams,
                left_out=place.left_out(info),
                check=token.check,
                advance=progress.advance,
            ):
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


@click.command()
@click.argument("old", metavar="ARCHIVE[:N]")
@click.argument("new", metavar="ARCHIVE[:N]")
@json_option
def diff(old: str, new: str, as_json: bool) -> None:
    """Which files differ between two archives (or disks, or images): added, removed, changed.

    Without N, partitions of the same number are compared. Files are called equal only when their bytes are: where
    both archives have the same blocks, without reading them. Exit code 0, whether something differs or not.
    """
    with looking(as_json=as_json) as token, open_place(old) as (first, selector), open_place(new) as (second, other):
        progress = StepProgress(lambda event: _show_progress(event, as_json), 0)
        total = Counts()
        for left, right in _pairs(first, selector, second, other, as_json):
            prefix = "" if selector or other else left.address
            comparison = Comparison(
                OpenVolume(first, left, first.raw(left), first.tree(left)),
                OpenVolume(second, right, second.raw(right), second.tree(right)),
                check=token.check,
                advance=progress.advance,
            )
            for found in comparison:
                if as_json:
                    body = {"path": prefix + found.path, "change": found.change.value, "text": found.text}
                    json_line({"type": "difference", **body}, sys.stdout)
                else:
                    about = f"  ({shown(found.text)})" if found.text else ""
                    say(f"{found.change.value:<9} {shown(prefix + found.path)}{about}")
            total.add(comparison.counts)
        code = ExitCode.LOSSES if total.unknown else ExitCode.OK
        if as_json:
            finish(code, **asdict(total))
        else:
            proven = f"{total.by_blocks} files by equal blocks, {total.by_reading} by reading"
            complain(f"{total.differences} differences, {total.same} the same (content proven: {proven})")
    sys.exit(code)


def _pairs(
    first: Place, selector: str, second: Place, other: str, as_json: bool
) -> list[tuple[VolumeInfo, VolumeInfo]]:
    """The volumes to compare; what only one side has is told."""
    if selector or other:
        return [(first.pick(selector or other), second.pick(other or selector))]
    ours = {v.address: v for v in first.volumes if v.has_files}
    theirs = {v.address: v for v in second.volumes if v.has_files}
    if len(ours) == len(theirs) == 1:
        return [(first.only(), second.only())]
    alone = [(first.name, v) for a, v in ours.items() if a not in theirs]
    alone += [(second.name, v) for a, v in theirs.items() if a not in ours]
    tell(
        [Problem(Severity.WARNING, "diff.alone", f"Only {name} has {volume.title}.") for name, volume in alone],
        as_json=as_json,
    )
    return [(v, theirs[a]) for a, v in ours.items() if a in theirs]
