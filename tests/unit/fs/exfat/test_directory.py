"""Entry sets of exFAT."""

from __future__ import annotations

import struct

import construct
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs.exfat.directory import ALLOCATION, FILE, STREAM, DirectoryParser, Fault, File, System, set_checksum
from fs.exfat.layout import (
    BitmapEntry,
    BootSector,
    FileEntry,
    LabelEntry,
    NameEntry,
    StreamEntry,
    UpcaseEntry,
    VendorAllocationEntry,
)


def file_set(
    name: str, cluster: int, size: int, *, attributes: int = 0x20, flags: int = 1, extra: bytes = b""
) -> bytes:
    """A File entry set with a right checksum. `flags`: 1 chain, 3 contiguous."""
    text = name.encode("utf-16-le")
    units = len(text) // 2
    names = b"".join(
        b"\xc1\0" + text[i : i + 30].ljust(30, b"\0") for i in range(0, len(text), 30)
    )  # fmt: skip
    stream = struct.pack("<BBBBHHQIIQ", 0xC0, flags, 0, units, 0, 0, size, 0, cluster, size)
    rest = stream + names + extra
    head = struct.pack("<BBHH26x", 0x85, len(rest) // 32, 0, attributes)
    total = set_checksum(head + rest)
    return head[:2] + struct.pack("<H", total) + head[4:] + rest


@pytest.mark.parametrize(
    ("fast", "layout"), [(ALLOCATION, BitmapEntry), (FILE, FileEntry), (STREAM, StreamEntry)]
)  # fmt: skip
@given(raw=st.binary(min_size=32, max_size=32))
def test_fast_entries_equal_layouts(fast: struct.Struct, layout: construct.Struct, raw: bytes) -> None:
    slow = layout.parse(raw)
    assert list(fast.unpack(raw)) == [slow[k] for k in slow if not k.startswith("_")]


@given(st.binary(min_size=32, max_size=32))
def test_allocation_lies_in_the_same_place_everywhere(raw: bytes) -> None:
    _, _, _, cluster, size = ALLOCATION.unpack(raw)
    for layout in (BitmapEntry, UpcaseEntry, StreamEntry, VendorAllocationEntry):
        slow = layout.parse(raw)
        assert (slow.FirstCluster, slow.DataLength) == (cluster, size)


def test_sizes() -> None:
    assert BootSector.sizeof() == 512
    assert {LabelEntry.sizeof(), NameEntry.sizeof(), UpcaseEntry.sizeof()} == {32}


def test_a_set_split_over_blocks() -> None:
    data = file_set("a name of more than fifteen units", 5, 1000, flags=3) + bytes(32)
    parser = DirectoryParser()
    found = [item for at in range(0, len(data), 32) for item in parser.feed(data[at : at + 32])]
    (item,) = found
    assert isinstance(item, File)
    assert (item.name, item.stream.cluster, item.stream.size, item.stream.contiguous) == (
        "a name of more than fifteen units", 5, 1000, True,
    )  # fmt: skip
    assert parser.ended


def test_wrong_checksum_is_reported_and_the_file_kept() -> None:
    data = bytearray(file_set("x", 5, 10))
    data[2] ^= 1
    fault, item = DirectoryParser().feed(bytes(data))
    assert isinstance(fault, Fault)
    assert fault.code == "exfat.set_checksum"
    assert isinstance(item, File)


def test_incomplete_and_stray_entries() -> None:
    whole = file_set("x", 5, 10)
    parser = DirectoryParser()
    found = list(parser.feed(whole[:64] + whole + whole[32:64]))
    assert [f.code if isinstance(f, Fault) else f.name for f in found] == [
        "exfat.set_incomplete", "x", "exfat.stray_entry",
    ]  # fmt: skip
    list(parser.feed(whole[:32]))
    assert [f.code for f in parser.close()] == ["exfat.set_incomplete"]
    assert list(parser.close()) == []


def test_unused_entries_and_vendor_allocations() -> None:
    vendor = struct.pack("<BB18xIQ", 0xE1, 3, 9, 4096)
    data = b"\x05" + bytes(31) + file_set("v", 5, 10, extra=vendor)
    (item,) = DirectoryParser().feed(data)
    assert isinstance(item, File)
    assert [(a.cluster, a.size, a.contiguous) for a in item.vendor] == [(9, 4096, True)]


def test_system_entries() -> None:
    data = struct.pack("<BB18xIQ", 0x81, 1, 2, 100) + struct.pack("<BB18xIQ", 0x82, 0, 3, 5836)
    first, second = DirectoryParser().feed(data)
    assert isinstance(first, System)
    assert isinstance(second, System)
    assert (first.kind, first.flags, second.kind) == (0x81, 1, 0x82)
    assert not first.allocation.contiguous


@given(st.binary(max_size=2048))
def test_any_bytes(raw: bytes) -> None:
    parser = DirectoryParser()
    for item in [*parser.feed(raw), *parser.close()]:
        if isinstance(item, File):
            assert 0 <= item.stream.size < 2**64
