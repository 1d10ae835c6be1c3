"""What the head of a picture says: kind, size in pixels, and when and with what it was taken. No pixel is decoded.

PNG (ISO/IEC 15948, 11.2.2), JPEG (ITU-T T.81, annex B; Exif 2.32, 4.6), GIF89a, BMP (BITMAPINFOHEADER and older),
WebP (RFC 9649), TIFF 6.0 (section 2). Every chain has a limit, for the files are strangers'.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from formats.base.errors import Cancelled, RecoveryError
from fs.tree import NodeReader

_SEGMENTS = 200  # of a JPEG before its frame; cameras write about ten, and big profiles some dozens
_ENTRIES = 256  # of an image file directory; TIFF and Exif define fewer
_TEXT = 64  # bytes of a text in Exif
_MAKE, _MODEL, _TIME, _EXIF, _TAKEN = 0x10F, 0x110, 0x132, 0x8769, 0x9003
_WIDTH, _HEIGHT = 0x100, 0x101
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOFn, without DHT, JPG and DAC

Read = Callable[[int, int], bytes]  # (offset, length): that many bytes, or fewer at the end


@dataclass(frozen=True, slots=True)
class Picture:
    """`width`, `height`: pixels as stored. `taken`: as the camera wrote it, local time. '': not told."""

    kind: str
    width: int
    height: int
    taken: str = ""
    camera: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        """One line."""
        more = "".join(f", {text}" for text in (f"taken {self.taken}" if self.taken else "", self.camera) if text)
        return f"{self.kind}, {self.width} x {self.height} pixels{more}"


def picture_of(reader: NodeReader) -> Picture | None:
    """What the file is a picture of; None when it is none of the known kinds, or its head is damaged."""

    def read(offset: int, length: int) -> bytes:
        return reader.read_at(offset, max(0, min(length, reader.size - offset))) if offset < reader.size else b""

    try:
        head = read(0, 32)
        for magic, parse in _KINDS:
            if head.startswith(magic):
                found = parse(read, head)
                return found if found is not None and found.width > 0 and found.height > 0 else None
    except Cancelled:
        raise
    except (RecoveryError, struct.error):  # damaged, or shorter than it says
        return None
    return None


def _png(read: Read, head: bytes) -> Picture | None:
    if head[12:16] != b"IHDR":
        return None
    return Picture("PNG", *struct.unpack_from(">II", head, 16))


def _gif(read: Read, head: bytes) -> Picture | None:
    return Picture("GIF", *struct.unpack_from("<HH", head, 6))


def _bmp(read: Read, head: bytes) -> Picture | None:
    (size,) = struct.unpack_from("<I", head, 14)
    if size == 12:
        return Picture("BMP", *struct.unpack_from("<HH", head, 18))
    if not 40 <= size <= 1024:
        return None
    width, height = struct.unpack_from("<ii", head, 18)
    return Picture("BMP", width, abs(height))  # negative: the rows run from the top


def _webp(read: Read, head: bytes) -> Picture | None:
    if head[8:12] != b"WEBP":
        return None
    kind = head[12:16]
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", head, 26)
        return Picture("WebP", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L" and head[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", head, 21)
        return Picture("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        return Picture("WebP", int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1)
    return None


def _tiff(read: Read, head: bytes) -> Picture | None:
    fields = _exif(read)
    width, height = fields.get(_WIDTH), fields.get(_HEIGHT)
    if not isinstance(width, int) or not isinstance(height, int):
        return None
    return Picture("TIFF", width, height, *_of_camera(fields))


def _jpeg(read: Read, head: bytes) -> Picture | None:
    fields: dict[int, int | str] = {}
    at = 2
    for _ in range(_SEGMENTS):
        start = read(at, 10)
        if len(start) < 4 or start[0] != 0xFF:
            return None
        marker = start[1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD7:  # a fill byte; markers that stand alone
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", start, 2)
        if length < 2 or marker in (0xD9, 0xDA):
            return None
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", start, 5)
            return Picture("JPEG", width, height, *_of_camera(fields))
        if marker == 0xE1 and start[4:10] == b"Exif\0\0" and not fields:
            fields = _exif(_within(read(at + 10, length - 8)))
        at += 2 + length
    return None


def _within(data: bytes) -> Read:
    return lambda offset, length: data[offset : offset + length]


def _exif(read: Read) -> dict[int, int | str]:
    """The fields of the first directory of a TIFF and of its Exif directory; those that are damaged are left out."""
    head = read(0, 8)
    if len(head) < 8:
        return {}
    order: Literal["<", ">"] = "<" if head[:2] == b"II" else ">"
    magic, first = struct.unpack(order + "HI", head[2:8])
    if magic != 42:
        return {}
    fields = dict(_directory(read, order, first))
    inner = fields.get(_EXIF)
    if isinstance(inner, int):
        fields.update((tag, value) for tag, value in _directory(read, order, inner) if tag == _TAKEN)
    return fields


def _directory(read: Read, order: str, at: int) -> Iterator[tuple[int, int | str]]:
    count_bytes = read(at, 2)
    if len(count_bytes) < 2:
        return
    (count,) = struct.unpack(order + "H", count_bytes)
    table = read(at + 2, min(count, _ENTRIES) * 12)
    for entry in range(0, len(table) - 11, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", table, entry)
        place = entry + 8
        if kind == 2 and tag in (_MAKE, _MODEL, _TIME, _TAKEN):
            length = min(number, _TEXT)
            raw = table[place : place + number] if number <= 4 else read(*_pointed(order, table, place, length))
            text = raw.split(b"\0")[0].decode("latin-1").strip()
            if text and text.isprintable():
                yield tag, text
        elif kind in (3, 4) and number == 1 and tag in (_WIDTH, _HEIGHT, _EXIF):
            yield tag, int(struct.unpack_from(order + ("H" if kind == 3 else "I"), table, place)[0])


def _pointed(order: str, table: bytes, place: int, length: int) -> tuple[int, int]:
    return struct.unpack_from(order + "I", table, place)[0], length


def _of_camera(fields: dict[int, int | str]) -> tuple[str, str]:
    """(taken, camera)."""
    taken = str(fields.get(_TAKEN) or fields.get(_TIME) or "")
    if len(taken) == 19 and taken[4] == taken[7] == ":":  # 2024:05:17 10:20:30
        taken = f"{taken[:4]}-{taken[5:7]}-{taken[8:]}"
    make, model = str(fields.get(_MAKE, "")), str(fields.get(_MODEL, ""))
    return taken, model if model.startswith(make) else f"{make} {model}".strip()


_KINDS: tuple[tuple[bytes, Callable[[Read, bytes], Picture | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"BM", _bmp),
    (b"RIFF", _webp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
)
