"""Directory entries and names."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from fs.chainwalk import join_path
from fs.fat.directory import ENTRY, MAX_ENTRIES, DirectoryParser
from fs.fat.layout import (
    BPB16_SIZE,
    BPB32_SIZE,
    BpbCommon,
    BpbFat16,
    BpbFat32,
    DirEntry,
    FsInfo,
    LongEntry,
)
from fs.fat.names import short_checksum, short_name


def entry(name: bytes, attributes: int = 0x20, cluster: int = 0, size: int = 0, flags: int = 0) -> bytes:
    return struct.pack(
        "<11sBB7xHHHHI", name, attributes, flags, cluster >> 16, 0, 0, cluster & 0xFFFF, size
    )  # fmt: skip


def long_entries(name: str, short: bytes) -> bytes:
    text = name.encode("utf-16-le")
    if len(text) % 26:
        text += b"\0\0"
        text += b"\xff" * (-len(text) % 26)
    parts = [text[i : i + 26] for i in range(0, len(text), 26)]
    total = short_checksum(short)
    made = []
    for number, part in enumerate(parts, 1):
        order = number | (0x40 if number == len(parts) else 0)
        made.append(bytes([order]) + part[:10] + bytes([15, 0, total]) + part[10:22] + b"\0\0" + part[22:])
    return b"".join(reversed(made))


def test_layouts_agree() -> None:
    assert BpbCommon.sizeof() + BpbFat16.sizeof() == BPB16_SIZE
    assert BpbCommon.sizeof() + BpbFat32.sizeof() == BPB32_SIZE
    assert FsInfo.sizeof() == 512
    assert ENTRY.size == DirEntry.sizeof() == LongEntry.sizeof() == 32


@given(st.binary(min_size=32, max_size=32))
def test_fast_entry_equals_layout(raw: bytes) -> None:
    slow = DirEntry.parse(raw)
    fields = [slow[k] for k in slow if not k.startswith("_")]
    assert list(ENTRY.unpack(raw)) == fields


def test_short_names() -> None:
    assert short_name(b"README  TXT") == "README.TXT"
    assert short_name(b"README  TXT", 0x18) == "readme.txt"
    assert short_name(b"\x05BC        ") == "\u03c3BC"
    assert short_name(b"NOEXT      ") == "NOEXT"


@given(st.text(st.characters(codec="utf-16-le", exclude_characters="\0"), min_size=1, max_size=120))
def test_long_name_comes_back(name: str) -> None:
    short = b"SHORT~1 TXT"
    data = long_entries(name, short) + entry(short, cluster=0x12345, size=7) + bytes(32)
    parser = DirectoryParser(wide=True)
    (found,) = parser.feed(data)
    assert (found.name, found.cluster, found.size) == (name, 0x12345, 7)
    assert parser.ended
    (narrow,) = DirectoryParser(wide=False).feed(data)
    assert narrow.cluster == 0x2345, "the high word is not part of the cluster on FAT12 and FAT16"


def test_long_name_of_another_file_is_not_used() -> None:
    data = long_entries("a long name", b"OTHER      ") + entry(b"MINE       ") + entry(b"NEXT       ")
    assert [e.name for e in DirectoryParser(wide=True).feed(data)] == ["MINE", "NEXT"]


def test_deleted_dots_labels_and_end() -> None:
    data = (
        entry(b".          ", 0x10, 5) + entry(b"..         ", 0x10) + entry(b"\xe5OLD       ")
        + entry(b"LABEL      ", 8) + entry(b"A          ") + bytes(32) + entry(b"BEHIND     ")
    )  # fmt: skip
    found = list(DirectoryParser(wide=True).feed(data))
    assert [(e.index, e.name, e.is_label) for e in found] == [(3, "LABEL", True), (4, "A", False)]


def test_limit_of_entries() -> None:
    parser = DirectoryParser(wide=False)
    block = entry(b"A          ") * 4096
    count = sum(sum(1 for _ in parser.feed(block)) for _ in range(17))
    assert (count, parser.ended, parser.too_long) == (MAX_ENTRIES, True, True)


def test_paths() -> None:
    assert join_path("\\", "A") == "\\A"
    assert join_path("\\A", "B.TXT") == "\\A\\B.TXT"
    long = "\\"
    for _ in range(1000):
        long = join_path(long, "x" * 50)
    assert len(long) == 260


@given(st.binary(max_size=2048))
def test_any_bytes(raw: bytes) -> None:
    for found in DirectoryParser(wide=True).feed(raw):
        assert 0 <= found.cluster < 2**32
