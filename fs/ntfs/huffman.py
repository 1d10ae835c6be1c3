"""Canonical prefix codes as flat tables: one look-up decodes one symbol."""

from __future__ import annotations

from collections.abc import Sequence


def code_table(lengths: Sequence[int]) -> tuple[list[int], int] | None:
    """(table, bits): index it with the next `bits` bits; an entry is symbol << 5 | length of its code.

    An entry 0 is no code at all. None when the lengths ask for more codes than there are.
    """
    bits = max(lengths)
    if not bits:
        return [0], 0
    by_length: list[list[int]] = [[] for _ in range(bits + 1)]
    for symbol, length in enumerate(lengths):
        if length:
            by_length[length].append(symbol)
    table: list[int] = []
    whole = 1 << bits
    for length in range(1, bits + 1):
        repeat = 1 << (bits - length)
        if len(table) + len(by_length[length]) * repeat > whole:
            return None
        for symbol in by_length[length]:
            table += [symbol << 5 | length] * repeat
    if len(table) < whole:
        table += [0] * (whole - len(table))
    return table, bits
