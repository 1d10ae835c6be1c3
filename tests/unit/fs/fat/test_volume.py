"""What a FAT volume reports: damage, flags, backups, limits; and that hostile bytes meet only our errors."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from formats.base.errors import (
    Corrupt,
    DeviceError,
    FormatError,
    NotThisFormat,
    RecoveryError,
    Truncated,
    Unsupported,
)
from formats.base.extent import Extent, ExtentList
from formats.base.source import BlockSource, FileSource, MemorySource, Window
from fs.fat.volume import FatVolume, open_volume
from tests.support.fat_images import fat_geometry
from tests.support.fat_small import DATA, fat16, item
from tests.support.overlay import Overlay
from tests.unit.fs.fat.conftest import Image


def codes(volume: FatVolume) -> list[str]:
    return [p.code for p in volume.problems]


def scan(source: BlockSource) -> FatVolume:
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


def fat32(image: Image, patches: Mapping[int, bytes], **more: object) -> Overlay:
    return Overlay(FileSource(image("fat32")), patches, **more)  # type: ignore[arg-type]


def test_clean_volume_has_no_problems(image: Image) -> None:
    for name in ("fat12", "fat12-1fat", "fat16", "fat16-4k", "fat32", "fat32-4kn", "fat32-64k"):
        with FileSource(image(name)) as source:
            assert codes(scan(source)) == [], name


def test_larger_partition(image: Image) -> None:
    """What lies behind the file system is not its own."""
    data = image("fat12").read_bytes()
    volume = scan(MemorySource(data + b"\xaa" * 100_000))
    assert volume.identity.size == len(data)


def test_truncated(image: Image) -> None:
    data = image("fat12").read_bytes()
    with pytest.raises(Truncated) as error:
        open_volume(MemorySource(data[:-512]))
    assert error.value.offset == 0x13
    for size in (0, 1, 511):
        with pytest.raises(NotThisFormat):
            open_volume(MemorySource(data[:size]))


def test_copies_differ(image: Image) -> None:
    path = image("fat32-mirrordiff")
    start, size, _ = fat_geometry(path)
    with FileSource(path) as source:
        (problem,) = scan(source).problems
    assert (problem.code, problem.offset) == ("fat.copies_differ", start + size + 80)


def test_what_either_copy_uses_is_kept(image: Image) -> None:
    """The first FAT lost some entries: the clusters are still in the second."""
    path = image("fat32")
    start, _, _ = fat_geometry(path)
    with FileSource(path) as source:
        good = ExtentList(open_volume(source).allocated())
        volume = scan(Overlay(source, {start + 4 * 20: bytes(40)}))
        assert ExtentList(volume.allocated()) == good
    assert "fat.copies_differ" in codes(volume)
    assert "fat.chain_free" in codes(volume)


def test_unreadable_fat_is_replaced_by_its_copy(image: Image) -> None:
    path = image("fat32")
    start, size, _ = fat_geometry(path)
    with FileSource(path) as source:
        good = ExtentList(open_volume(source).allocated())
        broken = Overlay(source, failing=[(start + 512, start + 1024)])
        volume = scan(broken)
        assert ExtentList(volume.allocated()) == good
        assert set(codes(volume)) == {"fat.copy_used", "fat.copy_unreadable"}
        both = Overlay(source, failing=[(start + 512, start + 1024), (start + size + 512, start + size + 1024)])
        with pytest.raises(DeviceError):
            list(open_volume(both).allocated())


def test_second_fat_active(image: Image) -> None:
    with FileSource(image("fat32-active1")) as source:
        assert codes(scan(source)) == ["fat.not_mirrored"]
    flags = {40: struct.pack("<H", 0x82)}
    with pytest.raises(Corrupt) as error:
        open_volume(fat32(image, flags))
    assert error.value.offset == 0x28


def test_fsinfo(image: Image) -> None:
    with FileSource(image("fat32-fsinfo")) as source:
        assert codes(scan(source)) == ["fat.fsinfo_differs"]
    assert codes(scan(fat32(image, {512: b"x"}))) == ["fat.fsinfo_signature"]
    assert codes(scan(fat32(image, {512 + 0x1E8: b"\xff" * 4}))) == []


def test_dirty(image: Image) -> None:
    start, size, _ = fat_geometry(image("fat32"))
    one = {start + 7: b"\x07", start + size + 7: b"\x07"}
    assert codes(scan(fat32(image, one))) == ["fat.dirty"]
    assert codes(scan(fat32(image, {0x41: b"\x01"}))) == ["fat.dirty"]
    assert codes(scan(fat32(image, {0x41: b"\x02"}))) == ["fat.io_errors"]
    with FileSource(image("fat16")) as source:
        assert codes(scan(Overlay(source, {0x25: b"\x03"}))) == ["fat.dirty", "fat.io_errors"]


@pytest.mark.parametrize("damage", [bytes(512), b"\xff" * 512, None], ids=["zeros", "ones", "unreadable"])
def test_backup_boot_sector(image: Image, damage: bytes | None) -> None:
    patches = {} if damage is None else {0: damage}
    failing = [(0, 512)] if damage is None else []
    with FileSource(image("fat32")) as source:
        good = open_volume(source)
        volume = scan(Overlay(source, patches, failing))
        assert volume.identity == good.identity
        assert ExtentList(volume.allocated()) == ExtentList(good.allocated())
    (problem,) = volume.problems
    assert (problem.code, problem.offset) == ("fat.backup_boot_sector", 6 * 512)


def partition_table() -> bytes:
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0x83, b"\xff\xff\xff", 2048, 4096)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


@pytest.mark.parametrize(
    "owner",
    [
        {3: b"NTFS    "}, {3: b"EXFAT   "}, {3: b"-FVE-FS-"}, {0x36: b"HPFS    "}, {0: partition_table()},
        {0x1A8: bytes.fromhex("3bd66749292ed84a8399f6a339e3d001")},
        {0: bytes(512), 1080: b"\x53\xef"}, {0: bytes(512), 512: b"LABELONE"}, {0: b"LUKS\xba\xbe"},
    ],
)  # fmt: skip
def test_backup_is_not_used_when_another_format_took_over(image: Image, owner: dict[int, bytes]) -> None:
    with pytest.raises(NotThisFormat):
        open_volume(fat32(image, owner))


def test_backup_that_the_fat_does_not_bear_out(image: Image) -> None:
    start, _, _ = fat_geometry(image("fat32"))
    for extra in ({start: bytes(4)}, {start + 8: bytes(4)}):
        with pytest.raises(NotThisFormat):
            open_volume(fat32(image, {0: bytes(512), **extra}))


@pytest.mark.parametrize(
    ("offset", "value", "error"),
    [
        (0x0B, b"\x00\x01", NotThisFormat), (0x0B, b"\x00\x20", NotThisFormat), (0x0B, b"\x01\x02", NotThisFormat),
        (0x0D, b"\x00", NotThisFormat), (0x0D, b"\x03", NotThisFormat), (0x0E, b"\0\0", NotThisFormat),
        (0x10, b"\x00", NotThisFormat), (0x10, b"\x11", NotThisFormat), (0x11, b"\x10\0", NotThisFormat),
        (0x15, b"\x12", NotThisFormat), (0x20, b"\0\0\0\0", NotThisFormat), (0x24, b"\xff" * 4, NotThisFormat),
        (0x20, b"\0\0\2\0", Truncated), (0x2A, b"\0\1", Unsupported), (0x2C, b"\0\0\0\0", Corrupt),
        (0x2C, b"\xff" * 4, Corrupt),
    ],
)  # fmt: skip
def test_implausible_fields(image: Image, offset: int, value: bytes, error: type[RecoveryError]) -> None:
    with pytest.raises(error):
        open_volume(fat32(image, {offset: value, 6 * 512: bytes(512)}))


def test_no_media_byte(image: Image) -> None:
    start, size, _ = fat_geometry(image("fat32"))
    with pytest.raises(Corrupt) as error:
        open_volume(fat32(image, {start: b"\0"}))
    assert not isinstance(error.value, NotThisFormat)
    with pytest.raises(NotThisFormat):
        open_volume(fat32(image, {start: b"\0", start + size: b"\0"}))
    assert codes(open_volume(fat32(image, {0x15: b"\xf0"}))) == ["fat.media_differs"]


def test_not_fat() -> None:
    rng = random.Random(1)
    for _ in range(300):
        with pytest.raises(NotThisFormat):
            open_volume(MemorySource(rng.randbytes(510) + b"\x55\xaa" + bytes(20_000)))
    for data in (bytes(4096), b"\xff" * 4096, partition_table() + bytes(4096)):
        with pytest.raises(NotThisFormat):
            open_volume(MemorySource(data))


def test_damaged_chains() -> None:
    entries = {
        2: 3, 3: 0xFFFF,  # A: good
        4: 5, 5: 4,  # B: a loop
        6: 3,  # C: runs into A
        7: 8, 8: 0,  # D: ends in a free cluster
        9: 60000,  # E: leads outside
        10: 11, 11: 0xFFF7,  # F: ends in a bad cluster
        12: 0xFFFF,  # G: too short
        13: 13,  # I: points to itself
    }  # fmt: skip
    root = b"".join(
        item(name, cluster, size)
        for name, cluster, size in [
            (b"A", 2, 1024), (b"B", 4, 1024), (b"C", 6, 1024), (b"D", 7, 1024), (b"E", 9, 1024),
            (b"F", 10, 1024), (b"G", 12, 1024), (b"H", 0, 5), (b"I", 13, 512), (b"J", 20, 1),
        ]
    )  # fmt: skip
    volume = scan(fat16(entries, root))
    found = {(p.code, p.text.split(":")[0].split(" ")[0]): p.offset for p in volume.problems}
    assert found == {
        ("fat.chain_loop", "\\B"): DATA + 2 * 512,
        ("fat.cross_link", "\\C"): DATA + 1 * 512,
        ("fat.chain_free", "\\D"): DATA + 6 * 512,
        ("fat.chain_range", "\\E"): None,
        ("fat.chain_bad", "\\F"): DATA + 9 * 512,
        ("fat.chain_short", "\\G"): DATA + 10 * 512,
        ("fat.no_cluster", "\\H"): None,
        ("fat.chain_loop", "\\I"): DATA + 11 * 512,
        ("fat.chain_free", "\\J"): DATA + 18 * 512,
        ("fat.bad_clusters", "1"): DATA + 9 * 512,
    }
    used = ExtentList(volume.allocated())
    references = list(volume.references())
    assert all(used.covers(*r.extent) for r in references)
    assert sorted((r.owner, (r.extent.start - DATA) // 512 + 2) for r in references[1:]) == [
        ("\\A", 2), ("\\B", 4), ("\\C", 6), ("\\D", 7), ("\\E", 9), ("\\F", 10), ("\\G", 12), ("\\I", 13)
    ]  # fmt: skip


def test_directory_loops_end() -> None:
    """A directory that contains itself, its parent and a sibling that does the same."""
    inner = item(b"SELF", 2, attributes=0x10) + item(b"OTHER", 3, attributes=0x10) + item(b"F", 4, 10)
    volume = scan(fat16({2: 0xFFFF, 3: 0xFFFF, 4: 0xFFFF}, item(b"D", 2, attributes=0x10), {2: inner, 3: inner}))
    assert {p.code for p in volume.problems} == {"fat.cross_link"}


def test_problems_are_bounded() -> None:
    block = b"".join(item(b"X%d" % i, 5, 10) for i in range(16))
    chain = {c: c + 1 for c in range(2, 2000)} | {2000: 0xFFFF, 3000: 0xFFFF}
    blocks = dict.fromkeys(range(2, 2001), block)
    volume = scan(fat16(chain, item(b"D", 2, attributes=0x10), blocks))
    links = [p for p in volume.problems if p.code == "fat.cross_link"]
    assert len(links) == 16 + 1, "equal ones are listed once"
    assert links[-1].text == f"and {1999 * 16 - 50} more of the same kind"
    again = list(volume.references())
    assert len(again) == 2
    assert [p for p in volume.problems if p.code == "fat.cross_link"] == links


def test_unreadable_directory_is_named() -> None:
    inner = item(b"F", 4, 10)
    base = fat16({2: 0xFFFF, 3: 0xFFFF, 4: 0xFFFF}, item(b"D", 2, attributes=0x10) + item(b"G", 3, 9), {2: inner})
    volume = scan(Overlay(base, failing=[(DATA, DATA + 512)]))
    (problem,) = volume.problems
    assert (problem.severity, problem.code, problem.offset) == ("error", "fat.directory_unreadable", DATA)
    assert {r.owner for r in volume.references()} >= {"\\D", "\\G"}


def test_label_rules() -> None:
    label = item(b"FROM ROOT", 0, attributes=0x08)
    assert open_volume(fat16({}, label)).identity.label == "FROM ROOT"
    assert open_volume(fat16({}, item(b"NO NAME", 0, attributes=0x08))).identity.label == "NO NAME"
    assert open_volume(fat16({}, b"")).identity.label == ""
    named = Overlay(fat16({}, b""), {43: b"FROM BPB   "})
    assert open_volume(named).identity.label == "FROM BPB"
    assert open_volume(named).identity.uuid == "0403-0201"
    assert open_volume(Overlay(named, {38: b"\0"})).identity.uuid == ""


def test_types_by_cluster_count() -> None:
    base = fat16({}, b"")
    for sectors, kind in ((22 + 4084, "fat12"), (22 + 4085, "fat16")):
        patches = {19: struct.pack("<H", sectors)}
        if kind == "fat12":
            patches[512] = b"\xf8\xff\xff"
        assert open_volume(Overlay(base, patches)).identity.kind == kind


def test_fat_too_short_for_its_clusters() -> None:
    """Clusters without an entry are kept as they are."""
    base = fat16({}, b"")
    # 16 sectors of FAT have 4096 entries for 5004 clusters; the root directory moves to sector 17.
    short = Overlay(base, {22: struct.pack("<H", 16), 17 * 512: bytes(5 * 512)})
    volume = scan(short)
    assert codes(volume) == ["fat.table_short"]
    assert list(volume.allocated()) == [(0, 18 * 512), ((18 + 4094) * 512, 5022 * 512)]


def meta(path: Path) -> list[int]:
    """Offsets worth damaging: boot sectors, the FATs' beginnings, the first directories."""
    with FileSource(path) as source:
        volume = open_volume(source)
        folders = [r.extent for r in volume.references() if r.owner in ("\\", "\\tree", "\\tree\\dir\\sub")]
        start, size = volume._bpb.fat_offset, volume._bpb.fat_size
        data = volume._bpb.data_offset
    offsets = [*range(90), *range(510, 1024), *range(start, start + min(size, 4000))]
    offsets += range(start + size, start + size + 600)
    offsets += range(max(data - 2048, 0), data)
    for extent in folders:
        offsets += range(extent.start, min(extent.end, extent.start + 4096))
    return offsets


