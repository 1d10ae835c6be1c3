"""How NTFS compares names: upper case by the volume's own table, 16-bit unit by 16-bit unit.

Source: ntfs-3g 2022.10.3 layout.h (COLLATION_FILE_NAME) and unistr.c for the order of names that differ in case only.
"""

from __future__ import annotations

import sys
from array import array

from formats.base.errors import RecoveryError
from formats.base.problem import Severity
from fs.ntfs.attribute import DATA
from fs.ntfs.findings import Findings
from fs.ntfs.index import ENTRY
from fs.ntfs.mft import Mft

UPCASE_FILE = 10
UNITS = 65536
LENGTH_AT, NAME_AT = ENTRY.size + 0x40, ENTRY.size + 0x42  # in an index entry whose key is a $FILE_NAME
Units = list[int]


class UpCase:
    """The table of one volume, $UpCase; that of Unicode when it is damaged."""

    def __init__(self, mft: Mft, findings: Findings) -> None:
        try:
            stream = mft.open(mft.attributes(UPCASE_FILE), DATA, UPCASE_FILE)
            data = stream.read_at(0, min(stream.size, 2 * UNITS)) if stream is not None else b""
        except RecoveryError as error:
            text = f"The table of upper case letters ($UpCase) is damaged: {error}."
            findings.add(Severity.WARNING, "ntfs.upcase", text, mft.record_offset(UPCASE_FILE))
            data = b""
        table = _words(data[: len(data) & ~1])
        self._table: Units = [*table, *map(_upper, range(len(table), UNITS))]

    def key(self, raw: bytes) -> Units:
        """What to compare instead of the name `raw` (UTF-16, little-endian)."""
        table = self._table
        return [table[unit] for unit in _words(raw)]

    def same(self, one: bytes, other: bytes) -> bool:
        return len(one) == len(other) and self.key(one) == self.key(other)


class Search:
    """The order of directory entries against one name, for Index.find().

    `near`: an entry whose name differs from the one looked for in case only, when the way down met one.
    """

    def __init__(self, upcase: UpCase, name: bytes) -> None:
        self._upcase = upcase
        self._units = list(_words(name))
        self._key = upcase.key(name)
        self.near: bytes | None = None

    def order(self, entry: bytes) -> int:
        """Where the name looked for stands to that of `entry`: -1 before, 0 it is the one, 1 behind."""
        length = entry[LENGTH_AT] if len(entry) > NAME_AT else 0
        raw = entry[NAME_AT : NAME_AT + 2 * length]
        if len(raw) != 2 * length:
            raw = raw[: len(raw) & ~1]  # a damaged entry only misleads; the caller looks at what was found
        other = self._upcase.key(raw)
        if other != self._key:
            return -1 if self._key < other else 1
        units = list(_words(raw))
        if units == self._units:
            return 0
        self.near = entry
        return -1 if self._units < units else 1


def name_bytes(name: str) -> bytes:
    """A name as NTFS stores it; lone surrogates stay what they are. Raises ValueError for no str of UTF-16."""
    return name.encode("utf-16-le", "surrogatepass")


def _words(data: bytes) -> array[int]:
    words = array("H", data)
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _upper(unit: int) -> int:
    upper = chr(unit).upper()
    return ord(upper) if len(upper) == 1 and ord(upper) < UNITS else unit
