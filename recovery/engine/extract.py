"""Bringing files back out of a volume: one walk, whatever they go into (a folder, a tar, a zip).

Names are made safe here, and every name goes to the destination as a single component: no path of the volume is ever
opened on the target. Symbolic links of a directory are made after everything else in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from formats.base.errors import Cancelled, RecoveryError
from fs.tree import FileTree, Node, NodeKind, StreamInfo
from fs.walk import in_path, resolve
from recovery.engine.content import Damage, Piece, pieces
from recovery.engine.extract_notes import Tally
from recovery.engine.listing import is_internal
from recovery.engine.safenames import safe_name
from recovery.engine.treewalk import Fault, Walk

SPECIAL = (NodeKind.CHARACTER_DEVICE, NodeKind.BLOCK_DEVICE, NodeKind.FIFO, NodeKind.SOCKET)
# FILE_ATTRIBUTE bits that somebody set on purpose ([MS-FSCC] 2.6); the others say how a file is stored.
_DOS_ATTRIBUTES = 0x1 | 0x2 | 0x4  # read-only, hidden, system
_EXT_FLAGS = 0x10 | 0x20 | 0x40 | 0x80  # immutable, append-only, nodump, noatime (EXT2_*_FL)


@dataclass(frozen=True, slots=True)
class Item:
    """One node on its way. `path`: in the volume, for messages. `name`: safe, one component. `kind`: of the volume."""

    tree: FileTree
    node: Node
    path: str
    name: str
    tally: Tally
    check: Callable[[], None]
    kind: str = ""

    def content(self, damage: Damage, stream: str = "") -> Iterator[Piece]:
        """Its pieces; they are counted as they go. Raises RecoveryError when nothing can be read."""
        for piece in pieces(self.tree, self.node, damage, stream, self.check):
            yield piece
            if piece.data is not None:
                self.tally.bytes += piece.length
                self.tally.advance(piece.length)

    def streams(self) -> list[StreamInfo]:
        """Named streams; when they cannot be read, that is a loss and there are none."""
        try:
            return list(self.tree.streams(self.node))
        except Cancelled:
            raise
        except RecoveryError as error:
            self.tally.lose(self.path, "extract.streams", f"its named streams cannot be read: {error}")
            return []

    def xattrs(self) -> dict[str, bytes]:
        """Extended attributes; when they cannot be read, that is a loss and there are none."""
        try:
            return self.tree.xattrs(self.node)
        except Cancelled:
            raise
        except RecoveryError as error:
            self.tally.lose(self.path, "extract.xattrs", f"its extended attributes cannot be read: {error}")
            return {}


class Destination(Protocol):
    """Where files go. `windows`: names must follow the rules of Windows."""

    windows: bool

    def enter(self, item: Item) -> bool:
        """Make a directory and stand in it. False (and a loss told): it could not be made."""

    def leave(self, item: Item) -> None:
        """Done with the directory that was entered last: its times and modes."""

    def file(self, item: Item) -> None: ...

    def symlink(self, item: Item, target: str) -> None: ...

    def special(self, item: Item) -> None: ...


class Extraction:
    """Takes files of `tree` to `destination`. Everything that did not arrive as it was stands in `tally`.

    `left_out`: see Place.left_out().
    """

    def __init__(
        self,
        tree: FileTree,
        destination: Destination,
        tally: Tally,
        check: Callable[[], None],
        left_out: frozenset[str] = frozenset(),
    ) -> None:
        self._tree, self._to, self._tally, self._check = tree, destination, tally, check
        self._kind = tree.identity.kind
        self._byte_names = self._kind.startswith("ext")
        self._left_out = left_out

    def take(self, path: str) -> None:
        """The file or directory at `path`, with everything below it; the root without a folder of its own.

        The files in which NTFS keeps itself ($MFT …) come only when they are named.
        Raises PathNotFound, Cancelled, DeviceError when the destination fails altogether (full, gone).
        """
        start = resolve(self._tree, path)
        at_root = start.number == self._tree.root.number and start.kind is NodeKind.DIRECTORY
        clean = "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
        walk = Walk(self._tree, start, "/" if at_root else clean, on_fault=self._fault, check=self._check)
        linked: list[bool] = []  # by open directory: does it hold symbolic links?
        for visit in walk:
            node = visit.node
            if at_root and is_internal(self._tree, visit.path, node):
                if node.kind is NodeKind.DIRECTORY:
                    walk.skip()
                continue
            top = at_root and node is start
            if visit.leaving:
                if linked.pop():
                    self._links(node, visit.path)
                if not top:
                    self._to.leave(self._item(node, visit.path))
            elif node.kind is NodeKind.DIRECTORY:
                if top or self._to.enter(self._item(node, visit.path, new=True)):
                    linked.append(False)
                    self._tally.directories += 1
                    self._note_attributes(node, visit.path)
                else:
                    walk.skip()
            elif node.kind is NodeKind.SYMLINK and linked:
                linked[-1] = True
            else:
                self._leaf(node, visit.path)

    def take_with_folders(self, paths: Sequence[str]) -> None:
        """All of `paths`, each in its folders below the deepest folder that holds them all; as take() otherwise.

        What lies below another of them comes once.
        """
        wanted = outermost(paths)
        if len(wanted) < 2:
            for parts in wanted:
                self.take("/" + "/".join(parts))
            return
        above = _shared(wanted[0][:-1], wanted[-1][:-1])  # sorted: what these two share, all do
        entered: list[tuple[str, Item]] = []
        for parts in wanted:
            folders = parts[above:-1]
            same = _shared(folders, [name for name, _ in entered])
            while len(entered) > same:
                self._to.leave(entered.pop()[1])
            if all(self._enter(parts, above + depth, entered) for depth in range(same, len(folders))):
                self.take("/" + "/".join(parts))
        while entered:
            self._to.leave(entered.pop()[1])

    def _enter(self, parts: Sequence[str], depth: int, entered: list[tuple[str, Item]]) -> bool:
        """Make the folder parts[depth] and stand in it."""
        path = "/" + "/".join(parts[: depth + 1])
        item = self._item(resolve(self._tree, path), path, new=True)
        if not self._to.enter(item):
            return False
        self._tally.directories += 1
        entered.append((parts[depth], item))
        return True

    def _leaf(self, node: Node, path: str) -> None:
        if node.kind is NodeKind.SYMLINK:
            self._link(node, path)
        elif node.kind in SPECIAL:
            self._to.special(self._item(node, path, new=True))
        elif self._left_out and path.casefold() in self._left_out:
            self._tally.not_kept("files whose content was left out of the archive on purpose", path)
        elif node.note:
            self._tally.lose(
                path, "extract.unreadable", f"its content is not in this volume as a plain file: {node.note}"
            )
        elif node.kind is not NodeKind.FILE:
            self._tally.lose(path, "extract.skipped", f"it is neither file, directory nor link ({node.kind.value})")
        else:
            self._note_attributes(node, path)
            self._to.file(self._item(node, path, new=True))

    def _links(self, directory: Node, path: str) -> None:
        """The symbolic links of a directory, in a second reading of it."""
        try:
            for node in self._tree.children(directory):
                if node.kind is NodeKind.SYMLINK:
                    self._check()
                    self._link(node, f"{path.rstrip('/')}/{in_path(node.name)}")
        except Cancelled:
            raise
        except RecoveryError as error:
            self._tally.lose(path, "tree.unreadable", f"its links cannot be read further: {error}")

    def _link(self, node: Node, path: str) -> None:
        try:
            target = self._tree.link_target(node)
        except Cancelled:
            raise
        except RecoveryError as error:
            self._tally.lose(path, "extract.unreadable", f"where it leads cannot be read: {error}")
            return
        if not target or "\0" in target:
            self._tally.lose(path, "extract.skipped", "it is a link to nowhere")
            return
        self._to.symlink(self._item(node, path, new=True), target)

    def _item(self, node: Node, path: str, *, new: bool = False) -> Item:
        """`new`: tell when the name had to be changed."""
        name, reason = safe_name(node.name, byte_names=self._byte_names, windows=self._to.windows)
        if reason and new:
            self._tally.rename(path, name, reason)
        return Item(self._tree, node, path, name, self._tally, self._check, self._kind)

    def _note_attributes(self, node: Node, path: str) -> None:
        if self._byte_names:
            if node.attributes & _EXT_FLAGS:
                self._tally.not_kept("ext flags (immutable, append-only, nodump, noatime)", path)
        elif node.attributes & _DOS_ATTRIBUTES:
            self._tally.not_kept("DOS attributes (read-only, hidden, system)", path)
        if node.times.created is not None:
            self._tally.not_kept("time of creation", path)

    def _fault(self, fault: Fault) -> None:
        self._tally.lose(fault.path, fault.code, fault.text)


def outermost(paths: Sequence[str]) -> list[tuple[str, ...]]:
    """The components of each path, sorted, without those that lie below another or stand there twice."""
    found: list[tuple[str, ...]] = []
    for parts in sorted(tuple(part for part in path.split("/") if part not in ("", ".")) for path in paths):
        if not found or parts[: len(found[-1])] != found[-1]:
            found.append(parts)
    return found


def _shared(some: Sequence[str], others: Sequence[str]) -> int:
    """How many components both begin with."""
    count = 0
    for a, b in zip(some, others, strict=False):
        if a != b:
            break
        count += 1
    return count
