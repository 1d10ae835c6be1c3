"""Finding a name in directories that have no index (FAT, exFAT), without reading a large one for each name anew."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

from fs.fat.names import short_name
from fs.tree import Node

MAX_NAMES = 100_000  # in all directories that are kept, some 60 MB; a larger directory is searched each time


def simple_upper(name: str) -> str:
    """`name` in upper case, character by character: what would become two characters stays as it is."""
    if name.isascii():
        return name.upper()
    return "".join(up if len(up := c.upper()) == 1 else c for c in name)


class _Names:
    """The names of one directory. An exact name goes before one that differs in case, and that before an alias."""

    def __init__(self, fold: Callable[[str], str]) -> None:
        self._fold = fold
        self._folded: dict[str, Node] = {}
        self._exact: dict[str, Node] = {}  # only names that are equal but for case
        self._alias: dict[str, Node] = {}

    def __len__(self) -> int:
        return len(self._folded) + len(self._exact) + len(self._alias)

    def add(self, node: Node, alias: str) -> None:
        key = self._fold(node.name)
        if self._folded.setdefault(key, node) is not node:
            self._exact.setdefault(node.name, node)
        if alias and alias != node.name:
            self._alias.setdefault(self._fold(alias), node)

    def find(self, name: str) -> Node | None:
        key = self._fold(name)
        first = self._folded.get(key)
        if first is not None and first.name != name:
            return self._exact.get(name, first)
        return first or self._alias.get(key)


class Lookup:
    """`listing`: the entries of a directory, each with its short name as it is stored, b"" for none.

    `fold`: what makes names equal.
    """

    def __init__(self, listing: Callable[[Node], Iterator[tuple[Node, bytes]]], fold: Callable[[str], str]) -> None:
        self._listing, self._fold = listing, fold
        self._kept: OrderedDict[int, _Names] = OrderedDict()
        self._count = 0

    def find(self, directory: Node, name: str) -> Node | None:
        """The entry that `name` means. Errors of the listing pass through."""
        names = self._kept.get(directory.number)
        if names is not None:
            self._kept.move_to_end(directory.number)
            return names.find(name)
        names = _Names(self._fold)
        for node, alias in self._listing(directory):
            names.add(node, short_name(alias) if alias else "")
            if len(names) > MAX_NAMES:
                return self._search(directory, name)
        self._keep(directory.number, names)
        return names.find(name)

    def _search(self, directory: Node, name: str) -> Node | None:
        """As find(), keeping only what may be meant."""
        names, key = _Names(self._fold), self._fold(name)
        for node, alias in self._listing(directory):
            second = short_name(alias) if alias else ""
            if key in (self._fold(node.name), self._fold(second)):
                names.add(node, second)
        return names.find(name)

    def _keep(self, number: int, names: _Names) -> None:
        self._kept[number] = names
        self._count += len(names)
        while self._count > MAX_NAMES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._count -= len(dropped)
