"""Tables built back: the same bytes for the same disk, and faultless ones, as sgdisk and sfdisk say, for others."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from formats.base.checksum import crc32
from formats.base.errors import Corrupt, Refused, Unsupported
from formats.base.extent import Extent
from formats.base.source import FileSource
from formats.base.units import MiB
from formats.table import model
from formats.table.detect import read_table
from formats.table.gpt_header import Header
from formats.table.model import PartitionTable, Scheme
from formats.table.write import TableWrite, build_table, minimum_size, wipe_extents
from tests.support import table_oracles as oracle
from tests.support.table_images import BOOT_CODE, GENERATORS, Sparse, boot_sector, gpt_header, peek, poke, record
from tests.support.tools import loop_device, need, run, sparse_file

Image = Callable[[str], Path]
GPT = [name for name in GENERATORS if name.startswith("gpt")]
MBR = [name for name in GENERATORS if name.startswith("mbr")]


def read(path: Path) -> PartitionTable:
    with FileSource(path) as source:
        return read_table(source)


def put(writes: Iterable[TableWrite], path: Path, size: int) -> Path:
    sparse_file(path, size)
    for write in writes:
        poke(path, write.offset, write.data)
    assert path.stat().st_size == size
    return path


@pytest.mark.parametrize("name", ["gpt", "gpt-4kn", "gpt-empty", "gpt-many-entries", "gpt-hybrid", *MBR])
def test_same_size_is_byte_for_byte(image: Image, name: str) -> None:
    table = read(image(name))
    writes = build_table(table, table.disk_size, table.sector_size)
    assert {w.offset for w in writes} == {r.extent.start for r in table.regions}
    for write in writes:
        assert write.data == peek(image(name), write.offset, len(write.data)), write.what


@pytest.mark.parametrize("name", GPT)
def test_order_commits_with_sector_zero(image: Image, name: str) -> None:
    table = read(image(name))
    for size in (table.disk_size, table.disk_size * 2):
        assert [w.what for w in build_table(table, size, table.sector_size)] == [
            model.BACKUP_ENTRIES,
            model.BACKUP_HEADER,
            model.PRIMARY_ENTRIES,
            model.PRIMARY_HEADER,
            model.SECTOR_ZERO,
        ]


@pytest.mark.parametrize("name", MBR)
def test_mbr_is_unchanged_on_any_size(image: Image, name: str) -> None:
    table = read(image(name))
    same = build_table(table, table.disk_size, 512)
    assert same[-1].offset == 0
    assert build_table(table, table.disk_size * 3, 512) == same
    assert build_table(table, minimum_size(table), 512) == same


@pytest.mark.parametrize("change", ["same", "larger", "smallest"])
@pytest.mark.parametrize("name", [n for n in GPT if n != "gpt-4kn"])
def test_sgdisk_and_sfdisk_find_no_fault(image: Image, tmp_path: Path, name: str, change: str) -> None:
    need("sgdisk", "sfdisk")
    table = read(image(name))
    size = {"same": table.disk_size, "larger": table.disk_size + 37 * MiB + 512, "smallest": minimum_size(table)}[
        change
    ]
    if name == "gpt-empty":
        size = max(size, MiB)
    made = put(build_table(table, size, 512), tmp_path / "made.img", size)
    verdict = run("sgdisk", "-v", made)
    assert "No problems found" in verdict, verdict
    assert "No errors detected" in run("sfdisk", "-V", made)
    again = read(made)
    assert {p.code for p in again.problems} <= {"gpt.hybrid"}
    assert again.partitions == table.partitions
    assert (again.disk_id, again.hybrid) == (table.disk_id, table.hybrid)
    assert again.first_usable == table.first_usable
    if change != "same":
        assert again.last_usable == (size // 512 - 1 - (64 if name == "gpt-many-entries" else 32)) * 512
    head, said = oracle.sfdisk(made)
    assert [(p.number, p.start * 512, (p.start + p.sectors) * 512, p.unique_id) for p in said] == [
        (p.number, p.extent.start, p.extent.end, p.unique_id) for p in table.partitions
    ]
    assert head["id"] == table.disk_id
    # built once more from what was built: nothing moves any more
    assert sorted((r.extent.start, r.data) for r in again.regions) == sorted(
        (w.offset, w.data) for w in build_table(again, size, 512)
    )


@pytest.mark.root
@pytest.mark.parametrize("change", [0, 16 * MiB, -8 * MiB])
def test_4kn_on_a_4kn_device(image: Image, tmp_path: Path, change: int) -> None:
    need("sgdisk")
    table = read(image("gpt-4kn"))
    size = table.disk_size + change
    made = put(build_table(table, size, 4096), tmp_path / "made.img", size)
    with loop_device(made, sector_size=4096) as device:
        verdict = run("sgdisk", "-v", device)
    assert "No problems found" in verdict, verdict
    assert read(made).partitions == table.partitions
    assert [(n, a * 4096) for n, a, _ in oracle.fdisk_rows(made, 4096)] == [
        (p.number, p.extent.start) for p in table.partitions
    ]


@pytest.mark.parametrize("name", MBR)
def test_mbr_read_back(image: Image, tmp_path: Path, name: str) -> None:
    table = read(image(name))
    size = table.disk_size + MiB
    made = put(build_table(table, size, 512), tmp_path / "made.img", size)
    assert read(made).partitions == table.partitions
    if name in ("mbr", "mbr-logicals", "mbr-unordered"):
        assert oracle.sfdisk(made)[1] == oracle.sfdisk(image(name))[1]
        run("sfdisk", "-V", made)


@pytest.mark.parametrize("name", ["gpt", "gpt-no-primary", "gpt-hybrid", "gpt-grown"])
def test_boot_code_and_signature_stay(image: Image, name: str) -> None:
    table = read(image(name))
    zero = build_table(table, table.disk_size + MiB, 512)[-1].data
    assert zero[:440] == BOOT_CODE
    assert zero[440:446] == peek(image(name), 440, 6)
    if name == "gpt-hybrid":
        assert zero == peek(image(name), 0, 512)


def test_protective_record_says_the_new_size(image: Image) -> None:
    table = read(image("gpt"))
    for size, sectors in ((80 * MiB, 80 * 2048 - 1), (3 << 40, 0xFFFFFFFF)):
        zero = build_table(table, size, 512)[-1].data
        assert zero[446:462] == b"\0\0\2\0\xee" + zero[451:454] + (1).to_bytes(4, "little") + sectors.to_bytes(
            4, "little"
        )
    assert zero[451:454] == b"\xff\xff\xff"
    small = build_table(table, 80 * MiB, 512)[-1].data[451:454]
    lba = 80 * 2048 - 1  # the end CHS counts 255 heads and 63 sectors
    assert small == bytes((lba // 63 % 255, lba % 63 + 1, lba // 63 // 255))


def test_a_new_protective_mbr_is_what_sgdisk_makes(image: Image) -> None:
    """Image gpt-no-pmbr lost sector 0; sgdisk wrote the one of image gpt (but for boot code)."""
    table = read(image("gpt-no-pmbr"))
    zero = build_table(table, table.disk_size, 512)[-1].data
    theirs = peek(image("gpt"), 446, 66)
    assert zero[:446] == bytes(446)
    assert zero[446:451] + zero[454:] == theirs[:5] + theirs[8:]


def test_moved_primary_entries_stay_where_a_loader_needs_room(image: Image, tmp_path: Path) -> None:
    table = read(image("gpt-many-entries"))
    larger = build_table(table, 64 * MiB, 512)
    assert larger[2].offset == 60 * 512
    damaged = tmp_path / "d.img"
    damaged.write_bytes(image("gpt-many-entries").read_bytes())
    poke(damaged, 60 * 512 + 41 + 128 * 2, b"\x77")  # an entry: the header can still be believed
    table = read(damaged)
    assert [p.code for p in table.problems] == ["gpt.primary_damaged"]
    assert [(w.offset, w.data) for w in build_table(table, table.disk_size, 512)] == [
        (w.offset, peek(image("gpt-many-entries"), w.offset, len(w.data)))
        for w in build_table(table, table.disk_size, 512)
    ]


@pytest.mark.parametrize("name", ["gpt-no-primary", "gpt-bad-entries", "gpt-bad-header", "gpt-no-backup"])
def test_repair_gives_the_bytes_of_the_undamaged_disk(image: Image, name: str) -> None:
    table = read(image(name))
    for write in build_table(table, table.disk_size, 512)[:4]:
        assert write.data == peek(image("gpt"), write.offset, len(write.data)), write.what


@pytest.mark.parametrize("name", ["gpt", "mbr", "mbr-logicals", "gpt-4kn", "gpt-empty", "ext4-bare"])
def test_one_sector_too_small_is_refused_with_numbers(image: Image, name: str) -> None:
    table = read(image(name))
    least = minimum_size(table)
    build_table(table, least, table.sector_size)
    with pytest.raises(Refused) as caught:
        build_table(table, least - table.sector_size, table.sector_size)
    assert str(least) in caught.value.reason
    assert str(least - table.sector_size) in caught.value.reason


def test_minimum_holds_the_last_partition_and_the_backup(image: Image) -> None:
    table = read(image("gpt"))
    assert minimum_size(table) == table.partitions[-1].extent.end + 33 * 512
    logicals = read(image("mbr-logicals"))
    assert minimum_size(logicals) == logicals.containers[0].end


def test_other_sector_size_is_unsupported(image: Image) -> None:
    for name, other in (("gpt", 4096), ("mbr", 4096), ("gpt-4kn", 512)):
        with pytest.raises(Unsupported):
            build_table(read(image(name)), 1 << 40, other)


def test_no_table_needs_nothing(image: Image) -> None:
    table = read(image("ntfs-bare"))
    assert build_table(table, table.disk_size, 4096) == ()
    assert minimum_size(table) == table.disk_size


def test_shrunk_disk_whose_partitions_fit_gets_a_whole_table(image: Image, tmp_path: Path) -> None:
    short = tmp_path / "short.img"
    short.write_bytes(peek(image("gpt"), 0, 40 * MiB))
    table = read(short)
    assert [p.code for p in table.problems] == ["gpt.backup_missing", "gpt.disk_shrunk"]
    made = put(build_table(table, 40 * MiB, 512), tmp_path / "made.img", 40 * MiB)
    assert "No problems found" in run("sgdisk", "-v", made)
    assert read(made).partitions == table.partitions


def test_shrunk_disk_whose_partition_is_cut_is_refused(image: Image, tmp_path: Path) -> None:
    short = tmp_path / "short.img"
    short.write_bytes(peek(image("gpt"), 0, 27 * MiB))
    table = read(short)
    assert table.partitions[-1].extent == Extent(25 * MiB, 27 * MiB)
    with pytest.raises(Refused, match=str(29 * MiB + 33 * 512)):
        build_table(table, 27 * MiB, 512)


def odd_disk(
    *, primary: dict[str, int] | None, backup: dict[str, int] | None, protective: bytes = record(0xEE, 1, 2047),
    partition: tuple[int, int] = (34, 99),
) -> PartitionTable:  # fmt: skip
    """A disk of a MiB with one partition, and headers with these fields and sound checksums."""
    array = (b"T" * 16 + b"U" * 16 + struct.pack("<QQ", *partition)).ljust(16384, b"\0")
    crc = crc32(array)
    pieces = {0: boot_sector(protective, code=BOOT_CODE)}
    if primary is not None:
        pieces[512] = gpt_header(array_crc=crc, **primary)
        pieces[primary.get("entries", 2) * 512] = array
    if backup is not None:
        fields = {"my": 2047, "alternate": 1, "entries": 2015, **backup}
        pieces[2047 * 512] = gpt_header(array_crc=crc, **fields)
        pieces[fields["entries"] * 512] = array
    table = read_table(Sparse(MiB, pieces))
    assert len(table.partitions) == 1
    return table


def built(table: PartitionTable, size: int) -> tuple[Header, Header, PartitionTable]:
    """Primary and backup header, and the table read again, of what is built."""
    writes = build_table(table, size, 512)
    parts = {w.what: w for w in writes}
    again = read_table(Sparse(size, {w.offset: w.data for w in writes}))
    assert [p.code for p in again.problems if p.code.startswith("gpt.")] == []
    return (
        Header.from_sector(parts[model.PRIMARY_HEADER].data, 1),
        Header.from_sector(parts[model.BACKUP_HEADER].data, size // 512 - 1),
        again,
    )


def test_a_usable_range_made_smaller_on_purpose() -> None:
    table = odd_disk(primary={"last": 2000}, backup=None)
    first, second, again = built(table, MiB)
    assert (first.last_usable_lba, second.last_usable_lba, again.last_usable) == (2000, 2000, 2001 * 512)
    assert built(table, 2 * MiB)[0].last_usable_lba == 4096 - 34


def test_a_usable_range_over_the_backup_is_cut() -> None:
    assert built(odd_disk(primary={"last": 2040}, backup=None), MiB)[0].last_usable_lba == 2014


def test_a_usable_range_that_a_partition_leaves_is_widened() -> None:
    table = odd_disk(primary={"last": 50}, backup=None)
    assert [p.code for p in table.problems] == ["gpt.backup_missing", "gpt.entry_outside_usable"]
    assert built(table, MiB)[0].last_usable_lba == 99


def test_backup_entries_stay_where_they_were() -> None:
    table = odd_disk(primary=None, backup={"entries": 2001, "last": 1999})
    first, second, _ = built(table, MiB)
    assert (first.entries_lba, second.entries_lba, second.last_usable_lba) == (2, 2001, 1999)
    assert built(table, 2 * MiB)[1].entries_lba == 4096 - 33


def test_backup_entries_over_a_partition_go_to_the_end() -> None:
    table = odd_disk(primary=None, backup={"entries": 1000, "last": 1500}, partition=(900, 1500))
    assert built(table, MiB)[1].entries_lba == 2015


def test_intact_table_with_a_partition_over_its_backup() -> None:
    """Same size: as found. A little larger: refused, for the backup would fall on the partition."""
    table = odd_disk(primary={}, backup={}, partition=(34, 2046))
    assert minimum_size(table) == MiB
    assert sorted((w.offset, w.data) for w in build_table(table, MiB, 512)) == sorted(
        (r.extent.start, r.data) for r in table.regions
    )
    with pytest.raises(Refused, match=str(MiB + 512)):
        build_table(table, MiB + 512, 512)
    assert built(table, MiB + 32 * 512)[0].last_usable_lba == 2046


def test_no_room_for_primary_entries_is_refused() -> None:
    with pytest.raises(Refused, match="first usable LBA 20"):
        build_table(odd_disk(primary=None, backup={"first": 20}), MiB, 512)


def test_a_header_array_over_the_protective_mbr_is_not_believed() -> None:
    for entries in (0, 1):
        with pytest.raises(Corrupt):
            Header.from_sector(gpt_header(my=2047, alternate=1, entries=entries), 2047)


def test_protective_record_keeps_its_flag_or_its_own_place() -> None:
    flagged = odd_disk(primary={}, backup={}, protective=record(0xEE, 1, 2047, 0x80))
    zero = build_table(flagged, 2 * MiB, 512)[-1].data
    assert (zero[446], zero[454:462]) == (0x80, struct.pack("<II", 1, 4095))
    placed = odd_disk(primary={}, backup={}, protective=record(0xEE, 2, 2046))
    zero = build_table(placed, 2 * MiB, 512)[-1].data
    assert zero[446:512] == record(0xEE, 2, 2046) + bytes(48) + b"\x55\xaa"


def test_damaged_regions_never_become_a_table(image: Image) -> None:
    table = read(image("gpt"))
    for spoilt, at in ((model.PRIMARY_HEADER, 60), (model.PRIMARY_ENTRIES, 100)):
        regions = tuple(
            replace(r, data=r.data[:at] + b"\x99" + r.data[at + 1 :]) if r.what == spoilt else r for r in table.regions
        )
        with pytest.raises(Corrupt):
            build_table(replace(table, regions=regions), 128 * MiB, 512)
    with pytest.raises(Corrupt):
        build_table(replace(table, regions=()), table.disk_size, 512)
    with pytest.raises(Corrupt):
        build_table(replace(read(image("mbr")), regions=()), table.disk_size, 512)


@pytest.mark.parametrize("name", ["gpt", "gpt-4kn", "gpt-hybrid", "mbr-logicals", "gpt-grown"])
def test_after_wiping_no_table_is_recognised(image: Image, tmp_path: Path, name: str) -> None:
    path = tmp_path / "w.img"
    path.write_bytes(image(name).read_bytes())
    size = path.stat().st_size
    extents = wipe_extents(size, 512)
    assert extents.total <= 2 * MiB + 512
    for start, end in extents:
        poke(path, start, bytes(end - start))
    assert path.stat().st_size == size
    assert read(path).scheme is Scheme.NONE
    assert read(path).problems == ()
    assert "PTTYPE" not in run("blkid", "-p", path, ok=(0, 2))


def test_wipe_of_small_and_odd_disks() -> None:
    assert list(wipe_extents(0, 512)) == []
    assert list(wipe_extents(700, 512)) == [Extent(0, 700)]
    assert list(wipe_extents(2 * MiB, 512)) == [Extent(0, 2 * MiB)]
    assert list(wipe_extents(10 * MiB + 700, 4096)) == [Extent(0, MiB), Extent(9 * MiB, 10 * MiB + 700)]
