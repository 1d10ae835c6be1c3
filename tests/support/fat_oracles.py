"""What The Sleuth Kit lists on a FAT or exFAT volume: names, kinds, sizes and times."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from fs.tree import FileTree, NodeKind
from fs.walk import walk
from tests.support.tools import need


class Listed(NamedTuple):
    """Times in seconds since 1970 UTC, 0 for none; `modified` and `created` to 2 s. `size`: 0 for directories."""

    directory: bool
    size: int
    accessed: int
    modified: int
    created: int


def sleuthkit_tree(image: Path, *, ahead: int = 0) -> dict[str, Listed]:
    """Path to what `fls` 4.11 prints, without its own virtual files, deleted ones and labels.

    It does not apply exFAT's UTC offsets: `ahead` seconds are taken off. It takes 100 centiseconds for none, so
    times are given to 2 s.
    """
    need("fls")
    argv = ["fls", "-r", "-p", "-m", "/", "-z", "UTC", str(image)]
    done = subprocess.run(argv, capture_output=True, check=True, env={**os.environ, "TZ": "UTC"}, timeout=120)
    found = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        _, path, _, mode, _, _, size, accessed, modified, _, created = line.split("|")
        name = path.rsplit("/", 1)[1]
        ours = name in OWN_NAMES or name.endswith((" (deleted)", " (deleted-realloc)", " (Volume Label Entry)"))
        if ours:
            continue
        read, written, made = (int(t) - ahead if int(t) else 0 for t in (accessed, modified, created))
        directory = mode[0] == "d"
        found[path] = Listed(directory, 0 if directory else int(size), read, written // 2 * 2, made // 2 * 2)
    return found


OWN_NAMES = frozenset({"$MBR", "$FAT1", "$FAT2", "$OrphanFiles", "$ALLOC_BITMAP", "$UPCASE_TABLE"})


def our_tree(tree: FileTree) -> dict[str, Listed]:
    """The same from a tree of ours, to the precision of sleuthkit_tree()."""

    def seconds(time: int | None, step: int) -> int:
        return 0 if time is None else time // (step * 1_000_000_000) * step

    return {
        path: Listed(
            node.kind is NodeKind.DIRECTORY,
            0 if node.kind is NodeKind.DIRECTORY else node.size,
            seconds(node.times.accessed, 1),
            seconds(node.times.modified, 2),
            seconds(node.times.created, 2),
        )
        for path, node in walk(tree, tree.root)
    }
