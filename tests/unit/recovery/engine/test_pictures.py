"""Heads of pictures, made by hand from the specifications and by other people's tools; and hostile ones."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery.engine.pictures import Picture, picture_of
from tests.support.tools import need, run


class Held:
    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)
        self.reads = self.bytes = 0

    def read_at(self, offset: int, length: int) -> bytes:
        assert offset >= 0 and length >= 0 and offset + length <= self.size
        self.reads += 1
        self.bytes += length
        return self.data[offset : offset + length]


def of(data: bytes) -> Picture | None:
    return picture_of(Held(data))


def tiff(order: str, *, taken: bytes = b"2024:05:17 10:20:30\0", width: int = 7) -> bytes:
    """A directory with size, camera and a pointer to an Exif directory with the time."""
    sign = b"II" if order == "<" else b"MM"
    entries = [(0x100, 3, 1, width), (0x101, 4, 1, 9), (0x10F, 2, 6, 200), (0x110, 2, 8, 210), (0x8769, 4, 1, 120)]
    body = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        packed = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
        body += struct.pack(order + "HHI", tag, kind, count) + packed
    out = bytearray((sign + struct.pack(order + "HI", 42, 8) + body).ljust(240, b"\0"))
    exif = struct.pack(order + "H", 1) + struct.pack(order + "HHII", 0x9003, 2, 20, 160)
    out[120 : 120 + len(exif)] = exif
    out[160:180], out[200:206], out[210:218] = taken, b"Maker\0", b"Model 5\0"
    return bytes(out)


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    body = b"".join(bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return b"\xff\xd8" + body + b"\xff\xd9"


FRAME = (0xC2, struct.pack(">BHHB", 8, 480, 640, 3) + bytes(9))


def test_each_kind_by_its_specification() -> None:
    assert of(b"GIF89a" + struct.pack("<HH", 3, 5) + bytes(30)) == Picture("GIF", 3, 5)
    assert of(b"BM" + bytes(12) + struct.pack("<Iii", 40, 31, -17) + bytes(30)) == Picture("BMP", 31, 17)
    assert of(b"BM" + bytes(12) + struct.pack("<IHH", 12, 31, 17) + bytes(30)) == Picture("BMP", 31, 17)
    webp = b"RIFF\0\0\0\0WEBP"
    assert of(webp + b"VP8X" + bytes(8) + b"\x3f\1\0\xef\0\0" + bytes(9)) == Picture("WebP", 320, 240)
    assert of(webp + b"VP8L" + bytes(4) + b"\x2f" + struct.pack("<I", 99 | 49 << 14)) == Picture("WebP", 100, 50)
    lossy = webp + b"VP8 " + bytes(7) + b"\x9d\x01\x2a" + struct.pack("<HH", 640 | 1 << 14, 480)
    assert of(lossy + bytes(9)) == Picture("WebP", 640, 480)


@pytest.mark.parametrize("order", "<>")
def test_camera_and_date_of_tiff_and_jpeg(order: str) -> None:
    about = ("2024-05-17 10:20:30", "Maker Model 5")
    assert of(tiff(order)) == Picture("TIFF", 7, 9, *about)
    exif = (0xE1, b"Exif\0\0" + tiff(order))
    assert of(jpeg((0xE0, b"JFIF\0" + bytes(9)), exif, (0xE2, bytes(60_000)), FRAME)) == Picture(
        "JPEG", 640, 480, *about
    )
    assert of(tiff(order, taken=b"\x1b[2J\0".ljust(20, b"\0"))) == Picture("TIFF", 7, 9, "", "Maker Model 5")


def test_the_program_file_reads_the_same_sizes(tmp_path: Path) -> None:
    """libmagic has its own readers; it gives '640x480' or '640 x 480'."""
    need("file")
    webp = b"RIFF\x20\0\0\0WEBPVP8 " + struct.pack("<I", 20) + b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 640, 480)
    samples = {
        "png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 640, 480, 8, 2, 0, 0, 0),
        "jpg": jpeg((0xE0, b"JFIF\0\1\1" + bytes(7)), (0xE1, b"Exif\0\0" + tiff(">")), FRAME),
        "gif": b"GIF87a" + struct.pack("<HH", 640, 480) + bytes(3),
        "bmp": b"BM" + struct.pack("<IIIIiiHHI", 2000, 0, 54, 40, 640, 480, 1, 24, 0),
        "webp": webp,
        "tiff": tiff("<", width=640),
    }
    for kind, data in samples.items():
        path = tmp_path / f"picture.{kind}"
        path.write_bytes(data + bytes(200))
        found = of(path.read_bytes())
        said = run("file", "-b", path)
        theirs = re.findall(r"(\d+) ?x ?(\d+)", said) or [re.findall(r"(?:width|height)=(\d+)", said)[::-1]]
        assert found is not None and (str(found.width), str(found.height)) in [tuple(pair) for pair in theirs], said
        assert kind not in ("jpg", "tiff") or found.camera in said.replace(", model=", " "), said


def test_damaged_heads_are_no_pictures() -> None:
    for data in (
        b"",
        b"BM",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a\0",
        b"RIFF\0\0\0\0WAVE",
        tiff("<", width=0),
        jpeg(),
        b"II*\0",
    ):
        assert of(data) is None
    assert of(jpeg((0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"), FRAME)) == Picture("JPEG", 640, 480)


def test_a_chain_without_an_end_is_left() -> None:
    endless = Held(b"\xff\xd8" + b"\xff\xe0\0\2" * 500_000)
    assert picture_of(endless) is None
    assert endless.reads < 300
    fill = Held(b"\xff\xd8" + b"\xff" * 1_000_000)
    assert picture_of(fill) is None and fill.reads < 300


HEADS = [
    jpeg((0xE1, b"Exif\0\0" + tiff("<")), FRAME),
    tiff(">"),
    b"RIFF\0\0\0\0WEBPVP8X" + bytes(20),
    b"BM" + bytes(40),
]


@given(
    st.sampled_from(HEADS),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=8),
    st.integers(0, 400),
)
def test_hostile_heads_end_with_little_read(data: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    spoilt = bytearray(data)
    for at, value in changes:
        if at < len(spoilt):
            spoilt[at] = value
    reader = Held(bytes(spoilt[: max(1, cut)]))
    found = picture_of(reader)
    assert reader.reads < 900 and reader.bytes < 200_000
    if found is not None:
        assert found.width > 0 and found.height > 0 and found.to_text().isprintable()
