"""Whatever the bytes: only our errors leave, everything ends, and no extent leaves the volume."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.base.bitmap import bit_runs
from formats.base.errors import Corrupt, RecoveryError
from formats.base.extent import Extent, ExtentList
from formats.base.source import FileSource, MemorySource, Window
from fs.ntfs import bitmap
from fs.ntfs.attribute import attributes, list_entries, parse_file_name
from fs.ntfs.bitmap import coarsen
from fs.ntfs.mft import Budget
from fs.ntfs.record import FILE, apply_fixups
from fs.ntfs.scan import walk_attributes
from fs.ntfs.volume import open_volume
from fs.ntfs.walk import RunScan
from tests.support.ntfs_images import Editor


def exercise(data: bytes) -> str:
    """Everything that a volume can be asked. Returns the class of the error that ended it, or ''."""
    source = MemorySource(data)
    begun = time.monotonic()
    try:
        volume = open_volume(source)
        end = 0
        for extent in volume.allocated():
            assert end <= extent.start < extent.end <= source.size
            end = extent.end
        for reference in volume.references():
            assert 0 <= reference.extent.start < reference.extent.end <= source.size
        for file in volume.paging_files():
            assert file.extents == tuple(sorted(file.extents))
        assert volume.bad_clusters().end <= source.size
        assert len(volume.problems) < 60
        for problem in volume.problems:
            assert problem.text.isprintable(), problem.text
            assert problem.offset is None or problem.offset >= 0
    except RecoveryError as error:
        assert str(error).isprintable()
        return type(error).__name__
    finally:
        assert time.monotonic() - begun < 10
    return ""


def shrunk(path: Path) -> tuple[bytearray, list[int]]:
    """The image, and where its metadata lie: boot sectors, records, bitmap, directories."""
    with FileSource(path) as source:
        volume = open_volume(source)
        size = volume.geometry.record_size
        places = [0, 0, 0, volume.geometry.sectors_end]
        places += [volume.mft.record_offset(n) for n in range(volume.mft.count) if volume.mft.recorded_in_use(n)][:160]
        places += [volume.mft.record_offset(n) for n in (0, 0, 0, 0, 3, 5, 5, 6, 6, 8)]
        for reference in volume.references():
            if "$INDEX" in reference.owner or "$BITMAP" in reference.owner or "$ATTRIBUTE_LIST" in reference.owner:
                places.append(reference.extent.start)
        assert size <= 4096
        return bytearray(source.read_at(0, source.size)), places


@pytest.mark.parametrize(
    ("name", "rounds"),
    [("cluster-512", 120), ("hibernated", 100), ("fragmented-mft", 20), ("4kn", 40), ("bad-clusters", 60)],
)
def test_flipped_bytes(image: Callable[[str], Path], name: str, rounds: int) -> None:
    good, places = shrunk(image(name))
    rng = random.Random(name)
    seen = set()
    for _ in range(rounds):
        data = bytearray(good)
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            at = rng.choice(places) + min(int(rng.expovariate(1 / 150)), 1023)
            if at < len(data):
                data[at] = rng.choice((0, 0xFF, 0x7F, 0x80, data[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
        seen.add(exercise(bytes(data)))
    assert "" in seen, "some damage is survived"
    assert rounds < 60 or len(seen) > 1, "and some is not"


def test_flipped_bytes_behind_the_fixups(copy: Callable[[str], Path]) -> None:
    """Damage inside records that leaves the update sequence whole reaches the attribute decoder."""
    path = copy("fragmented-mft")
    rng = random.Random(5)
    with FileSource(path) as source:
        numbers = range(open_volume(source).mft.count)[:64]
    with Editor(path) as editor:
        good = {number: editor.read(number) for number in numbers}
        for _ in range(60):
            for number in [0, 5, 6, *rng.sample(numbers, 8)]:
                data = bytearray(good[number])
                if rng.random() < 0.6:
                    at = rng.randrange(0x10, 0x1C0)
                    width = rng.choice((1, 2, 4, 8))
                    data[at : at + width] = rng.choice((b"\xff" * width, bytes(width), rng.randbytes(width)))
                editor.write(number, data)
            editor.file.flush()
            exercise(path.read_bytes())


def test_truncations(image: Callable[[str], Path]) -> None:
    good = image("cluster-512").read_bytes()
    rng = random.Random(3)
    for size in [0, 1, 11, 511, 512, 513, 1024, 4096, 65536, *(rng.randrange(len(good)) for _ in range(60))]:
        exercise(good[:size])


@pytest.mark.parametrize("name", ["cluster-512", "cluster-8192"])
def test_record_headers_of_every_kind_of_nonsense(image: Callable[[str], Path], name: str) -> None:
    """The fast check and the slow one agree: what one refuses, the other names."""
    good = bytearray(image(name).read_bytes())
    with Editor(image(name)) as editor:
        where = editor.place(70)
    for at, kind in ((4, "<H"), (6, "<H"), (0x14, "<H"), (0x18, "<I")):
        for value in (0, 1, 7, 8, 0x2A, 0x2B, 0x30, 0x38, 0x39, 0x1F0, 0x200, 0x3F8, 0x400, 0x401, 0xFFFF):
            data = bytearray(good)
            struct.pack_into(kind, data, where + at, value)
            if data == good:
                continue
            volume = open_volume(MemorySource(bytes(data)))
            list(volume.references())
            named = [p for p in volume.problems if "MFT record 70 " in p.text]
            assert named or value in (0x30, 0x38, 0x1F0, 0x3F8, 0x400), (at, value)


@given(st.binary(min_size=64, max_size=1024), st.integers(0, 1024), st.integers(0, 1024))
def test_any_bytes_as_attributes(data: bytes, first: int, end: int) -> None:
    end = min(end, len(data))
    for call in (
        lambda: list(attributes(data, 0, min(first, end), end, 7, 1000, 0)),
        lambda: walk_attributes(bytearray(data), min(first, end), end),
        lambda: list(list_entries(data, 7, 0)),
        lambda: parse_file_name(data[:first], "test", 0),
        lambda: RunScan.label(bytearray(data), first % 32),
        lambda: apply_fixups(bytearray(data).ljust(1024), 0, 1024, FILE, "test", 0),
    ):
        try:
            call()
        except Corrupt:
            pass


@given(st.binary(min_size=1, max_size=700), st.sampled_from((1, 2, 8, 64)))
def test_coarsening_never_loses_a_bit(data: bytes, grain: int) -> None:
    coarse = coarsen(data, grain)
    assert len(coarse) == len(data)
    for i in range(0, len(data), grain):
        group = coarse[i : i + grain]
        assert group == (b"\xff" if any(data[i : i + grain]) else b"\0") * len(group)


def test_a_shredded_bitmap_is_coarse_and_complete(copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy("cluster-512")
    with Editor(path) as editor:
        data = editor.read(6)
        lcn, _ = editor.runs(data, editor.find(data, 0x80))[0]
        begin = lcn * editor.cluster
        bits = bytearray(editor.at(begin, editor.clusters // 8))
        for i in range(2000, 4000):
            bits[i] |= 0x55
        editor.put(begin, bytes(bits))
        clusters = editor.clusters
    exact = ExtentList((a * 512, b * 512) for a, b in bit_runs(bytes(bits), clusters // 8 * 8))
    with FileSource(path) as source:
        fine = ExtentList(open_volume(source).allocated())
        assert len(fine) > 5000
        monkeypatch.setattr(bitmap, "MAX_SLAB_RUNS", 500)
        volume = open_volume(source)
        coarse = ExtentList(volume.allocated())
    assert len(coarse) < 600
    assert len(exact.subtract(coarse)) == 0 == len(fine.subtract(coarse))
    assert [p.code for p in volume.problems] == ["ntfs.map_coarse"]


def test_claims_are_flushed_and_span_slabs(image: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer when the bitmap comes in many slabs and claims in many batches."""
    with FileSource(image("bitmap-lag")) as source:
        expected = list(open_volume(source).allocated())
        monkeypatch.setattr(bitmap, "SLAB_BYTES", 64)
        monkeypatch.setattr(bitmap, "SLAB_BITS", 512)
        monkeypatch.setattr(bitmap, "MAX_PENDING", 3)
        volume = open_volume(source)
        assert list(volume.allocated()) == expected
    assert [p.code for p in volume.problems] == ["ntfs.bitmap_lag"]
    assert volume.problems[0].text.startswith("2 clusters")


