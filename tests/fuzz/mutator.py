"""How good bytes are damaged: as failing media, bad cables and bugs damage them, and as an attacker would.

Everything is chosen by the generator that is handed in, so the same number gives the same damage again.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

Data = bytes | mmap.mmap  # images are mapped: most of them are holes, which cost nothing so
T = TypeVar("T")
WIDTHS = (1, 1, 2, 2, 4, 4, 8)
CELL = 64  # bytes: so finely places with content are told from empty ones
LARGEST_CHUNK = 512
EDGES = (0, 1, 2, 0x7E, 0x7F, 0x80, 0xFE, 0xFF)  # of the highest byte; the others are all zeros or all ones
JSON_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1 << 31, (1 << 63) - 1, 1 << 63, 1 << 64, 10**40, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "0", "\0", "\ud800", "x" * 300, [], {}, [[]], [None], {"": None},
)  # fmt: skip


def below(rng: Random, limit: int) -> int:
    """A number from 0 on, below `limit`; several times quicker than randrange()."""
    return int(rng.random() * limit)


def pick(rng: Random, items: Sequence[T]) -> T:
    """One of `items`; several times quicker than choice()."""
    return items[int(rng.random() * len(items))]


def number(rng: Random, width: int, present: int) -> int:
    """A number of `width` bytes that programs are wrong about: an edge, or a neighbour of the one that is there."""
    bits = 8 * width
    choice = rng.random()
    if choice < 0.35:
        low = (1 << (bits - 8)) - 1 if width > 1 and rng.random() < 0.5 else 0
        return pick(rng, EDGES) << (bits - 8) | low
    if choice < 0.5:
        return pick(rng, (0, 1, (1 << bits) - 1))
    if choice < 0.8:
        return present + pick(rng, (-1, 1, -8, 8, -2, 2, 512, -512)) & (1 << bits) - 1
    if choice < 0.9:
        return pick(rng, (present << 1, present >> 1, -present, ~present, present ^ 1 << below(rng, bits))) & (
            (1 << bits) - 1
        )
    return rng.getrandbits(bits)


def change(rng: Random, data: bytearray, low: int, high: int, others: Sequence[bytes] = ()) -> tuple[int, int]:
    """Damage something in data[low:high], which is not empty; where it was. The length of `data` stays.

    `others`: what else pieces may be copied from.
    """
    room = high - low
    choice = rng.random()
    if choice < 0.25:
        at = low + below(rng, room)
        data[at] ^= 1 << below(rng, 8)
        return at, at + 1
    if choice < 0.75:
        width = min(pick(rng, WIDTHS), room)
        at = low + below(rng, room - width + 1)
        if rng.random() < 0.9:
            at = max(low, at - at % width)
        width = min(width, high - at)
        present = int.from_bytes(data[at : at + width], "little")
        data[at : at + width] = number(rng, width, present).to_bytes(width, pick(rng, ("little", "little", "big")))
        return at, at + width
    length = min(room, LARGEST_CHUNK, 1 << rng.randrange(2, 10))
    at = low + below(rng, room - length + 1) // 4 * 4
    length = min(length, high - at)
    if choice < 0.85:
        source: Sequence[int] = pick(rng, others) if others and rng.random() < 0.5 else data
        begin = rng.randrange(max(1, len(source) - length + 1)) // 4 * 4
        piece = bytes(source[begin : begin + length])
    elif choice < 0.9:
        begin = low + below(rng, room - length + 1) // 4 * 4
        piece, other = bytes(data[begin : begin + length]), bytes(data[at : at + length])
        data[begin : begin + len(other)] = other
        data[at : at + len(piece)] = piece
        return min(at, begin), max(at, begin) + length
    else:
        piece = pick(rng, (bytes(length), b"\xff" * length, rng.randbytes(length)))
    data[at : at + len(piece)] = piece
    return at, at + len(piece)


def times(rng: Random) -> int:
    """How often an input is changed: mostly a little, so that most of it stays believable."""
    return pick(rng, (1, 1, 1, 2, 2, 3, 4, 8, 20))


def damaged(rng: Random, good: bytes, others: Sequence[bytes] = (), *, same_length: bool = False) -> bytes:
    """`good` with damage: changes in place and, unless `same_length`, cut, grown, or with a piece taken out."""
    data = bytearray(good)
    for _ in range(times(rng)):
        if data:
            change(rng, data, 0, len(data), others)
    if same_length or rng.random() < 0.85 or not data:
        return bytes(data)
    at, length = below(rng, len(data)), 1 << below(rng, 8)
    choice = below(rng, 4)
    if choice < 2:
        del data[at:]
    elif choice == 2:
        del data[at : at + length]
    else:
        data[at:at] = data[at : at + length]
    return bytes(data)


def damaged_json(rng: Random, good: bytes) -> bytes:
    """JSON with other values, missing and doubled members, or damaged as bytes."""
    if rng.random() < 0.4:
        return damaged(rng, good)
    body = json.loads(good)
    for _ in range(times(rng)):
        _change_json(rng, body)
    return json.dumps(body).encode("utf-8", "surrogatepass")


def _change_json(rng: Random, body: Any) -> None:
    """Change one thing somewhere below `body`, an object or a list."""
    here = body
    while True:
        keys = list(here) if isinstance(here, dict) else range(len(here))
        if not keys:
            return
        key = rng.choice(keys)
        below = here[key]
        if isinstance(below, dict | list) and below and rng.random() < 0.8:
            here = below
            continue
        break
    choice = rng.random()
    if choice < 0.15:
        del here[key]
    elif choice < 0.25 and isinstance(here, dict):
        here[f"{key}x"] = here.pop(key)
    elif choice < 0.35 and isinstance(here, list):
        here.append(below)
    elif choice < 0.55 and isinstance(below, int):
        here[key] = rng.choice((below + 1, below - 1, -below, below << 32, float(below % (1 << 60)), str(below)))
    elif choice < 0.65 and isinstance(below, str):
        here[key] = rng.choice((below * 2, below[1:], below + "\0", below.upper(), [below]))
    else:
        here[key] = json.loads(json.dumps(rng.choice(JSON_VALUES)))


def patches(
    rng: Random, good: Data, places: Sequence[tuple[int, int]], *, most: int = LARGEST_CHUNK
) -> dict[int, bytes]:
    """Damage to a large image as offset to new bytes, none overlapping. `places`: (start, end) of what is metadata."""
    found: dict[int, bytes] = {}
    for _ in range(times(rng)):
        start, end = rng.choice(places)
        cell = start + rng.randrange(end - start) // CELL * CELL
        low, high = max(0, cell - most // 2), min(len(good), cell + most)
        inside = [at for at in found if at < high and low < at + len(found[at])]
        if inside:
            continue
        window = bytearray(good[low:high])
        others: tuple[bytes, ...] = ()
        if rng.random() < 0.3:  # a structure from elsewhere
            other, _ = rng.choice(places)
            others = (good[other : other + LARGEST_CHUNK],)
        changed_low, changed_high = change(rng, window, cell - low, min(cell - low + CELL, high - low), others)
        found[low + changed_low] = bytes(window[changed_low:changed_high])
    return found


def absorbed(good: Data, patches: dict[int, bytes], start: int, end: int) -> bytearray | None:
    """good[start:end] as `patches` change it; what they have there is taken out of them. None when they do not."""
    touching = [at for at in patches if at < end and start < at + len(patches[at])]
    if not touching:
        return None
    data = bytearray(good[start:end])
    for at in touching:
        patch = patches.pop(at)
        low, high = max(at, start), min(at + len(patch), end)
        data[low - start : high - start] = patch[low - at : high - at]
        if at < start:
            patches[at] = patch[: start - at]
        if at + len(patch) > end:
            patches[end] = patch[end - at :]
    return data
