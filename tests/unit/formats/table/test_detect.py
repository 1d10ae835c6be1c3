"""The rules at the head of detect.py, one by one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.base.errors import DeviceError, Unsupported
from formats.base.extent import Extent
from formats.base.source import FileSource, MemorySource
from formats.base.units import KiB, MiB, TiB
from formats.table.detect import read_table
from formats.table.model import PartitionTable, Provenance, Scheme
from tests.support.table_images import BARE_GENERATORS, Sparse, boot_sector, peek, poke, record, small_disk
from tests.support.tools import need, run

Image = Callable[[str], Path]
BARE = [g.__name__.replace("_", "-") for g in BARE_GENERATORS]


def read(path: Path) -> PartitionTable:
    with FileSource(path) as source:
        return read_table(source)


def codes(table: PartitionTable) -> list[str]:
    return [p.code for p in table.problems]


def disk(*sectors: bytes, size: int = MiB) -> MemorySource:
    return MemorySource(b"".join(sectors).ljust(size, b"\0"))


@pytest.mark.parametrize("name", BARE)
def test_a_bare_file_system_is_no_table(image: Image, name: str) -> None:
    table = read(image(name))
    assert (table.scheme, table.partitions, table.regions, table.problems) == (Scheme.NONE, (), (), ())
    assert table.disk_size == image(name).stat().st_size


@pytest.mark.parametrize("name", ["fat-bare", "ntfs-bare", "exfat-bare"])
def test_a_boot_sector_with_text_where_a_table_would_be(image: Image, name: str) -> None:
    """Windows' own boot sectors hold messages there."""
    text = b"Remove disks or other media.\xff\r\nPress any key to restart\r\n".ljust(64, b".")
    for garbage in (text, bytes(64), record(0x6E, 0x20746F, 0x2020656D, 0x80) + bytes(48)):
        zero = peek(image(name), 0, 446) + garbage + b"\x55\xaa"
        assert read_table(disk(zero, size=16 * MiB)).scheme is Scheme.NONE


def test_fat_parameters_beside_partitions_are_an_mbr(image: Image) -> None:
    """A USB stick whose boot loader keeps a BIOS parameter block in sector 0."""
    head = peek(image("fat-bare"), 0, 446)
    good = record(0x0C, 63, 2000, 0x80) + bytes(48)
    table = read_table(disk(head + good + b"\x55\xaa", size=2 * MiB))
    assert (table.scheme, [p.extent for p in table.partitions]) == (Scheme.MBR, [Extent(63 * 512, 2063 * 512)])
    for bad in (
        record(0x0C, 0, 2000, 0x80) + bytes(48),  # mkfs.fat's fake: covers sector 0
        record(0x0C, 63, 2000, 0x55) + bytes(48),
        record(0x00, 63, 2000) + bytes(48),
        record(0x0C, 63, 9000) + bytes(48),  # leaves the disk
        record(0x0C, 63, 2000) + record(0x0C, 1000, 2000) + bytes(32),  # overlap
    ):
        assert read_table(disk(head + bad + b"\x55\xaa", size=2 * MiB)).scheme is Scheme.NONE


def test_an_mbr_whose_code_says_fat32_is_an_mbr(image: Image) -> None:
    zero = peek(image("mbr"), 0, 512)
    assert b"FAT32   " in zero
    assert len(read(image("mbr")).partitions) == 3


@pytest.mark.parametrize(
    ("at", "spoilt"),
    [
        (11, b"\x00\x03"),  # bytes a sector
        (13, b"\x03"),  # sectors a cluster
        (13, b"\x00"),
        (14, b"\x00\x00"),  # reserved sectors
        (16, b"\x00"),  # copies of the FAT
        (16, b"\x05"),
        (21, b"\x17"),  # media
    ],
)
def test_a_parameter_block_must_be_consistent(image: Image, at: int, spoilt: bytes) -> None:
    zero = peek(image("fat-bare"), 0, 512)
    assert read_table(disk(zero)).scheme is Scheme.NONE
    assert read_table(disk(zero[:at] + spoilt + zero[at + len(spoilt) :])).scheme is Scheme.MBR


