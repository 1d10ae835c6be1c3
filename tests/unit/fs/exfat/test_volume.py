"""What an exFAT volume reports: damage, flags, backups; and that hostile bytes meet only our errors."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.base.errors import (
    ChecksumMismatch,
    Corrupt,
    DeviceError,
    FormatError,
    Inconsistent,
    NotThisFormat,
    Truncated,
    Unsupported,
)
from formats.base.extent import Extent, ExtentList
from formats.base.source import BlockSource, FileSource, MemorySource
from fs.exfat.boot import boot_checksum
from fs.exfat.table import AllocationBitmap, ScatteredBytes
from fs.exfat.volume import ExfatVolume, open_volume
from tests.support.overlay import Overlay
from tests.unit.fs.exfat.conftest import Image
from tests.unit.fs.exfat.test_directory import file_set

CLUSTERS = 3000
HEAP = 64 * 512
END = 0xFFFFFFFF


def codes(volume: ExfatVolume) -> list[str]:
    return [p.code for p in volume.problems]


def scan(source: BlockSource) -> ExfatVolume:
    """Open a volume and walk all of it; every extent must be in order and inside."""
    volume = open_volume(source)
    found = list(volume.allocated())
    last = -1
    for start, end in found:
        assert last < start < end <= volume.identity.size
        last = end
    used = ExtentList(found)
    for reference in volume.references():
        assert reference.extent.length > 0
        assert used.covers(*reference.extent), "what metadata refer to is allocated, whatever the damage"
    return volume


def exfat(
    root: bytes,
    entries: Mapping[int, int] | None = None,
    blocks: Mapping[int, bytes] | None = None,
    used: range | tuple[int, ...] = (),
    *,
    fats: int = 1,
    flags: int = 0,
    tail: int = 0,
) -> MemorySource:
    """A volume made here, so that every bit is known: clusters of 512 bytes, 2 is the bitmap, 3 and on the root.

    `used`: clusters set in the bitmap besides those of the bitmap, the up-case table and the root. With two FATs
    the second FAT and bitmap (cluster 3) are the ones that are filled.
    """
    table_sectors, heap = 24, HEAP // 512 + 24
    head = bytearray(512)
    head[:11] = b"\xeb\x76\x90EXFAT   "
    struct.pack_into(
        "<QQIIIIIIHHBBBBB", head, 64, 0, heap + CLUSTERS + tail, 40, table_sectors, heap, CLUSTERS, 10,
        0x12345678, 0x100, flags, 9, 0, fats, 0x80, 0xFF,
    )  # fmt: skip
    head[510:] = b"\x55\xaa"
    region = bytes(head) + bytes(10 * 512)
    region += struct.pack("<I", boot_checksum(region)) * 128
    boot = region * 2 + bytes(40 * 512 - 24 * 512)
    table = bytearray(table_sectors * 512)
    for number, value in {0: 0xFFFFFFF8, 1: END, 2: END, 3: END, 4: END, 10: END, **(entries or {})}.items():
        struct.pack_into("<I", table, 4 * number, value)
    bits = bytearray(-(-CLUSTERS // 8))
    for cluster in {2, 3, 4, 10, *used}:
        bits[(cluster - 2) // 8] |= 1 << (cluster - 2) % 8
    bitmap = struct.pack("<BB18xIQ", 0x81, 0, 2, len(bits))
    second = struct.pack("<BB18xIQ", 0x81, 1, 3, len(bits)) if fats == 2 else b""
    upcase = struct.pack("<BB18xIQ", 0x82, 0, 4, 128)
    heap_data = bytearray((CLUSTERS + tail) * 512)
    contents = {10: bitmap + second + upcase + root, (3 if fats == 2 else 2): bytes(bits), **(blocks or {})}
    for cluster, content in contents.items():
        heap_data[(cluster - 2) * 512 : (cluster - 2) * 512 + len(content)] = content
    tables = bytes(table) if fats == 1 else b"\xee" * len(table) + bytes(table)
    gap = bytes(heap * 512 - len(boot) - len(tables))
    return MemorySource(boot + tables + gap + bytes(heap_data))


DATA = (HEAP // 512 + 24) * 512


def place(cluster: int) -> int:
    return DATA + (cluster - 2) * 512


def test_made_volume_is_clean() -> None:
    files = file_set("chain", 20, 1000) + file_set("run", 30, 1500, flags=3)
    volume = scan(exfat(files, {20: 22, 22: END}, used=(20, 22, 30, 31, 32)))
    assert codes(volume) == []
    owners = [(r.owner, r.extent.start, r.extent.length) for r in volume.references()]
    assert ("\\chain", place(20), 512) in owners
    assert ("\\chain", place(22), 512) in owners
    assert ("\\run", place(30), 1536) in owners
    assert list(volume.allocated()) == [
        (0, place(5)), (place(10), place(11)), (place(20), place(21)), (place(22), place(23)),
        (place(30), place(33)),
    ]  # fmt: skip


def test_tail_behind_the_last_cluster() -> None:
    volume = scan(exfat(b"", tail=5))
    end = place(CLUSTERS + 2)
    assert list(volume.allocated())[-1] == (end, end + 5 * 512)
    full = scan(exfat(b"", used=range(2, CLUSTERS + 2), tail=5))
    assert list(full.allocated()) == [(0, end + 5 * 512)]


def test_bitmap_lag() -> None:
    """Clusters that files use and the bitmap lacks are kept, counted and said."""
    files = file_set("chain", 20, 1000) + file_set("run", 30, 5000, flags=3)
    volume = scan(exfat(files, {20: 22, 22: END}, used=(20, 33)))
    (problem,) = volume.problems
    assert (problem.code, problem.severity, problem.offset) == ("exfat.bitmap_lag", "warning", place(22))
    assert problem.text.startswith("10 clusters")
    used = ExtentList(volume.allocated())
    assert all(used.covers(*r.extent) for r in volume.references())
    assert list(used)[-1] == (place(30), place(40))


def test_second_fat_and_bitmap_active() -> None:
    files = file_set("chain", 20, 1000)
    volume = scan(exfat(files, {20: 22, 22: END}, used=(20, 22), fats=2, flags=1))
    assert codes(volume) == ["exfat.second_fat"]
    assert {r.extent.start for r in volume.references() if r.owner == "\\chain"} == {place(20), place(22)}
    assert ExtentList(volume.allocated()).covers(place(20), place(21))


def test_flags() -> None:
    assert codes(scan(exfat(b"", flags=2))) == ["exfat.dirty"]
    assert codes(scan(exfat(b"", flags=4))) == ["exfat.media_failure"]


def test_damaged_files() -> None:
    files = b"".join(
        [
            file_set("fine", 32, 512), file_set("loop", 20, 1024), file_set("cross", 22, 1024),
            file_set("free", 24, 1024), file_set("out", 26, 1024), file_set("bad", 28, 1024),
            file_set("short", 30, 1024),
            file_set("far", 3001, 1024, flags=3), file_set("none", 0, 5), file_set("over", 20, 512, flags=3),
            file_set("huge", 40, 2**63, flags=3),
        ]
    )  # fmt: skip
    table = {10: 11, 11: 12, 12: END, 20: 21, 21: 20, 22: 32, 24: 25, 26: 5000, 28: 29, 29: 0xFFFFFFF7, 30: END}
    table[32] = END
    parts = {11: files[512 - 64 :][:512], 12: files[512 - 64 + 512 :]}
    clusters = tuple(range(11, 41))
    volume = scan(exfat(files[: 512 - 64], table, parts, clusters))
    found = {(p.code, p.text.split(":")[0].split(" ")[0]) for p in volume.problems}
    assert found == {
        ("exfat.chain_loop", "\\loop"), ("exfat.cross_link", "\\cross"), ("exfat.chain_free", "\\free"),
        ("exfat.chain_range", "\\out"), ("exfat.chain_bad", "\\bad"), ("exfat.chain_short", "\\short"),
        ("exfat.chain_range", "\\far"), ("exfat.no_cluster", "\\none"), ("exfat.cross_link", "\\over"),
        ("exfat.chain_range", "\\huge"),
    }  # fmt: skip


def test_directory_loops_end() -> None:
    inner = file_set("self", 20, 512, attributes=0x10) + file_set("up", 10, 512, attributes=0x10, flags=3)
    volume = scan(exfat(file_set("d", 20, 512, attributes=0x10), {20: END}, {20: inner}, (20,)))
    assert set(codes(volume)) == {"exfat.cross_link"}


def test_bitmap_without_chain_is_read_as_contiguous() -> None:
    assert codes(scan(exfat(b"", {2: 0}))) == ["exfat.bitmap_chain"]


@pytest.mark.parametrize(
    ("patch", "text"),
    [
        ({place(10) + 24: b"\1\0"}, "too small"), ({place(10): b"\1"}, "no entry"),
        ({place(10) + 20: b"\xff\xff"}, "does not exist"), ({40 * 512 + 8: b"\xf7\xff\xff\xff"}, "bad"),
    ],
)  # fmt: skip
def test_no_usable_bitmap(patch: dict[int, bytes], text: str) -> None:
    """The volume is known, but what is in use is not."""
    volume = open_volume(Overlay(exfat(b""), patch))
    assert volume.identity.kind == "exfat"
    with pytest.raises(Inconsistent, match=text):
        list(volume.allocated())
    assert "exfat.no_bitmap" in codes(volume)


def test_backup_boot_region(image: Image) -> None:
    for name in ("exfat-c512", "exfat-4kn"):
        with FileSource(image(name)) as source:
            good = open_volume(source)
            wanted = list(good.allocated())
            sector = good._boot.sector_size
            for damage in ({0: bytes(512)}, {11 * sector: b"\xff"}, {72: b"\xff" * 8}):
                volume = scan(Overlay(source, damage))
                assert volume.identity == good.identity
                assert list(volume.allocated()) == wanted
                (problem,) = volume.problems
                assert (problem.code, problem.offset) == ("exfat.backup_boot_region", 12 * sector)
            failing = scan(Overlay(source, failing=[(0, 512)]))
            assert codes(failing) == ["exfat.backup_boot_region"]


@pytest.mark.parametrize(
    "owner",
    [{0: b"\xeb\x58\x90MSWIN4.1"}, {0: bytes(512), 1080: b"\x53\xef"}, {3: b"NTFS    "}, {0: b"LUKS\xba\xbe"}],
)
def test_backup_is_not_used_when_another_format_took_over(owner: dict[int, bytes]) -> None:
    with pytest.raises(NotThisFormat):
        open_volume(Overlay(exfat(b""), owner))


def both(offset: int, value: bytes) -> dict[int, bytes]:
    return {offset: value, 12 * 512 + offset: value}


def test_both_regions_damaged() -> None:
    base = exfat(b"")
    with pytest.raises(ChecksumMismatch) as error:
        open_volume(Overlay(base, both(0x64, b"\1")))
    assert error.value.offset == 11 * 512
    for offset, value in [
        (0x0B, b"\1"), (0x6C, b"\x08"), (0x6C, b"\x0d"), (0x6D, b"\x20"), (0x6E, b"\3"), (0x5C, b"\xff" * 4),
        (0x50, b"\1\0"), (0x54, b"\1\0"), (0x58, b"\1\0"), (0x48, b"\1" + bytes(7)), (0x60, b"\0"), (0x1FE, b"\0"),
    ]:  # fmt: skip
        with pytest.raises(Corrupt) as wrong:
            open_volume(Overlay(base, both(offset, value)))
        assert wrong.value.offset == offset
    with pytest.raises(Unsupported):
        open_volume(Overlay(base, both(0x69, b"\2")))
    with pytest.raises(Truncated):
        open_volume(Overlay(base, size=base.size - 512))
    with pytest.raises(NotThisFormat):
        open_volume(MemorySource(bytes(100)))
    with pytest.raises(NotThisFormat):
        open_volume(MemorySource(bytes(1 << 20)))


def test_flags_and_fill_level_are_not_in_the_checksum() -> None:
    region = bytearray(range(256)) * 22
    total = boot_checksum(bytes(region))
    for index in (106, 107, 112):
        region[index] ^= 0xFF
    assert boot_checksum(bytes(region)) == total
    region[108] ^= 1
    assert boot_checksum(bytes(region)) != total


def test_unreadable_directory_is_named() -> None:
    inner = file_set("f", 21, 512, flags=3)
    base = exfat(file_set("d", 20, 512, attributes=0x10), {20: END}, {20: inner}, (20, 21))
    volume = scan(Overlay(base, failing=[(place(20), place(21))]))
    assert {p.code for p in volume.problems} == {"exfat.directory_unreadable"}
    assert {p.offset for p in volume.problems} == {place(20)}


def test_unreadable_bitmap() -> None:
    volume = open_volume(Overlay(exfat(b""), failing=[(place(2), place(3))]))
    with pytest.raises(DeviceError):
        list(volume.allocated())


@settings(deadline=None)
@given(st.binary(min_size=40, max_size=40), st.integers(0, 310), st.integers(0, 310), st.integers(1, 17))
def test_bitmap_like_model(raw: bytes, low: int, high: int, cut: int) -> None:
    """Bits, runs and gaps, from a bitmap that lies in two pieces."""
    source = MemorySource(bytes(100) + raw[cut:] + bytes(50) + raw[:cut])
    second = 100 + len(raw) - cut + 50
    content = ScatteredBytes(source, [Extent(second, second + cut), Extent(100, 100 + len(raw) - cut)])
    bitmap = AllocationBitmap(content, 311)
    bits = {i + 2 for i in range(311) if raw[i // 8] >> i % 8 & 1}
    assert {c for a, b in bitmap.used() for c in range(a, b)} == bits
    wanted = set(range(low + 2, high + 2))
    assert {c for a, b in bitmap.missing(low + 2, high + 2) for c in range(a, b)} == wanted - bits


@pytest.mark.parametrize("name", ["exfat-c512", "exfat-fragmented"])
def test_mutations(image: Image, name: str) -> None:
    """Random bytes in metadata and cuts: our errors or problems, in bounded time."""
    rng = random.Random(21)
    outcomes = {"good": 0, "refused": 0}
    begun = time.monotonic()
    with FileSource(image(name)) as source:
        volume = open_volume(source)
        boot = volume._boot
        offsets = [*range(64, 120), *range(boot.fat_offset, boot.fat_offset + 3000)]
        for reference in volume.references():
            if reference.owner in ("\\", "\\tree", "\\tree\\dir\\sub", "allocation bitmap"):
                offsets += range(reference.extent.start, min(reference.extent.end, reference.extent.start + 4096))
        for round_ in range(150):
            patches = {rng.choice(offsets): rng.randbytes(rng.choice((1, 1, 2, 4))) for _ in range(rng.randint(1, 8))}
            if rng.random() < 0.3:
                patches.update(both(rng.randrange(512), rng.randbytes(1)))
            size = rng.randrange(source.size) if round_ % 10 == 0 else source.size
            try:
                scan(Overlay(source, patches, size=size))
                outcomes["good"] += 1
            except (FormatError, Unsupported):
                outcomes["refused"] += 1
    assert min(outcomes.values()) >= 5
    assert time.monotonic() - begun < 30


def test_hostile_geometry_is_quick() -> None:
    """Boot sectors with random numbers and right checksums."""
    rng = random.Random(5)
    base = exfat(file_set("f", 20, 512), {20: END}, used=(20,))
    begun = time.monotonic()
    for _ in range(150):
        region = bytearray(base.read_at(0, 11 * 512))
        for _ in range(rng.randint(1, 3)):
            at = rng.choice((72, 80, 84, 88, 92, 96, 106, 108, 109, 110))
            struct.pack_into("<H", region, at, rng.choice((0, 1, 9, 64, 3000, 0xFFFF, rng.randrange(65536))))
        checked = bytes(region) + struct.pack("<I", boot_checksum(bytes(region))) * 128
        try:
            scan(Overlay(base, {0: checked, 12 * 512: bytes(12 * 512)}))
        except (FormatError, Unsupported):
            continue
    assert time.monotonic() - begun < 20
