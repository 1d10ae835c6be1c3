"""FORMAT.md is the specification: its tables, the construct layouts and the fast structs must say the same."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from types import ModuleType

import pytest

import formats.archive
from formats.archive import index, layout, reader, record, segment, verify, window, writer
from formats.archive.layout import Kind

TEXT = (Path(formats.archive.__path__[0]) / "FORMAT.md").read_text()
TABLE = re.compile(r"<!-- layout: (\w+) -->\n\| offset \| size \| name \| meaning \|\n\|[-|]+\n((?:\|.*\n)+)")


def tables() -> dict[str, list[tuple[int, int, str]]]:
    found = {}
    for name, body in TABLE.findall(TEXT):
        rows = []
        for line in body.strip().splitlines():
            offset, size, field, _ = [cell.strip() for cell in line.strip().strip("|").split("|", 3)]
            rows.append((int(offset), int(size), field))
        found[name] = rows
    return found


@pytest.mark.parametrize("name", sorted(tables()))
def test_table_equals_layout(name: str) -> None:
    structure = getattr(layout, name)
    rows = tables()[name]
    assert [field for _, _, field in rows] == [sub.name for sub in structure.subcons]
    at = 0
    for (offset, size, field), sub in zip(rows, structure.subcons, strict=True):
        assert (offset, size) == (at, sub.sizeof()), f"{name}.{field}"
        at += size
    assert at == structure.sizeof()


def test_every_layout_is_specified() -> None:
    defined = {n for n, v in vars(layout).items() if hasattr(v, "subcons")}
    assert defined == set(tables())


FAST: list[tuple[ModuleType, str, str]] = [
    (writer, "_MAP", "MapHead"),
    (writer, "_REFERENCE", "ReferencePayload"),
    (writer, "_CHECKPOINT", "CheckpointHead"),
    (writer, "_FOOTER", "Footer"),
    (writer, "_PART", "PartHead"),
    (reader, "_CHECKPOINT", "CheckpointHead"),
    (segment, "_SEGMENT", "SegmentHead"),
    (segment, "_SPAN", "SpanHead"),
    (index, "_ENTRY", "IndexEntry"),
    (window, "_TARGET", "ReferencePayload"),
]


@pytest.mark.parametrize(("module", "fast", "slow"), FAST, ids=lambda v: getattr(v, "__name__", v))
def test_fast_struct_reads_what_the_layout_reads(module: ModuleType, fast: str, slow: str) -> None:
    quick: struct.Struct = getattr(module, fast)
    structure = getattr(layout, slow)
    assert quick.size == structure.sizeof()
    data = bytes(i * 37 % 256 for i in range(quick.size))
    parsed = structure.parse(data)
    assert list(quick.unpack(data)) == [parsed[sub.name] for sub in structure.subcons]


def test_record_header_reads_what_the_layout_reads() -> None:
    payload = record.encode(b"some plain bytes" * 20, 1)
    data = record.pack_header(bytes(range(16)), Kind.BLOCK, 3, 77, 5, payload)
    slow = layout.RecordHeader.parse(data)
    fast = record.parse_header(data, 1000)
    assert len(data) == layout.HEADER_SIZE == layout.RecordHeader.sizeof()
    for name in ("archive_id", "kind", "codec", "volume", "number", "sequence", "plain_size", "stored_size", "digest"):
        assert getattr(fast, name) == slow[name]
    assert slow.frame_size == layout.HEADER_SIZE - 8
    assert verify._CHAIN.size == layout.CheckpointHead.previous.sizeof() + layout.CheckpointHead.chain.sizeof()


def test_kinds_are_those_of_the_specification() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z]+) \|", TEXT, re.MULTILINE)
    assert {(int(n), name) for n, name in rows} == {(int(k), k.name) for k in Kind}


def test_magics_are_those_of_the_specification() -> None:
    assert f"0x{layout.SKIPPABLE_MAGIC:08X}" in TEXT
    assert " ".join(f"{b:02X}" for b in layout.RECORD_MAGIC) in TEXT


def test_the_dump_is_that_of_the_golden_archive() -> None:
    data = (Path(__file__).resolve().parents[3] / "golden/v1/rewritten.jmi").read_bytes()
    lines = re.findall(r"^    ([0-9a-f]{6})  ((?:[0-9a-f]{2} ?){16})", TEXT, re.MULTILINE)
    assert len(lines) == 9 + 16
    for offset, row in lines:
        assert data[int(offset, 16) :][:16] == bytes.fromhex(row)
