"""Reading around bad sectors: exactly what the medium gives, and exactly the rest reported."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.base.errors import DeviceError
from formats.base.extent import Extent, ExtentList
from formats.base.source import MemorySource
from recovery.engine.gather import Reader
from recovery.engine.settings import Settings

SMALL = Settings(block_size=4096, batch=4 * 4096, retries=1)


class Bad(MemorySource):
    """Gives EIO for every read that touches a bad range."""

    def __init__(self, data: bytes, bad: ExtentList) -> None:
        super().__init__(data)
        self.bad = bad
        self.reads = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        if self.bad.touches(offset, offset + length):
            raise DeviceError("bad disk", "read", offset, length, 5)
        return super().read_at(offset, length)


def collect(reader: Reader, size: int) -> tuple[bytes, list[Extent], int]:
    out = bytearray(size)
    unreadable: list[Extent] = []
    used = 0
    for batch in reader.batches():
        assert batch.start % SMALL.block_size == 0
        out[batch.start : batch.start + len(batch.data)] = batch.data
        unreadable += batch.unreadable
        used += batch.used
    return bytes(out), unreadable, used


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 250), st.integers(1, 40)), max_size=20),
    st.lists(st.tuples(st.integers(0, 250), st.integers(1, 3)), max_size=4),
)
def test_used_bytes_are_exact_and_the_rest_is_zero(used: list[tuple[int, int]], bad: list[tuple[int, int]]) -> None:
    size = 256 * 512 - 200
    data = random.Random(3).randbytes(size)
    extents = ExtentList((a * 512, min((a + n) * 512, size)) for a, n in used)
    broken = ExtentList((a * 512, (a + n) * 512) for a, n in bad)
    got, unreadable, count = collect(Reader(Bad(data, broken), extents, SMALL), size)
    want = bytearray(size)
    for start, end in extents.subtract(broken):
        want[start:end] = data[start:end]
    assert got == want
    assert ExtentList(unreadable) == extents.intersect(broken)
    assert count == extents.total


def test_bad_places_that_nobody_uses_cost_nothing() -> None:
    data = bytes(64 * 4096)
    broken = ExtentList([(4096, 8192)])
    extents = ExtentList([(0, 4096), (8192, 64 * 4096)])
    _, unreadable, _ = collect(Reader(Bad(data, broken), extents, SMALL), len(data))
    assert not unreadable


def test_a_disk_that_is_gone_is_not_a_disk_full_of_bad_sectors() -> None:
    data = bytes(64 * 4096)

    class Gone(Bad):
        def read_at(self, offset: int, length: int) -> bytes:
            raise DeviceError("gone", "read", offset, length, 19)  # ENODEV

    source = Gone(data, ExtentList())
    with pytest.raises(DeviceError):
        collect(Reader(source, ExtentList([(0, len(data))]), SMALL), len(data))

    # A pulled USB disk answers EIO: then the check decides.
    def gone() -> None:
        raise DeviceError("gone", "look", 0, 0, 19)

    everything = ExtentList([(0, len(data))])
    source2 = Bad(data, everything)
    with pytest.raises(DeviceError) as caught:
        collect(Reader(source2, everything, SMALL, check_alive=gone), len(data))
    assert caught.value.errno == 19
    assert source2.reads == 1


def test_sectors_are_retried_before_they_are_given_up() -> None:
    class Weak(MemorySource):
        failures = 0

        def read_at(self, offset: int, length: int) -> bytes:
            if offset <= 5000 < offset + length and (length > 512 or self.failures < 2):
                self.failures += length == 512
                raise DeviceError("weak", "read", offset, length, 5)
            return super().read_at(offset, length)

    data = random.Random(1).randbytes(4 * 4096)
    settings_ = Settings(block_size=4096, batch=4 * 4096, retries=3)
    got, unreadable, _ = collect(Reader(Weak(data), ExtentList([(0, len(data))]), settings_), len(data))
    assert got == data and not unreadable
