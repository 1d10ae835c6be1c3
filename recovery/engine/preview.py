"""Looking at a piece of a file without reading the rest: what can be read of it, as text or as bytes.

Nothing that stands in a file reaches a screen as it is: control characters and what is no text are shown as dots.
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from typing import Literal, NamedTuple

from formats.base.errors import Cancelled, RecoveryError
from formats.base.units import KiB, align_down
from fs.tree import NodeReader

HEAD = 64 * KiB  # what is looked at to tell what a file holds
_CHUNK = 64 * KiB
_GRAIN = 512  # bytes; damage is told to that
_TRIES = 16  # failed reads of one chunk, after which the rest of it counts as damaged
_BACK = 16 * KiB  # how far back the beginning of a line is looked for
_TAB = 8
UNREADABLE = "?"


class Encoding(StrEnum):
    UTF8 = "UTF-8"
    UTF16LE = "UTF-16 LE"
    UTF16BE = "UTF-16 BE"
    WESTERN = "Windows-1252"


_BOMS = ((b"\xef\xbb\xbf", Encoding.UTF8), (b"\xff\xfe", Encoding.UTF16LE), (b"\xfe\xff", Encoding.UTF16BE))
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\x0b\x1b\x08")
# 0x80 to 0x9F of Windows-1252, as in its table at unicode.org; the five that it leaves out stay control characters.
_WESTERN = {n: bytes([n]).decode("cp1252", "replace") for n in range(0x80, 0xA0)}


class Chunk(NamedTuple):
    """`data` from `offset`; `bad`: byte ranges of the file inside of it that cannot be read and stand as zeros."""

    offset: int
    data: bytes
    bad: tuple[tuple[int, int], ...]

    def is_bad(self, at: int) -> bool:
        return any(start <= at < end for start, end in self.bad)


class Glance:
    """A file to be looked at in pieces. `reason`: why something could not be read, '' so far. For one thread."""

    def __init__(self, reader: NodeReader) -> None:
        self._reader = reader
        self.size = reader.size
        self.reason = ""
        self._last = Chunk(0, b"", ())

    def read(self, offset: int, length: int) -> Chunk:
        """[offset, offset + length), as far as the file goes. Damage is no error; raises Cancelled only."""
        offset = max(0, min(offset, self.size))
        end = min(self.size, offset + max(0, length))
        last = self._last
        if not last.offset <= offset <= end <= last.offset + len(last.data):
            start = align_down(offset, _GRAIN)
            bad: list[tuple[int, int]] = []
            stop = min(self.size, max(end, start + _CHUNK))
            last = self._last = Chunk(start, self._read(start, stop, bad, [0]), tuple(bad))
        data = last.data[offset - last.offset : end - last.offset]
        return Chunk(offset, data, tuple((a, b) for a, b in last.bad if a < end and offset < b))

    def _read(self, start: int, end: int, bad: list[tuple[int, int]], failures: list[int]) -> bytes:
        if start >= end:
            return b""
        if failures[0] < _TRIES:
            try:
                return self._reader.read_at(start, end - start)
            except Cancelled:
                raise
            except RecoveryError as error:
                failures[0] += 1
                self.reason = self.reason or str(error)
        if end - start <= _GRAIN or failures[0] >= _TRIES:
            if bad and bad[-1][1] == start:
                bad[-1] = (bad[-1][0], end)
            else:
                bad.append((start, end))
            return bytes(end - start)
        middle = start + max(_GRAIN, align_down((end - start) // 2, _GRAIN))
        return self._read(start, middle, bad, failures) + self._read(middle, end, bad, failures)


def guess(head: bytes, *, whole: bool) -> Encoding | None:
    """How the text that begins with `head` is written; None when it is no text. `whole`: nothing comes behind it."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding
    if b"\0" in head:
        return None
    odd = sum(1 for byte in head if byte < 0x20 and byte not in _TEXT_CONTROLS)
    if odd * 20 > len(head):
        return None
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if whole or error.end < len(head) or len(head) - error.start > 3:
            return Encoding.WESTERN
    return Encoding.UTF8


# bytes


def hex_width(size: int) -> int:
    """Bytes in a line, so that it fits into 78 columns: 16, of files beyond 1 TiB 8."""
    return 16 if size <= 1 << 40 else 8


