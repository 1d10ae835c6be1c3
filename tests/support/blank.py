"""Is there anything on this disk that a system would take for a disk with data?"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from formats.base.source import FileSource
from formats.table.detect import read_table
from tests.support.tools import need


def traces(image: Path, places: Sequence[tuple[int, int]] = ()) -> list[str]:
    """What sfdisk, sgdisk, blkid and our own reader still find: tables, and file systems.

    `places`: (start, size) in bytes, where volumes were or will be. Empty when all of them see a blank disk.
    """
    need("sfdisk", "sgdisk", "blkid")
    found = []
    done = _ask("sfdisk", "-d", image)
    if any(line.startswith(str(image)) for line in done.stdout.splitlines()):
        found.append(f"sfdisk: {done.stdout}")
    done = _ask("sgdisk", "-p", image)
    rows = done.stdout.partition("Number  Start")[2].splitlines()[1:]
    if rows:
        found.append(f"sgdisk: {rows}")
    for start, size in ((0, image.stat().st_size), *places):
        done = _ask("blkid", "-p", "-O", str(start), "-S", str(size), image)
        if done.returncode != 2:
            found.append(f"blkid at {start}: {done.stdout} {done.stderr}")
    with FileSource(image) as source:
        found += [f"read_table: {p}" for p in read_table(source).partitions]
    return found


def _ask(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, check=False)
