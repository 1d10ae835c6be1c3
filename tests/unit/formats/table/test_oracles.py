"""Numbers, places, types, ids, names and attributes against sfdisk, sgdisk, fdisk, partx, mmls and parted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from formats.base.source import FileSource
from formats.table.detect import read_table
from formats.table.model import PartitionTable, Provenance, Scheme
from tests.support import table_oracles as oracle
from tests.support.tools import need, need_corpora, run

Image = Callable[[str], Path]


def read(path: Path, sector_size: int | None = None) -> PartitionTable:
    with FileSource(path) as source:
        return read_table(source, sector_size)


def codes(table: PartitionTable) -> list[str]:
    return [p.code for p in table.problems]


def said_by_us(table: PartitionTable) -> list[oracle.Said]:
    size = table.sector_size
    return [
        oracle.Said(
            p.number,
            p.extent.start // size,
            p.extent.length // size,
            p.type_code if table.scheme is Scheme.GPT else f"{int(p.type_code, 16):x}",
            p.unique_id if table.scheme is Scheme.GPT else "",
            p.name,
        )
        for p in table.partitions
    ]


# Image, problems that must be told, which copy is used. sfdisk reads all of these.
SFDISK_GPT = [
    ("gpt", [], Provenance.PRIMARY),
    ("gpt-empty", [], Provenance.PRIMARY),
    ("gpt-many-entries", [], Provenance.PRIMARY),
    ("gpt-no-primary", ["gpt.primary_damaged"], Provenance.BACKUP),
    ("gpt-bad-entries", ["gpt.primary_damaged"], Provenance.BACKUP),
    ("gpt-bad-header", ["gpt.primary_damaged"], Provenance.BACKUP),
    ("gpt-no-backup", ["gpt.backup_missing"], Provenance.PRIMARY),
    ("gpt-bad-backup", ["gpt.backup_damaged"], Provenance.PRIMARY),
    ("gpt-grown", ["gpt.backup_not_at_end"], Provenance.PRIMARY),
    ("gpt-hybrid", ["gpt.hybrid"], Provenance.PRIMARY),
]


@pytest.mark.parametrize(("name", "problems", "provenance"), SFDISK_GPT)
def test_gpt_equals_sfdisk(image: Image, name: str, problems: list[str], provenance: Provenance) -> None:
    table = read(image(name))
    head, said = oracle.sfdisk(image(name))
    assert head["label"] == "gpt"
    assert table.scheme is Scheme.GPT
    assert said_by_us(table) == said
    assert table.disk_id == head["id"]
    assert table.first_usable == int(str(head["firstlba"])) * 512
    if "grown" not in name:  # sfdisk already moves the end there
        assert table.last_usable == (int(str(head["lastlba"])) + 1) * 512
    assert codes(table) == problems
    assert table.provenance is provenance
    assert table.hybrid == (name == "gpt-hybrid")


@pytest.mark.parametrize("name", ["gpt", "gpt-no-primary", "gpt-no-pmbr", "gpt-hybrid", "gpt-many-entries"])
def test_gpt_details_equal_sgdisk(image: Image, name: str) -> None:
    table = read(image(name))
    assert table.partitions
    for part in table.partitions:
        info = oracle.sgdisk_info(image(name), part.number)
        assert info["Partition GUID code"].split()[0] == part.type_code
        assert info["Partition unique GUID"] == part.unique_id
        assert int(info["First sector"].split()[0]) * 512 == part.extent.start
        assert (int(info["Last sector"].split()[0]) + 1) * 512 == part.extent.end
        assert info["Attribute flags"] == f"{part.attributes:016X}"
        assert info["Partition name"] == f"'{part.name}'"


def test_attributes_and_names_are_there(image: Image) -> None:
    parts = {p.number: p for p in read(image("gpt")).partitions}
    assert sorted(parts) == [1, 2, 3, 7]
    assert parts[3].attributes == 1 << 63 | 1 << 2
    assert parts[3].name == "Ünï name 木"
    assert (parts[1].type_name, parts[2].type_name) == ("BIOS boot (GRUB core image)", "EFI system partition")


def test_backup_found_through_the_protective_mbr_of_a_grown_disk(image: Image) -> None:
    table = read(image("gpt-grown-no-primary"))
    assert table.partitions == read(image("gpt")).partitions
    assert codes(table) == ["gpt.primary_damaged", "gpt.backup_not_at_end"]
    assert table.problems[1].offset == (64 << 20) - 512


def test_4kn_image_file(image: Image) -> None:
    path = image("gpt-4kn")
    table = read(path)
    rows = oracle.fdisk_rows(path, 4096)
    assert len(rows) == 2
    assert [(p.number, p.extent.start, p.extent.end) for p in table.partitions] == [
        (n, a * 4096, (z + 1) * 4096) for n, a, z in rows
    ]
    assert sorted((p.extent.start // 4096, p.extent.length // 4096) for p in table.partitions) == [
        pair for pair in oracle.mmls_starts(path, "gpt", 4096) if pair in [(a, z - a + 1) for _, a, z in rows]
    ]
    assert table.sector_size == 4096
    assert codes(table) == ["gpt.sector_size"]
    assert codes(read(path, 4096)) == []
    told = read(path, 512)  # told so, and no GPT is there
    assert (told.scheme, codes(told)) == (Scheme.NONE, ["gpt.lost"])


@pytest.mark.parametrize("name", ["gpt", "gpt-hybrid"])
def test_gpt_equals_parted_and_mmls(image: Image, name: str) -> None:
    table = read(image(name))
    assert oracle.parted_rows(image(name)) == [(p.number, p.extent.start, p.extent.end - 1) for p in table.partitions]
    ours = [(p.extent.start // 512, p.extent.length // 512) for p in table.partitions]
    assert [pair for pair in oracle.mmls_starts(image(name), "gpt") if pair[1] > 64] == ours


MBR = ["mbr", "mbr-logicals", "mbr-unordered", "mbr-empty"]


@pytest.mark.parametrize("name", MBR)
def test_mbr_equals_sfdisk(image: Image, name: str) -> None:
    table = read(image(name))
    head, said = oracle.sfdisk(image(name))
    assert (table.scheme, f"0x{table.disk_id}") == (Scheme.MBR, head["id"])
    assert said_by_us(table) == said
    assert codes(table) == []


@pytest.mark.parametrize("name", [*MBR, "mbr-two-extended", "mbr-loop"])
def test_mbr_numbers_and_ids_equal_libblkid(image: Image, name: str) -> None:
    table = read(image(name))
    starts = {c.start // 512 for c in table.containers}
    said = [row for row in oracle.partx(image(name)) if row[1] not in starts or row[0] > 4]
    ours = [(p.number, p.extent.start // 512, p.extent.length // 512, p.unique_id) for p in table.partitions]
    # libblkid walks a loop up to its limit of partitions; the first round is the same
    assert ours == (said[: len(ours)] if name == "mbr-loop" else said)


@pytest.mark.parametrize("name", ["mbr", "mbr-logicals", "mbr-unordered"])
def test_mbr_equals_mmls(image: Image, name: str) -> None:
    table = read(image(name))
    ours = sorted((p.extent.start // 512, p.extent.length // 512) for p in table.partitions)
    assert [pair for pair in oracle.mmls_starts(image(name), "dos") if pair in ours] == ours


def test_mbr_details(image: Image) -> None:
    table = read(image("mbr"))
    assert [(p.type_code, p.type_name, p.attributes) for p in table.partitions] == [
        ("0x07", "NTFS or exFAT", 0x80),
        ("0x0C", "FAT32 (LBA)", 0),
        ("0x83", "Linux", 0),
    ]
    logicals = read(image("mbr-logicals"))
    assert [p.number for p in logicals.partitions] == [1, *range(5, 17)]
    assert [p.logical for p in logicals.partitions] == [False] + [True] * 12
    assert logicals.partitions[6].unique_id == "0badcafe-0a"
    assert [(c.start // 512, c.length // 512) for c in logicals.containers] == [(12288, 110592)]


def test_loop_ends_and_says_where(image: Image) -> None:
    table = read(image("mbr-loop"))
    assert table.partitions == read(image("mbr-logicals")).partitions
    assert [(p.code, p.offset) for p in table.problems] == [("mbr.ebr_loop", 20480 * 512)]


def test_corpus_gptman() -> None:
    tables = need_corpora() / "tables"
    table = read(tables / "gptman-disk1.img")
    assert said_by_us(table) == oracle.sfdisk(tables / "gptman-disk1.img")[1]
    assert codes(table) == []
    big = read(tables / "gptman-disk2.img")
    assert [(p.number, p.extent.start // 4096, p.extent.end // 4096 - 1) for p in big.partitions] == (
        oracle.fdisk_rows(tables / "gptman-disk2.img", 4096)
    )


def test_corpus_head_of_a_hybrid_disk() -> None:
    table = read(need_corpora() / "tables" / "gpt_hybrid.bin")
    assert (table.scheme, table.hybrid, table.provenance) == (Scheme.GPT, True, Provenance.PRIMARY)
    assert codes(table).count("gpt.entry_beyond_disk") == 2
    assert [(p.number, p.extent.start // 512, p.extent.end) for p in table.partitions] == [(2, 34, 32768)]
    assert {"gpt.disk_shrunk", "gpt.entry_cut", "gpt.backup_missing"} <= set(codes(table))


def test_corpus_windows_chain(tmp_path: Path) -> None:
    run("tar", "xf", need_corpora() / "tables" / "mbr-win-512.raw.tgz", "-C", tmp_path)
    path = tmp_path / "mbr-win-512.raw"
    table = read(path)
    assert [p.number for p in table.partitions] == [1, 2, 3, 5, 6, 7, 8]
    assert said_by_us(table) == oracle.sfdisk(path)[1]


@pytest.mark.parametrize(
    ("name", "scheme", "problems"),
    [
        ("dos+bsd", Scheme.MBR, []),
        ("sgi", Scheme.NONE, ["table.unknown_label"]),
        ("atari-xgm", Scheme.NONE, []),
        ("dasd-cdl", Scheme.NONE, []),
    ],
)
def test_corpus_other_labels(tmp_path: Path, name: str, scheme: Scheme, problems: list[str]) -> None:
    need("xz")
    source = need_corpora() / "detect" / "util-linux" / f"{name}.img.xz"
    path = tmp_path / "disk.img"
    run("sh", "-c", f"xz -dc '{source}' > '{path}'")
    table = read(path)
    assert (table.scheme, codes(table)) == (scheme, problems)
    if name == "dos+bsd":  # the expected file's two primaries; the BSD slices stay inside the second
        assert said_by_us(table) == [
            oracle.Said(1, 32, 7648, "83", "", ""),
            oracle.Said(2, 7680, 8704, "a5", "", ""),
        ]
        assert [p.unique_id for p in table.partitions] == ["8f8378c0-01", "8f8378c0-02"]
