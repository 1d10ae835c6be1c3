"""Targets that fail on purpose: what the harness has to notice. Run like tests.fuzz, by its tests."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable

from formats.base.errors import Corrupt
from tests.fuzz.runner import worker
from tests.fuzz.target import Patched, Registry, Seed, Structure, Volume

TRIGGER = 0x80  # in the first byte: one input in a few
GOOD = bytes(8)
IMAGE = bytes(4096) + b"metadata" * 8 + bytes(4096)


def planted(fault: Callable[[], object]) -> Callable[[Seed, bytes], None]:
    """A parser that has `fault`, and refuses half of the rest as a parser may."""

    def check(_: Seed, damaged: bytes) -> None:
        if damaged[:1] >= bytes([TRIGGER]):
            fault()
        elif damaged[:1] > b"\1":
            raise Corrupt("planted", 0, "refused")

    return check


def stranger() -> None:
    raise KeyError("planted")


def endless() -> None:
    while True:
        pass


def stubborn() -> None:
    """Catches every Exception, as parsers must not do."""
    while True:
        try:
            endless()
        except Exception:
            continue


def greedy() -> None:
    bytearray(8 << 30)


def deadly() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def broken_volume(_: Seed, damaged: Patched) -> None:
    source = damaged.source()
    if source.size == len(IMAGE) and source.read_at(4096, 64) != IMAGE[4096:4160]:
        raise IndexError("planted")


def _seeds(_: object) -> list[Seed]:
    return [Seed("good", GOOD)]


REGISTRY = Registry()
REGISTRY.add(
    *(
        Structure(f"planted.{fault.__name__}", _seeds, planted(fault), fixed=True, seconds=0.1)
        for fault in (stranger, endless, stubborn, greedy, deadly)
    ),
    Structure("planted.sound", _seeds, planted(lambda: None)),
    Volume("planted.volume", lambda _: [Seed("image", IMAGE, ((4096, 4160),))], broken_volume),
)
TARGETS = REGISTRY.targets

if __name__ == "__main__":
    worker(TARGETS, json.load(sys.stdin))
