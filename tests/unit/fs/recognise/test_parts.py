"""The helpers: pages, texts, layouts."""

from __future__ import annotations

import uuid

import pytest
from construct import Int16ul, Int32ul
from hypothesis import given
from hypothesis import strategies as st

from formats.base.source import MemorySource
from fs.recognise import text
from fs.recognise.layout import at
from fs.recognise.peek import AHEAD, LIMIT, PAGE, Peek
from tests.support.sources import BadSectorSource, WatchedSource


@given(st.binary(max_size=3 * PAGE), st.integers(-10, 4 * PAGE), st.integers(-1, 4 * PAGE))
def test_peek_is_exact_or_empty(data: bytes, offset: int, length: int) -> None:
    peek = Peek(MemorySource(data))
    inside = offset >= 0 and length > 0 and offset + length <= len(data)
    assert peek.get(offset, length) == (data[offset : offset + length] if inside else b"")
    assert peek.unreadable == []


def test_peek_reads_each_page_once_and_never_much() -> None:
    source = WatchedSource(MemorySource(bytes(range(256)) * (8 << 12)))  # 8 MiB
    peek = Peek(source)
    assert (source.reads, source.bytes_read) == (1, AHEAD)
    for _ in range(3):
        assert peek.get(4 << 20, 16) == bytes(range(16))
        assert peek.get(1000, 24) == bytes(range(1000 % 256, 1000 % 256 + 24))
    assert source.bytes_read == AHEAD + PAGE
    assert peek.get(0, LIMIT + 1) == b""


def test_peek_around_a_bad_sector() -> None:
    data = bytes([7]) * (1 << 20)
    peek = Peek(BadSectorSource(MemorySource(data), [(70_000, 70_001), (900_000, 900_512)]))
    assert peek.get(0, 65536) == data[:65536]
    assert peek.get(69_632, 16) == b"" and peek.get(65_536, 8192) == b""
    assert peek.get(73_728, 16) == data[:16]
    assert [tuple(extent) for extent in peek.unreadable] == [(69_632, 73_728)]
    assert peek.get(900_000, 4) == b""
    assert len(peek.unreadable) == 2


def test_uuid_spellings() -> None:
    value = uuid.UUID("6f1c2d3e-4a5b-4c6d-8e9f-a0b1c2d3e4f5")
    assert text.uuid_text(value.bytes) == str(value)
    assert text.guid_text(value.bytes_le) == str(value)
    assert text.uuid_text(bytes(16)) == ""
    assert text.serial_text(0x12AB0C0D) == "12AB-0C0D"


def test_hfs_uuid_is_a_version_3_uuid() -> None:
    space = uuid.UUID(bytes=text.HFS_NAME_SPACE)
    finder_id = bytes(range(8))
    made = uuid.UUID(text.hfs_uuid_text(finder_id))
    assert made.version == 3
    # The standard's own function takes text; this identifier happens to be both.
    assert made == uuid.uuid3(space, finder_id.decode("ascii"))


@pytest.mark.parametrize(
    ("volume_set", "digits"),
    [
        ("54aeb252LinuxUDF", "54aeb2524c696e75"),
        ("3B4A858DC4B57A72LinuxUDF", "3b4a858dc4b57a72"),
        ("5ABC Disc of the year", "3541424320446973"),
        ("short", ""),
    ],
)
def test_udf_uuid(volume_set: str, digits: str) -> None:
    assert text.udf_uuid_text(volume_set) == digits


@given(st.binary(min_size=32, max_size=32))
def test_dstring_never_fails(raw: bytes) -> None:
    assert "\0" not in text.dstring_text(raw)


def test_layout_fields_must_not_overlap() -> None:
    assert at(8, (2, "value", Int16ul)).parse(b"\1\2\3\4\5\6\7\x08").value == 0x0403
    with pytest.raises(ValueError, match="begins inside the field before it"):
        at(8, (0, "first", Int32ul), (2, "second", Int16ul))
