"""Everything that can be told about one file without reading all of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from formats.base.errors import Cancelled, RecoveryError
from fs.tree import FileTree, Node, NodeKind, RunKind
from fs.walk import resolve
from recovery.engine.held import HeldVolume
from recovery.engine.listing import Entry, entry_of, plain_path
from recovery.engine.pictures import Picture, picture_of
from recovery.engine.preview import HEAD, Encoding, Glance, guess

_RUNS = 100_000  # that are counted; past it the numbers are not told
LEFT_OUT = "its content was left out of the archive on purpose"


@dataclass(frozen=True, slots=True)
class Facts:
    """`allocated`: bytes that the content takes, `pieces`: in how many places; None when it is not told.

    `missing`: bytes of the stored content that an archive says it does not have. `encoding`: '' when it is no text.
    `opened`: its content can be read, if perhaps not all of it. `xattrs`: names of extended attributes. `fault`: what
    could not be found out.
    """

    entry: Entry
    allocated: int | None = None
    pieces: int | None = None
    missing: int = 0
    encoding: str = ""
    picture: Picture | None = None
    opened: bool = False
    xattrs: tuple[str, ...] = ()
    fault: str = ""

    @property
    def content(self) -> str:
        """'picture', 'text', 'bytes', '' when there is none or it cannot be read."""
        if self.picture is not None:
            return "picture"
        if self.encoding:
            return "text"
        return "bytes" if self.opened and self.entry.node.size > 0 else ""

    def to_json(self) -> dict[str, Any]:
        return {
            **self.entry.to_json(),
            "allocated": self.allocated,
            "pieces": self.pieces,
            "missing": self.missing,
            "content": self.content,
            "encoding": self.encoding or None,
            "picture": self.picture.to_json() if self.picture is not None else None,
            "xattrs": list(self.xattrs),
            "fault": "; ".join(text for text in (self.entry.fault, self.fault) if text),
        }


def facts_of(
    tree: FileTree, path: str, left_out: frozenset[str] = frozenset(), held: HeldVolume | None = None
) -> Facts:
    """About the file, folder or link at `path`. Raises PathNotFound and what the tree raises on the way there.

    `left_out`: see Place.left_out(). `held`: the volume, when it lies in an archive.
    """
    node = resolve(tree, path)
    where = plain_path(path)
    entry = entry_of(tree, where, node, all_streams=True)
    faults: list[str] = []
    allocated = pieces = None
    missing = 0
    opened = False
    encoding, picture = "", None
    names: tuple[str, ...] = ()
    try:
        names = tuple(sorted(tree.xattrs(node)))
    except Cancelled:
        raise
    except RecoveryError as error:
        faults.append(str(error))
    if where.casefold() in left_out:
        faults.append(LEFT_OUT)
    elif node.kind is NodeKind.FILE and not node.note:
        try:
            allocated, pieces = _stored(tree, node)
            missing = missing_bytes(tree, node, held)
            glance = Glance(tree.open(node))
            opened = True
            head = glance.read(0, HEAD)
            if head.bad:
                faults.append(glance.reason)
            found = guess(head.data, whole=len(head.data) == glance.size) if head.data else None
            picture = picture_of(tree.open(node))
            encoding = found.value if found is not None and not (picture or head.bad) else ""
        except Cancelled:
            raise
        except RecoveryError as error:
            faults.append(str(error))
    return Facts(entry, allocated, pieces, missing, encoding, picture, opened, names, "; ".join(faults))


def missing_bytes(tree: FileTree, node: Node, held: HeldVolume | None) -> int:
    """Bytes of the stored content that an archive says it does not have; nothing is read but where the file lies.

    Raises what the tree raises.
    """
    if held is None or node.kind is not NodeKind.FILE or node.note:
        return 0
    return sum(
        held.missing(run.physical, run.physical + (run.physical_length or run.length))
        for run in islice(tree.runs(node), _RUNS)
        if run.physical is not None and run.kind in (RunKind.DATA, RunKind.ENCODED)
    )


def encoding_of(facts: Facts) -> Encoding | None:
    """How its text is written; None when it is no text."""
    return Encoding(facts.encoding) if facts.encoding else None


def _stored(tree: FileTree, node: Node) -> tuple[int | None, int | None]:
    """(bytes that the content takes, places); neighbouring runs are one place. Nothing for content in metadata."""
    total = places = 0
    end: int | None = None
    for count, run in enumerate(islice(tree.runs(node), _RUNS + 1)):
        if count == _RUNS:
            return None, None
        if run.kind is RunKind.HOLE or run.physical is None:
            continue
        length = run.physical_length or run.length
        total += length
        places += run.physical != end
        end = run.physical + length
    return total, places
