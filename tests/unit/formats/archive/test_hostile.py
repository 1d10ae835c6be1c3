"""Archives whose checksums are right and whose content is not to be believed. All of this was found by fuzzing."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from formats.archive.index import SpanRef, unpack_index
from formats.archive.model import Manifest, VolumeRecord
from formats.archive.opening import open_archive
from formats.archive.reader import ArchiveReader, Structure
from formats.archive.segment import Segment, Span
from formats.archive.sink import FileSink
from formats.archive.verify import verify
from formats.archive.writer import ArchiveWriter
from formats.base.errors import Inconsistent
from formats.base.extent import ExtentList
from formats.base.source import MemorySource
from tests.support.archives import BLOCK, put

HUGE = 1 << 60  # bytes of a volume


def manifest() -> Manifest:
    return Manifest(bytes(range(16)), BLOCK, ({"size": HUGE},), (VolumeRecord(HUGE, 512, 0, 0, "partition", 1),))


@pytest.mark.parametrize(
    "line", [(1, 0, 0, 0, 11), (1, 0, 0, 0, 1 << 63), (1, 0, 1, 1 << 62, 1 << 62), (1, 1, 0, 0, 1), (1, 0, 0, 3, 2)]
)
def test_an_index_names_blocks_of_its_volumes_only(line: tuple[int, ...]) -> None:
    """Block numbers beyond that became offsets of more than 64 bits."""
    assert unpack_index(struct.pack("<QIIQQ", 1, 0, 0, 0, 10), 0, [10]) == [SpanRef(1, 0, False, 0, 10)]
    with pytest.raises(Inconsistent, match="INDEX"):
        unpack_index(struct.pack("<QIIQQ", *line), 0, [10])


@pytest.mark.parametrize("complete", [True, False])
def test_a_map_of_everything_is_checked_in_bounded_time(tmp_path: Path, complete: bool) -> None:
    """The map claims 2^48 blocks, of which two are there: with its index, and rebuilt without it."""
    path = tmp_path / "huge.jmi"
    writer = ArchiveWriter(FileSink(path), manifest())
    writer.begin_volume(0, ExtentList([(0, HUGE)]))
    for block in (0, 7):
        put(writer, block, bytes([block + 1]) * BLOCK)
    put(writer, 3, bytes(BLOCK))
    writer.end_volume()
    writer.end_data()
    writer.write_tail(manifest())
    writer.commit()
    if not complete:
        path.write_bytes(path.read_bytes()[:-100])
    begun = time.process_time()
    with open_archive(path) as reader:
        lost = verify(reader).lost[0]
        assert [tuple(e) for e in lost] == [(BLOCK, 3 * BLOCK), (4 * BLOCK, 7 * BLOCK), (8 * BLOCK, HUGE)]
        states = [next(entries) for entries in [reader.entries(0)] for _ in range(4)]
        assert [(e.block, e.where is None, e.lost) for e in states] == [
            (0, False, False), (1, True, True), (2, True, True), (3, True, False),
        ]  # fmt: skip
    assert time.process_time() - begun < 5


def test_a_run_of_zeros_costs_no_step_a_block() -> None:
    """2^48 blocks of zeros, and above them one that was stored later, and another that became zero later."""
    base = Span(0, False, 0, 1 << 48, zero=ExtentList([(0, 1 << 48)]))
    late = Span(0, True, 1, 3, zero=ExtentList([(2, 3)]))
    late.numbers.append(1)
    late.offsets.append(4096)
    late.digests += bytes(32)
    refs = (SpanRef(5, 0, False, 0, 1 << 48), SpanRef(6, 0, True, 1, 3))
    segments = {5: Segment(0, 1, (base,)), 6: Segment(1, 2, (late,))}
    held = ExtentList([(0, 4 * BLOCK)])
    structure = Structure(manifest(), refs, (5, 6), {}, True, (), segments, {0: held})
    reader = ArchiveReader(MemorySource(b""), structure)
    assert [(e.block, e.where is not None, e.lost) for e in reader.entries(0)] == [
        (0, False, False), (1, True, False), (2, False, False), (3, False, False),
    ]  # fmt: skip
    assert reader.lost(0, ExtentList()) == ExtentList()
    assert reader.lost(0, ExtentList([(4000, 5000)])) == ExtentList([(1, 2)])
