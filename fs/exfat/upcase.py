"""The up-case table of exFAT: what makes two names the same.

Source: exFAT specification, section 7.2 (up-case table directory entry) and 7.2.5 (the table, compressed).
"""

from __future__ import annotations

import sys
from array import array

MAX_BYTES = 0x10000 * 2  # a table without compression
UNITS = 0x10000
SURROGATES = range(0xD800, 0xE000)
_IDENTITY_RUN = 0xFFFF


def table_checksum(data: bytes) -> int:
    """TableChecksum (section 7.2.2, figure 3)."""
    total = 0
    for byte in data:
        total = ((total << 31 | total >> 1) + byte) & 0xFFFFFFFF
    return total


def parse_upcase(data: bytes) -> dict[int, int]:
    """Code unit to its upper case, for those that change. 0xFFFF and a count stand for units that do not.

    What lies behind unit 0xFFFF is ignored; units that the table does not reach stay as they are.
    """
    units = array("H")
    units.frombytes(data[: len(data) & ~1])
    if sys.byteorder == "big":
        units.byteswap()
    changes: dict[int, int] = {}
    at, index = 0, 0
    while index < len(units) and at < UNITS:
        value = units[index]
        index += 1
        if value == _IDENTITY_RUN and at != _IDENTITY_RUN and index < len(units):
            at += units[index]
            index += 1
            continue
        # Halves of a pair must stay what they are: a name is folded by characters here.
        if value != at and at not in SURROGATES and value not in SURROGATES:
            changes[at] = value
        at += 1
    return changes
