"""The stored form of a table, the layouts, and the names of types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.base.errors import Corrupt
from formats.base.source import FileSource
from formats.table import layout
from formats.table.detect import read_table
from formats.table.gpt import FAST_ENTRY, decode_name
from formats.table.gpt_header import Header
from formats.table.model import PRIMARY_ENTRIES, PartitionTable
from formats.table.types import GPT_TYPES, MBR_TYPES, gpt_type_name, mbr_type_name
from tests.support.table_images import GENERATORS, peek
from tests.support.tools import need, run

Image = Callable[[str], Path]


def read(path: Path) -> PartitionTable:
    with FileSource(path) as source:
        return read_table(source)


@pytest.mark.parametrize("name", GENERATORS)
def test_json_round_trip_is_exact(image: Image, name: str) -> None:
    table = read(image(name))
    text = json.dumps(table.to_json(), allow_nan=False)
    assert PartitionTable.from_json(json.loads(text)) == table


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scheme", "apm"),
        ("sector_size", 500),
        ("sector_size", True),
        ("disk_size", -1),
        ("disk_size", 1 << 64),
        ("disk_id", None),
        ("hybrid", 0),
        ("partitions", {}),
        ("partitions", [[]]),
        ("containers", [[5, 4]]),
        ("containers", [[0, 1 << 40]]),
        ("regions", [{"extent": [0, 2], "data": "AA==", "what": "x"}]),
        ("regions", [{"extent": [0, 1], "data": "A", "what": "x"}]),
        ("regions", [{"extent": [0, 1], "data": "ÄÖÜ=", "what": "x"}]),
    ],
)
def test_json_with_a_wrong_value(image: Image, field: str, value: object) -> None:
    stored = {**read(image("gpt")).to_json(), field: value}
    with pytest.raises(Corrupt, match=field):
        PartitionTable.from_json(stored)


def test_layout_sizes_are_those_of_the_specification() -> None:
    sizes = [x.sizeof() for x in (layout.PartitionRecord, layout.MasterBootRecord, layout.GptHeader, layout.GptEntry)]
    assert sizes == [16, 512, 92, 128]


def test_fast_entry_agrees_with_the_layout(image: Image) -> None:
    assert FAST_ENTRY.size == layout.GptEntry.sizeof()
    region = read(image("gpt")).region(PRIMARY_ENTRIES)
    assert region is not None
    for at in range(0, 8 * 128, 128):
        slow = layout.GptEntry.parse(region.data[at : at + 128])
        assert FAST_ENTRY.unpack_from(region.data, at) == tuple(v for k, v in slow.items() if k != "_io")


def test_a_header_moved_to_where_it_was_is_the_same(image: Image) -> None:
    for name, at, size in (("gpt", 512, 512), ("gpt-4kn", 4096, 4096)):
        sector = peek(image(name), at, size)
        header = Header.from_sector(sector, 1)
        moved = header.moved(
            my_lba=1,
            alternate_lba=header.alternate_lba,
            last_usable_lba=header.last_usable_lba,
            entries_lba=header.entries_lba,
            entries_crc=header.entries_crc,
        )
        assert moved.sector == sector
        assert moved == header


def test_names_never_raise() -> None:
    assert decode_name("äöü".encode("utf-16-le").ljust(72, b"\0")) == "äöü"
    assert decode_name("A".encode("utf-16-le") + b"\0\0" + b"\xff" * 68) == "A"
    assert decode_name(b"\x00\xd8" + b"\0" * 70) == "\ufffd"
    assert decode_name("😀".encode("utf-16-le") * 18) == "😀" * 18
    assert decode_name(b"\x00\x41" * 36) == "\u4100" * 36  # a zero byte is no NUL
    assert decode_name(bytes(72)) == ""


def test_type_guids_are_those_of_sfdisk() -> None:
    need("sfdisk")
    listed = run("sfdisk", "--list-types", "--label", "gpt")
    theirs = {m[1].upper(): m[2] for m in re.finditer(r"^([0-9A-Fa-f-]{36})\s+(.*)$", listed, re.MULTILINE)}
    luks_and_dm = {"CA7D7CCB-63ED-4C53-861C-1742536059CC", "7FFEC5C9-2D00-49B7-8941-3EA10A5586B7"}
    assert set(GPT_TYPES) - set(theirs) == luks_and_dm  # not in the list of util-linux 2.38
    for guid in set(GPT_TYPES) & set(theirs):
        first = re.findall(r"[a-z]+", theirs[guid].lower())[0]
        ours = GPT_TYPES[guid].lower()
        assert first in ours or (first == "microsoft" and "windows" in ours), (guid, theirs[guid])


def test_type_codes_are_those_of_sfdisk() -> None:
    need("sfdisk")
    listed = run("sfdisk", "--list-types", "--label", "dos")
    theirs = {int(m[1], 16): m[2] for m in re.finditer(r"^\s*([0-9a-f]{1,2})\s+(\S.*)$", listed, re.MULTILINE)}
    assert set(MBR_TYPES) <= set(theirs)


def test_names_of_types() -> None:
    assert gpt_type_name("C12A7328-F81F-11D2-BA4B-00A0C93EC93B") == "EFI system partition"
    assert gpt_type_name("00000000-0000-0000-0000-000000000001") == "unknown type"
    assert (mbr_type_name(0x83), mbr_type_name(0x99)) == ("Linux", "unknown type")
