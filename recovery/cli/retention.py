"""The command that deletes old archives."""

from __future__ import annotations

import click

from recovery.cli.course import review, run_plan
from recovery.cli.parameters import json_option
from recovery.engine.planners.prune import PruneRequest
from recovery.engine.prepare import prepare_prune
from recovery.engine.settings import Settings


@click.command()
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--name", "pattern", required=True, metavar="PATTERN", help="Only archives so named, such as 'pc-*.jmi'.")
@click.option("--keep", type=click.IntRange(1), required=True, metavar="N", help="Newer proven ones there must be.")
@click.option("--check", "full", is_flag=True, help="Read all of the newer ones first, as verify does.")
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.option("--yes", is_flag=True, help="Accept the plan without asking. For scripts that checked it.")
@json_option
def prune(folder: str, pattern: str, keep: int, full: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete archives of FOLDER that N newer proven ones of the same disks replace. The newest always stays."""
    settings = Settings()
    request = PruneRequest(folder, pattern, keep, full)
    run_plan(
        lambda token, shown: prepare_prune(request, token, shown.look, settings.workers),
        settings,
        as_json=as_json,
        accept=lambda plan, shown: review(plan, shown, dry_run=dry_run, yes=yes or not plan.destructive),
    )
