"""One record: header, payload, and nothing handed out that was not proven. See FORMAT.md, "Record header"."""

from __future__ import annotations

import struct
import threading
from typing import NamedTuple

import zstandard
from blake3 import blake3

from formats.archive.layout import (
    CODEC_NONE,
    CODEC_ZSTD,
    DEFAULT_BLOCK,
    FIRST_UNUSED_KIND,
    FLAG_STORED_CRC,
    HEADER_SIZE,
    MAX_PAYLOAD,
    NO_VOLUME,
    RECORD_MAGIC,
    SKIPPABLE_MAGIC,
    Kind,
)
from formats.base.checksum import crc32c
from formats.base.errors import ChecksumMismatch, Corrupt, NotThisFormat, Unsupported

_HEADER = struct.Struct("<II8s16sBBHIQQII32s16s12s")  # the fields of layout.RecordHeader before the CRC
_CRC = struct.Struct("<I")
_KNOWN_KINDS = frozenset(int(k) for k in Kind)
_local = threading.local()


class RecordHeader(NamedTuple):
    """A checked header. `offset`: archive offset of the record in bytes. `number`: as its kind defines."""

    offset: int
    archive_id: bytes
    kind: int
    codec: int
    flags: int
    volume: int
    number: int
    sequence: int
    plain_size: int
    stored_size: int
    digest: bytes
    stored_digest: bytes

    @property
    def payload_offset(self) -> int:
        return self.offset + HEADER_SIZE

    @property
    def end(self) -> int:
        """Archive offset of the first byte behind the record."""
        return self.offset + HEADER_SIZE + self.stored_size

    @property
    def what(self) -> str:
        """Its name in a message."""
        kind = Kind(self.kind).name if self.kind in _KNOWN_KINDS else f"kind {self.kind}"
        place = "" if self.volume == NO_VOLUME else f" of volume {self.volume}"
        return f"{kind} record {self.number}{place}"


class Encoded(NamedTuple):
    """A payload ready to be written: `stored` bytes with `digest` of the plain ones."""

    plain_size: int
    codec: int
    stored: bytes
    digest: bytes


def digest_of(data: bytes | memoryview) -> bytes:
    """BLAKE3, 32 bytes."""
    return blake3(data).digest()


def _compressor(level: int) -> zstandard.ZstdCompressor:
    """As zstd's level, but level 1 with a hash table that stays in the first cache: for blocks of 256 KiB that takes
    a few percent less time, and with matches from 6 bytes on the result is no larger (measured).
    """
    if level == 1:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            level, source_size=DEFAULT_BLOCK, hash_log=13, min_match=6
        )
        return zstandard.ZstdCompressor(compression_params=parameters)
    return zstandard.ZstdCompressor(level=level)


def compress(data: bytes | memoryview, level: int) -> bytes:
    """One zstd frame with content size; digests and CRC are in the header. Thread-safe; releases the GIL."""
    cache: dict[int, zstandard.ZstdCompressor] | None = getattr(_local, "compressors", None)
    if cache is None:
        cache = _local.compressors = {}
    compressor = cache.get(level)
    if compressor is None:
        compressor = cache[level] = _compressor(level)
    return compressor.compress(data)


def _decompress(header: RecordHeader, data: bytes | memoryview) -> bytes:
    """The content of the one zstd frame of a record. Raises Corrupt; output is bounded."""
    decompressor: zstandard.ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    try:
        found = zstandard.frame_content_size(data)
        if found == header.plain_size:
            return decompressor.decompress(data, max_output_size=found)
    except zstandard.ZstdError as error:
        raise Corrupt(header.what, header.payload_offset, f"zstd: {error}") from error
    raise Corrupt(header.what, header.payload_offset, "frame content size", expected=header.plain_size, found=found)


def encode(plain: bytes | memoryview, level: int, digest: bytes | None = None) -> Encoded:
    """Compress and digest a payload. `digest`: that of `plain`, when it is known already."""
    stored = compress(plain, level)
    return Encoded(len(plain), CODEC_ZSTD, stored, digest or digest_of(plain))


def encode_plain(plain: bytes, digest: bytes | None = None) -> Encoded:
    """A payload stored as it is."""
    return Encoded(len(plain), CODEC_NONE, plain, digest or digest_of(plain))


