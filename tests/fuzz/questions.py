"""Everything that may be asked of a volume, with the promises of fs.api and fs.tree checked on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

from formats.base.errors import RecoveryError
from formats.base.problem import Problem
from formats.base.source import BlockSource
from fs.api import FileSystem
from fs.tree import FileTree, Node, NodeKind
from tests.fuzz import mutator
from tests.fuzz.mutator import Data
from tests.fuzz.target import VOLUME_SECONDS, Images, Input, Patched, Recorder, Seed
from tests.support.ntfs_walk import one

OpenVolume = Callable[[BlockSource], FileSystem]
OpenTree = Callable[[BlockSource], FileTree]
MOST = 64 << 10  # bytes of one stream that are read
MOST_NODES, MOST_DIRECTORIES, MOST_REFERENCES = 400, 60, 200_000
MOST_PROBLEMS = 2_000
PIECE = 1024  # bytes that are damaged as one structure


def printable(problems: Iterator[Problem]) -> None:
    """Problems are for people, and not endless."""
    for count, problem in enumerate(problems):
        assert problem.text.isprintable(), problem.text
        assert count < MOST_PROBLEMS


def ask_volume(source: BlockSource, open_volume: OpenVolume) -> None:
    """The map, the references, the rest."""
    try:
        volume = open_volume(source)
    except RecoveryError as error:
        assert str(error)
        return
    identity = volume.identity
    assert identity.kind and identity.size >= 0 and isinstance(identity.label, str)
    last = 0
    try:
        for start, end in volume.allocated():
            assert last <= start < end <= source.size, (last, start, end, source.size)
            last = end
        volume.paging_files()
    except RecoveryError as error:
        assert str(error)
    for reference in islice(volume.references(), MOST_REFERENCES):
        assert 0 <= reference.extent.start <= reference.extent.end <= source.size, reference
    printable(iter(volume.problems))


def ask_tree(source: BlockSource, open_tree: OpenTree) -> None:
    """All names, contents, places and attributes, up to a number of them."""
    try:
        tree = open_tree(source)
        waiting = [tree.root]
    except RecoveryError as error:
        assert str(error)
        return
    nodes = directories = 0
    while waiting and nodes < MOST_NODES and directories < MOST_DIRECTORIES:
        directory = waiting.pop()
        directories += 1
        name = ""
        try:
            for node in islice(tree.children(directory), MOST_NODES):
                nodes += 1
                name = node.name
                if node.kind is NodeKind.DIRECTORY:
                    waiting.append(node)
                one(tree, node, source.size, MOST)
            tree.child(directory, name or "none")
        except RecoveryError as error:
            assert str(error)
    printable(iter(tree.problems))


def ask_all(open_volume: OpenVolume, open_tree: OpenTree) -> Callable[[Seed, Patched], None]:
    def check(_: Seed, damaged: Patched) -> None:
        source = damaged.source()
        ask_volume(source, open_volume)
        ask_tree(source, open_tree)

    return check


def metadata_of(data: Data, open_volume: OpenVolume, open_tree: OpenTree | None) -> tuple[tuple[int, int], ...]:
    """The places that are read to answer everything but what is in files."""
    recorder = Recorder(data)
    volume = open_volume(recorder)
    for _ in volume.allocated():
        pass
    volume.paging_files()
    for _ in volume.references():
        pass
    if open_tree is not None:
        tree = open_tree(recorder)
        for _, node in nodes_of(tree):
            for question in (tree.xattrs, tree.streams, tree.link_target, lambda n: list(tree.runs(n))):
                try:
                    question(node)
                except RecoveryError:
                    continue
    return recorder.places()


def nodes_of(tree: FileTree) -> Iterator[tuple[Node, Node]]:
    """(directory, node) of everything in a good volume."""
    waiting = [tree.root]
    while waiting:
        directory = waiting.pop()
        for node in tree.children(directory):
            if node.kind is NodeKind.DIRECTORY:
                waiting.append(node)
            yield directory, node


@dataclass(frozen=True)
class Owner:
    """Whose structure it is: `number` of a node in `parent`; the root directory has no parent."""

    parent: Node | None
    number: int


def pieces_of(data: Data, open_tree: OpenTree) -> tuple[tuple[tuple[int, int], ...], dict[int, Owner]]:
    """Structures of single files: their places, and whose they are by their begin."""
    good = open_tree(Recorder(data))
    owners = [Owner(None, good.root.number), *(Owner(parent, node.number) for parent, node in nodes_of(good))]
    places: dict[int, tuple[int, int]] = {}
    belongs: dict[int, Owner] = {}
    for owner in owners:
        recorder = Recorder(data)
        tree = open_tree(recorder)
        before = set(recorder.reads)
        ask_owner(tree, owner, len(data))
        for start, end in sorted(recorder.reads - before):
            for at in range(start, min(end, start + 64 * PIECE), PIECE):
                stop = min(at + PIECE, end)
                if any(data[at:stop]):
                    places.setdefault(at, (at, stop))
                    belongs.setdefault(at, owner)
    return tuple(places.values()), belongs


def ask_owner(tree: FileTree, owner: Owner, volume: int) -> None:
    """Everything about one node, found again in its directory, for what is kept of it may be out of date."""
    if owner.parent is None:
        nodes = [tree.root]
    else:
        nodes = [node for node in islice(tree.children(owner.parent), MOST_NODES) if node.number == owner.number]
    for node in nodes:
        one(tree, node, volume, MOST // 4)
        if node.kind is NodeKind.DIRECTORY:
            below = [*islice(tree.children(node), MOST_NODES)]
            if below:
                tree.child(node, below[-1].name)


def volume_seed(name: str, data: Data, open_volume: OpenVolume, open_tree: OpenTree | None) -> Seed:
    return Seed(name, data, metadata_of(data, open_volume, open_tree))


@dataclass(frozen=True)
class File:
    """Structures of single files, damaged one at a time; only that file is asked about.

    `images`: name and content. Where nothing but the structure is damaged, damage gets deeper than in a Volume.
    """

    name: str
    images: Callable[[Images], Sequence[tuple[str, Data]]]
    open_tree: OpenTree
    repair: Callable[[bytes], bytes] | None = None
    seconds: float = VOLUME_SECONDS
    cost: int = 20

    def seeds(self, images: Images) -> Sequence[Seed]:
        return [self.again(name, data) for name, data in self.images(images)]

    def again(self, name: str, data: Data) -> Seed:
        """The seed that an image makes."""
        places, owners = pieces_of(data, self.open_tree)
        assert places, name
        return Seed(name, data, places, owners)

    def damage(self, rng: Random, seeds: Sequence[Seed]) -> tuple[Seed, Input]:
        seed = rng.choice(seeds)
        start, end = rng.choice(seed.places)
        other, stop = rng.choice(seed.places)
        data = mutator.damaged(rng, seed.data[start:end], (seed.data[other:stop],), same_length=True)
        if self.repair is not None and rng.random() < 0.85:
            data = self.repair(data)
        return seed, Patched(seed.data, {start: data}, len(seed.data))

    def run(self, seed: Seed, damaged: Input) -> None:
        assert isinstance(damaged, Patched)
        source = damaged.source()
        tree = self.open_tree(source)
        for start in damaged.patches:
            ask_owner(tree, seed.extra[start], source.size)
        printable(iter(tree.problems))
