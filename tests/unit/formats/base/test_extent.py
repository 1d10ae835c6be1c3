"""Extent lists against a model: a plain set of byte numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.base.extent import ExtentBuilder, ExtentList, merge

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda p: (p[0], p[0] + p[1])), max_size=12)


def bytes_of(extents: ExtentList) -> set[int]:
    found: set[int] = set()
    last = -1
    for start, end in extents:
        assert last < start < end, "sorted, disjoint, not touching, not empty"
        found.update(range(start, end))
        last = end
    return found


def model(items: list[tuple[int, int]]) -> set[int]:
    return {i for start, end in items for i in range(start, end)}


@given(pairs, pairs)
def test_set_operations(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    left, right = ExtentList(a), ExtentList(b)
    assert bytes_of(left) == model(a)
    assert left.total == len(model(a))
    assert bytes_of(left.union(right)) == model(a) | model(b)
    assert bytes_of(left.intersect(right)) == model(a) & model(b)
    assert bytes_of(left.subtract(right)) == model(a) - model(b)
    assert bytes_of(left.complement(50)) == set(range(50)) - model(a)
    assert bytes_of(merge(left, right)) == model(a) | model(b)


@given(pairs, st.integers(0, 70), st.integers(0, 70))
def test_ranges(a: list[tuple[int, int]], start: int, end: int) -> None:
    extents, wanted = ExtentList(a), set(range(start, end))
    assert extents.covers(start, end) == (wanted <= model(a))
    assert bytes_of(extents.clip(start, max(start, end))) == model(a) & wanted
    assert {i for e in extents.overlapping(start, end) for i in range(*e)} == model(a) & wanted
    if start < end:
        assert extents.touches(start, end) == bool(model(a) & wanted)


@given(pairs)
def test_align_out_and_shift(a: list[tuple[int, int]]) -> None:
    extents = ExtentList(a)
    assert bytes_of(extents.align_out(8, 70)) == {i for i in range(70) if any(j // 8 == i // 8 for j in model(a))}
    assert bytes_of(extents.shift(5)) == {i + 5 for i in model(a)}


def test_builder_is_bounded_and_never_loses() -> None:
    builder = ExtentBuilder(limit=100)
    for i in range(1000):
        builder.add(i * 100_000, i * 100_000 + 10)
    result = builder.build()
    assert len(result) <= 100 and builder.grain >= 64 << 10
    assert all(result.covers(i * 100_000, i * 100_000 + 10) for i in range(1000))


def test_builder_refuses_backwards() -> None:
    builder = ExtentBuilder()
    builder.add(100, 200)
    with pytest.raises(ValueError, match="comes after"):
        builder.add(50, 60)
    with pytest.raises(ValueError, match="backwards"):
        builder.add(300, 299)
