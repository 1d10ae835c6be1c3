"""exFAT: boot regions, entry sets, the up-case table, single files, whole volumes."""

from __future__ import annotations

from collections.abc import Sequence

from fs.exfat.boot import BOOT_BYTES, boot_checksum, parse_boot, read_region
from fs.exfat.directory import ENTRY_SIZE, DirectoryParser, set_checksum
from fs.exfat.directory import File as FileEntry
from fs.exfat.tree import open_tree
from fs.exfat.upcase import UNITS, parse_upcase, table_checksum
from fs.exfat.volume import open_volume
from tests.fuzz import images as tiny
from tests.fuzz import mutator
from tests.fuzz.mutator import Data
from tests.fuzz.questions import File, ask_all, volume_seed
from tests.fuzz.target import Images, Raw, Seed, Structure, Target, Volume
from tests.support.overlay import Overlay

SECTOR, CHECKED = 512, 11  # sectors of a boot region before its checksum
REGION = (CHECKED + 1) * SECTOR


def image(images: Images) -> Data:
    return images.get("exfat", tiny.exfat)


def summed(data: bytes) -> bytes:
    """A boot region with the checksum that belongs to it."""
    total = boot_checksum(data[: CHECKED * SECTOR]).to_bytes(4, "little")
    return data[: CHECKED * SECTOR] + total * (SECTOR // 4) + data[REGION:]


def sum_regions(good: Data, patches: dict[int, bytes]) -> None:
    for start in (0, REGION):
        data = mutator.absorbed(good, patches, start, start + REGION)
        if data is not None:
            patches[start] = summed(bytes(data))


def check_boot(seed: Seed, damaged: bytes) -> None:
    boot = parse_boot(damaged, 0, seed.extra, "boot")
    assert boot.cluster_offset(boot.limit) <= boot.end <= seed.extra


def boot_seeds(images: Images) -> Sequence[Seed]:
    data = image(images)
    return [Seed("boot", data[:BOOT_BYTES], extra=len(data))]


def region_seeds(images: Images) -> Sequence[Seed]:
    data = image(images)
    return [Seed("region", data[:REGION], extra=Raw(data))]


def check_region(seed: Seed, damaged: bytes) -> None:
    read_region(Overlay(seed.extra, {0: damaged}), 0)


def directory_seeds(images: Images) -> Sequence[Seed]:
    data = image(images)
    boot = parse_boot(data[:BOOT_BYTES], 0, len(data), "boot")
    found = []
    for cluster in range(2, 400):
        at = boot.cluster_offset(cluster)
        block = data[at : at + 512]
        if block[:1] in (b"\x81", b"\x83", b"\x85", b"\xc0", b"\xc1"):
            found.append(Seed(f"cluster {cluster}", block))
    assert found
    return [*found, Seed("together", b"".join(bytes(seed.data).rstrip(b"\0") for seed in found[:4]))]


def sum_sets(data: bytes) -> bytes:
    """Entry sets with their checksums."""
    out = bytearray(data)
    for at in range(0, len(out) - ENTRY_SIZE, ENTRY_SIZE):
        if out[at] == 0x85:
            entries = bytes(out[at : at + (1 + out[at + 1]) * ENTRY_SIZE])
            out[at + 2 : at + 4] = set_checksum(entries).to_bytes(2, "little")
    return bytes(out)


def check_directory(_: Seed, damaged: bytes) -> None:
    parser = DirectoryParser()
    found = [item for at in range(0, len(damaged), 512) for item in parser.feed(damaged[at : at + 512])]
    for item in [*found, *parser.close()]:
        assert 0 <= item.index <= len(damaged) // ENTRY_SIZE
        if isinstance(item, FileEntry):
            assert item.name and len(item.name) <= 255


def upcase_seeds(_: Images) -> Sequence[Seed]:
    units = [*range(0x61), *range(0x41, 0x5B), 0xFFFF, 0x65, *range(0xC0, 0xE0), 0xFFFF, 0xFF00 - 0x200]
    return [Seed("table", b"".join(unit.to_bytes(2, "little") for unit in units))]


def check_upcase(_: Seed, damaged: bytes) -> None:
    table_checksum(damaged)
    table = parse_upcase(damaged)
    assert all(0 <= unit < UNITS and 0 <= upper < UNITS for unit, upper in table.items())
    "aä\ud800\U0001f600".translate(table)


def volume_seeds(images: Images) -> Sequence[Seed]:
    return [volume_seed("exfat", image(images), open_volume, open_tree)]


TARGETS: tuple[Target, ...] = (
    Structure("exfat.boot", boot_seeds, check_boot, fixed=True, cost=2),
    Structure("exfat.region", region_seeds, check_region, summed, fixed=True, cost=30),
    Structure("exfat.directory", directory_seeds, check_directory, sum_sets),
    Structure("exfat.upcase", upcase_seeds, check_upcase, cost=2),
    File("exfat.file", lambda images: [("exfat", image(images))], open_tree, cost=100),
    Volume("exfat.volume", volume_seeds, ask_all(open_volume, open_tree), sum_regions),
)
