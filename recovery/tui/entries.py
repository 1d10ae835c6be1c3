"""An entry of a folder as a line of a list."""

from __future__ import annotations

from formats.base.units import in_words
from fs.tree import NodeKind
from fs.walk import shown
from recovery.engine.folderlist import Row
from recovery.engine.listing import Weight
from recovery.filewords import when
from recovery.tui.texts import look as texts
from recovery.tui.widgets.rows import padded

_SIZE, _DATE = 10, 16


def row_line(row: Row, mark: bool, width: int, name: str = "", *, hurt: bool = False) -> str:
    """`[x] name   size   date`. `name`: what to show in its place, such as a path. `hurt`: parts of it are gone."""
    room = width - 4 - 2 - _SIZE - _DATE
    left = padded(shown(name or row.name) + ("/" if row.is_folder else ""), room)
    date = when(row.modified)
    return f"[{'x' if mark else ' '}] {left} {texts.NOT_READABLE if hurt else _amount(row):>{_SIZE}} {date:<{_DATE}}"


def _amount(row: Row) -> str:
    if row.note:
        return texts.NOT_READABLE
    if row.kind is NodeKind.FILE:
        return in_words(row.size)
    if row.kind is NodeKind.DIRECTORY:
        return texts.FOLDER
    if row.kind is NodeKind.SYMLINK:
        return texts.LINK
    return texts.UNKNOWN if row.kind is NodeKind.OTHER else texts.SPECIAL


def weight_of(row: Row) -> Weight | None:
    """None for a folder: it has to be walked."""
    return None if row.is_folder else Weight(1, 0, row.size if row.kind is NodeKind.FILE else 0)
