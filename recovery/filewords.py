"""Files and folders in words: what the command and the screens say alike."""

from __future__ import annotations

import stat
import time

from formats.base.units import in_words
from fs.tree import Node, NodeKind
from fs.walk import shown
from recovery.engine.filefacts import Facts

# FILE_ATTRIBUTE bits ([MS-FSCC] 2.6) and ext i_flags (linux/fs.h), those that say something to a person.
_DOS = (
    (0x1, "read-only"), (0x2, "hidden"), (0x4, "system"), (0x20, "archive"), (0x200, "sparse"),
    (0x400, "reparse point"), (0x800, "compressed"), (0x1000, "offline"), (0x4000, "encrypted"),
    (0x400000, "in the cloud"),
)  # fmt: skip
_EXT = (
    (0x10, "immutable"),
    (0x20, "append-only"),
    (0x40, "not dumped"),
    (0x800, "encrypted"),
    (0x40000000, "casefold"),
)


def when(nanoseconds: int | None, *, seconds: bool = False) -> str:
    """A date and a time in UTC; '' when there is none."""
    if nanoseconds is None:
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M", time.gmtime(nanoseconds // 10**9))
    except (ValueError, OverflowError, OSError):
        return "(no date)"


def exact(size: int) -> str:
    """`1.2 MiB (1234567 bytes)`."""
    words = in_words(size)
    return words if words.endswith("bytes") else f"{words} ({size} bytes)"


def missing_text(count: int) -> str:
    """`count` bytes of a file are known to be gone."""
    return f"{exact(count)} of its content are not in the backup: the disk could not be read, or the backup is damaged"


def attributes(node: Node, *, ext: bool) -> str:
    """Those that are set, in words."""
    return ", ".join(word for bit, word in (_EXT if ext else _DOS) if node.attributes & bit)


def facts_text(facts: Facts, *, ext: bool) -> list[tuple[str, str]]:
    """(what, value) of everything that is known. `ext`: the volume is ext2, ext3 or ext4."""
    entry = facts.entry
    node = entry.node
    rows = [("Path", shown(entry.path)), ("Kind", node.kind.value)]
    if node.kind is NodeKind.FILE:
        rows.append(("Size", exact(node.size)))
    if facts.allocated is not None:
        places = "one piece" if facts.pieces == 1 else f"{facts.pieces} pieces"
        rows.append(
            ("Stored", f"{exact(facts.allocated)} in {places}" if facts.pieces else "inside of the file's record")
        )
    if facts.picture is not None:
        rows.append(("Picture", shown(facts.picture.to_text())))
    elif facts.encoding:
        rows.append(("Content", f"text, {facts.encoding}"))
    if entry.target:
        rows.append(("Leads to", shown(entry.target)))
    if node.device:
        rows.append(("Device", f"{node.device[0]}, {node.device[1]}"))
    rows += [
        (what, f"{when(value, seconds=True)} UTC")
        for what, value in (
            ("Modified", node.times.modified),
            ("Created", node.times.created),
            ("Changed", node.times.changed),
            ("Accessed", node.times.accessed),
        )
        if value is not None
    ]
    if node.mode is not None:
        rows.append(("Mode", f"{stat.filemode(node.mode)} ({node.mode & 0o7777:04o})"))
    if node.uid is not None:
        rows.append(("Owner", f"user {node.uid}, group {node.gid}"))
    set_ones = attributes(node, ext=ext)
    if set_ones:
        rows.append(("Attributes", set_ones))
    if node.links > 1:
        rows.append(("Names", f"{node.links} (hard links)"))
    rows += [("Stream", f"{shown(s.name)}, {exact(s.size)}") for s in entry.streams]
    if facts.xattrs:
        rows.append(("Extended", ", ".join(shown(name) for name in facts.xattrs)))
    rows.append(("Number", str(node.number)))
    if facts.missing:
        rows.append(("DAMAGED", missing_text(facts.missing)))
    rows += [("DAMAGED", shown(text)) for text in (node.note, entry.fault, facts.fault) if text]
    return rows
