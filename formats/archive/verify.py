"""Reading an archive from the first byte to the last, without stopping at damage, and saying what is lost."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from blake3 import blake3

from formats.archive.index import SpanRef
from formats.archive.layout import HEADER_SIZE, Footer, Kind, ReferencePayload
from formats.archive.reader import ArchiveReader, split_checkpoint
from formats.archive.record import RecordHeader, decode
from formats.archive.scan import Found, Gap, walk
from formats.archive.segment import Segment
from formats.base.decode import decode as decode_layout
from formats.base.errors import DeviceError, FormatError, Unsupported
from formats.base.extent import ExtentList
from formats.base.source import BlockSource
from formats.base.units import MiB

_BATCH_BYTES = 2 * MiB
_DAMAGE_KEPT = 10_000
_CHAIN = struct.Struct("<Q32s")


@dataclass(frozen=True, slots=True)
class Damage:
    """Archive bytes [start, end) that are not what was written."""

    start: int
    end: int
    reason: str


@dataclass(slots=True)
class VerifyResult:
    """`damage`: what is wrong in the archive (the first ten thousand). `lost`: bytes gone, by volume."""

    records: int = 0
    checked_bytes: int = 0
    damage: list[Damage] = field(default_factory=list)
    damage_count: int = 0
    lost: dict[int, ExtentList] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return not self.damage_count and not any(len(x) for x in self.lost.values())


class _Checker:
    def __init__(self, reader: ArchiveReader, footer: bool) -> None:
        self.reader, self._footer = reader, footer
        self.result = VerifyResult()
        self.bad: list[tuple[int, int]] = []
        self._chain = blake3()
        self._sequence = 0
        self._window: dict[int, bytes] = {}  # offset to digest of the blocks and references since the checkpoint
        self._window_start = 0
        self._segment: bytes | None = b""
        self._chain_known = True
        self._chain_at = b""
        self._damage_before = 0
        self._refs: list[SpanRef] = []
        self._last: RecordHeader | None = None

    def note(self, start: int, end: int, reason: str, hit: tuple[int, int] | None = None) -> None:
        """`hit`: archive bytes in which no record can be relied on.

        Where bytes were cut out of an archive, a damaged record seems to reach into the good ones behind it; so of a
        record with a good header only that header is hit.
        """
        self.result.damage_count += 1
        if hit is not None:
            self.bad.append(hit)
        if len(self.result.damage) < _DAMAGE_KEPT:
            self.result.damage.append(Damage(start, end, reason))

    def header(self, item: Found) -> None:
        """In the order of the file: sequence and chain."""
        header = item.header
        if header.sequence != self._sequence:
            self.note(
                header.offset,
                header.offset,
                f"records {self._sequence} to {header.sequence - 1} are missing before it",
            )
            self._chain_known = False
            self._segment = None
        self._sequence = header.sequence + 1
        if header.kind == Kind.CHECKPOINT or header.kind == Kind.FOOTER:
            self._chain_at = self._chain.digest()
        self._chain.update(item.raw)
        self._last = header
        self.result.records += 1

    def chain_here(self) -> bytes | None:
        """Digest over the headers before the record that header() took last; None when some were lost."""
        return self._chain_at if self._chain_known else None

    def payload(self, header: RecordHeader, plain: bytes | None, chain: bytes | None) -> None:
        """In the order of the file, after decoding. `plain` None for blocks: they were checked by the worker."""
        if header.kind in (Kind.BLOCK, Kind.REFERENCE):
            self._window[header.offset] = header.digest
            if header.kind == Kind.REFERENCE and plain is not None:
                self._reference(header, plain)
        elif plain is not None and header.kind == Kind.CHECKPOINT:
            self._checkpoint(header, plain, chain)
        elif plain is not None and header.kind == Kind.FOOTER:
            footer = decode_layout(Footer, plain, header.what, header.offset)
            if chain is not None and footer.chain != chain:
                self.note(header.offset, header.end, "FOOTER: the chain of records is not the one that was written")
            if footer.records != header.sequence + 1 or footer.archive_size != header.end:
                self.note(header.offset, header.end, "FOOTER: size or number of records")

    def _reference(self, header: RecordHeader, plain: bytes) -> None:
        target = decode_layout(ReferencePayload, plain, header.what, header.offset)
        try:
            found = self.reader.header(target.target_offset)
        except (FormatError, DeviceError, Unsupported) as error:
            self.note(header.offset, header.end, f"{header.what} leads to damage: {error}")
            return
        if found.kind != Kind.BLOCK or found.digest != header.digest:
            self.note(header.offset, header.end, f"{header.what} leads to another block")

    def _checkpoint(self, header: RecordHeader, plain: bytes, chain: bytes | None) -> None:
        _, own, before = split_checkpoint(header, plain)
        stated = _CHAIN.unpack_from(plain)[1]
        if chain is not None and stated != chain:
            self.note(header.offset, header.end, f"{header.what}: the chain of records is not the one that was written")
        if self._segment is not None and before != self._segment:
            self.note(header.offset, header.end, f"{header.what}: the two copies of a segment differ")
        segment = Segment.unpack(own, header.offset)
        self._refs += [SpanRef(header.offset, s.volume, s.overlay, s.first_block, s.end_block) for s in segment.spans]
        digests = set(self._window.values())
        untouched = self.result.damage_count == self._damage_before  # else the damage is named already
        for span in segment.spans if untouched else ():
            for block, where in span.entries():
                here = where.offset >= self._window_start
                if (here and self._window.get(where.offset) != where.digest) or where.digest not in digests:
                    self.note(
                        header.offset,
                        header.end,
                        f"{header.what}: block {block} of volume {span.volume} leads nowhere",
                    )
        self._segment = own
        self._window.clear()
        self._window_start = header.end
        self._damage_before = self.result.damage_count

    def finish(self) -> VerifyResult:
        if self._footer and (self._last is None or self._last.kind != Kind.FOOTER):
            size = self.reader.source.size
            self.note(size, size, "the archive has no footer: it was never completed, or its end is missing")
        structure = self.reader.structure
        if structure.complete and not self.result.damage_count and self._refs != list(structure.refs):
            self.note(0, 0, "INDEX: its entries are not the spans that stand in the checkpoints")
        bad = ExtentList(self.bad)
        for volume, record in enumerate(self.reader.manifest.volumes):
            lost = self.reader.lost(volume, bad)
            held = self.reader.map(volume)
            step = self.reader.block_size
            self.result.lost[volume] = held.intersect(
                ExtentList((start * step, min(end * step, record.size)) for start, end in lost)
            )
        return self.result


def _decode_batch(reader: ArchiveReader, batch: list[RecordHeader]) -> list[tuple[bytes | None, str]]:
    """Per record its plain payload (None for a good block) and what is wrong ('' when nothing is)."""
    out: list[tuple[bytes | None, str]] = []
    for header in batch:
        try:
            plain = decode(header, reader.source.read_at(header.payload_offset, header.stored_size))
            out.append((None if header.kind == Kind.BLOCK else plain, ""))
        except (FormatError, DeviceError) as error:
            out.append((None, str(error)))
        except Unsupported as error:
            out.append((None, f"{error}. {error.advice}"))
    return out


def _batches(items: Iterator[Found | Gap]) -> Iterator[list[Found | Gap]]:
    batch: list[Found | Gap] = []
    size = 0
    for item in items:
        batch.append(item)
        size += HEADER_SIZE + (item.header.stored_size if isinstance(item, Found) else 0)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def verify(
    reader: ArchiveReader,
    *,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
    footer: bool = True,
) -> VerifyResult:
    """Read and decode every record, follow every index entry and reference, and list what is lost.

    `progress` gets the archive offset reached; what it raises (Cancelled) ends the work. `footer` False: the
    archive is still being written and has none yet.
    """
    checker = _Checker(reader, footer)
    source = reader.source
    pending: deque[tuple[list[Found | Gap], Future[list[tuple[bytes | None, str]]]]] = deque()

    def settle() -> None:
        batch, future = pending.popleft()
        results = iter(future.result())
        for item in batch:
            if isinstance(item, Gap):
                checker.note(item.start, item.end, item.reason, (item.start, item.end))
                continue
            header = item.header
            checker.header(item)
            chain = checker.chain_here() if header.kind in (Kind.CHECKPOINT, Kind.FOOTER) else None
            plain, wrong = next(results)
            if wrong:
                checker.note(header.offset, header.end, wrong, (header.offset, header.offset + 1))
            try:
                checker.payload(header, plain, chain)
            except FormatError as error:
                checker.note(header.offset, header.end, str(error), (header.offset, header.offset + 1))
            checker.result.checked_bytes = header.end
        if progress is not None:
            progress(checker.result.checked_bytes)

    with ThreadPoolExecutor(workers, thread_name_prefix="verify") as pool:
        try:
            for batch in _batches(walk(source, 0, source.size, reader.manifest.archive_id)):
                headers = [item.header for item in batch if isinstance(item, Found)]
                pending.append((batch, pool.submit(_decode_batch, reader, headers)))
                if len(pending) > workers + 2:
                    settle()
            while pending:
                settle()
        except BaseException:
            for _, future in pending:
                future.cancel()
            raise
    return checker.finish()


def verify_tail(source: BlockSource, start: int, archive_id: bytes) -> list[Damage]:
    """Read and decode the records from archive offset `start` to the end, the last of which must be the FOOTER."""
    found: list[Damage] = []
    last = None
    for item in walk(source, start, source.size, archive_id):
        if isinstance(item, Gap):
            found.append(Damage(item.start, item.end, item.reason))
            continue
        last = item.header
        try:
            decode(last, source.read_at(last.payload_offset, last.stored_size))
        except (FormatError, DeviceError, Unsupported) as error:
            found.append(Damage(last.offset, last.end, str(error)))
    if last is None or last.kind != Kind.FOOTER:
        found.append(Damage(source.size, source.size, "the footer is missing"))
    return found
