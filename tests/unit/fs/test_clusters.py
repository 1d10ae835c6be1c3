"""Chains and claims against a model that goes cluster by cluster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs.clusters import SLAB_ENTRIES, BrokenChain, Chains, Visited, nonzero_mask, u32_array

END, BAD = 0x0FFFFFF8, 0x0FFFFFF7


def chains_of(entries: list[int]) -> Chains:
    data = b"".join(e.to_bytes(4, "little") for e in entries)
    return Chains(lambda first, count: data[4 * first : 4 * (first + count)], len(entries), END, BAD)


def model(entries: list[int], first: int) -> tuple[list[int], str]:
    """The clusters of a chain and how it ends, one by one."""
    found: list[int] = []
    at = first
    while len(found) <= 2 * len(entries):
        if not 2 <= at < len(entries):
            return found, "range"
        if entries[at] in (0, BAD):
            return found, "bad" if entries[at] else "free"
        found.append(at)
        if entries[at] >= END:
            return found, "end"
        at = entries[at]
    return found, "loop"


def walk(chains: Chains, first: int) -> tuple[list[int], str]:
    found: list[int] = []
    try:
        for low, high in chains.follow(first):
            assert low < high
            found.extend(range(low, high))
    except BrokenChain as broken:
        return found, broken.code
    return found, "end"


entry = st.one_of(st.integers(0, 40), st.sampled_from([0, BAD, END, 0x0FFFFFFF, 0xFFFFFFFF]))


@given(st.lists(entry, min_size=3, max_size=40), st.integers(0, 50), st.booleans())
def test_chain_like_model(entries: list[int], first: int, straight: bool) -> None:
    if straight:  # make neighbours likely
        entries = [i + 1 if e < 20 and i + 1 < len(entries) else e for i, e in enumerate(entries)]
    clusters, how = model(entries, first)
    found, code = walk(chains_of(entries), first)
    assert code == how
    if how == "loop":
        assert set(found) == set(clusters)
        assert len(found) < 3 * len(entries)
    else:
        assert found == clusters


def test_runs_cross_slabs() -> None:
    total = 3 * SLAB_ENTRIES + 17
    entries = [0, 0, *range(3, total), END]
    assert list(chains_of(entries).follow(2)) == [(2, total)]
    entries[SLAB_ENTRIES] = 5 * SLAB_ENTRIES
    with pytest.raises(BrokenChain) as broken:
        list(chains_of(entries).follow(2))
    assert (broken.value.code, broken.value.cluster) == ("range", 5 * SLAB_ENTRIES)


def test_large_cluster_numbers_of_exfat() -> None:
    """Entries above 2**31, in a slab whose numbers need all 32 bits."""
    base = (0xFFFFFFF0 // SLAB_ENTRIES) * SLAB_ENTRIES

    def load(first: int, count: int) -> bytes:
        values = list(range(first + 1, first + count + 1))
        if first == base:
            values[20] = 0xFFFFFFFF
        return b"".join(v.to_bytes(4, "little") for v in values)

    chains = Chains(load, 0xFFFFFFF0, 0xFFFFFFF8, 0xFFFFFFF7)
    assert list(chains.follow(base - 5)) == [(base - 5, base + 21)]


@given(st.lists(st.integers(0, 2**32 - 1) | st.just(0) | st.just(0x50000000), max_size=60))
def test_nonzero_mask(values: list[int]) -> None:
    data = b"".join(v.to_bytes(4, "little") for v in values)
    assert list(u32_array(data)) == values
    assert list(nonzero_mask(data)) == [int(v != 0) for v in values]
    low = bytes(i & 15 for i in range(256))
    assert list(nonzero_mask(data, low)) == [int(v & 0x0FFFFFFF != 0) for v in values]


@given(st.lists(st.tuples(st.integers(65000, 66200), st.integers(0, 900)), max_size=30))
def test_visited_like_a_set(claims: list[tuple[int, int]]) -> None:
    visited, taken = Visited(), set[int]()
    for first, length in claims:
        first_taken = next((c for c in range(first, first + length) if c in taken), None)
        assert visited.claim(first, first + length) == first_taken
        taken.update(range(first, first + length if first_taken is None else first_taken))
