"""A signature, and what is told when it is found."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from formats.base.decode import decode
from formats.base.errors import FormatError
from formats.base.problem import Problem
from fs.recognise.peek import Peek
from fs.recognise.text import label_text, serial_text, uuid_text


class Family(StrEnum):
    """What kind of thing a signature announces; decides who wins and how it is put into words."""

    ARRAY = "array"  # member of a RAID
    POOL = "pool"  # a part of a volume manager, cache or replica
    CRYPTO = "crypto"
    FILESYSTEM = "filesystem"
    OTHER = "other"


CONTAINERS = frozenset({Family.ARRAY, Family.POOL, Family.CRYPTO})


@dataclass(frozen=True, slots=True)
class Found:
    """What a header says. `block_size`, `size`: bytes, 0 when it does not tell.

    `kind`: other than that of the signature, when the header decides. `strong` False: the header is so little
    proof that anything else found goes first.
    """

    label: str = ""
    uuid: str = ""
    block_size: int = 0
    size: int = 0
    kind: str = ""
    strong: bool = True
    problems: tuple[Problem, ...] = ()


Header = Any  # a construct Container; its fields are named in layout.py
Reader = Callable[[Peek, int], Found | None]
Places = Callable[[int], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Signature:
    """One format. `title`: its name for people, '' when the kind says it as well.

    `places`: volume size in bytes -> absolute offsets at which the header may begin. `magics` lie `magic_at` bytes
    behind that; without any, `read` searches itself. `read` checks the header and returns None when it is not
    credible. `shows_content`: the file system inside is visible from outside too (RAID 1 with its data at the end,
    BitLocker To Go with its cover volume). `parser`: the name in fs/parsers.py that knows this format in full.
    """

    kind: str
    title: str
    family: Family
    places: Places
    magic_at: int
    magics: tuple[bytes, ...]
    read: Reader
    strong: bool = True
    shows_content: bool = False
    parser: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A signature that was found, with its header at `offset` bytes."""

    signature: Signature
    kind: str
    offset: int
    found: Found

    @property
    def strong(self) -> bool:
        return self.signature.strong and self.found.strong

    @property
    def container(self) -> bool:
        return self.signature.family in CONTAINERS


def fixed(*offsets: int) -> Places:
    """Places that do not depend on the size of the volume."""
    return lambda _size: offsets


def sector_from_end(*numbers: int) -> Places:
    """The n-th 512-byte sector from the end (1: the last one). A surplus part of a sector is ignored."""
    return lambda size: tuple(size // 512 * 512 - number * 512 for number in numbers)


def header(layout: Any, peek: Peek, offset: int, name: str) -> Header | None:
    """The decoded header at `offset`, None when it leaves the volume or cannot be read."""
    data = peek.get(offset, layout.sizeof())
    return decode(layout, data, name, offset, peek.source.name) if data else None


def anything(_peek: Peek, _offset: int) -> Found:
    """A reader for formats of which only the magic is known."""
    return Found()


def fields(
    layout: Any,
    *,
    label: str = "",
    uuid: str = "",
    encoding: str = "utf-8",
    check: Callable[[Header], bool] = lambda _header: True,
    block_size: Callable[[Header], int] = lambda _header: 0,
    size: Callable[[Header], int] = lambda _header: 0,
    serial: Callable[[Header], int] = lambda _header: 0,
) -> Reader:
    """A reader that decodes `layout` and takes label and UUID (16 bytes) from the fields of these names.

    `serial`: a 32-bit serial number instead of a UUID. `check` False: not credible. The others give bytes.
    """

    def read(peek: Peek, offset: int) -> Found | None:
        head = header(layout, peek, offset, "header")
        if head is None or not check(head):
            return None
        return Found(
            label=label_text(head[label], encoding) if label else "",
            uuid=uuid_text(head[uuid]) if uuid else serial_text(serial(head)),
            block_size=block_size(head),
            size=size(head),
        )

    return read


def search(signature: Signature, peek: Peek) -> Match | None:
    """The first place where `signature` is found with a credible header."""
    for offset in signature.places(peek.size):
        magics = signature.magics
        if magics and not any(peek.get(offset + signature.magic_at, len(m)) == m for m in magics):
            continue
        try:
            found = signature.read(peek, offset)
        except (FormatError, struct.error):
            continue
        if found is not None:
            return Match(signature, found.kind or signature.kind, offset, found)
    return None
