"""Comparing sparse files: only where at least one of them has data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from formats.base.extent import ExtentList

_STEP = 1 << 20
_SECTOR = 512


def data_of(path: Path) -> ExtentList:
    """Where a file is not a hole, by its file system."""
    found = []
    with path.open("rb") as file:
        end = path.stat().st_size
        at = 0
        while at < end:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                break
            at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            found.append((begin, at))
    return ExtentList(found)


def first_difference(one: Path, other: Path, where: ExtentList, shift: int = 0) -> int | None:
    """The first of the bytes `where` of `one` that `other` does not have `shift` bytes further on, None: all equal."""
    data = data_of(one).union(data_of(other).shift(-shift) if shift <= 0 else _back(data_of(other), shift))
    with one.open("rb") as a, other.open("rb") as b:
        for start, end in where.intersect(data):
            for at in range(start, end, _STEP):
                size = min(_STEP, end - at)
                left, right = os.pread(a.fileno(), size, at), os.pread(b.fileno(), size, at + shift)
                if left != right:
                    return at + next((i for i, (x, y) in enumerate(zip(left, right, strict=False)) if x != y), 0)
    return None


def _back(extents: ExtentList, by: int) -> ExtentList:
    return ExtentList((max(0, start - by), end - by) for start, end in extents if end > by)


def first_stray(path: Path, allowed: ExtentList) -> int | None:
    """The first byte that is not zero outside of `allowed`, None when there is none."""
    outside = allowed.complement(path.stat().st_size).intersect(data_of(path))
    with path.open("rb") as file:
        for start, end in outside:
            for at in range(start, end, _STEP):
                data = os.pread(file.fileno(), min(_STEP, end - at), at)
                if data.strip(b"\0"):
                    return at + len(data) - len(data.lstrip(b"\0"))
    return None


def differing(one: Path, other: Path) -> ExtentList:
    """Every sector in which two files of one size differ."""
    assert one.stat().st_size == other.stat().st_size

    def sectors() -> Iterator[tuple[int, int]]:
        with one.open("rb") as a, other.open("rb") as b:
            for start, end in data_of(one).union(data_of(other)):
                for at in range(start, end, _STEP):
                    size = min(_STEP, end - at)
                    left, right = os.pread(a.fileno(), size, at), os.pread(b.fileno(), size, at)
                    if left != right:
                        yield from (
                            (at + i, at + i + _SECTOR)
                            for i in range(0, size, _SECTOR)
                            if left[i : i + _SECTOR] != right[i : i + _SECTOR]
                        )

    return ExtentList(sectors())


def copy(source: Path, target: Path) -> Path:
    """A copy with the same holes."""
    with source.open("rb") as reading, target.open("wb") as writing:
        writing.truncate(source.stat().st_size)
        for start, end in data_of(source):
            for at in range(start, end, _STEP):
                os.pwrite(writing.fileno(), os.pread(reading.fileno(), min(_STEP, end - at), at), at)
    return target
