"""Names in FAT directories: 8.3 names and the long names in front of them.

Sources: fatgen103, sections "FAT Directory Structure" and "FAT Long Directory Entries". The code page of a short
name is not stored; CP437, which the first PCs had, is assumed. Long names keep surrogates without a partner.
"""

from __future__ import annotations

LOWER_BASE, LOWER_EXTENSION = 0x08, 0x10
LAST_LONG = 0x40
MAX_LONG_ENTRIES = 20  # 255 characters, 13 in an entry


def short_name(raw: bytes, flags: int = 0) -> str:
    """``NAME.EXT`` of the 11 bytes of DIR_Name; `flags` is DIR_NTRes."""
    if raw[:1] == b"\x05":  # stands for 0xE5, which would mean deleted
        raw = b"\xe5" + raw[1:]
    text = raw.decode("cp437")
    base, extension = text[:8].rstrip(" "), text[8:11].rstrip(" ")
    base = base.lower() if flags & LOWER_BASE else base
    extension = extension.lower() if flags & LOWER_EXTENSION else extension
    return f"{base}.{extension}" if extension else base


def short_checksum(raw: bytes) -> int:
    """The checksum of DIR_Name that its long entries carry (fatgen103, ChkSum())."""
    total = 0
    for byte in raw:
        total = ((total >> 1) + ((total & 1) << 7) + byte) & 0xFF
    return total


def printable(name: str) -> str:
    """A name for a report: surrogates without a partner, which no output takes, and control characters, which a
    terminal would obey, become U+FFFD."""
    text = name.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def label_text(raw: bytes) -> str:
    """A volume label of 11 bytes, without the padding."""
    raw = b"\xe5" + raw[1:] if raw[:1] == b"\x05" else raw
    return raw.rstrip(b" \0").decode("cp437")


class LongName:
    """Collects the long entries that precede a short one.

    `lost`: the last name that was taken had long entries, which are incomplete or belong to another short name.
    """

    def __init__(self) -> None:
        self._next = 0
        self._checksum = 0
        self._parts: list[bytes] = []
        self._broken = False
        self.lost = False

    def reset(self) -> None:
        self._next, self._parts, self._broken = 0, [], False

    def add(self, entry: bytes) -> None:
        """Take one long entry of 32 bytes. One that does not fit forgets what was collected."""
        order, checksum = entry[0], entry[13]
        if order & LAST_LONG:
            self.reset()
            self._next, self._checksum = order & 0x3F, checksum
        if order & 0x3F != self._next or not 1 <= self._next <= MAX_LONG_ENTRIES or checksum != self._checksum:
            self.reset()
            self._broken = True
            return
        self._parts.append(entry[1:11] + entry[14:26] + entry[28:32])
        self._next -= 1

    def take(self, short: bytes) -> str | None:
        """The long name, if it is complete and belongs to the short name `short`. Forgets it."""
        parts, done = self._parts, self._next == 0
        self.lost = self._broken or bool(parts)
        self.reset()
        if not parts or not done or self._checksum != short_checksum(short):
            return None
        text = b"".join(reversed(parts)).decode("utf-16-le", "surrogatepass").split("\0", 1)[0]
        self.lost = not text
        return text or None
