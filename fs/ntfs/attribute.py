"""Attributes of an MFT record, attribute lists, and the values that name files and volumes.

Source: ntfs-3g layout.h (ATTR_RECORD, ATTR_LIST_ENTRY, FILE_NAME_ATTR); decoded with `struct`, for there are
several in every record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from formats.base.errors import Corrupt
from fs.ntfs.record import RECORD_MASK
from fs.ntfs.runlist import decode_runs

STANDARD_INFORMATION, ATTRIBUTE_LIST, FILE_NAME = 0x10, 0x20, 0x30
VOLUME_NAME, VOLUME_INFORMATION, DATA = 0x60, 0x70, 0x80
INDEX_ROOT, INDEX_ALLOCATION, BITMAP, REPARSE_POINT = 0x90, 0xA0, 0xB0, 0xC0
SECURITY_DESCRIPTOR, EA = 0x50, 0xE0
END = 0xFFFFFFFF
TYPE_NAMES = {
    STANDARD_INFORMATION: "$STANDARD_INFORMATION",
    ATTRIBUTE_LIST: "$ATTRIBUTE_LIST",
    FILE_NAME: "$FILE_NAME",
    0x40: "$OBJECT_ID",
    0x50: "$SECURITY_DESCRIPTOR",
    VOLUME_NAME: "$VOLUME_NAME",
    VOLUME_INFORMATION: "$VOLUME_INFORMATION",
    DATA: "$DATA",
    INDEX_ROOT: "$INDEX_ROOT",
    INDEX_ALLOCATION: "$INDEX_ALLOCATION",
    BITMAP: "$BITMAP",
    REPARSE_POINT: "$REPARSE_POINT",
    0xD0: "$EA_INFORMATION",
    0xE0: "$EA",
    0x100: "$LOGGED_UTILITY_STREAM",
}
COMPRESSED, ENCRYPTED, SPARSE = 0x00FF, 0x4000, 0x8000
MAX_LIST = 256 << 10  # Windows refuses longer attribute lists

HEAD = struct.Struct("<II")  # type, length
FULL_HEAD = struct.Struct("<IIBBHHH")
RESIDENT = struct.Struct("<IHBB")
NON_RESIDENT = struct.Struct("<QqHB5xqqq")
SPAN = struct.Struct("<QqH")  # the first three of them, for the scan
LIST_ENTRY = struct.Struct("<IHBBQQH")
FILE_NAME_HEAD = struct.Struct("<Q48xIIBB")

HEAD_BYTES = 0x10
RESIDENT_BYTES = 0x18
NON_RESIDENT_BYTES = 0x40


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute record, or one part of an attribute whose run list is spread over several records.

    `value` holds the bytes of a resident attribute and is None otherwise; then `runs` holds (vcn, lcn, length) in
    clusters, the vcns `lowest_vcn` to `highest_vcn` inclusive, and `fault` says what is wrong with the run list.
    Sizes are bytes and count only where lowest_vcn is 0. `record` is where it was found, `offset` its
    place in bytes on the volume.
    """

    type: int
    name: str
    flags: int
    instance: int
    record: int
    offset: int
    value: bytes | None = None
    lowest_vcn: int = 0
    highest_vcn: int = -1
    compression_unit: int = 0
    allocated_size: int = 0
    data_size: int = 0
    initialized_size: int = 0
    runs: tuple[tuple[int, int, int], ...] = ()
    fault: str = ""

    @property
    def label(self) -> str:
        return attribute_label(self.type, self.name)


class ListEntry(NamedTuple):
    """One line of an $ATTRIBUTE_LIST: the part of an attribute from `lowest_vcn` on lies in MFT record `record`."""

    type: int
    name: str
    lowest_vcn: int
    record: int
    sequence: int


class FileNameValue(NamedTuple):
    """A $FILE_NAME: `parent` is a record number; `space` 0 POSIX, 1 Win32, 2 DOS, 3 both."""

    parent: int
    attributes: int
    name: str
    space: int


def attribute_label(kind: int, name: str) -> str:
    """How reports name an attribute: ``$DATA`` or ``$DATA:stream``."""
    text = TYPE_NAMES.get(kind) or f"attribute {kind:#x}"
    return f"{text}:{printable(name)}" if name else text


def utf16(data: bytes) -> str:
    """NTFS names are 16-bit units without a promise to be valid UTF-16; lone surrogates stay what they are."""
    return data.decode("utf-16-le", "surrogatepass")


def printable(name: str) -> str:
    """A name that can be written to any report: lone surrogates and control characters become U+FFFD."""
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