def test_ntfs_name_counts_only_at_its_place() -> None:
    code = b"\x33\xc0" + b"NTFS    " * 3
    table = read_table(disk(boot_sector(record(7, 63, 1000), code=code), size=MiB))
    assert table.scheme is Scheme.MBR


def test_partitions_beat_a_superblock_in_the_gap() -> None:
    zero = boot_sector(record(0x83, 63, 1000))
    ext = b"\0" * 512 + b"\0" * 56 + b"\x53\xef"
    assert read_table(disk(zero, ext, size=MiB)).scheme is Scheme.MBR
    assert read_table(disk(boot_sector(), ext, size=MiB)).scheme is Scheme.NONE
    assert read_table(disk(boot_sector(), size=MiB)).scheme is Scheme.MBR


@pytest.mark.parametrize("odd", [record(0x83, 63, 1000, 0x01), record(0xEE, 1, 2047, 0x55), record(0, 0, 0, 0x55)])
def test_records_with_other_indicators_are_no_table(odd: bytes) -> None:
    table = read_table(disk(boot_sector(odd)))
    assert (table.scheme, codes(table)) == (Scheme.NONE, ["mbr.not_a_table"])


@pytest.mark.parametrize(
    ("at", "magic"),
    [(0, b"\xc9\xc2\xd4\xc1"), (508, b"\xda\xbe"), (512, b"PM\0\0"), (512, b"WEV\x82"), (64, b"WEV\x82")],
)
def test_labels_of_other_systems_are_told(at: int, magic: bytes) -> None:
    sector = bytearray(1024)
    if at == 0:
        sector[:512] = boot_sector(record(0x83, 63, 1000))  # AIX writes 55AA as well
    sector[at : at + len(magic)] = magic
    table = read_table(disk(bytes(sector)))
    assert (table.scheme, codes(table)) == (Scheme.NONE, ["table.unknown_label"])


def test_protective_mbr_without_gpt() -> None:
    table = read_table(disk(boot_sector(record(0xEE, 1, 2047))))
    assert (table.scheme, codes(table), table.regions) == (Scheme.NONE, ["gpt.lost"], ())
    hybrid = read_table(disk(boot_sector(record(0xEE, 1, 99), record(0x83, 100, 1000), signature=0xABCD)))
    assert (hybrid.scheme, codes(hybrid)) == (Scheme.MBR, ["gpt.lost"])
    assert [(p.number, p.unique_id, p.extent.start) for p in hybrid.partitions] == [(2, "0000abcd-02", 51200)]


def test_protective_record_in_any_slot(image: Image) -> None:
    pieces = small_disk(image("gpt"))
    zero = boot_sector(bytes(16), bytes(16), record(0xEE, 1, 131071))
    table = read_table(Sparse(64 * MiB, {**pieces, 0: zero + pieces[0][512:]}))
    assert (table.scheme, codes(table), table.hybrid) == (Scheme.GPT, [], False)


def test_a_boot_flag_record_of_type_0_makes_no_hybrid(image: Image) -> None:
    """As in the ISO images of distributions."""
    pieces = small_disk(image("gpt"))
    zero = boot_sector(record(0xEE, 1, 131071), record(0, 0, 1, 0x80))
    table = read_table(Sparse(64 * MiB, {**pieces, 0: zero + pieces[0][512:]}))
    assert (table.scheme, codes(table), table.hybrid) == (Scheme.GPT, [], False)


def test_mbr_partitions_beat_an_old_gpt(image: Image) -> None:
    pieces = small_disk(image("gpt"))
    zero = boot_sector(record(0x83, 2048, 4096))
    table = read_table(Sparse(64 * MiB, {**pieces, 0: zero + pieces[0][512:]}))
    assert (table.scheme, codes(table), len(table.partitions)) == (Scheme.MBR, ["gpt.stale"], 1)


