"""The command that opens the screens. Loads them only when it runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--machine",
    "machines",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Show the disks that this JSON file describes instead of those of this machine (again for more).",
)
@click.option(
    "--image",
    "images",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Show this image file in the place of a disk (again for more).",
)
def tui(machines: tuple[Path, ...], images: tuple[Path, ...]) -> None:
    """Open the screens: back up, restore, clone, look inside, check, led step by step. Needs a terminal of 80 by 24.

    Exit codes: 0 when it was left in order, however its jobs ended; 130 when a signal ended it and stopped a job.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("The screens need a terminal. The other commands work without one.")
    from recovery.engine.eventlog import keep_what_is_said
    from recovery.tui.app import JurymastApp
    from recovery.tui.machine import Machine
    from recovery.tui.texts import places

    keep_what_is_said()
    app = JurymastApp(Machine(machines, images))
    try:
        app.run()
    finally:
        if app.attached.folders:
            click.echo(places.LETTING_GO.format(folders=", ".join(app.attached.folders)), err=True)
        for trouble in app.attached.release_all():
            click.echo(f"{trouble} {trouble.advice}", err=True)
    sys.exit(app.exit_code or app.return_code or 0)
