"""Which adapters there are, and the hook files that call them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from recovery.hooks_adapter.database import Database
from recovery.hooks_adapter.mysql import MySQL
from recovery.hooks_adapter.postgresql import PostgreSQL

ADAPTERS: dict[str, Database] = {adapter.name: adapter for adapter in (PostgreSQL(), MySQL())}
MARK = "# A hook of Jurymast:"


def file_name(adapter: Database) -> str:
    """Of the hook in hooks.d."""
    return f"50-{adapter.name}"


def hook_text(adapter: Database) -> str:
    """The hook: a small shell script, with what people may want to change."""
    root = Path(__file__).resolve().parents[2]
    lines = [
        "#!/bin/sh",
        f"{MARK} {adapter.title}",
        *adapter.settings,
        f"export PYTHONPATH={shlex.quote(str(root))}",
        f'exec {shlex.quote(sys.executable)} -P -m recovery.hooks_adapter {adapter.name} "$1"',
    ]
    return "\n".join(lines) + "\n"