def pack_header(archive_id: bytes, kind: Kind, volume: int, number: int, sequence: int, payload: Encoded) -> bytes:
    """The 128 bytes before the payload."""
    stored = len(payload.stored)
    head = _HEADER.pack(
        SKIPPABLE_MAGIC,
        HEADER_SIZE - 8 + (0 if kind is Kind.BLOCK else stored),
        RECORD_MAGIC,
        archive_id,
        kind,
        payload.codec,
        FLAG_STORED_CRC,
        volume,
        number,
        sequence,
        payload.plain_size,
        stored,
        payload.digest,
        _CRC.pack(crc32c(payload.stored)),  # padded with zeros
        bytes(12),
    )
    return head + _CRC.pack(crc32c(head))


def parse_header(data: bytes, offset: int) -> RecordHeader:
    """Check and take apart the header whose 128 bytes `data` stand at archive offset `offset`.

    Raises NotThisFormat (no magic), ChecksumMismatch, Corrupt (sizes), Unsupported (reserved things in use).
    """
    if len(data) < HEADER_SIZE or data[8:16] != RECORD_MAGIC:
        raise NotThisFormat("record", offset, "no record begins here")
    (found,) = _CRC.unpack_from(data, HEADER_SIZE - 4)
    wanted = crc32c(data[: HEADER_SIZE - 4])
    if found != wanted:
        raise ChecksumMismatch("record header", offset, "CRC", expected=f"{wanted:#010x}", found=f"{found:#010x}")
    (magic, frame, _, archive, kind, codec, flags, volume, number, sequence, plain, stored, digest, short, rest) = (
        _HEADER.unpack_from(data)
    )
    if magic != SKIPPABLE_MAGIC or frame != HEADER_SIZE - 8 + (0 if kind == Kind.BLOCK else stored):
        raise Corrupt("record header", offset, "skippable frame", found=f"{magic:#x}/{frame}")
    if plain > MAX_PAYLOAD or stored > MAX_PAYLOAD:
        raise Corrupt("record header", offset, f"payload above the limit of {MAX_PAYLOAD}", found=f"{plain}/{stored}")
    if flags & ~FLAG_STORED_CRC or any(rest):
        raise Unsupported(f"record at {offset:#x}", f"reserved header fields in use (flags {flags:#x})")
    if kind not in _KNOWN_KINDS and kind < FIRST_UNUSED_KIND:
        raise Unsupported(f"record at {offset:#x}", f"record kind {kind}", "Use a newer version of Jurymast.")
    return RecordHeader(offset, archive, kind, codec, flags, volume, number, sequence, plain, stored, digest, short)


def _stored_digest(header: RecordHeader, stored: bytes) -> bytes:
    if header.flags & FLAG_STORED_CRC:
        return _CRC.pack(crc32c(stored)) + bytes(12)
    return digest_of(stored)[:16]


def decode(header: RecordHeader, stored: bytes) -> bytes:
    """The plain payload, checked twice: as stored and as plain.

    Raises ChecksumMismatch or Corrupt with the archive offset, Unsupported for a codec that is not known.
    """
    if _stored_digest(header, stored) != header.stored_digest:
        raise ChecksumMismatch(header.what, header.payload_offset, "the stored bytes changed since they were written")
    plain = _plain(header, stored)
    if header.kind != Kind.REFERENCE and digest_of(plain) != header.digest:
        raise ChecksumMismatch(header.what, header.payload_offset, "the decoded bytes are not what was stored")
    return plain


def decode_block(header: RecordHeader, stored: bytes | memoryview) -> bytes:
    """As decode(), for a BLOCK: its plain digest alone is proof, so a good block is hashed only once.

    What does not prove goes through decode(), which tells where the fault lies.
    """
    try:
        plain = _plain(header, stored)
    except Corrupt:
        return decode(header, bytes(stored))
    return plain if digest_of(plain) == header.digest else decode(header, bytes(stored))


def _plain(header: RecordHeader, stored: bytes | memoryview) -> bytes:
    if header.codec == CODEC_ZSTD:
        plain = _decompress(header, stored)
    elif header.codec == CODEC_NONE:
        plain = bytes(stored)
    else:
        raise Unsupported(header.what, f"codec {header.codec}", "Use a newer version of Jurymast.")
    if len(plain) != header.plain_size:
        raise Corrupt(header.what, header.offset, "plain size", expected=header.plain_size, found=len(plain))
    return plain