def test_an_empty_mbr_over_a_gpt_is_a_gpt_to_repair(image: Image) -> None:
    pieces = small_disk(image("gpt"))
    table = read_table(Sparse(64 * MiB, {**pieces, 0: boot_sector() + pieces[0][512:]}))
    assert (table.scheme, codes(table), len(table.partitions)) == (Scheme.GPT, ["gpt.no_protective_mbr"], 4)


def test_a_volume_boot_sector_over_a_gpt_is_a_volume(image: Image) -> None:
    pieces = small_disk(image("gpt"))
    zero = peek(image("ntfs-bare"), 0, 512)
    assert read_table(Sparse(64 * MiB, {**pieces, 0: zero + pieces[0][512:]})).scheme is Scheme.NONE


def test_a_lone_backup_is_told_and_not_used(image: Image) -> None:
    pieces = small_disk(image("gpt"))
    table = read_table(Sparse(64 * MiB, {64 * MiB - 64 * KiB: pieces[64 * MiB - 64 * KiB]}))
    assert (table.scheme, codes(table)) == (Scheme.NONE, ["gpt.orphan_backup"])


def test_4kn_backup_alone(image: Image, tmp_path: Path) -> None:
    path = tmp_path / "d.img"
    path.write_bytes(image("gpt-4kn").read_bytes())
    poke(path, 4096, bytes(5 * 4096))
    table = read(path)
    assert codes(table) == ["gpt.sector_size", "gpt.primary_damaged"]
    assert (table.sector_size, table.provenance) == (4096, Provenance.BACKUP)
    assert table.partitions == read(image("gpt-4kn")).partitions


def test_512_gpt_on_a_source_with_4096(image: Image) -> None:
    with FileSource(image("gpt"), 4096) as source:
        table = read_table(source)
    assert (table.sector_size, codes(table)) == (512, ["gpt.sector_size"])
    assert table.partitions == read(image("gpt")).partitions
    assert table.region("sector 0") == read(image("gpt")).region("sector 0")


