"""What a directory listing wants to know of a file, out of its MFT records: fast, and many at a time.

Records are read in the order of the table, neighbours in one read. A record as nearly all are costs one step an
attribute; whatever is unusual (an attribute list, a reparse point elsewhere, damage) goes the slow way.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from formats.base.errors import Corrupt, Inconsistent, RecoveryError
from fs.ntfs.attribute import (
    ATTRIBUTE_LIST,
    DATA,
    ENCRYPTED,
    FILE_NAME,
    FULL_HEAD,
    REPARSE_POINT,
    RESIDENT_BYTES,
    STANDARD_INFORMATION,
    Attribute,
    parse_file_name,
    utf16,
)
from fs.ntfs.mft import Mft
from fs.ntfs.record import DIRECTORY, IN_USE, RECORD_MASK, RecordHeader, apply_fixups, parse_record
from fs.ntfs.record import FILE as MAGIC
from fs.ntfs.stream import select
from fs.tree import Times

DOS = 2  # name space of the short names
EPOCH = 116_444_736_000_000_000  # 1970 in units of 100 ns since 1601
STANDARD = struct.Struct("<qqqqI")  # creation, last data change, last MFT change, last access, file attributes
VALUE_AT = struct.Struct("<IH")  # length and place of a resident value
NON_RESIDENT_SIZE = 0x30  # where the data size stands in a non-resident attribute
LOWEST_VCN = 0x10
MAX_REPARSE = 64 << 10  # [MS-FSCC]: 16 KiB
MAX_GAP = 16  # records that are read for nothing rather than by two reads
MAX_READ = 512 << 10
SPECIAL = b"Intx"  # how data begin that Interix makes of links and devices
END_MARK = b"\xff\xff\xff\xff"
NO_NAMES: tuple[tuple[int, str], ...] = ()


class Facts(NamedTuple):
    """One file. `names`: (parent record, name) of a directory, empty for others. `links`: names, short ones aside.

    `reparse`: value of its reparse point. `head`: the resident content of a small system file that begins as
    SPECIAL does, b"?" when that content lies in clusters.
    """

    sequence: int
    directory: bool
    times: Times
    attributes: int
    size: int
    links: int
    encrypted: bool
    names: tuple[tuple[int, str], ...]
    reparse: bytes | None
    head: bytes


SYSTEM_ATTRIBUTE = 0x04
MAX_SPECIAL = 16 << 10  # of such a system file, in bytes


class Inodes:
    """Facts of files by number."""

    def __init__(self, mft: Mft) -> None:
        self._mft = mft

    def one(self, number: int) -> Facts:
        """Raises Corrupt, Inconsistent or DeviceError when the record is lost, free or a part of another file."""
        data, header = self._mft.record(number)
        return self._facts(number, data, 0, header)

    def many(self, numbers: Iterable[int]) -> dict[int, Facts | RecoveryError]:
        """Facts of each, or what is wrong with it."""
        found: dict[int, Facts | RecoveryError] = {}
        size = self._mft.geometry.record_size
        for first, group in self._groups(sorted(numbers)):
            try:
                slab = bytearray(self._mft.stream.read_at(first * size, (group[-1] - first + 1) * size))
            except RecoveryError:
                slab = bytearray()  # some of it cannot be read: record by record
            for number in group:
                try:
                    found[number] = self._from_slab(number, slab, (number - first) * size) if slab else self.one(number)
                except RecoveryError as error:
                    found[number] = error
        return found

    def _groups(self, numbers: list[int]) -> Iterator[tuple[int, list[int]]]:
        """Neighbours that one read gets, none of them behind the end of the table but alone."""
        count, most = self._mft.count, MAX_READ // self._mft.geometry.record_size
        group: list[int] = []
        for number in numbers:
            if group and (number - group[-1] > MAX_GAP or number - group[0] >= most or number >= count):
                yield group[0], group
                group = []
            group.append(number)
        if group:
            yield group[0], group

    def _from_slab(self, number: int, slab: bytearray, at: int) -> Facts:
        size = self._mft.geometry.record_size
        try:
            apply_fixups(slab, at, size, MAGIC, "", 0)
            header = parse_record(slab, at, size, "", 0)
        except Corrupt:
            return self.one(number)  # which names the place
        return self._facts(number, slab, at, header)

    def _facts(self, number: int, data: bytearray, at: int, header: RecordHeader) -> Facts:
        if not header.flags & IN_USE or header.base:
            text = f"it is a part of record {header.base}" if header.base else "it is not in use"
            raise Inconsistent(f"MFT record {number}", self._mft.record_offset(number), text)
        quick = quick_facts(data, at + header.attributes, at + header.end, header)
        if quick is not None:
            return quick
        record = data[at : at + self._mft.geometry.record_size]
        return self._slowly(number, record, header)

    def _slowly(self, number: int, data: bytearray, header: RecordHeader) -> Facts:
        mft = self._mft
        own = mft.own_attributes(number, data, header, data_runs=False)
        found = mft.gather(number, own, data_runs=False)
        where = mft.record_offset(number)
        standard = [part.value for part in found if part.type == STANDARD_INFORMATION and part.value is not None]
        if not standard or len(standard[0]) < STANDARD.size:
            raise Corrupt(f"MFT record {number}", where, "it has no $STANDARD_INFORMATION")
        times, attributes = _standard(standard[0], 0)
        links, names = 0, []
        for part in found:
            if part.type == FILE_NAME and part.value is not None:
                value = parse_file_name(part.value, f"$FILE_NAME of MFT record {number}", part.offset)
                if value.space != DOS:
                    links += 1
                    names.append((value.parent, value.name))
        size, flags, resident = _data_size(found)
        head = b""
        if attributes & SYSTEM_ATTRIBUTE and len(SPECIAL) <= size <= MAX_SPECIAL:
            head = b"?" if resident is None else resident if resident.startswith(SPECIAL) else b""
        directory = bool(header.flags & DIRECTORY)
        return Facts(
            header.sequence,
            directory,
            times,
            attributes,
            size,
            max(links, 1),
            bool(flags & ENCRYPTED),
            tuple(names) if directory else NO_NAMES,
            reparse_value(mft, number, found),
            head,
        )


def reparse_value(mft: Mft, number: int, found: list[Attribute]) -> bytes | None:
    """The bytes of a file's reparse point; None when it has none. Raises Corrupt, Truncated or DeviceError."""
    stream = mft.open(found, REPARSE_POINT, number)
    if stream is None:
        return None
    if stream.size > MAX_REPARSE or not stream.as_stored:
        where = mft.record_offset(number)
        raise Corrupt(stream.name, where, "its size", expected=f"at most {MAX_REPARSE}", found=stream.size)
    return stream.read_at(0, stream.size)


