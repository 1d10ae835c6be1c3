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
    FIRST_UNUSED_KIND,
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
    stored_digest: bytes


def digest_of(data: bytes | memoryview) -> bytes:
    """BLAKE3, 32 bytes."""
    return blake3(data).digest()


def compress(data: bytes | memoryview, level: int) -> bytes:
    """One zstd frame with content size and checksum. Thread-safe; releases the GIL."""
    cache: dict[int, zstandard.ZstdCompressor] | None = getattr(_local, "compressors", None)
    if cache is None:
        cache = _local.compressors = {}
    compressor = cache.get(level)
    if compressor is None:
        compressor = cache[level] = zstandard.ZstdCompressor(level=level, write_checksum=True)
    return compressor.compress(data)


def decompress(data: bytes, plain_size: int, structure: str, offset: int) -> bytes:
    """The content of one zstd frame that must be `plain_size` bytes. Raises Corrupt; output is bounded."""
    decompressor: zstandard.ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    try:
        if zstandard.frame_content_size(data) != plain_size:
            raise Corrupt(
                structure,
                offset,
                "frame content size",
                expected=plain_size,
                found=zstandard.frame_content_size(data),
            )
        return decompressor.decompress(data, max_output_size=plain_size)
    except zstandard.ZstdError as error:
        raise Corrupt(structure, offset, f"zstd: {error}") from error


def encode(plain: bytes | memoryview, level: int, digest: bytes | None = None) -> Encoded:
    """Compress and digest a payload. `digest`: that of `plain`, when it is known already."""
    stored = compress(plain, level)
    return Encoded(len(plain), CODEC_ZSTD, stored, digest or digest_of(plain), digest_of(stored)[:16])


def encode_plain(plain: bytes, digest: bytes | None = None) -> Encoded:
    """A payload stored as it is."""
    own = digest_of(plain)
    return Encoded(len(plain), CODEC_NONE, plain, digest or own, own[:16])


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
        0,
        volume,
        number,
        sequence,
        payload.plain_size,
        stored,
        payload.digest,
        payload.stored_digest,
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
    if flags or any(rest):
        raise Unsupported(f"record at {offset:#x}", f"reserved header fields in use (flags {flags:#x})")
    if kind not in _KNOWN_KINDS and kind < FIRST_UNUSED_KIND:
        raise Unsupported(f"record at {offset:#x}", f"record kind {kind}", "Use a newer version of Jurymast.")
    return RecordHeader(offset, archive, kind, codec, volume, number, sequence, plain, stored, digest, short)


def decode(header: RecordHeader, stored: bytes) -> bytes:
    """The plain payload, checked twice: as stored and as plain.

    Raises ChecksumMismatch or Corrupt with the archive offset, Unsupported for a codec that is not known.
    """
    if digest_of(stored)[:16] != header.stored_digest:
        raise ChecksumMismatch(header.what, header.payload_offset, "the stored bytes changed since they were written")
    plain = _plain(header, stored)
    if header.kind != Kind.REFERENCE and digest_of(plain) != header.digest:
        raise ChecksumMismatch(header.what, header.payload_offset, "the decoded bytes are not what was stored")
    return plain


def decode_block(header: RecordHeader, stored: bytes) -> bytes:
    """As decode(), for a BLOCK: its plain digest alone is proof, so a good block is hashed only once.

    What does not prove goes through decode(), which tells where the fault lies.
    """
    try:
        plain = _plain(header, stored)
    except Corrupt:
        return decode(header, stored)
    return plain if digest_of(plain) == header.digest else decode(header, stored)


def _plain(header: RecordHeader, stored: bytes) -> bytes:
    if header.codec == CODEC_ZSTD:
        plain = decompress(stored, header.plain_size, header.what, header.payload_offset)
    elif header.codec == CODEC_NONE:
        plain = stored
    else:
        raise Unsupported(header.what, f"codec {header.codec}", "Use a newer version of Jurymast.")
    if len(plain) != header.plain_size:
        raise Corrupt(header.what, header.offset, "plain size", expected=header.plain_size, found=len(plain))
    return plain
