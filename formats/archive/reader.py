"""Random access to an archive. Nothing is handed out whose digest was not checked."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

from formats.archive.index import SegmentCache, SpanRef, VolumeIndex, block_ranges
from formats.archive.layout import HEADER_SIZE, CheckpointHead, Kind, MapHead
from formats.archive.model import Manifest
from formats.archive.parts import PartsSource
from formats.archive.record import RecordHeader, decode_block, parse_header
from formats.archive.record import decode as decode_payload
from formats.archive.segment import Segment, Span, Stored, unpack_pairs
from formats.archive.window import segment_by_walk
from formats.base.closing import Closing
from formats.base.decode import decode
from formats.base.errors import Corrupt, DeviceError, FormatError, Inconsistent, Unsupported
from formats.base.extent import ExtentList, collect
from formats.base.problem import Problem
from formats.base.source import BlockSource, check_range

CACHE_BYTES = 48 << 20
_CHECKPOINT = struct.Struct("<Q32sIIII")


class Entry(NamedTuple):
    """A block that the archive should hold: `where` it is stored, None for zeros, `lost` when it is gone."""

    block: int
    where: Stored | None
    lost: bool = False


class Structure(NamedTuple):
    """What is needed to find things: from the footer, from a writer before its commit, or rebuilt by a walk."""

    manifest: Manifest
    refs: Sequence[SpanRef]
    checkpoints: Sequence[int]  # archive offsets, ascending
    map_offsets: Mapping[int, Sequence[int]]
    complete: bool  # False: the manifest is the planned one, the results are lost
    problems: Sequence[Problem]
    segments: dict[int, Segment]  # those that could only be rebuilt, by checkpoint offset
    maps: dict[int, ExtentList]  # those that are in memory already


class ArchiveReader(Closing):
    """An opened archive. Thread-safe. Use as a context manager or call close()."""

    def __init__(self, source: BlockSource, structure: Structure) -> None:
        self.source, self.structure = source, structure
        self.manifest = structure.manifest
        self.block_size = structure.manifest.block_size
        self.problems = list(structure.problems)
        self._maps = dict(structure.maps)
        self._lock = Lock()
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._kept_bytes = 0
        cache = SegmentCache()
        self._volumes = [
            VolumeIndex([r for r in structure.refs if r.volume == i], self.load_segment, cache)
            for i in range(len(self.manifest.volumes))
        ]

    # records

    def header(self, offset: int) -> RecordHeader:
        """The record header at an archive offset. Raises FormatError, Unsupported, DeviceError."""
        return self._own(parse_header(self.source.read_at(offset, HEADER_SIZE), offset))

    def _own(self, header: RecordHeader) -> RecordHeader:
        if header.archive_id != self.manifest.archive_id:
            raise Corrupt(header.what, header.offset, "belongs to another archive")
        return header

    def record(self, offset: int, kind: Kind) -> tuple[RecordHeader, bytes]:
        """Header and plain payload of the record at `offset`, which must be of `kind`."""
        header = self.header(offset)
        if header.kind != kind:
            raise Inconsistent(header.what, offset, "kind of record", expected=kind.name, found=header.kind)
        return header, decode_payload(header, self.source.read_at(header.payload_offset, header.stored_size))

    def load(self, where: Stored) -> bytes:
        """The plain bytes of a stored block, proven by the digest that the index wants. Thread-safe."""
        header = self._wanted(where, self.header(where.offset))
        return decode_block(header, self.source.read_at(header.payload_offset, header.stored_size))

    def load_run(self, run: Sequence[Stored]) -> list[bytes | None]:
        """As load(), for blocks most of which lie one behind another, with few reads. None: does not prove."""
        start, end = run[0].offset, run[-1].offset + HEADER_SIZE
        window = memoryview(b"")
        if 0 < end - start <= len(run) * (self.block_size + HEADER_SIZE):
            with suppress(FormatError, DeviceError):
                window = memoryview(self.source.read_at(start, end - start))
        return [self._load_from(window, start, where) for where in run]

    def _load_from(self, window: memoryview, start: int, where: Stored) -> bytes | None:
        """`window`: the archive's bytes from `start`, which may hold the record."""
        at = where.offset - start
        try:
            if not 0 <= at <= len(window) - HEADER_SIZE:
                return self.load(where)
            header = self._wanted(where, self._own(parse_header(bytes(window[at : at + HEADER_SIZE]), where.offset)))
            stored: bytes | memoryview = window[at + HEADER_SIZE : header.end - start]
            if len(stored) < header.stored_size:
                stored = self.source.read_at(header.payload_offset, header.stored_size)
            return decode_block(header, stored)
        except (FormatError, DeviceError, Unsupported):
            return None

    def _wanted(self, where: Stored, header: RecordHeader) -> RecordHeader:
        if header.kind != Kind.BLOCK or header.digest != where.digest or header.plain_size > self.block_size:
            raise Inconsistent(header.what, where.offset, "is not the block that the index wants")
        return header

    def load_segment(self, checkpoint: int) -> Segment:
        """The segment of the checkpoint at an archive offset.

        When it is damaged: the copy in the next checkpoint; when that is too: what the records of the window tell.
        """
        rebuilt = self.structure.segments.get(checkpoint)
        if rebuilt is not None:
            return rebuilt
        try:
            return self._segment(checkpoint, copy=False)
        except (FormatError, DeviceError):
            pass
        later = [c for c in self.structure.checkpoints if c > checkpoint]
        try:
            if later:
                return self._segment(later[0], copy=True)
        except (FormatError, DeviceError):
            pass
        before = [c for c in self.structure.checkpoints if c < checkpoint]
        refs = [ref for ref in self.structure.refs if ref.checkpoint == checkpoint]
        start = before[-1] if before else 0
        return segment_by_walk(self.source, start, checkpoint, self.manifest.archive_id, refs, self.block_size)

    def _segment(self, checkpoint: int, copy: bool) -> Segment:
        header, plain = self.record(checkpoint, Kind.CHECKPOINT)
        _, own, before = split_checkpoint(header, plain)
        return Segment.unpack(before if copy else own, checkpoint)

    # volumes

    def map(self, volume: int) -> ExtentList:
        """The exact extents (bytes of the volume) that the archive holds."""
        with self._lock:
            known = self._maps.get(volume)
        if known is None:
            try:
                known = self._read_map(volume)
            except (FormatError, DeviceError):
                known = self._map_from_segments(volume)
            with self._lock:
                self._maps[volume] = known
        return known

    def _read_map(self, volume: int) -> ExtentList:
        offsets = self.structure.map_offsets.get(volume)
        if not offsets:
            raise Inconsistent("manifest", 0, f"names no map of volume {volume}")
        pieces = [self.record(offset, Kind.MAP) for offset in offsets]
        if any(h.volume != volume or h.number != i for i, (h, _) in enumerate(pieces)):
            raise Inconsistent("MAP", offsets[0], f"is not the map of volume {volume}")
        return unpack_map(pieces, self.manifest.volumes[volume].size)

    def _map_from_segments(self, volume: int) -> ExtentList:
        """What no span speaks of may have been in use: it counts as held, and so as lost."""
        size, step = self.manifest.volumes[volume].size, self.block_size
        found: list[tuple[int, int]] = []
        told: list[tuple[int, int]] = []
        for first, end, spans in self._volumes[volume].ranges():
            told.append((first * step, end * step))
            for span in spans:
                found.extend(span.extents)
        return ExtentList([*found, *ExtentList(told).complement(size)]).clip(0, size)

    def unreadable(self, volume: int) -> ExtentList:
        """Bytes that the source's medium did not give when the archive was made; they stand as zeros."""
        found: list[tuple[int, int]] = []
        for _, _, spans in self._volumes[volume].ranges():
            for span in spans:
                found.extend(span.unreadable)
        return ExtentList(found)

    def unreadable_near(self, volume: int, offset: int) -> tuple[int, int, ExtentList]:
        """(start, end, extents): as unreadable(), for the bytes [start, end) around `offset` alone.

        Loads one or two segments, where unreadable() loads all: an archive of 2 TB has thousands.
        """
        first, end, spans = self._volumes[volume].around(offset // self.block_size)
        start, stop = first * self.block_size, end * self.block_size
        return start, stop, ExtentList(e for span in spans for e in span.unreadable).clip(start, stop)

    def find(self, volume: int, block: int) -> Entry:
        """State of a block that the map touches."""
        found = self._volumes[volume].find(block)
        if isinstance(found, Stored):
            return Entry(block, found)
        return Entry(block, None, lost=not found)

    def entries(self, volume: int) -> Iterator[Entry]:
        """Every block that the archive should hold of a volume, ascending."""
        wanted = block_ranges(self.map(volume), self.block_size)
        at = 0
        for first, end, spans in self._volumes[volume].ranges():
            yield from self._lost(wanted, at, first)
            for start, stop in wanted.overlapping(first, end):
                for block in range(start, stop):
                    yield _entry(block, spans)
            at = end
        yield from self._lost(wanted, at, 1 << 62)

    def lost(self, volume: int, bad: ExtentList) -> ExtentList:
        """Numbers of the blocks that the archive should hold and does not; `bad`: archive bytes that do not count.

        As entries() says, but a step for each extent and each entry of the index: a damaged map may name 2^50 blocks.
        """
        wanted = block_ranges(self.map(volume), self.block_size)
        found: list[tuple[int, int]] = []
        at = 0
        for first, end, spans in self._volumes[volume].ranges():
            found += wanted.overlapping(at, first)
            known = ExtentList()
            for span in spans:
                good: list[tuple[int, int]] = []
                gone: list[tuple[int, int]] = []
                for number, offset in zip(span.numbers, span.offsets, strict=True):
                    (gone if bad.touches(offset, offset + 1) else good).append((number, number + 1))
                known = known.union(span.zero).subtract(ExtentList(gone)).union(good)
            found += wanted.clip(first, end).subtract(known)
            at = end
        return ExtentList([*found, *wanted.overlapping(at, 1 << 62)])

    @staticmethod
    def _lost(wanted: ExtentList, first: int, end: int) -> Iterator[Entry]:
        for start, stop in wanted.overlapping(first, end):
            for block in range(start, stop):
                yield Entry(block, None, lost=True)

    def volume(self, index: int, *, strict: bool = False) -> ArchiveVolume:
        """A volume as a BlockSource. `strict`: reading what the archive does not hold is an error, not zeros."""
        return ArchiveVolume(self, index, strict)

    def block(self, volume: int, block: int) -> bytes:
        """Plain bytes of a block through the cache; zeros when it is zero or unused. Raises when it is lost."""
        size = min(self.block_size, self.manifest.volumes[volume].size - block * self.block_size)
        entry = self.find(volume, block)
        if entry.where is None:
            start = block * self.block_size
            if entry.lost and self.map(volume).touches(start, start + size):
                raise Corrupt(f"volume {volume} block {block}", start, "is lost: the archive is damaged")
            return bytes(size)
        key = entry.where.offset
        with self._lock:
            data = self._kept.get(key)
            if data is not None:
                self._kept.move_to_end(key)
        if data is None:
            data = self.load(entry.where)
            with self._lock:
                if key not in self._kept:
                    self._kept[key] = data
                    self._kept_bytes += len(data)
                while self._kept_bytes > CACHE_BYTES:
                    self._kept_bytes -= len(self._kept.popitem(last=False)[1])
        if len(data) != size:
            raise Inconsistent(f"volume {volume} block {block}", key, "size of block", expected=size, found=len(data))
        return data

    def close(self) -> None:
        if isinstance(self.source, PartsSource):
            self.source.close()


def _entry(block: int, spans: Sequence[Span]) -> Entry:
    """What the last of `spans` that tells of `block` says."""
    for span in reversed(spans):
        where = span.stored(block)
        if where is not None or span.is_zero(block):
            return Entry(block, where)
    return Entry(block, None, lost=True)


class ArchiveVolume:
    """A volume inside an archive: a BlockSource with a bounded cache behind it."""

    def __init__(self, reader: ArchiveReader, index: int, strict: bool) -> None:
        self._reader, self._index, self._strict = reader, index, strict
        record = reader.manifest.volumes[index]
        self.size, self.sector_size = record.size, record.sector_size
        self.name = f"{reader.source.name}, volume {index}"

    def read_at(self, offset: int, length: int) -> bytes:
        """As BlockSource. Raises Corrupt when a block is lost; strict: Inconsistent when it was never stored."""
        check_range(self, offset, length)
        if self._strict and not self._reader.map(self._index).covers(offset, offset + length):
            raise Inconsistent("read", offset, f"{length} bytes are not in the archive", source=self.name)
        step = self._reader.block_size
        pieces = []
        while length:
            block, inside = divmod(offset, step)
            size = min(length, step - inside)
            pieces.append(self._reader.block(self._index, block)[inside : inside + size])
            offset, length = offset + size, length - size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def extents_known(self) -> ExtentList | None:
        return self._reader.map(self._index)


def split_checkpoint(header: RecordHeader, plain: bytes) -> tuple[bytes, bytes, bytes]:
    """(copy of the HEADER, own segment, segment before). Raises Inconsistent."""
    head = decode(CheckpointHead, plain, header.what, header.offset)
    a = _CHECKPOINT.size
    b = a + head.header_size
    c = b + head.segment_size
    d = c + head.before_size
    if d != len(plain):
        raise Inconsistent(header.what, header.offset, "sizes", expected=d, found=len(plain))
    return plain[a:b], plain[b:c], plain[c:d]


def unpack_map(pieces: Sequence[tuple[RecordHeader, bytes]], size: int) -> ExtentList:
    """The extents of all pieces of a map in order. Raises Inconsistent when one is missing or leaves the volume."""
    lists = []
    for header, plain in pieces:
        head = decode(MapHead, plain, header.what, header.offset)
        if head.pieces != len(pieces) or len(plain) != MapHead.sizeof() + 16 * head.count:
            raise Inconsistent(header.what, header.offset, f"{head.count} extents, piece of {head.pieces}")
        lists.append(unpack_pairs(plain[MapHead.sizeof() :], header.what, header.offset))
    try:
        extents = collect((e for part in lists for e in part), limit=0)
    except ValueError as error:
        raise Inconsistent("MAP", pieces[0][0].offset, str(error)) from error
    if extents.end > size:
        raise Inconsistent("MAP", pieces[0][0].offset, "leaves the volume", expected=size, found=extents.end)
    return extents
