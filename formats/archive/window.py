"""The segment of one window from its records alone, when both copies of it are damaged."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from formats.archive.index import SpanRef
from formats.archive.layout import Kind
from formats.archive.record import RecordHeader, decode
from formats.archive.scan import Found, walk
from formats.archive.segment import Segment, Span, Stored
from formats.base.errors import DeviceError, FormatError
from formats.base.extent import ExtentList
from formats.base.source import BlockSource

_TARGET = struct.Struct("<QQII")


def segment_by_walk(
    source: BlockSource, start: int, end: int, archive_id: bytes, refs: Sequence[SpanRef], block_size: int
) -> Segment:
    """What the BLOCK and REFERENCE records in archive bytes [start, end) tell about the spans `refs`.

    Zero runs, extents and unreadable ranges stood in the lost segment only: those blocks count as lost, and
    all of a span as held.
    """
    last: dict[tuple[int, int], tuple[int, Stored]] = {}
    for item in walk(source, start, min(end, source.size), archive_id):
        if not isinstance(item, Found) or item.header.kind not in (Kind.BLOCK, Kind.REFERENCE):
            continue
        header = item.header
        where = _place(source, header)
        key = (header.volume, header.number)
        if where is not None and (key not in last or last[key][0] < header.sequence):
            last[key] = (header.sequence, where)
    spans = []
    for ref in refs:
        span = Span(ref.volume, ref.overlay, ref.first_block, ref.end_block)
        span.extents = ExtentList([(ref.first_block * block_size, ref.end_block * block_size)])
        for (volume, block), (_, where) in sorted(last.items()):
            if volume == ref.volume and ref.first_block <= block < ref.end_block:
                span.numbers.append(block)
                span.offsets.append(where.offset)
                span.digests += where.digest
        spans.append(span)
    return Segment(start, end, tuple(spans))


def _place(source: BlockSource, header: RecordHeader) -> Stored | None:
    if header.kind == Kind.BLOCK:
        return Stored(header.offset, header.digest)
    try:
        plain = decode(header, source.read_at(header.payload_offset, header.stored_size))
    except (FormatError, DeviceError):
        return None
    return Stored(_TARGET.unpack(plain)[0], header.digest) if len(plain) == _TARGET.size else None