def test_4kn_mbr_counts_its_own_sectors() -> None:
    zero = boot_sector(record(0x83, 10, 20), record(0x05, 64, 64), signature=1)
    ebr = boot_sector(record(0x07, 2, 8))
    table = read_table(Sparse(MiB, {0: zero, 64 * 4096: ebr}, 4096))
    assert [(p.number, p.extent.start // 4096, p.extent.length // 4096) for p in table.partitions] == [
        (1, 10, 20),
        (5, 66, 8),
    ]
    assert [r.extent for r in table.regions] == [Extent(0, 4096), Extent(64 * 4096, 65 * 4096)]


def test_tiny_sources_hold_nothing() -> None:
    for size in (0, 1, 511, 512, 513, 1024, 4095):
        assert read_table(MemorySource(bytes(size))).scheme is Scheme.NONE
    assert read_table(MemorySource(boot_sector())).scheme is Scheme.MBR


@pytest.mark.parametrize("size", [0, 1, 256, 513, 8192, -512])
def test_odd_sector_sizes_are_unsupported(size: int) -> None:
    with pytest.raises(Unsupported):
        read_table(MemorySource(bytes(MiB)), size)


def test_a_disk_of_two_to_the_sixty(image: Image) -> None:
    need("sgdisk")
    pieces = small_disk(image("gpt"))
    table = read_table(Sparse(1 << 60, {0: pieces[0]}))
    assert codes(table) == ["gpt.backup_missing", "gpt.backup_not_at_end"]
    assert len(table.partitions) == 4


class Weak(Sparse):
    """Some bytes cannot be read."""

    def __init__(self, size: int, pieces: dict[int, bytes], bad: list[tuple[int, int]]) -> None:
        super().__init__(size, pieces)
        self._bad = bad

    def read_at(self, offset: int, length: int) -> bytes:
        for start, end in self._bad:
            if offset < end and start < offset + length:
                raise DeviceError("weak", "read", offset, length, 5)
        return super().read_at(offset, length)


def test_bad_sectors_in_either_copy(image: Image) -> None:
    good = read(image("gpt"))
    pieces, size = small_disk(image("gpt")), 64 * MiB
    for bad, code in (
        ((512, 1024), "gpt.primary_damaged"),
        ((2048, 2049), "gpt.primary_damaged"),
        ((size - 512, size), "gpt.backup_missing"),
        ((size - 4096, size - 4095), "gpt.backup_damaged"),
        ((0, 1), "gpt.sector_zero_unreadable"),
    ):
        table = read_table(Weak(size, pieces, [bad]))
        assert table.partitions == good.partitions
        assert codes(table) == [code]


def test_unreadable_sector_zero_without_gpt_is_a_device_error() -> None:
    with pytest.raises(DeviceError):
        read_table(Weak(MiB, {}, [(0, 512)]))


def test_unreadable_ebr_ends_the_chain(image: Image) -> None:
    good = read(image("mbr-logicals"))
    ebrs = [r.extent.start for r in good.regions[1:]]
    pieces = {r.extent.start: r.data for r in good.regions}
    table = read_table(Weak(64 * MiB, pieces, [(ebrs[4], ebrs[4] + 1)]))
    assert [p.number for p in table.partitions] == [1, 5, 6, 7, 8]
    assert [(p.code, p.offset) for p in table.problems] == [("mbr.ebr_unreadable", ebrs[4])]


def chain(*ebrs: tuple[int, bytes], size: int = 16 * MiB, first: int = 100, sectors: int = 20000) -> PartitionTable:
    pieces = {0: boot_sector(record(0x05, first, sectors))}
    pieces.update({at * 512: sector for at, sector in ebrs})
    return read_table(Sparse(size, pieces))


def test_chain_faults() -> None:
    link = record(0x05, 1000, 1000)
    data = record(0x83, 10, 50)
    no_mark = chain((100, boot_sector(data, link)), (1100, bytes(512)))
    assert [(p.code, p.offset) for p in no_mark.problems] == [("mbr.ebr_signature", 1100 * 512)]
    beyond = chain((100, boot_sector(data, record(0x05, 40000, 100))))
    assert [(p.code, p.offset) for p in beyond.problems] == [("mbr.ebr_beyond_disk", 40100 * 512)]
    itself = chain((100, boot_sector(data, record(0x05, 0, 1000))))
    assert codes(itself) == ["mbr.ebr_loop"]
    outside = chain((100, boot_sector(data, record(0x05, 25000, 1000))), (25100, boot_sector(data)))
    assert codes(outside) == ["mbr.ebr_outside", "mbr.logical_outside"]
    assert [p.number for p in outside.partitions] == [5, 6]
    for table in (no_mark, beyond, itself):
        assert [(p.number, p.extent.start) for p in table.partitions] == [(5, 110 * 512)]


def test_link_first_data_second_and_empty_links() -> None:
    """DR-DOS puts the link first; an EBR may hold no partition at all and takes no number."""
    table = chain(
        (100, boot_sector(record(0x05, 1000, 1000))),
        (1100, boot_sector(record(0x05, 2000, 1000), record(0x83, 1, 9))),
        (2100, boot_sector(record(0x07, 1, 9))),
    )
    assert [(p.number, p.extent.start // 512) for p in table.partitions] == [(5, 1101), (6, 2101)]
    assert codes(table) == []


def test_garbage_in_the_third_record_of_an_ebr() -> None:
    inside, garbage = record(0x83, 500, 10), record(0x83, 90000, 10)
    table = chain((100, boot_sector(record(0x83, 1, 9), bytes(16), inside, garbage)))
    assert [(p.number, p.extent.start // 512) for p in table.partitions] == [(5, 101), (6, 600)]
    assert codes(table) == []


def test_endless_chains_are_bounded() -> None:
    empty = {0: boot_sector(record(0x05, 1, 1 << 20))}
    empty.update({(1 + i) * 512: boot_sector(record(0x05, i + 1, 1)) for i in range(1000)})
    table = read_table(Sparse(MiB, empty))
    assert (codes(table), len(table.regions)) == (["mbr.cut", "mbr.ebr_empty"], 102)
    full = {0: boot_sector(record(0x05, 1, 4096))}
    full.update({(1 + 3 * i) * 512: boot_sector(record(0x83, 1, 1), record(0x05, 3 * i + 3, 3)) for i in range(600)})
    table = read_table(Sparse(4 * MiB, full))
    assert codes(table) == ["mbr.too_many"]
    assert [p.number for p in table.partitions] == list(range(5, 257))


def test_partition_beyond_the_end_is_cut_or_left_out() -> None:
    zero = boot_sector(record(0x83, 63, 1000), record(0x83, 1500, 1000), record(0x83, 3000, 10))
    table = read_table(disk(zero, size=MiB))
    assert [(p.number, p.extent) for p in table.partitions] == [
        (1, Extent(63 * 512, 1063 * 512)),
        (2, Extent(1500 * 512, MiB)),
    ]
    assert [(p.severity, p.code, p.offset) for p in table.problems] == [
        ("error", "mbr.cut", 462),
        ("error", "mbr.beyond_disk", 478),
    ]
    assert "1280000" in table.problems[0].text
    assert str(MiB) in table.problems[0].text


def test_overlaps_are_told() -> None:
    zero = boot_sector(record(0x83, 63, 1000), record(0x83, 1000, 500), record(0x05, 1400, 600))
    table = read_table(disk(zero, size=MiB))
    assert [p.code for p in table.problems if p.code.startswith("table.")] == ["table.overlap"] * 2
    assert [p.offset for p in table.problems if p.code == "table.overlap"] == [1000 * 512, 1400 * 512]
    over = read_table(disk(boot_sector(record(0x17, 0, 500, 0x80)), size=MiB))
    assert codes(over) == ["table.partition_over_table"]


def test_lba_beyond_two_tebibytes_in_4k_sectors() -> None:
    zero = boot_sector(record(0x83, 1 << 31, 1 << 30))
    table = read_table(Sparse(16 * TiB, {0: zero}, 4096))
    assert table.partitions[0].extent == Extent(8 * TiB, 12 * TiB)


def test_gpt_entries_with_faults(tmp_path: Path, image: Image) -> None:
    """Inverted, overlapping, outside: made with sound checksums."""
    from formats.table.gpt_header import Header

    pieces, size = small_disk(image("gpt")), 64 * MiB
    head = bytearray(pieces[0])
    struct.pack_into("<QQ", head, 1024 + 32, 5000, 4000)  # partition 1 backwards
    struct.pack_into("<QQ", head, 1024 + 128 + 32, 20, 3000)  # 2 over the entries
    struct.pack_into("<QQ", head, 1024 + 256 + 32, 2900, 131071 - 10)  # 3 over 2 and the backup
    struct.pack_into("<QQ", head, 1024 + 6 * 128 + 32, 1 << 63, (1 << 64) - 1)  # 7 far away
    head[1024 + 256 + 56 : 1024 + 256 + 56 + 8] = b"A\0\x00\xd8B\0\0\0"  # a lone surrogate, then an end
    from formats.base.checksum import crc32

    old = Header.from_sector(bytes(head[512:1024]), 1)
    new = old.moved(
        my_lba=1,
        alternate_lba=131071,
        last_usable_lba=old.last_usable_lba,
        entries_lba=2,
        entries_crc=crc32(bytes(head[1024 : 1024 + 16384])),
    )
    head[512:1024] = new.sector
    table = read_table(Sparse(size, {**pieces, 0: bytes(head)}))
    assert codes(table) == [
        "gpt.copies_differ",
        "gpt.entry_inverted",
        "gpt.entry_outside_usable",
        "gpt.entry_outside_usable",
        "gpt.entry_beyond_disk",
        "table.overlap",
        "table.partition_over_table",
        "table.partition_over_table",
    ]
    assert [p.number for p in table.partitions] == [2, 3]
    assert table.partitions[1].name == "A\ufffdB"
    path = tmp_path / "d.img"
    path.write_bytes(bytes(head))
    with path.open("r+b") as file:
        file.truncate(size)
    run("sgdisk", "-p", path, ok=(0, 2))  # ends there too
