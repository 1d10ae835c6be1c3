"""Walk over all records from the front, finding the way again after damage. See FORMAT.md, "Salvage"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from formats.archive.layout import HEADER_SIZE, RECORD_MAGIC
from formats.archive.record import RecordHeader, parse_header
from formats.base.errors import DeviceError, FormatError, Truncated, Unsupported
from formats.base.source import BlockSource
from formats.base.units import MiB

_STEP = 1 * MiB
_BAD_SECTOR = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """A record whose header is good; its payload was not looked at. `raw`: the 128 bytes."""

    header: RecordHeader
    raw: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Archive bytes [start, end) that belong to no readable record, and why."""

    start: int
    end: int
    reason: str


def walk(source: BlockSource, start: int, end: int, archive_id: bytes | None) -> Iterator[Found | Gap]:
    """Every record in [start, end), ascending. `archive_id` None: that of the first good header.

    A record is yielded even when its payload is cut; a gap may therefore overlap the record before it.
    """
    offset = start
    search_from = start  # bytes may have been cut out of the last payload: look for the next header inside it too
    while offset < end:
        reason = "the archive ends inside a record header"
        if offset + HEADER_SIZE <= end:
            try:
                raw = source.read_at(offset, HEADER_SIZE)
                header = parse_header(raw, offset)
                if archive_id is None or header.archive_id == archive_id:
                    archive_id = header.archive_id
                    yield Found(header, raw)
                    search_from, offset = header.payload_offset, header.end
                    continue
                reason = "a record of another archive"
            except (FormatError, DeviceError, Unsupported) as error:
                reason = str(error)
        found = _next_record(source, max(search_from, start), end, archive_id)
        found_at = end if found is None else found
        yield Gap(min(offset, found_at), found_at, reason)
        offset = search_from = found_at


def _next_record(source: BlockSource, start: int, end: int, archive_id: bytes | None) -> int | None:
    """Archive offset of the first good header behind `start`, None when there is none before `end`."""
    position = start
    while position < end:
        size = min(_STEP + len(RECORD_MAGIC) - 1, end - position)
        data = _read_around(source, position, size)
        at = data.find(RECORD_MAGIC)
        while at >= 0:
            offset = position + at - 8
            if offset >= start and offset + HEADER_SIZE <= end:
                try:
                    header = parse_header(source.read_at(offset, HEADER_SIZE), offset)
                    if archive_id is None or header.archive_id == archive_id:
                        return offset
                except (FormatError, DeviceError, Unsupported):
                    pass  # looked like one, is none: search on
            at = data.find(RECORD_MAGIC, at + 1)
        position += _STEP
    return None


def _read_around(source: BlockSource, start: int, size: int) -> bytes:
    """`size` bytes from `start`, with zeros where the medium gives nothing."""
    try:
        return source.read_at(start, size)
    except (DeviceError, Truncated):
        pieces = []
        for at in range(start, start + size, _BAD_SECTOR):
            step = min(_BAD_SECTOR, start + size - at)
            try:
                pieces.append(source.read_at(at, step))
            except (DeviceError, Truncated):
                pieces.append(bytes(step))
        return b"".join(pieces)
