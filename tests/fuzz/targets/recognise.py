"""Telling what a volume holds: identify_volume() raises nothing at all, whatever the bytes are."""

from __future__ import annotations

from collections.abc import Sequence

from fs.registry import Handling, identify_volume
from tests.fuzz.mutator import Data
from tests.fuzz.questions import printable
from tests.fuzz.target import Images, Patched, Recorder, Seed, Target, Volume
from tests.fuzz.targets import exfat, ext, fat, ntfs
from tests.support.raw_images import GENERATORS

NAMES = (
    "jfs", "minix", "minix3", "squashfs", "erofs", "luks2", "lvm2", "bitlocker_to_go", "md_0_90", "md_1_0", "md_1_2",
    "zfs", "hfsplus", "apfs", "ufs2", "refs", "swap_4k", "udf", "iso9660_udf", "bcache",
)  # fmt: skip


def seeds(images: Images) -> Sequence[Seed]:
    made = [(name, images.get(name, GENERATORS[name])) for name in NAMES]
    made += [("ntfs", ntfs.image(images)), ("exfat", exfat.image(images))]
    made += [("ext4", ext.image(images, "ext4")), ("fat12", fat.image(images, "fat12"))]
    return [seed(name, data) for name, data in made]


def seed(name: str, data: Data) -> Seed:
    recorder = Recorder(data)
    assert identify_volume(recorder).identity.kind, name
    return Seed(name, data, recorder.places())


def check(_: Seed, damaged: Patched) -> None:
    content = identify_volume(damaged.source())
    assert (content.filesystem is None) == (content.handling is Handling.RAW) == bool(content.why_raw)
    assert content.identity.label.isprintable() or content.identity.label
    printable(iter(content.problems))


TARGETS: tuple[Target, ...] = (Volume("recognise.volume", seeds, check, cost=20),)
