"""Masks, borders and entries of the FAT against models that go entry by entry."""

from __future__ import annotations

import time
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs.fat.table import BAD, END, borders, first_difference, masks, unpack12, widen


def pack(values: list[int], bits: int) -> bytes:
    """Entries as a formatter would write them."""
    if bits != 12:
        return b"".join(v.to_bytes(bits // 8, "little") for v in values)
    number = 0
    for i, value in enumerate(values):
        number |= value << (12 * i)
    return number.to_bytes((12 * len(values) + 7) // 8, "little")


def entries(bits: int) -> st.SearchStrategy[list[int]]:
    special = [0, 1, BAD[bits], END[bits], END[bits] + 7, BAD[bits] - 1, BAD[bits] & ~0xFF, 0x0F7]
    if bits == 32:
        special += [0xF0000000, 0xFFFFFFF7, 0x1FFFFFF7, 0x10000001, 0xFFFFFFFF]
    return st.lists(st.sampled_from(special) | st.integers(0, (1 << bits) - 1), min_size=1, max_size=50)


@pytest.mark.parametrize("bits", [12, 16, 32])
@given(data=st.data())
def test_masks_like_model(bits: int, data: st.DataObject) -> None:
    values = data.draw(entries(bits))
    plain = [v & 0x0FFFFFFF if bits == 32 else v for v in values]
    raw = pack(values, bits)
    used, bad = masks(raw, bits, len(values))
    assert list(used) == [int(v not in (0, BAD[bits])) for v in plain]
    assert list(bad or bytes(len(values))) == [int(v == BAD[bits]) for v in plain]
    wide = widen(raw, bits, len(values))
    assert [int.from_bytes(wide[i : i + 4], "little") for i in range(0, len(wide), 4)] == plain
    if bits == 12:
        assert list(unpack12(raw, len(values))) == values


@given(st.lists(st.booleans(), max_size=70), st.integers(0, 10**12), st.integers(1, 10**6))
def test_borders_like_model(bits: list[bool], start: int, step: int) -> None:
    found = borders(bytes(bits), start, step)
    marked = {i for a, b in zip(found[0::2], found[1::2], strict=True) for i in range(a, b, step)}
    assert marked == {start + i * step for i, bit in enumerate(bits) if bit}
    assert all(a < b for a, b in pairwise(found))


@given(st.binary(min_size=1, max_size=40), st.data())
def test_first_difference(a: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(a) - 1))
    b = a[:at] + bytes([a[at] ^ 1]) + data.draw(st.binary(min_size=len(a) - at - 1, max_size=len(a) - at - 1))
    assert first_difference(a, b) == at


def test_no_step_per_cluster() -> None:
    """Four million entries in the time that a loop over them would need many times over."""
    raw = array("I", range(3, 3 + (1 << 20))).tobytes()
    begun = time.process_time()
    for _ in range(4):
        used, bad = masks(raw, 32, 1 << 20)
        assert borders(used, 0, 1) == [0, 1 << 20]
        assert bad is None
    assert time.process_time() - begun < 2
