"""Directory entries of exFAT: a parser that is fed with blocks of 32-byte entries.

Source: exFAT specification, sections 6 (directory structure) and 7 (entry definitions).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

ENTRY_SIZE = 32
MAX_ENTRIES = 8_388_608  # 256 MiB: section 7.4, "directories ... up to 256MB"

ALLOCATION = struct.Struct("<BB18sIQ")  # layout.BitmapEntry; also the place of both fields in 0x82, 0xC0 and 0xE1
FILE = struct.Struct("<BBHHHIII5s7s")  # layout.FileEntry
STREAM = struct.Struct("<BBBBHHQIIQ")  # layout.StreamEntry

END, BITMAP, UPCASE, LABEL, FILE_TYPE, STREAM_TYPE, NAME, VENDOR_ALLOCATION = (
    0x00, 0x81, 0x82, 0x83, 0x85, 0xC0, 0xC1, 0xE1,
)  # fmt: skip
IN_USE, SECONDARY = 0x80, 0x40
DIRECTORY = 0x10
ALLOCATION_POSSIBLE, NO_FAT_CHAIN = 1, 2


@dataclass(frozen=True, slots=True)
class Allocation:
    """Clusters that an entry points to. `size`: bytes. `contiguous`: they have no chain in the FAT."""

    cluster: int
    size: int
    contiguous: bool


@dataclass(frozen=True, slots=True)
class System:
    """An allocation bitmap (`kind` 0x81) or an up-case table (0x82). `flags`: BitmapFlags."""

    index: int
    kind: int
    flags: int
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class File:
    """A file or directory. `index`: number of its first entry, 0-based. `valid_size`: bytes that were written.

    `stamps`: CreateTimestamp, LastModifiedTimestamp, LastAccessedTimestamp. `fine`: Create10msIncrement,
    LastModified10msIncrement, CreateUtcOffset, LastModifiedUtcOffset, LastAccessedUtcOffset.
    """

    index: int
    name: str
    attributes: int
    stream: Allocation
    valid_size: int
    vendor: tuple[Allocation, ...]
    stamps: tuple[int, int, int] = (0, 0, 0)
    fine: bytes = bytes(5)

    @property
    def is_directory(self) -> bool:
        return bool(self.attributes & DIRECTORY)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with the entries from number `index` on."""

    index: int
    code: str
    text: str


def set_checksum(entries: bytes) -> int:
    """Checksum of an entry set, without its own two bytes (section 6.3.3, figure 2)."""
    total = 0
    for byte in entries[:2] + entries[4:]:
        total = ((total << 15 | total >> 1) + byte) & 0xFFFF
    return total


def _allocation(entry: bytes) -> Allocation:
    _, flags, _, cluster, size = ALLOCATION.unpack(entry)
    return Allocation(cluster, size, bool(flags & NO_FAT_CHAIN))


class DirectoryParser:
    """Feed it the blocks of one directory in order; call close() when there are no more.

    `ended` becomes True at the end mark, or after 8 Mi entries (then `too_long` is True as well).
    """

    def __init__(self) -> None:
        self._index = 0
        self._set = bytearray()
        self._wanted = 0  # secondary entries still to come
        self.ended = False
        self.too_long = False

    def skip(self, count: int) -> Iterator[Fault]:
        """Pass over `count` entries that could not be read."""
        yield from self.close()
        self._index += count

    def close(self) -> Iterator[Fault]:
        """The directory is over: an unfinished set is a fault."""
        if self._wanted:
            index = self._index - len(self._set) // ENTRY_SIZE
            text = f"entry set{self._named()} lacks {self._wanted} secondary entries"
            yield Fault(index, "exfat.set_incomplete", text)
        self._wanted = 0
        self._set.clear()

    def feed(self, data: bytes) -> Iterator[System | File | Fault]:
        """What the entries in `data`, whose length is a multiple of 32, say. Unused ones are left out."""
        for at in range(0, len(data) - ENTRY_SIZE + 1, ENTRY_SIZE):
            kind = data[at]
            if self._wanted and kind & (IN_USE | SECONDARY) != IN_USE | SECONDARY:
                yield from self.close()
            if kind == END:
                self.ended = True
                return
            if self._index >= MAX_ENTRIES:
                self.ended = self.too_long = True
                return
            index, self._index = self._index, self._index + 1
            if not kind & IN_USE:
                continue
            entry = data[at : at + ENTRY_SIZE]
            if kind & SECONDARY:
                if not self._wanted:
                    yield Fault(index, "exfat.stray_entry", f"secondary entry {kind:#x} belongs to no set")
                    continue
                self._set += entry
                self._wanted -= 1
                if not self._wanted:
                    yield from self._finish(bytes(self._set))
                    self._set.clear()
            elif kind == FILE_TYPE:
                self._wanted = entry[1]
                self._set[:] = entry
                if not self._wanted:
                    yield Fault(index, "exfat.set_incomplete", "file entry without secondary entries")
            elif kind in (BITMAP, UPCASE):
                allocation = _allocation(entry)
                # Neither has general secondary flags: both always have a chain (sections 7.1 and 7.2).
                plain = Allocation(allocation.cluster, allocation.size, contiguous=False)
                yield System(index, kind, entry[1], plain)

    def _named(self) -> str:
        """The name in an unfinished set, as far as it is there, for a message."""
        units = b"".join(
            self._set[at + 2 : at + ENTRY_SIZE] for at in range(2 * ENTRY_SIZE, len(self._set), ENTRY_SIZE)
        )
        name = units.decode("utf-16-le", "replace").rstrip("\0")
        return f" of {name!a}" if name else ""

    def _finish(self, entries: bytes) -> Iterator[File | Fault]:
        """A complete entry set. With a wrong checksum it is reported and used all the same: better too much."""
        index = self._index - len(entries) // ENTRY_SIZE
        _, _, checksum, attributes, _, created, modified, accessed, fine, _ = FILE.unpack_from(entries)
        expected = set_checksum(entries)
        if checksum != expected:
            text = f"entry set has checksum {checksum:#06x}, computed {expected:#06x}"
            yield Fault(index, "exfat.set_checksum", text)
        if entries[ENTRY_SIZE] != STREAM_TYPE:
            text = f"entry {entries[ENTRY_SIZE]:#x} stands where a stream entry must be"
            yield Fault(index + 1, "exfat.no_stream", text)
            return
        _, flags, _, name_length, _, _, valid, _, cluster, size = STREAM.unpack_from(entries, ENTRY_SIZE)
        name = bytearray()
        vendor = []
        for at in range(2 * ENTRY_SIZE, len(entries), ENTRY_SIZE):
            kind = entries[at]
            if kind == NAME:
                name += entries[at + 2 : at + ENTRY_SIZE]
            elif kind == VENDOR_ALLOCATION and entries[at + 1] & ALLOCATION_POSSIBLE:
                vendor.append(_allocation(entries[at : at + ENTRY_SIZE]))
        text = bytes(name[: 2 * name_length]).decode("utf-16-le", "surrogatepass")
        stream = Allocation(cluster, size, bool(flags & NO_FAT_CHAIN))
        stamps = (created, modified, accessed)
        yield File(index, text or f"<entry {index}>", attributes, stream, valid, tuple(vendor), stamps, fine)
