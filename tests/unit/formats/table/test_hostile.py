"""Damaged and hostile tables: only our own errors leave, and a single fault in one copy of a GPT costs nothing."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.base.checksum import crc32
from formats.base.errors import RecoveryError
from formats.base.source import BlockSource, MemorySource
from formats.base.units import KiB, MiB
from formats.table.detect import read_table
from formats.table.model import PartitionTable, Scheme
from formats.table.write import build_table, minimum_size
from tests.support.table_images import GENERATORS, Sparse, boot_sector, gpt_header, record, small_disk
from tests.support.table_questions import survive

Image = Callable[[str], Path]
CHEAP = [n for n in GENERATORS if n not in ("gpt-grown", "gpt-grown-no-primary", "fat-bare-fake-mbr")]


def table_bytes(source: BlockSource) -> list[int]:
    return [i for r in read_table(source).regions for i in range(r.extent.start, r.extent.end)]


@pytest.mark.parametrize("name", CHEAP)
def test_random_damage(image: Image, name: str) -> None:
    rng = random.Random(name)
    path = image(name)
    pieces, size = small_disk(path), path.stat().st_size
    whole = Sparse(size, pieces)
    spots = table_bytes(whole) or list(range(64 * KiB))
    for _ in range(40):
        damaged = {start: bytearray(data) for start, data in pieces.items()}
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            spot = rng.choice(spots)
            for start, data in damaged.items():
                if start <= spot < start + len(data):
                    data[spot - start] = rng.choice(
                        (0, 0xFF, rng.randrange(256), data[spot - start] ^ 1 << rng.randrange(8))
                    )
        cut = rng.choice((size, size, rng.randrange(size), rng.randrange(70 * KiB)))
        survive(Sparse(cut, {start: bytes(data) for start, data in damaged.items()}))


def test_any_single_byte_of_either_copy_may_go(image: Image) -> None:
    """The partitions stay the same, and the repaired table has the bytes of the undamaged one."""
    pieces, size = small_disk(image("gpt")), 64 * MiB
    good = read_table(Sparse(size, pieces))
    rng = random.Random(5)
    tail = size - 64 * KiB
    spots = [512 + i for i in range(92)] + [size - 512 + i for i in range(92)]
    spots += [1024 + rng.randrange(16384) for _ in range(60)] + [size - 16896 + rng.randrange(16384) for _ in range(60)]
    for spot in spots:
        damaged = {start: bytearray(data) for start, data in pieces.items()}
        start = 0 if spot < 64 * KiB else tail
        damaged[start][spot - start] ^= 1 << rng.randrange(8)
        table = read_table(Sparse(size, {s: bytes(d) for s, d in damaged.items()}))
        assert table.partitions == good.partitions, spot
        assert [p.code for p in table.problems] in (
            [["gpt.primary_damaged"]] if start == 0 else [["gpt.backup_damaged"], ["gpt.backup_missing"]]
        ), spot
        repaired = build_table(table, size, 512)
        assert sorted((w.offset, w.data) for w in repaired) == sorted((r.extent.start, r.data) for r in good.regions), (
            spot
        )


EDGES64 = st.sampled_from([0, 1, 2, 3, 33, 34, 2014, 2046, 2047, 2048, 1 << 31, 1 << 55, 1 << 63, (1 << 64) - 1])
EDGES32 = st.sampled_from(
    [0, 1, 4, 64, 91, 92, 100, 127, 128, 129, 192, 256, 512, 513, 1024, 1025, 4096, 8192, 1 << 31, (1 << 32) - 1]
)


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "size": EDGES32, "count": EDGES32, "entry_size": EDGES32, "my": EDGES64, "alternate": EDGES64,
            "first": EDGES64, "last": EDGES64, "entries": EDGES64, "revision": EDGES32,
        },
    ),
    st.lists(st.tuples(st.integers(0, 127), EDGES64, EDGES64, st.binary(min_size=72, max_size=72)), max_size=4),
)  # fmt: skip
def test_headers_with_sound_checksums_and_wild_fields(
    fields: dict[str, int], entries: list[tuple[int, int, int, bytes]]
) -> None:
    array = bytearray(16384)
    for index, first, last, name in entries:
        struct.pack_into("<16s16sQQQ72s", array, index * 128, b"T" * 16, b"U" * 16, first, last, 0, name)
    length = fields.get("count", 128) * fields.get("entry_size", 128)
    covered = (bytes(array) + bytes(64 * KiB))[: min(length, 64 * KiB)]
    head = gpt_header(**fields, array_crc=crc32(covered))
    zero = boot_sector(record(0xEE, 1, 2047))
    table = survive(MemorySource((zero + head + bytes(array)).ljust(MiB, b"\0")))
    if table is not None and not fields:
        assert table.scheme is Scheme.GPT
        kept = {i: (a, z) for i, a, z, _ in entries}
        assert {p.number - 1: p.extent.start // 512 for p in table.partitions} == {
            i: a for i, (a, z) in kept.items() if a <= z and a < 2048
        }


def test_a_usable_range_that_leaves_the_disk_is_cut_and_told() -> None:
    head = gpt_header(last=1 << 55, array_crc=crc32(bytes(16384)))
    table = survive(MemorySource((boot_sector(record(0xEE, 1, 2047)) + head).ljust(MiB, b"\0")))
    assert table is not None
    assert (table.first_usable, table.last_usable) == (34 * 512, MiB)
    assert "gpt.usable_beyond_disk" in [p.code for p in table.problems]


RECORDS = st.builds(
    record,
    st.sampled_from([0, 5, 7, 0x0F, 0x83, 0x85, 0xEE]),
    st.sampled_from([0, 1, 2, 3, 5, 8, 100, 4000, (1 << 32) - 1]),
    st.sampled_from([0, 1, 2, 50, 8000, (1 << 32) - 1]),
    st.sampled_from([0, 0x80]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(RECORDS, max_size=4), min_size=1, max_size=10))
def test_wild_chains(sectors: list[list[bytes]]) -> None:
    data = b"".join(boot_sector(*records, signature=7) for records in sectors)
    survive(MemorySource(data.ljust(256 * KiB, b"\0")))


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=0, max_size=1536))
def test_wild_bytes(data: bytes) -> None:
    survive(MemorySource(data))
    survive(MemorySource((data[:510].ljust(510, b"\0") + b"\x55\xaa" + data[510:]).ljust(64 * KiB, b"\0")))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 4000), min_size=8, max_size=8, unique=True), st.integers(1, 0xFFFFFFFF))
def test_disjoint_primaries_come_back_as_they_were(cuts: list[int], signature: int) -> None:
    cuts.sort()
    spans = [(cuts[i], cuts[i + 1]) for i in range(0, 8, 2)]
    zero = boot_sector(*(record(0x83, a, b - a) for a, b in spans), signature=signature)
    table = read_table(MemorySource(zero.ljust(4096 * 512, b"\0")))
    assert [tuple(p.extent) for p in table.partitions] == [(a * 512, b * 512) for a, b in spans]
    assert [p.unique_id for p in table.partitions] == [f"{signature:08x}-0{n}" for n in (1, 2, 3, 4)]
    assert table.problems == ()
    assert minimum_size(table) == cuts[-1] * 512


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_json_of_any_shape_is_refused_by_our_error(data: st.DataObject) -> None:
    zero = boot_sector(record(0x83, 1, 2), record(5, 10, 20))
    record_ = read_table(MemorySource(zero.ljust(64 * KiB, b"\0"))).to_json()
    assert record_["problems"]
    spot: dict[str, object] = record_
    key = data.draw(st.sampled_from(sorted(record_)))
    inner = record_[key]
    if isinstance(inner, list) and inner and isinstance(inner[0], dict) and data.draw(st.booleans()):
        spot, key = inner[0], data.draw(st.sampled_from(sorted(inner[0])))
    if data.draw(st.booleans()):
        spot[key] = data.draw(JSON)
    else:
        del spot[key]
    try:
        table = PartitionTable.from_json(record_)
    except RecoveryError as error:
        assert "partition table" in str(error)
    else:
        assert table.to_json() == record_
