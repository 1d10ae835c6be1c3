"""Walking an NTFS tree as a user would ask for all of it, with the promises of fs.tree checked on the way."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

from formats.base.errors import RecoveryError
from formats.base.source import BlockSource
from fs.ntfs.tree import NtfsTree, open_tree
from fs.tree import FileTree, Node, NodeKind, NodeReader, RunKind

STEP = 1 << 20


def walk(tree: NtfsTree, limit: int = 1_000_000) -> Iterator[tuple[str, Node]]:
    """(path, node) of everything below the root. Fails when there is more than `limit`: a circle."""
    waiting = [("", tree.root)]
    while waiting:
        path, directory = waiting.pop()
        for node in tree.children(directory):
            limit -= 1
            assert limit > 0, "the walk does not end"
            here = f"{path}/{node.name}" if path else node.name
            yield here, node
            if node.kind is NodeKind.DIRECTORY:
                waiting.append((here, node))


def digest(reader: NodeReader, step: int = STEP) -> str:
    """SHA-256 of all that `reader` gives, `step` bytes at a time."""
    state = hashlib.sha256()
    for at in range(0, reader.size, step):
        length = min(step, reader.size - at)
        piece = reader.read_at(at, length)
        assert len(piece) == length
        state.update(piece)
    return state.hexdigest()


def check_runs(tree: FileTree, node: Node, size: int, volume: int, stream: str = "") -> None:
    """Ascending, without gaps, inside the volume; all of the content or none of it."""
    at = 0
    for count, run in enumerate(tree.runs(node, stream)):
        assert run.logical == at and run.length > 0, run
        assert (run.physical is None) == (run.kind is RunKind.HOLE), run
        if run.physical is not None:
            assert 0 <= run.physical < volume and run.physical_length > 0
        if run.kind in (RunKind.DATA, RunKind.UNWRITTEN):
            assert run.physical_length == run.length
        at += run.length
        if count > 20_000:
            return
    assert at in (0, size), (at, size)


def exercise(source: BlockSource, seconds: float = 20, most: int = 4 << 20) -> str:
    """Everything that a tree can be asked, at most `most` bytes of each stream. Only our errors may leave; returns
    the class of the one that kept the tree from being opened, or ''."""
    begun = time.process_time()
    try:
        tree = open_tree(source)
    except RecoveryError as error:
        assert str(error).isprintable()
        return type(error).__name__
    waiting = [tree.root]
    seen: set[int] = set()
    while waiting:
        directory = waiting.pop()
        assert directory.number not in seen, "a directory is shown twice"
        seen.add(directory.number)
        try:
            for node in tree.children(directory):
                if node.kind is NodeKind.DIRECTORY:
                    waiting.append(node)
                one(tree, node, source.size, most)
                assert time.process_time() - begun < seconds
        except RecoveryError as error:
            assert str(error).isprintable()
    for problem in tree.problems:
        assert problem.text.isprintable(), problem.text
    assert len(tree.problems) < 600
    assert time.process_time() - begun < seconds
    return ""


def one(tree: FileTree, node: Node, volume: int, most: int) -> None:
    """All questions about one node."""
    streams = [""]
    for question in (tree.xattrs, tree.link_target, tree.streams):
        try:
            answer = question(node)
            if question == tree.streams:
                streams += [info.name for info in tree.streams(node)][:20]
            assert answer is not None
        except RecoveryError as error:
            assert str(error).isprintable()
    for name in streams:
        try:
            reader = tree.open(node, name)
            for at in range(0, min(reader.size, most), STEP):
                length = min(STEP, reader.size - at)
                assert len(reader.read_at(at, length)) == length
            check_runs(tree, node, reader.size, volume, name)
        except RecoveryError as error:
            assert str(error).isprintable()
