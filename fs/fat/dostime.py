"""Times as DOS stored them: two 16-bit numbers. FAT and exFAT use them, each with its own finer part.

Source: fatgen103, "Date and Time Formats"; exFAT specification, section 7.4.8.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

DAY = 86_400
SECOND = 1_000_000_000  # nanoseconds
_EPOCH = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=1 << 12)
def _days(stored: int) -> int | None:
    """Days from 1970-01-01 to a stored date; None for one that no calendar has (0, for instance)."""
    try:
        return date(1980 + (stored >> 9), stored >> 5 & 0x0F, stored & 0x1F).toordinal() - _EPOCH
    except ValueError:
        return None


def nanoseconds(stored_date: int, stored_time: int = 0, centiseconds: int = 0) -> int | None:
    """Nanoseconds from 1970-01-01 to a stored time, taken as UTC; None when the date is impossible.

    An impossible time of day counts as midnight. `centiseconds`: 0 to 199 more, other values do not count.
    """
    days = _days(stored_date)
    if days is None:
        return None
    hours, minutes, seconds = stored_time >> 11, stored_time >> 5 & 0x3F, (stored_time & 0x1F) * 2
    if hours > 23 or minutes > 59 or seconds > 59:
        return days * DAY * SECOND
    more = centiseconds if centiseconds < 200 else 0
    return (days * DAY + hours * 3600 + minutes * 60 + seconds) * SECOND + more * 10_000_000