def attributes(
    data: bytes | bytearray, at: int, first: int, end: int, record: int, clusters: int, offset: int
) -> Iterator[Attribute]:
    """Every attribute of the record at `at`, whose attributes lie in [at+first, at+end).

    `record` is its number and `offset` its place in bytes on the volume; `clusters` bounds the runs. Raises Corrupt
    at the first attribute that does not lie inside; what came before it is sound.
    """

    def bad(where: int, detail: str) -> Corrupt:
        return Corrupt(f"attribute of MFT record {record}", offset + where - at, detail)

    here, stop = at + first, at + end
    while True:
        if here + 4 > stop:
            raise bad(here, "the attributes have no end mark")
        if data[here : here + 4] == b"\xff\xff\xff\xff":
            return
        if here + RESIDENT_BYTES > stop:
            raise bad(here, "the attribute leaves the record")
        kind, length, form, name_length, name_offset, flags, instance = FULL_HEAD.unpack_from(data, here)
        if length < RESIDENT_BYTES or length & 7 or here + length > stop:
            raise bad(here, f"its length is {length}")
        name = ""
        if name_length:
            if not HEAD_BYTES <= name_offset <= length - 2 * name_length:
                raise bad(here, f"its name of {name_length} units at {name_offset} leaves it")
            name = utf16(bytes(data[here + name_offset : here + name_offset + 2 * name_length]))
        if not form:
            size, begin, _, _ = RESIDENT.unpack_from(data, here + HEAD_BYTES)
            if begin + size > length:
                raise bad(here, f"its value of {size} bytes at {begin} leaves it")
            value = bytes(data[here + begin : here + begin + size])
            yield Attribute(kind, name, flags, instance, record, offset + here - at, value, data_size=size)
        else:
            yield non_resident(data, at, here, kind, length, name, flags, instance, record, clusters, offset)
        here += length


def non_resident(
    data: bytes | bytearray,
    at: int,
    here: int,
    kind: int,
    length: int,
    name: str,
    flags: int,
    instance: int,
    record: int,
    clusters: int,
    offset: int,
) -> Attribute:
    """The non-resident attribute at `here`, whose `length` is known to lie inside the record. Raises Corrupt."""
    if length < NON_RESIDENT_BYTES:
        where = offset + here - at
        raise Corrupt(f"attribute of MFT record {record}", where, f"it is not resident and has {length} bytes")
    lowest, highest, pairs, unit, allocated, size, initialized = NON_RESIDENT.unpack_from(data, here + HEAD_BYTES)
    fault = span_fault(lowest, highest, pairs, length)
    runs: list[tuple[int, int, int]] = []
    if not fault:
        runs, fault = decode_runs(data, here + pairs, here + length, lowest, clusters)
        fault = fault or length_fault(runs, lowest, highest)
    return Attribute(
        kind, name, flags, instance, record, offset + here - at, None,
        lowest, highest, unit, allocated, size, initialized, tuple(runs), fault,
    )  # fmt: skip


def span_fault(lowest: int, highest: int, pairs: int, length: int) -> str:
    """What is wrong with the header of a run list: '' when nothing is."""
    if not NON_RESIDENT_BYTES <= pairs <= length:
        return f"the run list at {pairs} leaves the attribute of {length} bytes"
    if highest < lowest - 1 or lowest >= 1 << 52:
        return f"it spans the clusters {lowest} to {highest}"
    return ""


def length_fault(runs: list[tuple[int, int, int]], lowest: int, highest: int) -> str:
    """'' when the runs cover exactly the clusters `lowest` to `highest` (inclusive) of the attribute."""
    covered = runs[-1][0] + runs[-1][2] if runs else lowest
    if covered == highest + 1:
        return ""
    return f"the runs end at cluster {covered} of the attribute instead of {highest + 1}"


def list_entries(data: bytes, record: int, offset: int) -> Iterator[ListEntry]:
    """The lines of an attribute list. Raises Corrupt at the first that does not lie inside."""
    at = 0
    while at < len(data):
        fixed = LIST_ENTRY.size
        if at + fixed > len(data):
            raise Corrupt(f"attribute list of MFT record {record}", offset, f"entry at {at} leaves the list")
        kind, length, name_length, name_offset, lowest, reference, _ = LIST_ENTRY.unpack_from(data, at)
        if length < fixed or length & 7 or at + length > len(data) or name_offset + 2 * name_length > length:
            raise Corrupt(f"attribute list of MFT record {record}", offset, f"entry at {at} has length {length}")
        name = utf16(data[at + name_offset : at + name_offset + 2 * name_length]) if name_length else ""
        yield ListEntry(kind, name, lowest, reference & RECORD_MASK, reference >> 48)
        at += length


def parse_file_name(value: bytes, where: str, offset: int) -> FileNameValue:
    """Decode a $FILE_NAME value, as it stands in a record or as the key of a directory entry. Raises Corrupt."""
    if len(value) < FILE_NAME_HEAD.size or FILE_NAME_HEAD.size + 2 * value[0x40] > len(value):
        raise Corrupt(where, offset, f"a $FILE_NAME of {len(value)} bytes is too short for its name")
    parent, flags, _, length, space = FILE_NAME_HEAD.unpack_from(value)
    name = utf16(value[FILE_NAME_HEAD.size : FILE_NAME_HEAD.size + 2 * length])
    return FileNameValue(parent & RECORD_MASK, flags, name, space)
