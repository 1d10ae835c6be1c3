"""Security descriptors and extended attributes of files.

Source: ntfs-3g 2022.10.3 layout.h ($Secure, SECURITY_DESCRIPTOR_HEADER, EA_ATTR); [MS-DTYP] 2.4.6 for what the
descriptors mean, which is not looked at here. Since NTFS 3.0 a file names its descriptor by number; $Secure keeps
each once in its stream $SDS, twice over, and finds them by the index $SII.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from formats.base.errors import Corrupt, RecoveryError
from formats.base.units import KiB
from fs.ntfs.attribute import DATA, EA, SECURITY_DESCRIPTOR, STANDARD_INFORMATION, Attribute
from fs.ntfs.index import ENTRY, Index
from fs.ntfs.mft import Mft
from fs.ntfs.stream import Stream, select

SECURE = 9
SDS, SII = "$SDS", "$SII"
SECURITY_ID_AT = 0x34  # in $STANDARD_INFORMATION since NTFS 3.0
SDS_HEADER = struct.Struct("<IIQI")  # hash, security_id, offset, length (with this header)
SDS_COPY = 256 * KiB  # so far behind each descriptor lies its copy
MAX_DESCRIPTOR = 256 * KiB
MAX_EA = 64 * KiB + 16
EA_HEADER = struct.Struct("<IBBH")  # next entry, flags, name length, value length
CACHE = 512  # descriptors that are kept; most files of a volume share a few


class Security:
    """The descriptors of one volume, read when they are first asked for."""

    def __init__(self, mft: Mft) -> None:
        self._mft = mft
        self._index: Index | None = None
        self._data: Stream | None = None
        self._cache: dict[int, bytes] = {}

    def descriptor(self, number: int, found: list[Attribute]) -> bytes | None:
        """The security descriptor of file `number`, self-relative; None when it has none.

        Raises Corrupt, Truncated or DeviceError when it is lost.
        """
        own = self._mft.open(found, SECURITY_DESCRIPTOR, number)
        if own is not None:
            if own.size > MAX_DESCRIPTOR or not own.as_stored:
                where = self._mft.record_offset(number)
                raise Corrupt(own.name, where, "its size", expected=f"at most {MAX_DESCRIPTOR}", found=own.size)
            return own.read_at(0, own.size)
        standard = select(found, STANDARD_INFORMATION)
        value = standard[0].value if standard else None
        if value is None or len(value) < SECURITY_ID_AT + 4:
            return None
        (key,) = struct.unpack_from("<I", value, SECURITY_ID_AT)
        return self._shared(key) if key else None

    def _shared(self, key: int) -> bytes | None:
        if key in self._cache:
            return self._cache[key]
        if self._index is None or self._data is None:
            attributes = self._mft.attributes(SECURE)
            data = self._mft.open(attributes, DATA, SECURE, SDS)
            if data is None or not data.as_stored:
                raise Corrupt("$Secure", self._mft.record_offset(SECURE), "it has no stream $SDS, or a compressed one")
            self._index, self._data = Index(self._mft, SECURE, attributes, SII), data
        wanted = struct.pack("<I", key)

        def order(entry: bytes) -> int:
            other = int.from_bytes(entry[ENTRY.size : ENTRY.size + 4], "little")
            return (key > other) - (key < other)

        entry = self._index.find(order)
        where = self._mft.record_offset(SECURE)
        if entry is None:
            raise Corrupt("$Secure", where, f"it knows no security descriptor {key}")
        # The value of a view index: its place in the entry stands where a directory has the file reference.
        begin = int.from_bytes(entry[0:2], "little")
        if begin + SDS_HEADER.size > len(entry):
            raise Corrupt("$Secure", where, f"the index entry of security descriptor {key} is too short")
        _, again, place, length = SDS_HEADER.unpack_from(entry, begin)
        if wanted != struct.pack("<I", again) or not SDS_HEADER.size < length <= MAX_DESCRIPTOR:
            raise Corrupt("$Secure", where, f"the index entry of security descriptor {key} is damaged")
        result = self._read(self._data, key, place, length)
        if len(self._cache) >= CACHE:
            self._cache.pop(next(iter(self._cache)))
        self._cache[key] = result
        return result

    @staticmethod
    def _read(data: Stream, key: int, place: int, length: int) -> bytes:
        """From its place or, when it is damaged there, from its copy."""
        first: RecoveryError | None = None
        for at in (place, place + SDS_COPY):
            try:
                raw = data.read_at(at, length)
            except RecoveryError as error:
                first = first or error
                continue
            checksum, again, own, size = SDS_HEADER.unpack_from(raw)
            body = raw[SDS_HEADER.size :]
            if (again, own, size) == (key, place, length) and sds_hash(body) == checksum:
                return body
            where = max(data.locate(at), 0)
            first = first or Corrupt(data.name, where, f"security descriptor {key} does not match its checksum")
        raise first or Corrupt(data.name, 0, f"security descriptor {key} cannot be read")


def sds_hash(data: bytes) -> int:
    """The checksum of a descriptor: its 32-bit words added up, the sum turned left by three before each."""
    total = 0
    for (word,) in struct.iter_unpack("<I", data[: len(data) & ~3]):
        total = (total >> 29 | total << 3) + word & 0xFFFFFFFF
    return total


def extended_attributes(mft: Mft, number: int, found: list[Attribute]) -> Iterator[tuple[bytes, bytes]]:
    """(name, value) of each EA of file `number`. Raises Corrupt, Truncated or DeviceError."""
    stream = mft.open(found, EA, number)
    if stream is None:
        return
    where = mft.record_offset(number)
    if stream.size > MAX_EA or not stream.as_stored:
        raise Corrupt(stream.name, where, "its size", expected=f"at most {MAX_EA}", found=stream.size)
    data = stream.read_at(0, stream.size)
    at = 0
    while at + EA_HEADER.size <= len(data):
        following, _, name_length, value_length = EA_HEADER.unpack_from(data, at)
        begin = at + EA_HEADER.size
        value = begin + name_length + 1  # behind the zero that ends the name
        if not name_length or value + value_length > len(data):
            raise Corrupt(stream.name, where, f"the extended attribute at {at} leaves its {len(data)} bytes")
        yield data[begin : begin + name_length], data[value : value + value_length]
        if not following:
            return
        if following < EA_HEADER.size:
            raise Corrupt(stream.name, where, f"the extended attribute at {at} has the length {following}")
        at += following
