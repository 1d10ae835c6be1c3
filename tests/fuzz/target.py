"""What is fuzzed: targets by name, the good inputs that they begin with, and damaged inputs that can be kept."""

from __future__ import annotations

import base64
import mmap
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

from formats.base.errors import RecoveryError
from formats.base.extent import ExtentList
from formats.base.source import check_range
from tests.fuzz import mutator
from tests.fuzz.mutator import Data
from tests.support.overlay import Overlay

STRUCTURE_SECONDS, VOLUME_SECONDS = 1.0, 10.0  # of processor time that one input may take
CUT = 40  # one volume in so many is cut short


@dataclass(frozen=True)
class Seed:
    """A good input. `places`: (start, end) in bytes of its metadata, for volumes. `extra`: what the target knows."""

    name: str
    data: Data
    places: tuple[tuple[int, int], ...] = ()
    extra: Any = None


class Images:
    """Seed images, each made once and kept in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, make: Callable[[Path], object]) -> Data:
        """The content of image `name`, made by `make(path)` when it is not there yet."""
        kept = self.folder / f"{name}.img"
        if not kept.exists():
            path = self.folder / name
            path.unlink(missing_ok=True)
            make(path)
            path.rename(kept)
        with kept.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if kept.stat().st_size else b""


@dataclass(frozen=True)
class Patched:
    """A damaged volume: `data` with `patches` (offset to bytes), cut to `size` bytes."""

    data: Data
    patches: dict[int, bytes]
    size: int

    def source(self) -> Overlay:
        return Overlay(Raw(self.data), self.patches, size=self.size)


Input = bytes | Patched


class Target(Protocol):
    """`seconds`: of processor time for one input. `cost`: how many inputs of the cheapest kind one of these stands
    for when only a number of inputs is asked for."""

    @property
    def name(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def cost(self) -> int: ...

    def seeds(self, images: Images) -> Sequence[Seed]: ...

    def damage(self, rng: Random, seeds: Sequence[Seed]) -> tuple[Seed, Input]:
        """A seed and what became of it."""

    def run(self, seed: Seed, damaged: Input) -> None:
        """Give `damaged` to the parser. Raises what the parser raises; AssertionError for a broken promise."""


@dataclass(frozen=True)
class Structure:
    """A function over some bytes. `repair` makes checksums right again in most inputs; `fixed`: the length stays."""

    name: str
    make: Callable[[Images], Sequence[Seed]]
    check: Callable[[Seed, bytes], object]
    repair: Callable[[bytes], bytes] | None = None
    fixed: bool = False
    json: bool = False
    seconds: float = STRUCTURE_SECONDS
    cost: int = 1

    def seeds(self, images: Images) -> Sequence[Seed]:
        return self.make(images)

    def damage(self, rng: Random, seeds: Sequence[Seed]) -> tuple[Seed, Input]:
        seed = rng.choice(seeds)
        good = bytes(seed.data)
        if self.json:
            return seed, mutator.damaged_json(rng, good)
        others = (bytes(rng.choice(seeds).data),) if rng.random() < 0.2 else ()
        data = mutator.damaged(rng, good, others, same_length=self.fixed)
        if self.repair is not None and rng.random() < 0.85:
            data = self.repair(data)
        return seed, data

    def run(self, seed: Seed, damaged: Input) -> None:
        assert isinstance(damaged, bytes)
        self.check(seed, damaged)


@dataclass(frozen=True)
class Volume:
    """A whole image with patches over its metadata. `repair` gets the image, the patches, and changes the patches."""

    name: str
    make: Callable[[Images], Sequence[Seed]]
    check: Callable[[Seed, Patched], object]
    repair: Callable[[Data, dict[int, bytes]], None] | None = None
    seconds: float = VOLUME_SECONDS
    cost: int = 200

    def seeds(self, images: Images) -> Sequence[Seed]:
        return self.make(images)

    def damage(self, rng: Random, seeds: Sequence[Seed]) -> tuple[Seed, Input]:
        seed = rng.choice(seeds)
        patches = mutator.patches(rng, seed.data, seed.places)
        size = len(seed.data)
        if not rng.randrange(CUT):
            size = rng.choice((rng.randrange(size), rng.randrange(size) // 512 * 512, size - 512, size - 1))
        if self.repair is not None and rng.random() < 0.85:
            self.repair(seed.data, patches)
        return seed, Patched(seed.data, patches, size)

    def run(self, seed: Seed, damaged: Input) -> None:
        assert isinstance(damaged, Patched)
        self.check(seed, damaged)


class Raw:
    """A source over bytes or a mapped file, without a copy of it."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self.name, self.size, self.sector_size = "seed", len(data), 512

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        return self._data[offset : offset + length]

    def extents_known(self) -> ExtentList | None:
        return None


class Recorder(Raw):
    """Remembers what was read of it."""

    def __init__(self, data: Data) -> None:
        super().__init__(data)
        self.reads: set[tuple[int, int]] = set()

    def read_at(self, offset: int, length: int) -> bytes:
        data = super().read_at(offset, length)
        if length:
            self.reads.add((offset, offset + length))
        return data

    def places(self) -> tuple[tuple[int, int], ...]:
        """What was read and holds something, in pieces: each read has about the same weight, however long it was."""
        found: list[tuple[int, int]] = []
        for start, end in sorted(self.reads):
            cells = [
                (at, min(at + mutator.CELL, end))
                for at in range(start, end, mutator.CELL)
                if any(self._data[at : min(at + mutator.CELL, end)])
            ]
            found += _joined(cells)[:64] or [(start, min(start + mutator.CELL, end))]
        return tuple(found)


def _joined(cells: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, end in cells:
        if out and out[-1][1] == start and end - out[-1][0] <= 1024:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


def only_ours(work: Callable[[], object]) -> object:
    """What `work` gives, None when it raised one of our own errors, which must be able to tell about themselves."""
    try:
        return work()
    except RecoveryError as error:
        assert str(error)
        return None


@dataclass
class Registry:
    """All targets by name; names begin with the parser and a dot."""

    targets: dict[str, Target] = field(default_factory=dict)

    def add(self, *targets: Target) -> None:
        for target in targets:
            if target.name in self.targets:
                raise ValueError(f"two targets have the name {target.name}")
            self.targets[target.name] = target


def packed(data: bytes) -> str:
    """Bytes as text for a reproducer."""
    return base64.b85encode(zlib.compress(data, 9)).decode()


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))