@pytest.mark.parametrize("name", ["fat12", "fat16", "fat32"])
def test_mutations(image: Image, name: str) -> None:
    """Random bytes in metadata and cuts: our errors or problems, in bounded time."""
    path = image(name)
    offsets = meta(path)
    rng = random.Random(20)
    outcomes = {"good": 0, "refused": 0}
    begun = time.monotonic()
    with FileSource(path) as source:
        for round_ in range(220):
            patches = {rng.choice(offsets): rng.randbytes(rng.choice((1, 1, 2, 4))) for _ in range(rng.randint(1, 8))}
            size = rng.randrange(source.size) if round_ % 10 == 0 else source.size
            try:
                scan(Overlay(source, patches, size=size))
                outcomes["good"] += 1
            except (FormatError, Unsupported):
                outcomes["refused"] += 1
    assert min(outcomes.values()) >= 5
    assert time.monotonic() - begun < 30


def test_window_offsets_are_relative(image: Image) -> None:
    data = image("fat12").read_bytes()
    source = Window(MemorySource(b"\xee" * 4096 + data), Extent(4096, 4096 + len(data)))
    assert list(open_volume(source).allocated()) == list(open_volume(MemorySource(data)).allocated())


def test_names_with_control_characters_do_not_reach_a_report() -> None:
    """A terminal would obey them; found by fuzzing."""
    source = fat16({2: 0}, item(b"\x1b[31m\x07A", 2, attributes=0x10))
    volume = open_volume(source)
    owners = [reference.owner for reference in volume.references()]
    assert any("\ufffd[31m\ufffdA" in problem.text for problem in volume.problems)
    assert all(text.isprintable() for text in [*owners, *(problem.text for problem in volume.problems)])
