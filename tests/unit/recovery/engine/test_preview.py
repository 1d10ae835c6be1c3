"""Files as text and bytes: everything is shown once, in order, and nothing that controls a terminal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.base.errors import DeviceError
from recovery.engine.preview import Encoding, Glance, Text, guess, hex_lines

SAMPLE = "Grüße\taus Köln — 日本語のテキスト 😀\r\nzweite Zeile\n\nlange " + "wort " * 60 + "\n"


class Held:
    """`bad`: ranges that cannot be read. `asked`: every read."""

    def __init__(self, data: bytes, bad: tuple[tuple[int, int], ...] = ()) -> None:
        self.data, self.bad, self.size = data, bad, len(data)
        self.asked: list[tuple[int, int]] = []

    def read_at(self, offset: int, length: int) -> bytes:
        self.asked.append((offset, length))
        assert offset >= 0 and offset + length <= self.size
        if any(a < offset + length and offset < b for a, b in self.bad):
            raise DeviceError("disk", "read", offset, length, 5)
        return self.data[offset : offset + length]


def pages(data: bytes, encoding: Encoding, width: int = 40, count: int = 7) -> list[tuple[int, str]]:
    text = Text(Glance(Held(data)), encoding, width)
    at, lines = text.first, []
    while at < len(data):
        page = text.page(at, count)
        assert page.end > at and len(page.lines) <= count
        lines += page.lines
        at = page.end
    return [(line.offset, line.text) for line in lines]


@pytest.mark.parametrize(
    ("codec", "encoding"),
    [
        ("utf-8", Encoding.UTF8),
        ("utf-8-sig", Encoding.UTF8),
        ("utf-16", Encoding.UTF16LE),
        ("cp1252", Encoding.WESTERN),
    ],
)
def test_encodings_are_guessed_and_every_letter_is_shown(codec: str, encoding: Encoding) -> None:
    sample = SAMPLE if codec != "cp1252" else "Grüße aus Köln – „gut“\r\n" * 40
    data = sample.encode(codec)
    assert guess(data, whole=True) is encoding
    lines = [line for _, line in pages(data, encoding)]
    letters = "".join(lines).replace(" ", "")
    assert letters == "".join(sample.split())


def test_big_endian_and_what_is_no_text() -> None:
    data = b"\xfe\xff" + SAMPLE.encode("utf-16-be")
    assert guess(data, whole=True) is Encoding.UTF16BE
    assert "".join(line for _, line in pages(data, Encoding.UTF16BE)).startswith("Grüße")
    assert guess(Path("/bin/true").read_bytes()[:4096], whole=False) is None
    assert guess(bytes(range(1, 32)) * 40, whole=True) is None
    cut = SAMPLE.encode()[: SAMPLE.encode().index("日".encode()) + 1]
    assert guess(cut, whole=False) is Encoding.UTF8 and guess(cut, whole=True) is Encoding.WESTERN


@given(st.binary(max_size=2000), st.sampled_from(list(Encoding)), st.integers(8, 90), st.integers(1, 30))
def test_any_bytes_are_shown_to_their_end_without_a_control_character(
    data: bytes, encoding: Encoding, width: int, count: int
) -> None:
    lines = pages(data, encoding, width, count)
    offsets = [offset for offset, _ in lines]
    assert offsets == sorted(offsets)
    assert all(char.isprintable() for _, line in lines for char in line)
    assert all(len(line) <= 4 * width + 8 for _, line in lines)


def test_going_back_finds_the_same_lines() -> None:
    data = (SAMPLE * 300).encode()
    text = Text(Glance(Held(data)), Encoding.UTF8, 60)
    starts = [offset for offset, _ in pages(data, Encoding.UTF8, 60)]
    for n in (1, 5, 40, 700, len(starts) - 1):
        for back in (1, 3, 20):
            assert text.back(starts[n], back) == starts[max(0, n - back)]
    assert text.back(0, 5) == 0
    endless = Text(Glance(Held(b"x" * 200_000)), Encoding.UTF8, 76)
    assert 0 <= endless.back(100_000, 20) < 100_000


def test_only_a_window_is_read_and_damage_is_told_in_its_place() -> None:
    reader = Held(bytes(range(256)) * (64 << 10), ((5 << 20, (5 << 20) + 512),))
    glance = Glance(reader)
    chunk = glance.read((5 << 20) - 256, 1024)
    assert chunk.bad == ((5 << 20, (5 << 20) + 512),) and "read" in glance.reason
    lines = hex_lines(chunk, reader.size)
    assert sum("?? ??" in line for line in lines) == 32 and "??" not in lines[15] and "??" not in lines[48]
    assert sum(length for _, length in reader.asked) < 1 << 20
    dead = Held(bytes(1 << 20), ((0, 1 << 20),))
    assert Glance(dead).read(0, 1 << 16).bad == ((0, 1 << 16),) and len(dead.asked) <= 16


def test_hex_is_what_od_shows(tmp_path: Path) -> None:
    data = bytes(range(256)) + b"tail"
    (tmp_path / "file").write_bytes(data)
    theirs = subprocess.run(["od", "-An", "-v", "-tx1", tmp_path / "file"], capture_output=True, text=True, check=True)
    lines = hex_lines(Glance(Held(data)).read(0, len(data)), len(data))
    assert [line[10:59].split() for line in lines] == [line.split() for line in theirs.stdout.splitlines()]
    assert max(map(len, lines)) <= 78 and lines[4].endswith("@ABCDEFGHIJKLMNO")
    assert max(map(len, hex_lines(Glance(Held(data)).read(0, 64), 1 << 60))) <= 78
