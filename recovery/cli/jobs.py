"""The commands that do work: backup, restore, clone, verify."""

from __future__ import annotations

import sys
from typing import Any

import click

from recovery.cli.course import Prepare, review, run_plan
from recovery.cli.moments import moments_of, moments_options
from recovery.cli.output import Face, TextFace
from recovery.cli.parameters import PARTITION_PAIR, SIZE, bandwidth_option, json_option
from recovery.engine.cancel import CancelToken
from recovery.engine.plan import Plan, Unused
from recovery.engine.planners.backup import BackupRequest
from recovery.engine.planners.clone import CloneRequest
from recovery.engine.planners.restore import RestoreRequest
from recovery.engine.prepare import plan_verify, prepare_backup, prepare_clone, prepare_restore
from recovery.engine.settings import Settings
from recovery.words import plan_text

unused_option = click.option(
    "--unused",
    type=click.Choice([u.value for u in Unused]),
    default=Unused.DISCARD.value,
    show_default=True,
    help="What happens to the target's space that the image does not use.",
)

then_poweroff_option = click.option(
    "--then-poweroff",
    is_flag=True,
    help="Switch this machine off afterwards, but only if it ended proven and without any error.",
)


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.argument("archive")
@click.option(
    "--partition", "partitions", type=click.IntRange(1), multiple=True, help="Only this partition (again for more)."
)
@click.option(
    "--level",
    type=click.IntRange(-7, 19),
    default=1,
    show_default=True,
    help="zstd level: higher is smaller and slower.",
)
@click.option("--split", type=SIZE, default=0, help="Parts of less than this size, such as 4G for FAT32.")
@click.option("--include-paging", is_flag=True, help="Keep the contents of pagefile.sys, swapfile.sys, hiberfil.sys.")
@click.option("--no-verify", is_flag=True, help="Do not read the archive back. It is then stored, not proven.")
@click.option("--force-live", is_flag=True, help="Image a disk that is in use. At best crash-consistent.")
@then_poweroff_option
@bandwidth_option
@moments_options
@json_option
def backup(sources: tuple[str, ...], archive: str, as_json: bool, **wishes: Any) -> None:
    """Image SOURCE (disks, partitions or image files) into ARCHIVE ('-' for standard output), and prove it."""
    if archive == "-" and sys.stdout.isatty():
        raise click.UsageError("An archive is not written to a terminal.")
    request, settings = backup_of(sources, archive, wishes)
    run_plan(
        shown_plan(request),
        settings,
        as_json=as_json,
        to_stderr=archive == "-",
        moments=moments_of(request, wishes),
        then_poweroff=wishes["then_poweroff"],
    )


def backup_of(sources: tuple[str, ...], archive: str, wishes: dict[str, Any]) -> tuple[BackupRequest, Settings]:
    """What the options of `backup` ask for."""
    request = BackupRequest(
        sources,
        archive,
        frozenset(wishes["partitions"]) or None,
        wishes["split"],
        wishes["include_paging"],
        not wishes["no_verify"],
        wishes["force_live"],
    )
    return request, Settings(level=wishes["level"], bandwidth=wishes["bandwidth"])


def shown_plan(request: BackupRequest) -> Prepare:
    """Prepare a backup, and show its plan to people: it begins at once."""

    def prepare(token: CancelToken, shown: Face) -> Plan[Any]:
        plan = prepare_backup(request, token, shown.look)
        if isinstance(shown, TextFace):
            shown.console.print(plan_text(plan), markup=False)
            shown.console.print()
        else:
            shown.plan(plan)
        return plan

    return prepare


@click.command()
@click.argument("archive")
@click.argument("target")
@click.option(
    "--partition",
    "partitions",
    type=PARTITION_PAIR,
    multiple=True,
    help="Partition N, to partition M of the target: N or N:M.",
)
@click.option("--disk", type=click.IntRange(1), help="Which disk of an archive that holds several (1 is the first).")
@unused_option
@click.option("--no-verify", is_flag=True, help="Do not read the target back.")
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.option("--yes", is_flag=True, help="Accept the plan without asking. For scripts that checked it.")
@then_poweroff_option
@json_option
def restore(
    archive: str,
    target: str,
    partitions: tuple[tuple[int, int | None], ...],
    disk: int | None,
    unused: str,
    no_verify: bool,
    dry_run: bool,
    yes: bool,
    then_poweroff: bool,
    as_json: bool,
) -> None:
    """Write ARCHIVE back to TARGET: a disk, a partition, or an image file."""
    request = RestoreRequest(
        archive, target, partitions, None if disk is None else disk - 1, Unused(unused), not no_verify
    )
    run_plan(
        lambda token, shown: prepare_restore(request, shown.look),
        Settings(),
        as_json=as_json,
        accept=lambda plan, shown: review(plan, shown, dry_run=dry_run, yes=yes),
        then_poweroff=then_poweroff,
    )


@click.command()
@click.argument("source")
@click.argument("target")
@click.option("--partition", type=PARTITION_PAIR, help="Only partition N, to partition M of the target: N or N:M.")
@unused_option
@click.option(
    "--include-paging", is_flag=True, help="Copy the contents of pagefile.sys, swapfile.sys, hiberfil.sys too."
)
@click.option("--no-verify", is_flag=True, help="Do not read the target back.")
@click.option("--force-live", is_flag=True, help="Copy a disk that is in use. At best crash-consistent.")
@bandwidth_option
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.option("--yes", is_flag=True, help="Accept the plan without asking. For scripts that checked it.")
@then_poweroff_option
@json_option
def clone(
    source: str,
    target: str,
    partition: tuple[int, int | None] | None,
    unused: str,
    include_paging: bool,
    no_verify: bool,
    force_live: bool,
    bandwidth: int,
    dry_run: bool,
    yes: bool,
    then_poweroff: bool,
    as_json: bool,
) -> None:
    """Copy the used blocks of SOURCE straight to TARGET, with no archive between."""
    request = CloneRequest(source, target, partition, Unused(unused), include_paging, not no_verify, force_live)
    run_plan(
        lambda token, shown: prepare_clone(request, token, shown.look),
        Settings(bandwidth=bandwidth),
        as_json=as_json,
        accept=lambda plan, shown: review(plan, shown, dry_run=dry_run, yes=yes),
        then_poweroff=then_poweroff,
    )


@click.command()
@click.argument("archive")
@click.option("--files", is_flag=True, help="Read every file through its file system, too.")
@then_poweroff_option
@json_option
def verify(archive: str, files: bool, then_poweroff: bool, as_json: bool) -> None:
    """Read all of ARCHIVE, list what is damaged and lost with the files that are hit, and walk its file systems."""
    run_plan(
        lambda token, shown: plan_verify(archive, files=files), Settings(), as_json=as_json, then_poweroff=then_poweroff
    )
