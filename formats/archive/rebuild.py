"""Rebuilding the index of an archive from its records alone. See FORMAT.md, "Salvage"."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from formats.archive.index import SpanRef, block_ranges
from formats.archive.layout import Kind, PartHead, ReferencePayload
from formats.archive.model import Manifest
from formats.archive.parts import PartsSource
from formats.archive.reader import Structure, split_checkpoint, unpack_map
from formats.archive.record import RecordHeader, decode
from formats.archive.scan import Found, Gap, walk
from formats.archive.segment import Segment, Span
from formats.base.decode import decode as decode_layout
from formats.base.errors import Corrupt, DeviceError, FormatError, NotThisFormat, Unsupported
from formats.base.extent import ExtentList
from formats.base.problem import Problem, Severity

_GAPS_NAMED = 20


class _Place(NamedTuple):
    sequence: int
    offset: int
    digest: bytes


class _Walk:
    """What the records told so far."""

    def __init__(self, parts: PartsSource) -> None:
        self.parts = parts
        self.manifest: Manifest | None = None
        self.final = False
        self.blocks: dict[tuple[int, int], _Place] = {}
        self.by_digest: dict[bytes, int] = {}
        self.references: dict[tuple[int, int], _Place] = {}
        self.segments: dict[int, Segment] = {}  # by window_start as written, so that the two copies count once
        self.maps: dict[int, dict[int, tuple[RecordHeader, bytes]]] = {}
        self.gaps: list[Gap] = []

    def run(self) -> None:
        for item in walk(self.parts, 0, self.parts.size, None):
            if isinstance(item, Gap):
                self.gaps.append(item)
            else:
                try:
                    self._take(item)
                except (FormatError, DeviceError, Unsupported) as error:
                    self.gaps.append(Gap(item.header.offset, item.header.end, str(error)))

    def _take(self, item: Found) -> None:
        header = item.header
        key = (header.volume, header.number)
        place = _Place(header.sequence, header.offset, header.digest)
        if header.kind == Kind.BLOCK:
            old = self.blocks.get(key)
            if old is None or old.sequence < place.sequence:
                self.blocks[key] = place
            self.by_digest[header.digest] = header.offset
            return
        plain = decode(header, self.parts.read_at(header.payload_offset, header.stored_size))
        if header.kind == Kind.REFERENCE:
            decode_layout(ReferencePayload, plain, header.what, header.offset)
            old = self.references.get(key)
            if old is None or old.sequence < place.sequence:
                self.references[key] = place
        elif header.kind == Kind.MAP:
            pieces = self.maps.setdefault(header.volume, {})
            if header.number == 0:
                pieces.clear()  # the last map holds
            pieces[header.number] = (header, plain)
        elif header.kind == Kind.CHECKPOINT:
            head, own, before = split_checkpoint(header, plain)
            self._manifest(head, header.offset, final=False)
            for part in (own, before):
                if part:
                    segment = Segment.unpack(part, header.offset)
                    self.segments[segment.window_start] = segment
        elif header.kind in (Kind.HEADER, Kind.MANIFEST):
            self._manifest(plain, header.offset, final=header.kind == Kind.MANIFEST)
        elif header.kind == Kind.PART:
            self._manifest(plain[PartHead.sizeof() :], header.offset, final=False)

    def _manifest(self, plain: bytes, offset: int, *, final: bool) -> None:
        if self.manifest is None or final:
            self.manifest = Manifest.from_bytes(plain, offset)
            self.final = final


def rebuild(parts: PartsSource, problems: list[Problem]) -> Structure:
    """Everything that the surviving records tell. `problems` are carried on and added to.

    Raises NotThisFormat when there is no record at all, Corrupt when no copy of the header is left.
    """
    found = _Walk(parts)
    found.run()
    if found.manifest is None:
        if not found.blocks:
            raise NotThisFormat("archive", 0, "no record of a Jurymast archive in it", source=parts.name)
        raise Corrupt("archive", 0, "no copy of the header is left", source=parts.name)
    manifest = found.manifest
    problems.extend(
        Problem(Severity.ERROR, "archive.damaged", f"Archive bytes {g.start}..{g.end}: {g.reason}", g.start)
        for g in found.gaps[:_GAPS_NAMED]
    )
    refs, segments, maps = [], {}, {}
    for volume, record in enumerate(manifest.volumes):
        blocks = -(-record.size // manifest.block_size)
        spans = [(t.window_start, s) for t in found.segments.values() for s in t.spans if s.volume == volume]
        extents = _map(found, volume, record.size, [s for _, s in spans], problems)
        span = _span(found, volume, blocks, spans)
        known = ExtentList((n, n + 1) for n in span.numbers).union(span.zero)
        lost = block_ranges(extents, manifest.block_size).subtract(known)
        if lost.total:
            text = f"{lost.total} blocks of volume {volume} are lost (or were zeros whose record is lost)."
            problems.append(Problem(Severity.ERROR, "archive.blocks_lost", text))
        maps[volume] = extents
        # A rebuilt segment has no checkpoint of its own; negative numbers cannot be archive offsets.
        key = -1 - volume
        segments[key] = Segment(0, parts.size, (span,))
        refs.append(SpanRef(key, volume, False, 0, max(1, blocks)))
    return Structure(manifest, refs, (), {}, found.final, problems, segments, maps)


def _map(found: _Walk, volume: int, size: int, spans: list[Span], problems: list[Problem]) -> ExtentList:
    pieces = found.maps.get(volume, {})
    if pieces:
        try:
            return unpack_map([pieces[n] for n in sorted(pieces)], size)
        except FormatError:
            pass  # a piece is missing: the segments know the rest
    text = (
        f"The map of volume {volume} is lost. What the checkpoints do not tell of it may have been in use: it counts "
        "as lost where no record of it is found."
    )
    problems.append(Problem(Severity.WARNING, "archive.map_lost", text))
    step = found.manifest.block_size if found.manifest else 1
    blocks = -(-size // step)  # more than that is damage
    told = ExtentList(
        (min(s.first_block, blocks) * step, min(s.end_block, blocks) * step) for s in spans if not s.overlay
    )
    return ExtentList([*(e for span in spans for e in span.extents), *told.complement(size)]).clip(0, size)


def _span(found: _Walk, volume: int, blocks: int, spans: list[tuple[int, Span]]) -> Span:
    places: dict[int, _Place] = {}
    for (owner, block), place in found.references.items():
        offset = found.by_digest.get(place.digest)
        if owner == volume and block < blocks and offset is not None:
            places[block] = place._replace(offset=offset)
    for (owner, block), place in found.blocks.items():
        if owner == volume and block < blocks and (block not in places or places[block].sequence < place.sequence):
            places[block] = place
    for window_start, span in spans:
        if span.overlay:  # blocks that became zero after they were stored
            for start, end in span.zero:
                named = range(start, end) if end - start < len(places) else [b for b in places if start <= b < end]
                for block in named:
                    if block in places and places[block].offset < window_start:
                        del places[block]
    out = Span(volume, False, 0, max(1, blocks), array("Q"), array("Q"), bytearray())
    for block in sorted(places):
        out.numbers.append(block)
        out.offsets.append(places[block].offset)
        out.digests += places[block].digest
    zero = ExtentList(e for _, span in spans for e in span.zero)
    stored = ExtentList((n, n + 1) for n in out.numbers)
    out.zero = zero.subtract(stored).clip(0, blocks)
    out.unreadable = ExtentList(e for _, span in spans for e in span.unreadable)
    return out
