"""Linux swap: headers of all ages, byte orders and page sizes."""

from __future__ import annotations

from collections.abc import Sequence

from fs.swap.volume import open_volume
from tests.fuzz.mutator import Data
from tests.fuzz.questions import ask_volume
from tests.fuzz.target import Images, Patched, Recorder, Seed, Target, Volume
from tests.support.raw_images import GENERATORS

NAMES = ("swap_4k", "swap_64k", "swap_big_endian", "swap_version_0", "suspended_kernel", "suspended_tuxonice")


def seeds(images: Images) -> Sequence[Seed]:
    return [seed(name, images.get(name, GENERATORS[name])) for name in NAMES]


def seed(name: str, data: Data) -> Seed:
    """A suspended session is refused, so there is no volume to be asked."""
    recorder = Recorder(data)
    ask_volume(recorder, open_volume)
    return Seed(name, data, recorder.places())


def check(_: Seed, damaged: Patched) -> None:
    ask_volume(damaged.source(), open_volume)


TARGETS: tuple[Target, ...] = (Volume("swap.volume", seeds, check, cost=2),)