def test_a_budget_ends_a_walk() -> None:
    budget = Budget(100)
    budget.spend(100, "test")
    assert not budget.spent_out
    with pytest.raises(Corrupt):
        budget.spend(1, "test")
    assert budget.spent_out


def test_many_records_that_share_one_huge_index_end(copy: Callable[[str], Path]) -> None:
    """Each of many directories claims the whole volume as its index."""
    path = copy("fragmented-mft")
    with FileSource(path) as source:
        mft = open_volume(source).mft
        used = [n for n in range(70, mft.count) if mft.recorded_in_use(n)][:400]
    with Editor(path) as editor:
        whole = editor.clusters - 1
        root = struct.pack(
            "<IIBBHHHIHBBIIIB3xIIIB3x", 0x90, 0x50, 0, 4, 24, 0, 0, 32, 32, 0, 0, 0x30, 1, 4096, 4, 16, 16, 16, 1
        )
        root = root[:24] + "$I30".encode("utf-16-le") + root[24:]
        root = root.ljust(0x50, b"\0")
        size = whole // 4 * 4 * editor.cluster
        head = struct.pack(
            "<IIBBHHHQQHB5xQQQ", 0xA0, 0x58, 1, 4, 64, 0, 0, 0, whole // 4 * 4 - 1, 72, 0, size, size, size
        )
        runs = bytes([0x13]) + (whole // 4 * 4).to_bytes(3, "little") + b"\0\0"
        allocation = (head + "$I30".encode("utf-16-le") + runs).ljust(0x58, b"\0")
        bits = b"\xff" * 0x100
        bitmap_head = struct.pack("<IIBBHHHIHBB", 0xB0, 0x120, 0, 4, 24, 0, 0, 0x100, 32, 0, 0)
        bitmap_attribute = bitmap_head + "$I30".encode("utf-16-le") + bits
        for number in used:
            data = editor.read(number)
            (first,) = struct.unpack_from("<H", data, 20)
            body = root + allocation + bitmap_attribute + b"\xff" * 4 + bytes(4)
            data[first : first + len(body)] = body
            struct.pack_into("<HI", data, 0x16, 3, first + len(body))
            struct.pack_into("<Q", data, 0x20, 0)
            editor.write(number, data)
    with FileSource(path) as source:
        reads = 0

        class Counting(Window):
            def read_at(self, offset: int, length: int) -> bytes:
                nonlocal reads
                reads += length
                return super().read_at(offset, length)

        volume = open_volume(Counting(source, Extent(0, source.size)))
        list(volume.references())
        assert reads < 5 * source.size + (80 << 20)
    assert "ntfs.walk_limit" in [p.code for p in volume.problems]
