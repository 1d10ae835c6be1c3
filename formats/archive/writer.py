"""Writes an archive, front to back. The order of things and the commit are in FORMAT.md, "Writing"."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable

from blake3 import blake3

from formats.archive.index import SpanRef
from formats.archive.layout import (
    FOOTER_SIZE,
    FORMAT_VERSION,
    HEADER_SIZE,
    MAP_PIECE,
    MAX_PAYLOAD,
    NO_VOLUME,
    Kind,
)
from formats.archive.model import Manifest
from formats.archive.record import Encoded, encode, encode_plain, pack_header
from formats.archive.segment import Segment, Span, SpanBuilder, Stored, pack_pairs
from formats.archive.sink import Sink
from formats.base.errors import Unsupported
from formats.base.extent import ExtentList
from formats.base.units import GiB

_MAP = struct.Struct("<II")
_REFERENCE = struct.Struct("<QQII")
_CHECKPOINT = struct.Struct("<Q32sIIII")
_FOOTER = struct.Struct("<QQQQQQQII32s32s")
_PART = struct.Struct("<QII")

METADATA_LEVEL = 3
DEDUP_ENTRIES = 192 * 1024  # about 45 MB, and 48 GiB of unique blocks of 256 KiB


@dataclasses.dataclass(slots=True)
class Totals:
    """Bytes and blocks that went in. `plain`: bytes of stored blocks before compression."""

    blocks: int = 0
    plain: int = 0
    stored: int = 0
    references: int = 0
    reference_bytes: int = 0
    zero: int = 0


class ArchiveWriter:
    """Use from one thread: begin(), then per volume begin_volume(), put_…, end_volume(); end_data(); commit().

    Any error leaves the archive without its final name; call abort().
    """

    def __init__(self, sink: Sink, manifest: Manifest, *, on_checkpoint: Callable[[int], None] | None = None) -> None:
        self.sink, self.manifest = sink, manifest
        self._block_size = manifest.block_size
        self._window_blocks = max(16, GiB // manifest.block_size)
        self._head = manifest.to_bytes()
        self._sequence = 0
        self._chain = blake3()
        self._on_checkpoint = on_checkpoint
        self._known: dict[bytes, bytes] = {}  # digest to a packed reference: small, for there are many
        self._volume = -1
        self._extents = ExtentList()
        self._span: SpanBuilder | None = None
        self._packed_spans: list[tuple[SpanBuilder, ExtentList, int]] = []
        self._checkpoints = 0
        self._previous = 0
        self._before = b""
        self._window_start = 0
        self.index: list[SpanRef] = []
        self.last_checkpoint = 0
        self.map_offsets: dict[int, list[int]] = {}
        self.totals = Totals()
        self._append(Kind.HEADER, NO_VOLUME, 0, encode(self._head, METADATA_LEVEL))
        sink.sync()
        self._window_start = sink.position

    # records

    def _append(self, kind: Kind, volume: int, number: int, payload: Encoded) -> int:
        """Write one record; its archive offset."""
        if len(payload.stored) > MAX_PAYLOAD or payload.plain_size > MAX_PAYLOAD:
            raise Unsupported(f"{kind.name} record", f"a payload of {payload.plain_size} bytes")
        self._make_room(len(payload.stored))
        return self._write(kind, volume, number, payload)

    def _make_room(self, stored_size: int) -> bool:
        """Begin a new part when a payload of `stored_size` bytes does not fit; True when that happened."""
        if self.sink.room(HEADER_SIZE + stored_size):
            return False
        self.sink.next_part()
        head = _PART.pack(self.sink.position, self.sink.part, len(self._head)) + self._head
        self._write(Kind.PART, NO_VOLUME, self.sink.part, encode(head, METADATA_LEVEL))
        return True

    def _write(self, kind: Kind, volume: int, number: int, payload: Encoded) -> int:
        offset = self.sink.position
        header = pack_header(self.manifest.archive_id, kind, volume, number, self._sequence, payload)
        self.sink.write((header, payload.stored))
        self._chain.update(header)
        self._sequence += 1
        return offset

    # volumes

    def begin_volume(self, volume: int, extents: ExtentList) -> None:
        """Start volume `volume`; `extents`: the exact bytes that will be held of it."""
        self._volume, self._extents = volume, extents
        pieces = max(1, -(-len(extents) // MAP_PIECE))
        pairs = pack_pairs(extents)
        places = self.map_offsets[volume] = []
        for piece in range(pieces):
            part = pairs[piece * MAP_PIECE * 16 : (piece + 1) * MAP_PIECE * 16]
            payload = _MAP.pack(pieces, len(part) // 16) + part
            places.append(self._append(Kind.MAP, volume, piece, encode(payload, METADATA_LEVEL)))
        self._span = SpanBuilder(volume, 0)

    def end_volume(self) -> None:
        """Everything of the current volume was put."""
        span = self._current()
        blocks = -(-self.manifest.volumes[self._volume].size // self._block_size)
        self._packed_spans.append((span, self._extents, max(blocks, span.next_block)))
        self._span = None
        if sum(s.blocks for s, _, _ in self._packed_spans) >= self._window_blocks:
            self.checkpoint()

    def _current(self) -> SpanBuilder:
        if self._span is None:
            raise RuntimeError("no volume was begun")
        return self._span

    # blocks

    def lookup(self, digest: bytes) -> bool:
        """True when a block with this digest can be put as a reference. Safe from any thread."""
        return digest in self._known

    def put_zero(self, block: int) -> None:
        """`block` is in use and all zeros."""
        self._current().put(block, None)
        self.totals.zero += 1
        self._after_block()

    def put_unreadable(self, start: int, end: int) -> None:
        """Bytes [start, end) of the volume could not be read and stand as zeros in their blocks."""
        self._current().unreadable(start, end)

    def put_block(self, block: int, plain_size: int, digest: bytes, payload: Encoded | None) -> bool:
        """Store a block, or a reference when an equal one is known. False: unknown, and `payload` is None."""
        known = self._known.get(digest)
        if known is not None:
            self._append(Kind.REFERENCE, self._volume, block, encode_plain(known, digest))
            self._current().put(block, Stored(_REFERENCE.unpack(known)[0], digest))
            self.totals.references += 1
            self.totals.reference_bytes += plain_size
        elif payload is None:
            return False
        else:
            offset = self._append(Kind.BLOCK, self._volume, block, payload)
            if len(self._known) >= DEDUP_ENTRIES:
                del self._known[next(iter(self._known))]
            self._known[digest] = _REFERENCE.pack(offset, block, self._volume, 0)
            self._current().put(block, Stored(offset, digest))
            self.totals.blocks += 1
            self.totals.plain += plain_size
            self.totals.stored += len(payload.stored)
        self._after_block()
        return True

    def _after_block(self) -> None:
        if self._current().blocks >= self._window_blocks:
            self.checkpoint()

    # checkpoints and commit

    def checkpoint(self) -> None:
        """Close the window: its index goes into the archive, and everything so far to the medium."""
        spans = list(self._packed_spans)
        self._packed_spans.clear()
        if self._span is not None:
            spans.append((self._span, self._extents, self._span.next_block))
            self._span = SpanBuilder(self._volume, self._span.next_block)
        built = [s for span, extents, end in spans for s in span.spans(extents, self._block_size, end)]
        segment, encoded = self._encode_checkpoint(built)
        if self._make_room(len(encoded.stored)):  # everything moved
            segment, encoded = self._encode_checkpoint(built)
        offset = self._write(Kind.CHECKPOINT, NO_VOLUME, self._checkpoints, encoded)
        self.index.extend(SpanRef(offset, s.volume, s.overlay, s.first_block, s.end_block) for s in built)
        self._checkpoints += 1
        self._previous = self.last_checkpoint = offset
        self._before = segment
        self._window_start = self.sink.position
        self.sink.sync()
        if self._on_checkpoint is not None:
            self._on_checkpoint(self.sink.position)

    def _encode_checkpoint(self, spans: list[Span]) -> tuple[bytes, Encoded]:
        segment = Segment(self._window_start, self.sink.position, tuple(spans)).pack()
        sizes = (len(self._head), len(segment), len(self._before))
        head = _CHECKPOINT.pack(self._previous, self._chain.digest(), *sizes, 0)
        return segment, encode(head + self._head + segment + self._before, METADATA_LEVEL)

    def end_data(self) -> None:
        """All volumes are in. Afterwards the archive can be read back before it is committed."""
        self.checkpoint()
        self.checkpoint()  # an empty window, for the second copy of the last segment

    def write_tail(self, manifest: Manifest) -> None:
        """INDEX and MANIFEST, twice, and the FOOTER; synced, not yet renamed."""
        volumes = tuple(
            dataclasses.replace(v, details={**v.details, "map": self.map_offsets.get(i, [])})
            for i, v in enumerate(manifest.volumes)
        )
        manifest = dataclasses.replace(manifest, volumes=volumes)
        index = encode(b"".join(entry.pack() for entry in self.index), METADATA_LEVEL)
        body = encode(manifest.to_bytes(), METADATA_LEVEL)
        places = []
        for copy in (0, 1):
            places.append(self._append(Kind.INDEX, NO_VOLUME, copy, index))
            places.append(self._append(Kind.MANIFEST, NO_VOLUME, copy, body))
        self._make_room(FOOTER_SIZE)
        footer = _FOOTER.pack(
            self.sink.position + HEADER_SIZE + FOOTER_SIZE,
            self._sequence + 1,
            *places,
            self.last_checkpoint,
            self.sink.part,
            FORMAT_VERSION,
            self._chain.digest(),
            bytes(32),
        )
        self._write(Kind.FOOTER, NO_VOLUME, 0, encode_plain(footer))
        self.sink.sync()

    def commit(self) -> None:
        """Give the archive its final name."""
        self.sink.commit()

    def abort(self) -> None:
        """Leave nothing behind."""
        self.sink.abort()
