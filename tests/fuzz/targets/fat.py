"""FAT12, FAT16, FAT32: boot sector, directory entries, single files, whole volumes."""

from __future__ import annotations

from collections.abc import Sequence

from fs.fat.bpb import BOOT_BYTES, parse_bpb
from fs.fat.directory import ENTRY_SIZE, DirectoryParser
from fs.fat.dostime import nanoseconds
from fs.fat.names import label_text, printable
from fs.fat.tree import open_tree
from fs.fat.volume import open_volume
from tests.fuzz import images as tiny
from tests.fuzz.mutator import Data
from tests.fuzz.questions import File, ask_all, volume_seed
from tests.fuzz.target import Images, Raw, Seed, Structure, Target, Volume
from tests.support.fat_small import item, long_item

KINDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "fat12": (512 << 10, ("-F12", "-s1", "-r64")),
    "fat16": (5 << 19, ("-F16", "-s1", "-r64")),
    "fat32": (34 << 20, ("-F32", "-s1")),
}


def image(images: Images, name: str) -> Data:
    size, options = KINDS[name]
    return images.get(name, lambda path: tiny.fat(path, size, *options))


def check_bpb(seed: Seed, damaged: bytes) -> None:
    bpb = parse_bpb(damaged, 0, seed.extra, "boot")
    assert 0 < bpb.clusters <= bpb.claimed_clusters and bpb.end <= seed.extra
    assert bpb.cluster_offset(bpb.limit) <= bpb.end and 0 <= bpb.active_fat < bpb.fat_count


def bpb_seeds(images: Images) -> Sequence[Seed]:
    return [Seed(name, image(images, name)[:BOOT_BYTES], extra=KINDS[name][0]) for name in KINDS]


def directory_seeds(images: Images) -> Sequence[Seed]:
    own = long_item("a long name, ünïcödé", b"ALONGN~1TXT", 5, 700) + item(b"SHORT   TXT", 9, 10)
    own += item(b"\x05LD     DIR", 3, 0, 0x10) + item(b"LABEL      ", 0, 0, 8) + long_item("\ud800" * 200, b"X", 7)
    source = Raw(image(images, "fat16"))
    bpb = open_volume(source).bpb
    return [
        Seed("by hand", own.ljust(1024, b"\0")),
        Seed("root", source.read_at(bpb.root_offset, 1024)),
        Seed("entries", own),
    ]


def check_directory(_: Seed, damaged: bytes) -> None:
    parser = DirectoryParser(wide=bool(sum(damaged[:16]) & 1))
    for at in range(0, len(damaged), 512):
        for entry in parser.feed(damaged[at : at + 512]):
            # A name of spaces is empty; fs.walk writes it so that a path can hold it.
            assert entry.index <= len(damaged) // ENTRY_SIZE
            assert printable(entry.name).isprintable()
            label_text(entry.raw_name)
            tenths, time, date, *_rest = entry.stamps
            nanoseconds(date, time, tenths)


def volume_seeds(images: Images) -> Sequence[Seed]:
    return [volume_seed(name, image(images, name), open_volume, open_tree) for name in KINDS]


TARGETS: tuple[Target, ...] = (
    Structure("fat.bpb", bpb_seeds, check_bpb, fixed=True, cost=2),
    Structure("fat.directory", directory_seeds, check_directory),
    File("fat.file", lambda images: [(name, image(images, name)) for name in KINDS], open_tree, cost=100),
    Volume("fat.volume", volume_seeds, ask_all(open_volume, open_tree)),
)