def hex_lines(chunk: Chunk, size: int) -> list[str]:
    """Place, bytes, characters; '??' is what cannot be read. `size`: of the file, for the width of the places."""
    step = hex_width(size)
    digits = max(8, len(f"{size:x}"))
    lines = []
    for at in range(0, len(chunk.data), step):
        piece = chunk.data[at : at + step]
        place = chunk.offset + at
        cells, letters = [], []
        for n, byte in enumerate(piece):
            bad = bool(chunk.bad) and chunk.is_bad(place + n)
            cells.append("??" if bad else f"{byte:02x}")
            letters.append(UNREADABLE if bad else chr(byte) if 0x20 <= byte < 0x7F else ".")
        left, right = " ".join(cells[: step // 2]), " ".join(cells[step // 2 :])
        half = step // 2 * 3 - 1
        lines.append(f"{place:0{digits}x}  {left:<{half}}  {right:<{half}}  {''.join(letters)}")
    return lines


# text


class Line(NamedTuple):
    """A line of the screen. `offset`: of its first byte in the file."""

    offset: int
    text: str


class TextPage(NamedTuple):
    """`end`: offset of what comes behind the lines."""

    lines: tuple[Line, ...]
    end: int


class Text:
    """A file as lines of at most `width` columns; longer ones are broken. For one thread."""

    def __init__(self, glance: Glance, encoding: Encoding, width: int) -> None:
        self._glance, self.encoding, self.width = glance, encoding, max(8, width)
        head = glance.read(0, 3).data
        self.first = next((len(bom) for bom, of in _BOMS if of is encoding and head.startswith(bom)), 0)

    def page(self, offset: int, count: int) -> TextPage:
        """`count` lines from the one that begins at byte `offset`, or as many as there are."""
        at = max(offset, self.first)
        lines: list[Line] = []
        while len(lines) < count and at < self._glance.size:
            chunk = self._glance.read(at, _CHUNK // 2)
            found, end = self._lay_out(chunk, count - len(lines), at + len(chunk.data) >= self._glance.size)
            lines += found
            if end <= at:
                break
            at = end
        return TextPage(tuple(lines), at)

    def back(self, offset: int, count: int) -> int:
        """The offset of the line that stands `count` lines above the one at `offset`."""
        at = max(offset, self.first)
        if at <= self.first or count <= 0:
            return self.first if at <= self.first else at
        start = max(self.first, at - _BACK)
        if start > self.first:
            start = self._line_start(start, at)
        places: list[int] = []
        while start < at:
            chunk = self._glance.read(start, at - start)
            found, end = self._lay_out(chunk, _BACK, True)
            places += [line.offset for line in found]
            if end <= start:
                break
            start = end
        return places[-count] if len(places) >= count else (places[0] if places else self.first)

    def _line_start(self, start: int, end: int) -> int:
        """The first beginning of a line in [start, end), or of a character."""
        data = self._glance.read(start, end - start - 1).data
        if self.encoding in (Encoding.UTF16LE, Encoding.UTF16BE):
            start += (start - self.first) % 2
            mark = b"\n\0" if self.encoding is Encoding.UTF16LE else b"\0\n"
            data = self._glance.read(start, end - start - 1).data
            at = next((n for n in range(0, len(data) - 1, 2) if data[n : n + 2] == mark), -1)
            return start + at + 2 if at >= 0 else start
        at = data.find(b"\n")
        if at >= 0:
            return start + at + 1
        while self.encoding is Encoding.UTF8 and data and data[0] & 0xC0 == 0x80:
            start, data = start + 1, data[1:]
        return start

    def _lay_out(self, chunk: Chunk, most: int, last: bool) -> tuple[list[Line], int]:
        """At most `most` lines and where they end; without `last` only those that certainly end inside of it."""
        lines: list[Line] = []
        at = begin = chunk.offset
        text: list[str] = []
        used = letters = 0
        after_return = False

        def put(end: int) -> None:
            nonlocal begin, used, letters
            lines.append(Line(begin, "".join(text)))
            text.clear()
            begin, used, letters = end, 0, 0

        for char, size in self._characters(chunk, last):
            if char == "\n" and after_return and not text and begin == at:
                begin = at = at + size  # the second half of a line end
                after_return = False
                continue
            if len(lines) >= most:
                break
            after_return = char == "\r"
            if char in "\n\r":
                at += size
                put(at)
                continue
            shown = " " * (_TAB - used % _TAB) if char == "\t" else _harmless(char)
            width = len(shown) if char == "\t" else _columns(shown)
            if chunk.bad and chunk.is_bad(at):
                shown, width = UNREADABLE, 1
            if text and (used + width > self.width or letters >= 4 * self.width):
                put(at)
                if len(lines) >= most:
                    break
                if char == "\t":
                    shown, width = " " * _TAB, _TAB
            text.append(shown)
            used += width
            letters += 1
            at += size
        if text and last and len(lines) < most:
            put(at)
        elif text and not lines:
            put(at)  # a line without an end: no more can be known without reading on
        return lines, begin

    def _characters(self, chunk: Chunk, last: bool) -> list[tuple[str, int]]:
        """Each character with its size in bytes; a cut one at the end is left for the next chunk, unless `last`."""
        data = chunk.data
        if self.encoding is Encoding.WESTERN:
            return [(_WESTERN.get(byte, chr(byte)), 1) for byte in data]
        if self.encoding is Encoding.UTF8:
            if not last:
                data = data[: len(data) - _cut(data)]
                if data.endswith(b"\r"):  # its line feed may come next
                    data = data[:-1]
            return [(c, _utf8_size(c)) for c in data.decode("utf-8", "surrogateescape")]
        codec = "utf-16-le" if self.encoding is Encoding.UTF16LE else "utf-16-be"
        even = data[: len(data) - len(data) % 2]
        if not last and len(even) > 2 and 0xD800 <= int.from_bytes(even[-2:], _order(self.encoding)) < 0xDC00:
            even = even[:-2]
        found = [(c, 4 if ord(c) > 0xFFFF else 2) for c in even.decode(codec, "surrogatepass")]
        if last and len(data) % 2:
            found.append((".", 1))
        return found


def _order(encoding: Encoding) -> Literal["little", "big"]:
    return "little" if encoding is Encoding.UTF16LE else "big"


def _cut(data: bytes) -> int:
    """How many bytes at the end are the beginning of a character of UTF-8."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        need = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return back if need > back else 0
    return 0


def _utf8_size(char: str) -> int:
    code = ord(char)
    if code < 0x80 or 0xDC80 <= code <= 0xDCFF:  # the latter: a byte that is no text
        return 1
    return 2 if code < 0x800 else 3 if code < 0x10000 else 4


def _harmless(char: str) -> str:
    if char.isprintable():
        return char
    return " " if unicodedata.category(char) == "Zs" else "."


def _columns(char: str) -> int:
    if char < "\u0300":
        return 1
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
