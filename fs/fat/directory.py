"""Directory entries of FAT: a parser that is fed with blocks of 32-byte entries.

Source: fatgen103, sections "FAT Directory Structure" and "FAT Long Directory Entries".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from fs.fat.names import LongName, short_name

ENTRY = struct.Struct("<11sBBBHHHHHHHI")  # layout.DirEntry; a test compares the two
ENTRY_SIZE = 32
MAX_ENTRIES = 65536  # a directory has at most 2 MiB: fatgen103, "FAT Directory Structure"

READ_ONLY, HIDDEN, SYSTEM, VOLUME_ID, DIRECTORY, ARCHIVE = 1, 2, 4, 8, 16, 32
LONG_NAME, LONG_NAME_MASK = 0x0F, 0x3F
DELETED = 0xE5
_SELF_OR_PARENT = (b".          ", b"..         ")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or volume label. `index`: number of its entry in the directory, 0-based.

    `cluster`: the first one, 0 for none. `size`: bytes, 0 for directories. `raw_name`: the 11 bytes.
    `stamps`: DIR_CrtTimeTenth, CrtTime, CrtDate, LstAccDate, WrtTime, WrtDate. `long_lost`: there are long entries,
    which do not belong to it.
    """

    index: int
    name: str
    raw_name: bytes
    attributes: int
    cluster: int
    size: int
    stamps: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    long_lost: bool = False

    @property
    def is_directory(self) -> bool:
        return bool(self.attributes & DIRECTORY)

    @property
    def is_label(self) -> bool:
        """As blkid(8) finds the label: the volume bit, not the directory bit, no cluster."""
        return self.attributes & (VOLUME_ID | DIRECTORY) == VOLUME_ID


class DirectoryParser:
    """Feed it the blocks of one directory in order. `wide`: clusters have 32 bits (FAT32).

    `ended` becomes True at the end mark, or after 65536 entries (then `too_long` is True as well).
    """

    def __init__(self, wide: bool) -> None:
        self._wide = wide
        self._long = LongName()
        self._index = 0
        self.ended = False
        self.too_long = False

    def skip(self, count: int) -> None:
        """Pass over `count` entries that could not be read."""
        self._index += count
        self._long.reset()

    def feed(self, data: bytes) -> Iterator[Entry]:
        """The entries in `data`, whose length is a multiple of 32, without deleted ones, `.` and `..`."""
        for at in range(0, len(data) - ENTRY_SIZE + 1, ENTRY_SIZE):
            first = data[at]
            if first == 0:
                self.ended = True
                return
            if self._index >= MAX_ENTRIES:
                self.ended = self.too_long = True
                return
            index, self._index = self._index, self._index + 1
            if first == DELETED:
                self._long.reset()
                continue
            name, attributes, flags, tenths, *created, accessed, high, time, date, low, size = ENTRY.unpack_from(
                data, at
            )
            if attributes & LONG_NAME_MASK == LONG_NAME:
                self._long.add(data[at : at + ENTRY_SIZE])
                continue
            if name in _SELF_OR_PARENT:
                self._long.reset()
                continue
            cluster = low | high << 16 if self._wide else low
            text = self._long.take(name) or short_name(name, flags)
            stamps = (tenths, created[0], created[1], accessed, time, date)
            length = 0 if attributes & DIRECTORY else size
            yield Entry(index, text, name, attributes, cluster, length, stamps, self._long.lost)
