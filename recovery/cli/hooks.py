"""The command that puts ready hooks into place."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from recovery.cli.output import face, json_line, say, told
from recovery.cli.parameters import json_option
from recovery.engine.moments.hooks import find_hooks
from recovery.engine.moments.model import HOOKS_DIR
from recovery.hooks_adapter import known

_folder = click.option(
    "--hooks-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=HOOKS_DIR,
    show_default=True,
    help="The folder.",
)
_adapter = click.argument("name", type=click.Choice(sorted(known.ADAPTERS)))


@click.group()
def hooks() -> None:
    """Put ready hooks for databases into the folder that backup calls, or take them out."""


@hooks.command("list")
@_folder
@json_option
def list_command(hooks_dir: Path, as_json: bool) -> None:
    """Show the ready hooks, and what is called now."""
    with face(as_json) as shown, told(shown):
        there = known.installed(hooks_dir)
        called = [str(path) for path in find_hooks(hooks_dir)]
        body = [
            {"name": name, "title": adapter.title, "path": str(there[name]) if name in there else None}
            for name, adapter in known.ADAPTERS.items()
        ]
        if as_json:
            result = {"type": "result", "outcome": "ok", "exit_code": 0}
            json_line({**result, "hooks_dir": str(hooks_dir), "adapters": body, "called": called}, sys.stdout)
            return
        for item in body:
            say(f"{item['name']:<12} {'installed' if item['path'] else '-':<10} {item['title']}")
        say(f"Called by every backup, from {hooks_dir}:")
        for path in called or ["nothing"]:
            say(f"  {path}")


@hooks.command()
@_adapter
@_folder
@json_option
def install(name: str, hooks_dir: Path, as_json: bool) -> None:
    """Put the hook for the database NAME into place."""
    with face(as_json) as shown, told(shown):
        _done(known.install(name, hooks_dir), "Installed", as_json)
        if not as_json:
            say("Look at the settings in it.")


@hooks.command()
@_adapter
@_folder
@json_option
def remove(name: str, hooks_dir: Path, as_json: bool) -> None:
    """Take the hook for the database NAME out."""
    with face(as_json) as shown, told(shown):
        _done(known.remove(name, hooks_dir), "Removed", as_json)


def _done(path: Path, word: str, as_json: bool) -> None:
    if as_json:
        json_line({"type": "result", "outcome": "ok", "exit_code": 0, "path": str(path)}, sys.stdout)
    else:
        say(f"{word}: {path}")
