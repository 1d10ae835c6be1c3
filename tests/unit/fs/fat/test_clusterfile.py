"""Chains as runs, in segments: equal to a walk cluster by cluster, whatever the table holds."""

from __future__ import annotations

import random
from array import array
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.base.errors import DeviceError, Inconsistent
from formats.base.source import MemorySource
from fs.clusters import Chains
from fs.fat import clusterfile
from fs.fat.clusterfile import CACHED_SEGMENTS, ClusterMap, ClusterReader, Space, Start

END, BAD = 0xFFFFFFF8, 0xFFFFFFF7
STEP = 4  # bytes in a cluster


def space(table: list[int]) -> Space:
    data = array("I", table).tobytes()
    chains = Chains(lambda first, count: data[4 * first : 4 * (first + count)], len(table), END, BAD)
    content = b"".join(i.to_bytes(STEP, "big") for i in range(len(table)))
    return Space(MemorySource(content), chains, lambda cluster: cluster * STEP, STEP)


def naive(table: list[int], first: int, count: int) -> tuple[list[int], bool]:
    """The clusters that a file of `count` has, up to the first fault; and whether there was none."""
    found: list[int] = []
    cluster = first
    while len(found) < count:
        if not 2 <= cluster < len(table) or cluster in found or table[cluster] in (0, BAD):
            return found, False
        found.append(cluster)
        cluster = table[cluster]
    return found, True


def flat(runs: ClusterMap, begin: int = 0) -> tuple[list[int], bool]:
    found: list[int] = []
    logical = None
    try:
        for low, cluster, count in runs.runs(begin):
            assert logical is None or low == logical, "no gaps"
            logical = low + count
            found += range(cluster, cluster + count)
    except Inconsistent:
        return found, False
    return found, True


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_chains(data: st.DataObject) -> None:
    size = data.draw(st.integers(4, 40))
    values = st.one_of(st.integers(0, size + 1), st.sampled_from([END, BAD, 0, 0xFFFFFFFF]))
    table = data.draw(st.lists(values, min_size=size, max_size=size))
    for cluster in data.draw(st.sets(st.integers(2, size - 2))):
        table[cluster] = cluster + 1
    first, count = data.draw(st.integers(0, size + 1)), data.draw(st.integers(0, size + 3))
    runs = data.draw(st.integers(1, 3))
    expected = naive(table, first, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusterfile, "SEGMENT_RUNS", runs)
        patch.setattr(clusterfile, "CACHED_SEGMENTS", 1)
        chain = ClusterMap(space(table), Start(first, count, False, False, 7, "x"))
        assert flat(chain) == expected
        assert flat(chain) == expected, "also when it is known"
        open_ended = ClusterMap(space(table), Start(first, count, False, True, 7, "x"))
        found, sound = flat(open_ended)
        ended = bool(found) and table[found[-1]] >= END
        assert found == expected[0]
        assert sound == (expected[1] or ended)
        reader = ClusterReader(space(table), Start(first, count, False, False, 7, "x"), count * STEP, count * STEP)
        good = b"".join(c.to_bytes(STEP, "big") for c in expected[0])
        for _ in range(4):
            at = data.draw(st.integers(0, count * STEP))
            length = data.draw(st.integers(0, count * STEP - at))
            if length == 0 or at + length <= len(good):
                assert reader.read_at(at, length) == good[at : at + length]
            else:
                with pytest.raises(Inconsistent):
                    reader.read_at(at, length)


def test_a_file_in_very_many_pieces() -> None:
    """Two hundred thousand runs: a few segments in memory, and every part is found."""
    clusters = list(range(2, 200_002))
    random.Random(4).shuffle(clusters)
    table = [0] * 200_002
    for here, there in pairwise(clusters):
        table[here] = there
    table[clusters[-1]] = END
    where = space(table)
    size = len(clusters) * STEP
    reader = ClusterReader(where, Start(clusters[0], len(clusters), False, False, 0, "x"), size, size)
    whole = b"".join(c.to_bytes(STEP, "big") for c in clusters)
    rng = random.Random(5)
    for _ in range(60):
        at = rng.randrange(size - 1000)
        assert reader.read_at(at, 1000) == whole[at : at + 1000]
        assert len(reader._map._segments) <= CACHED_SEGMENTS
    assert reader.read_at(0, size) == whole
    assert sum(run.length for run in reader.runs()) == size


def test_a_table_that_cannot_be_read() -> None:
    def load(first: int, count: int) -> bytes:
        raise DeviceError("d", "read", first, count, 5)

    chains = Chains(load, 100, END, BAD)
    broken = Space(MemorySource(b""), chains, lambda c: c, 1)
    for _ in range(2):
        with pytest.raises(DeviceError):
            list(ClusterMap(broken, Start(5, 3, False, False, 0, "x")).runs(0))
