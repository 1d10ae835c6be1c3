"""The archive by itself: what goes in comes out, whatever is damaged is found, and nothing else is lost."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from formats.archive.layout import Kind
from formats.archive.opening import open_archive
from formats.archive.reader import ArchiveReader
from formats.archive.scan import Found, walk
from formats.archive.verify import verify
from formats.base.errors import Corrupt, FormatError, Inconsistent, RecoveryError, Refused
from tests.support.archives import BLOCK, Volume, sample, write
from tests.support.tools import need


def contents(reader: ArchiveReader, volume: int = 0) -> bytes:
    source = reader.volume(volume)
    return source.read_at(0, source.size)


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, list[Volume]]:
    volumes = [sample(1), sample(2, blocks=40)]
    path = tmp_path / "a.jmi"
    write(path, volumes)
    return path, volumes


def test_round_trip_and_verify(archive: tuple[Path, list[Volume]]) -> None:
    path, volumes = archive
    with open_archive(path) as reader:
        assert not reader.problems
        assert reader.manifest.details["note"] == "final"
        for number, volume in enumerate(volumes):
            assert contents(reader, number) == volume.held()
            assert reader.map(number) == volume.extents
            assert reader.volume(number).extents_known() == volume.extents
        result = verify(reader)
        assert result.good and not result.damage
        assert result.checked_bytes == path.stat().st_size
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.jmi"]


def test_equal_blocks_are_stored_once(archive: tuple[Path, list[Volume]]) -> None:
    path, _ = archive
    with open_archive(path) as reader:
        kinds = [i.header.kind for i in walk(reader.source, 0, reader.source.size, None) if isinstance(i, Found)]
        digests = [
            i.header.digest
            for i in walk(reader.source, 0, reader.source.size, None)
            if isinstance(i, Found) and i.header.kind == Kind.BLOCK
        ]
    assert kinds.count(Kind.REFERENCE) > 5
    assert len(digests) == len(set(digests))


def test_stock_zstd_reads_all_data(archive: tuple[Path, list[Volume]]) -> None:
    need("zstd")
    path, volumes = archive
    out = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    with open_archive(path) as reader:
        stored = b"".join(
            reader.record(i.header.offset, Kind.BLOCK)[1]
            for i in walk(reader.source, 0, reader.source.size, None)
            if isinstance(i, Found) and i.header.kind == Kind.BLOCK
        )
    assert out == stored
    assert volumes[0].data[-100:] in out


def test_strict_reading_refuses_what_is_not_held(archive: tuple[Path, list[Volume]]) -> None:
    path, volumes = archive
    hole = next(iter(volumes[0].extents.complement(len(volumes[0].data))))
    with open_archive(path) as reader:
        assert reader.volume(0).read_at(hole.start, hole.length) == bytes(hole.length)
        with pytest.raises(Inconsistent):
            reader.volume(0, strict=True).read_at(hole.start, hole.length)


def test_last_record_wins(tmp_path: Path) -> None:
    volume = sample(3)
    first = next(iter(volume.extents)).start // BLOCK
    later = {first: b"later".ljust(BLOCK, b"."), first + 1: bytes(BLOCK)}
    path = tmp_path / "a.jmi"
    write(path, [volume], rewrite=later)
    with open_archive(path) as reader:
        for block, plain in later.items():
            assert reader.block(0, block) == plain
        entries = {e.block: e for e in reader.entries(0)}
        assert entries[first].where is not None and reader.load(entries[first].where) == later[first]
        assert verify(reader).good
    cut = path.read_bytes()[:-256]
    path.write_bytes(cut)
    with open_archive(path) as reader:
        assert reader.block(0, first) == later[first]


@pytest.mark.parametrize("seed", range(4))
def test_any_flipped_byte_is_found_and_never_restored(archive: tuple[Path, list[Volume]], seed: int) -> None:
    path, volumes = archive
    good = path.read_bytes()
    rng = random.Random(seed)
    with open_archive(path) as reader:
        items = [i.header for i in walk(reader.source, 0, reader.source.size, None) if isinstance(i, Found)]
    places = {rng.randrange(len(good)) for _ in range(50)}
    if seed == 0:  # each field of the header and the payload of one record of each kind
        for kind in Kind:
            for header in [h for h in items if h.kind == kind][:1]:
                places |= {header.offset + i for i in range(0, 128, 5)} | {header.end - 1}
    for place in sorted(places):
        data = bytearray(good)
        data[place] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            reader = open_archive(path)
        except RecoveryError:
            continue
        with reader:
            result = verify(reader)
            assert not result.good, f"flip at {place} was not found"
            for number, volume in enumerate(volumes):
                held, lost = volume.held(), result.lost[number]
                for entry in reader.entries(number):
                    start = entry.block * BLOCK
                    try:
                        data_out = reader.block(number, entry.block)
                    except FormatError:
                        assert lost.touches(start, start + BLOCK), f"flip at {place}: block {entry.block} not listed"
                        continue
                    assert data_out == held[start : start + BLOCK], f"flip at {place}: wrong data handed out"
            assert sum(x.total for x in result.lost.values()) <= 60 * BLOCK


@pytest.mark.parametrize("damage", ["head", "tail", "tail-unaligned", "middle", "shifted", "footer"])
def test_index_is_rebuilt_from_what_is_left(archive: tuple[Path, list[Volume]], damage: str) -> None:
    path, volumes = archive
    good = path.read_bytes()
    size = len(good)
    third = size // 3
    data = {
        "head": good[third:],
        "tail": good[: 2 * third],
        "tail-unaligned": good[: size - 1777],
        "middle": good[:third] + bytes(20_000) + good[third + 20_000 :],
        "shifted": good[:third] + good[third + 20_001 :],
        "footer": good[:-256],
    }[damage]
    path.write_bytes(data)
    with open_archive(path) as reader:
        assert reader.problems or not verify(reader).good
        survivors = [i.header for i in walk(reader.source, 0, reader.source.size, None) if isinstance(i, Found)]
        recovered = wrong = lost = 0
        for number, volume in enumerate(volumes):
            held = volume.held()
            for entry in reader.entries(number):
                start = entry.block * BLOCK
                try:
                    block = reader.block(number, entry.block)
                except FormatError:
                    lost += 1
                    continue
                recovered += 1
                wrong += block != held[start : start + BLOCK]
        assert wrong == 0
        whole = 0
        for header in survivors:
            if header.kind == Kind.BLOCK:
                try:
                    reader.record(header.offset, Kind.BLOCK)
                    whole += 1
                except RecoveryError:
                    continue
        assert recovered >= whole > 0, "every block record that was not hit is found"
        if damage in ("footer", "tail-unaligned"):
            assert lost == 0
        assert verify(reader).good is False


def test_another_archive_on_the_same_medium_is_not_mixed_in(tmp_path: Path) -> None:
    old, new = tmp_path / "old.jmi", tmp_path / "new.jmi"
    write(old, [sample(5)])
    volume = sample(6)
    write(new, [volume])
    remains = old.read_bytes().replace(bytes(range(16)), b"another archive!")
    path = tmp_path / "stick.jmi"
    path.write_bytes(new.read_bytes()[:-256] + remains)
    with open_archive(path) as reader:
        assert contents(reader) == volume.held()


def test_parts(tmp_path: Path) -> None:
    volumes = [sample(1), sample(2)]
    whole, path = tmp_path / "w.jmi", tmp_path / "a.jmi"
    write(whole, volumes)
    write(path, volumes, split=64 << 10)
    parts = sorted(tmp_path.glob("a.jmi*"))
    assert len(parts) >= 3 and all(p.stat().st_size < 64 << 10 for p in parts)
    with open_archive(path) as reader:
        assert [contents(reader, n) for n in (0, 1)] == [v.held() for v in volumes]
        assert verify(reader).good
    joined = tmp_path / "joined.jmi"
    joined.write_bytes(b"".join(p.read_bytes() for p in parts))
    parts[1].unlink()
    with open_archive(path) as reader:
        assert [p.code for p in reader.problems][:1] == ["archive.part_missing"]
        result = verify(reader)
        assert not result.good
        held = volumes[0].held()
        for entry in reader.entries(0):
            start = entry.block * BLOCK
            try:
                assert reader.block(0, entry.block) == held[start : start + BLOCK]
            except RecoveryError:
                assert result.lost[0].touches(start, start + BLOCK)


def test_existing_archives_are_never_overwritten(archive: tuple[Path, list[Volume]]) -> None:
    path, volumes = archive
    before = path.read_bytes()
    with pytest.raises(Refused):
        write(path, volumes)
    assert path.read_bytes() == before


def test_empty_and_foreign_files_are_told(tmp_path: Path) -> None:
    for data in (b"", b"x", bytes(5000), random.Random(1).randbytes(300_000)):
        path = tmp_path / "x.jmi"
        path.write_bytes(data)
        with pytest.raises(FormatError):
            open_archive(path)


def test_lost_block_raises_with_its_place(archive: tuple[Path, list[Volume]]) -> None:
    path, _ = archive
    with open_archive(path) as reader:
        entry = next(e for e in reader.entries(0) if e.where is not None)
        assert entry.where is not None
        offset = entry.where.offset
    data = bytearray(path.read_bytes())
    data[offset + 140] ^= 0xFF
    path.write_bytes(data)
    with open_archive(path) as reader, pytest.raises(Corrupt) as caught:
        reader.block(0, entry.block)
    assert caught.value.offset == offset + 128
