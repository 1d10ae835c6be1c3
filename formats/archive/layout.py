"""On-disk structures of the archive, as FORMAT.md defines them. A test compares the tables there with these.

All little-endian; offsets and sizes in bytes.
"""

from __future__ import annotations

from enum import IntEnum

from construct import Bytes, Const, Int8ul, Int16ul, Int32ul, Int64ul, Struct

SKIPPABLE_MAGIC = 0x184D2A5A  # RFC 8878, 3.1.2: any of 0x184D2A50..5F; the seekable format uses ..5E
RECORD_MAGIC = bytes.fromhex("8f4a4d49c3a77201")  # not ASCII, no zero byte: unlikely elsewhere
HEADER_SIZE = 128
FOOTER_SIZE = 128
NO_VOLUME = 0xFFFFFFFF
FORMAT_VERSION = 1
MAX_PAYLOAD = 64 << 20
MIN_BLOCK, DEFAULT_BLOCK, MAX_BLOCK = 4 << 10, 256 << 10, 16 << 20
MAX_VOLUMES = 65536
MAP_PIECE = 65536  # extents

CODEC_NONE = 0
CODEC_ZSTD = 1


class Kind(IntEnum):
    HEADER = 1
    MAP = 2
    BLOCK = 3
    REFERENCE = 4
    CHECKPOINT = 5
    INDEX = 6
    MANIFEST = 7
    FOOTER = 8
    PART = 9


FLAG_STORED_CRC = 1  # stored_digest is a CRC-32C and 12 zero bytes, else the first 16 bytes of a BLAKE3

FIRST_UNUSED_KIND = 128  # from here on: pass over what is not known

RecordHeader = Struct(
    "frame_magic" / Const(SKIPPABLE_MAGIC, Int32ul),  # +0x00
    "frame_size" / Int32ul,  # +0x04 bytes behind this field that the skippable frame spans
    "record_magic" / Const(RECORD_MAGIC),  # +0x08
    "archive_id" / Bytes(16),  # +0x10
    "kind" / Int8ul,  # +0x20
    "codec" / Int8ul,  # +0x21
    "flags" / Int16ul,  # +0x22 FLAG_…
    "volume" / Int32ul,  # +0x24 0-based
    "number" / Int64ul,  # +0x28 block number, piece, checkpoint, copy or part
    "sequence" / Int64ul,  # +0x30 0-based
    "plain_size" / Int32ul,  # +0x38 bytes
    "stored_size" / Int32ul,  # +0x3c bytes
    "digest" / Bytes(32),  # +0x40 BLAKE3 of the plain payload (of the block for BLOCK and REFERENCE)
    "stored_digest" / Bytes(16),  # +0x60 of the stored payload: what it is says FLAG_STORED_CRC
    "reserved" / Bytes(12),  # +0x70
    "crc" / Int32ul,  # +0x7c CRC-32C of bytes 0..123
)

MapHead = Struct("pieces" / Int32ul, "count" / Int32ul)

ReferencePayload = Struct(
    "target_offset" / Int64ul,  # +0x00 archive offset of a BLOCK record
    "target_number" / Int64ul,  # +0x08 its block
    "target_volume" / Int32ul,  # +0x10
    "reserved" / Int32ul,  # +0x14
)

SegmentHead = Struct(
    "window_start" / Int64ul,  # +0x00 archive offset
    "window_end" / Int64ul,  # +0x08 archive offset
    "spans" / Int32ul,  # +0x10
    "unused" / Int32ul,  # +0x14
)

SpanHead = Struct(
    "volume" / Int32ul,  # +0x00
    "overlay" / Int32ul,  # +0x04 0 or 1
    "first_block" / Int64ul,  # +0x08
    "end_block" / Int64ul,  # +0x10 not included
    "stored" / Int32ul,  # +0x18 entries
    "zero_runs" / Int32ul,  # +0x1c entries
    "extents" / Int32ul,  # +0x20 entries
    "unreadable" / Int32ul,  # +0x24 entries
)

CheckpointHead = Struct(
    "previous" / Int64ul,  # +0x00 archive offset, 0 for none
    "chain" / Bytes(32),  # +0x08 BLAKE3 over the headers of all records before
    "header_size" / Int32ul,  # +0x28 bytes
    "segment_size" / Int32ul,  # +0x2c bytes
    "before_size" / Int32ul,  # +0x30 bytes
    "unused" / Int32ul,  # +0x34
)

IndexEntry = Struct(
    "checkpoint" / Int64ul,  # +0x00 archive offset
    "volume" / Int32ul,  # +0x08
    "overlay" / Int32ul,  # +0x0c
    "first_block" / Int64ul,  # +0x10
    "end_block" / Int64ul,  # +0x18 not included
)

Footer = Struct(
    "archive_size" / Int64ul,  # +0x00 bytes
    "records" / Int64ul,  # +0x08
    "index_a" / Int64ul,  # +0x10 archive offset
    "manifest_a" / Int64ul,  # +0x18 archive offset
    "index_b" / Int64ul,  # +0x20 archive offset
    "manifest_b" / Int64ul,  # +0x28 archive offset
    "last_checkpoint" / Int64ul,  # +0x30 archive offset
    "parts" / Int32ul,  # +0x38
    "version" / Int32ul,  # +0x3c
    "chain" / Bytes(32),  # +0x40
    "reserved" / Bytes(32),  # +0x60
)

PartHead = Struct(
    "start" / Int64ul,  # +0x00 archive offset
    "part" / Int32ul,  # +0x08 1-based
    "header_size" / Int32ul,  # +0x0c bytes
)
