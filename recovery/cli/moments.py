"""The options for the user's commands, the same for all that makes backups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from recovery.cli.output import Face
from recovery.engine.cancel import CancelToken
from recovery.engine.moments.course import MomentFacts, Moments
from recovery.engine.moments.model import DEFAULT_TIMEOUT, HOOKS_DIR, MomentOptions
from recovery.engine.planners.backup import BackupRequest

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--before-snapshot", default="", metavar="CMD", help="Run CMD first; unless it ends with 0, stop."),
    click.option("--after-snapshot", default="", metavar="CMD", help="Run CMD when the source is read; always."),
    click.option("--after-backup", default="", metavar="CMD", help="Run CMD at the end, with the outcome; always."),
    click.option(
        "--command-timeout",
        type=click.FloatRange(0, 86400, min_open=True),
        default=DEFAULT_TIMEOUT,
        show_default=True,
        metavar="SECONDS",
        help="How long each command and hook may take.",
    ),
    click.option(
        "--hooks-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=HOOKS_DIR,
        show_default=True,
        help="Folder of executables called with prepare, freeze, thaw, abort.",
    ),
    click.option("--no-hooks", is_flag=True, help="Call none of them."),
)


def moments_options(command: F) -> F:
    """Decorator: adds the options; the command gets them as keywords for moments_of()."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def moments_of(request: BackupRequest, wishes: dict[str, Any]) -> Callable[[CancelToken, Face], Moments]:
    """What makes the moments of this backup. `wishes`: the values of moments_options."""
    options = MomentOptions(
        wishes["before_snapshot"],
        wishes["after_snapshot"],
        wishes["after_backup"],
        wishes["command_timeout"],
        None if wishes["no_hooks"] else wishes["hooks_dir"],
    )
    numbers = sorted(request.numbers or ())
    volumes = tuple(f"{s}:{n}" for s in request.sources for n in numbers) if numbers else request.sources
    facts = MomentFacts(request.archive, volumes, consistency="crash-consistent" if request.force_live else "offline")
    return lambda token, shown: Moments(options, facts, shown.event, lambda: token.cancelled)