def _data_size(found: list[Attribute]) -> tuple[int, int, bytes | None]:
    """(size, flags, resident value) of the unnamed $DATA."""
    for part in select(found, DATA):
        if part.lowest_vcn == 0:
            return max(part.data_size, 0), part.flags, part.value
    return 0, 0, b""


def _standard(data: bytes | bytearray, at: int) -> tuple[Times, int]:
    created, modified, changed, accessed, attributes = STANDARD.unpack_from(data, at)
    return Times(
        (created - EPOCH) * 100, (modified - EPOCH) * 100, (changed - EPOCH) * 100, (accessed - EPOCH) * 100
    ), attributes


def quick_facts(data: bytearray, here: int, stop: int, header: RecordHeader) -> Facts | None:
    """Facts out of the attributes in data[here:stop]; None when anything is not as in nearly all records."""
    head, value_at = FULL_HEAD.unpack_from, VALUE_AT.unpack_from
    directory = bool(header.flags & DIRECTORY)
    times = None
    attributes = size = links = flags = 0
    names: list[tuple[int, str]] = []
    reparse: bytes | None = None
    special = b""
    in_clusters = False
    while data[here : here + 4] != END_MARK:
        if here + RESIDENT_BYTES > stop:
            return None
        kind, length, form, name_length, _, own_flags, _ = head(data, here)
        if length < RESIDENT_BYTES or length & 7 or here + length > stop:
            return None
        if kind <= FILE_NAME or kind in (DATA, REPARSE_POINT):
            if form:
                if kind != DATA:
                    return None
                if not name_length:
                    if length < NON_RESIDENT_SIZE + 8 or any(data[here + LOWEST_VCN : here + LOWEST_VCN + 8]):
                        return None
                    at = here + NON_RESIDENT_SIZE
                    size = int.from_bytes(data[at : at + 8], "little", signed=True)
                    if size < 0:
                        return None
                    flags, in_clusters = own_flags, True
            else:
                count, begin = value_at(data, here + 0x10)
                if begin + count > length:
                    return None
                begin += here
                if kind == FILE_NAME:
                    if count < 0x42 or count < 0x42 + 2 * data[begin + 0x40]:
                        return None
                    if data[begin + 0x41] != DOS:
                        links += 1
                        if directory:
                            parent = int.from_bytes(data[begin : begin + 6], "little")
                            end = begin + 0x42 + 2 * data[begin + 0x40]
                            names.append((parent & RECORD_MASK, utf16(bytes(data[begin + 0x42 : end]))))
                elif kind == STANDARD_INFORMATION:
                    if count < STANDARD.size:
                        return None
                    times, attributes = _standard(data, begin)
                elif kind == ATTRIBUTE_LIST:
                    return None
                elif kind == DATA:
                    if not name_length:
                        size, flags = count, own_flags
                        special = bytes(data[begin : begin + count])
                elif kind == REPARSE_POINT:
                    reparse = bytes(data[begin : begin + count])
        here += length
    if times is None or here + 4 > stop:
        return None
    if not (attributes & SYSTEM_ATTRIBUTE and len(SPECIAL) <= size <= MAX_SPECIAL):
        special = b""
    elif in_clusters:
        special = b"?"
    elif not special.startswith(SPECIAL):
        special = b""
    return Facts(
        header.sequence,
        directory,
        times,
        attributes,
        size,
        links or 1,
        bool(flags & ENCRYPTED),
        tuple(names) if directory else NO_NAMES,
        reparse,
        special,
    )
