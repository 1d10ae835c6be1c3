"""What the medium did not give is an error wherever it is asked for, and opening loads no more than is asked."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from formats.archive.model import Manifest, VolumeRecord
from formats.archive.opening import open_archive
from formats.archive.reader import ArchiveReader
from formats.archive.record import digest_of, encode
from formats.archive.segment import Segment
from formats.archive.sink import FileSink
from formats.archive.writer import ArchiveWriter
from formats.base.errors import Corrupt
from formats.base.extent import ExtentList
from recovery.engine.held import HeldVolume

BLOCK = 4096


def write(path: Path, blocks: int, *, window: int, bad: list[tuple[int, int]], batch: int = 4) -> None:
    """An archive of one volume, written in batches as a backup does it: `bad` bytes are told ahead of their blocks."""
    manifest = Manifest(
        bytes(16), BLOCK, ({"size": 1},), (VolumeRecord(blocks * BLOCK, 512, 0, 0, "partition", 1),), {}
    )
    writer = ArchiveWriter(FileSink(path, 0), manifest)
    writer._window_blocks = window
    writer.begin_volume(0, ExtentList([(0, blocks * BLOCK)]))
    plain = b"x" * BLOCK
    digest = digest_of(plain)
    for first in range(0, blocks, batch):
        for start, end in ExtentList(bad).overlapping(first * BLOCK, (first + batch) * BLOCK):
            writer.put_unreadable(start, end)
        for block in range(first, min(first + batch, blocks)):
            if not writer.put_block(block, BLOCK, digest, None):
                writer.put_block(block, BLOCK, digest, encode(plain, 1, digest))
    writer.end_volume()
    writer.end_data()
    writer.write_tail(manifest)
    writer.commit()


def refused(held: HeldVolume, offset: int, length: int) -> bool:
    try:
        held.read_at(offset, length)
    except Corrupt:
        return True
    return False


@pytest.mark.parametrize("window", [5, 6, 7, 16, 1000])
def test_every_unreadable_place_is_refused_and_nothing_else(tmp_path: Path, window: int) -> None:
    """Windows that end inside of batches: the ranges then stand in the window before that of their blocks."""
    rng = random.Random(window)
    blocks = 90
    places = sorted(rng.sample(range(blocks * BLOCK // 512), 60))
    bad = ExtentList((at * 512, at * 512 + 512) for at in places)
    write(tmp_path / "a.jmi", blocks, window=window, bad=[(e.start, e.end) for e in bad])
    with open_archive(tmp_path / "a.jmi") as reader:
        assert reader.unreadable(0) == bad
        held = HeldVolume(reader, 0)
        for _ in range(2000):
            start = rng.randrange(blocks * BLOCK - 1)
            end = min(blocks * BLOCK, start + rng.choice((1, 512, 5000, 60_000)))
            assert refused(held, start, end - start) == bad.touches(start, end), (start, end)


def test_opening_a_volume_loads_none_of_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.jmi", 5000, window=16, bad=[(BLOCK, 2 * BLOCK)])
    loaded = []
    load = ArchiveReader.load_segment

    def counted(self: ArchiveReader, checkpoint: int) -> Segment:
        loaded.append(checkpoint)
        return load(self, checkpoint)

    monkeypatch.setattr(ArchiveReader, "load_segment", counted)
    with open_archive(tmp_path / "a.jmi") as reader:
        assert len(reader.structure.checkpoints) > 300
        held = HeldVolume(reader, 0)
        assert not loaded
        assert held.read_at(2000 * BLOCK, 100) == b"x" * 100
        assert len(loaded) <= 2
