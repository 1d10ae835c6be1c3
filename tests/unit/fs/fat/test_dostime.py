"""DOS times against datetime."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from fs.fat.dostime import nanoseconds

DATES = st.datetimes(datetime(1980, 1, 1), datetime(2107, 12, 31, 23, 59, 58))


@given(DATES, st.integers(0, 255))
def test_every_time(when: datetime, centiseconds: int) -> None:
    date = (when.year - 1980) << 9 | when.month << 5 | when.day
    time = when.hour << 11 | when.minute << 5 | when.second // 2
    whole = when.replace(tzinfo=UTC, microsecond=0, second=when.second // 2 * 2)
    more = centiseconds if centiseconds < 200 else 0
    assert nanoseconds(date, time, centiseconds) == int(whole.timestamp()) * 10**9 + more * 10**7


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_any_bits(date: int, time: int) -> None:
    found = nanoseconds(date, time)
    try:
        day = datetime(1980 + (date >> 9), date >> 5 & 15, date & 31, tzinfo=UTC)
    except ValueError:
        assert found is None
        return
    assert found is not None
    assert 0 <= found // 10**9 - int(day.timestamp()) < 86400
