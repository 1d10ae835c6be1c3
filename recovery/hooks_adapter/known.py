"""Which adapters there are, and the hook files that call them."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from formats.base.errors import DeviceError, Refused
from recovery.engine.moments.hooks import check_trusted
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


def installed(folder: Path) -> dict[str, Path]:
    """The adapters whose hook stands in `folder` under its usual name, and is one of ours."""
    found = {}
    for name, adapter in ADAPTERS.items():
        path = folder / file_name(adapter)
        try:
            if MARK in path.read_text(encoding="utf-8", errors="replace"):
                found[name] = path
        except OSError:
            continue
    return found


def install(name: str, folder: Path) -> Path:
    """Write the hook of an adapter. Raises Refused when something has its name, DeviceError."""
    path = folder / file_name(ADAPTERS[name])
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o755)
            file.write(hook_text(ADAPTERS[name]))
    except FileExistsError:
        raise Refused(f"{path} exists already.", "Change its settings there, or remove it first.") from None
    except OSError as error:
        raise DeviceError(str(path), "write", 0, 0, error.errno or 0) from error
    try:
        check_trusted(path)
    except Refused:
        path.unlink()
        raise
    return path


def remove(name: str, folder: Path) -> Path:
    """Delete the hook of an adapter. Raises Refused when it is not there or not ours, DeviceError."""
    path = installed(folder).get(name)
    if path is None:
        raise Refused(f"The hook {name} is not in {folder}.", "See: jurymast hooks list")
    try:
        path.unlink()
    except OSError as error:
        raise DeviceError(str(path), "delete", 0, 0, error.errno or 0) from error
    return path
