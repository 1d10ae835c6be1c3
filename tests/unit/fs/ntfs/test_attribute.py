"""Attributes, lists and streams that no generator makes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.base.errors import Corrupt, Truncated
from formats.base.source import FileSource, MemorySource
from fs.ntfs.attribute import DATA, Attribute, attribute_label, attributes, list_entries, utf16
from fs.ntfs.runlist import HOLE
from fs.ntfs.stream import Stream
from fs.ntfs.volume import open_volume
from tests.support.ntfs_images import record_of


def part(lowest: int, runs: tuple[tuple[int, int, int], ...], size: int = 0, initialized: int = 0) -> Attribute:
    highest = runs[-1][0] + runs[-1][2] - 1
    return Attribute(
        DATA, "", 0, 0, 40, 0, lowest_vcn=lowest, highest_vcn=highest,
        allocated_size=size, data_size=size, initialized_size=initialized, runs=runs,
    )  # fmt: skip


DISK = MemorySource(b"".join(bytes([i]) * 512 for i in range(64)))


def test_a_stream_is_put_together_from_its_parts_in_any_order() -> None:
    parts = [part(4, ((4, 9, 1),)), part(0, ((0, 7, 2), (2, HOLE, 1), (3, 3, 1)), 2500, 2200)]
    stream = Stream(DISK, 512, parts, "test")
    whole = b"\7" * 512 + b"\x08" * 512 + bytes(512) + b"\3" * 512 + b"\x09" * 152 + bytes(300)
    assert stream.read_at(0, 2500) == whole
    for start, length in ((0, 0), (1000, 30), (1500, 600), (2190, 310), (2499, 1)):
        assert stream.read_at(start, length) == whole[start : start + length]
    assert [stream.locate(n) for n in (0, 1023, 1024, 1536, 2048)] == [3584, 4607, -1, 1536, 4608]
    assert not stream.solid(2048)
    assert stream.solid(1024)
    with pytest.raises(Truncated):
        stream.read_at(2400, 101)


@pytest.mark.parametrize(
    "parts",
    [
        [part(1, ((1, 7, 2),), 1024, 1024)],
        [part(0, ((0, 7, 2),), 2048, 0), part(3, ((3, 9, 1),))],
        [part(0, ((0, 7, 2),), 1025, 0)],
        [part(0, ((0, 7, 2),), 100, 101)],
        [part(0, ((0, 7, 2),), 100, 0), Attribute(DATA, "", 0, 0, 40, 0, b"resident", data_size=8)],
    ],
)
def test_parts_that_do_not_fit_are_corrupt(parts: list[Attribute]) -> None:
    with pytest.raises(Corrupt):
        Stream(DISK, 512, parts, "test")


def test_names_that_are_not_utf16_and_labels() -> None:
    assert utf16(b"\x00\xd8a\x00") == "\ud800a"
    assert attribute_label(DATA, "a\ud800\nb") == "$DATA:a\ufffd\ufffdb"
    assert attribute_label(0x7777, "") == "attribute 0x7777"


def test_an_attribute_that_leaves_its_record_is_named_with_its_place() -> None:
    good = struct.pack("<IIBBHHHIHBB", 0x10, 0x18, 0, 0, 0, 0, 0, 0, 0x18, 0, 0)
    data = bytes(0x30) + good + good[:4] + struct.pack("<I", 0x19) + good[8:] + b"\xff" * 8
    found = attributes(data, 0, 0x30, len(data), 9, 100, 0x5000)
    assert next(found).type == 0x10
    with pytest.raises(Corrupt) as caught:
        next(found)
    assert caught.value.offset == 0x5000 + 0x48
    assert "MFT record 9" in str(caught.value)


def test_attribute_list_of_ntfs_3g(image: Callable[[str], Path]) -> None:
    path = image("rich")
    number = record_of(path, "linked.bin")
    with FileSource(path) as source:
        mft = open_volume(source).mft
        found = mft.attributes(number)
        stream = mft.open(found, 0x20, number)
        assert stream is not None
        entries = list(list_entries(stream.read_at(0, stream.size), number, 0))
        data = mft.open(found, DATA, number)
        assert data is not None
        assert data.read_at(0, data.size) == b"hard linked" * 500
    listed = {(e.record, e.type, e.name, e.lowest_vcn) for e in entries}
    assert {(a.record, a.type, a.name, a.lowest_vcn) for a in found if a.type != 0x20} == listed
