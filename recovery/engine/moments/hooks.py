"""The folder hooks.d: which executables are called, and which must not be trusted."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from formats.base.errors import DeviceError, Refused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IGNORED = ("~", ".bak", ".old", ".orig", ".new", ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".md", ".txt")


def find_hooks(folder: Path) -> list[Path]:
    """The executables of `folder` in the order of their names; none when there is no such folder.

    Files that are not executable are switched off, and hidden files and copies of editors are ignored. Raises
    Refused when somebody else could have written one of them: it would run with our rights.
    """
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DeviceError(str(folder), "list", 0, 0, error.errno or 0, "Look at --hooks-dir.") from error
    found = []
    for path in entries:
        if not _NAME.fullmatch(path.name) or path.name.endswith(_IGNORED):
            continue
        if path.is_file() and os.access(path, os.X_OK):
            check_trusted(path)
            found.append(path)
    return found


def check_trusted(path: Path) -> None:
    """Raise Refused when anybody but root and ourselves could change `path`, or put another file in its place."""
    if os.name == "nt":  # has other rights than these; the folder belongs to administrators there
        return
    real = path.resolve()
    for place in (path, path.parent, *path.parent.resolve().parents, real, *real.parents):
        try:
            found = place.stat()
        except OSError as error:
            raise DeviceError(str(place), "look", 0, 0, error.errno or 0) from error
        open_to_all = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        sticky = (
            stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX and place not in (path.parent, real.parent)
        )
        if found.st_uid not in (0, os.geteuid()):
            raise _refused(path, f"{place} belongs to user {found.st_uid}")
        if open_to_all and not sticky:
            raise _refused(path, f"{place} can be written by others (mode {stat.S_IMODE(found.st_mode):o})")


def _refused(path: Path, why: str) -> Refused:
    return Refused(
        f"The hook {path} is not run: {why}, and it would run with the rights of this backup.",
        "Make it and its folder belong to root, writable by nobody else (chown root, chmod go-w), or remove it.",
    )
