"""Sizes and alignment. All sizes are bytes unless the name says otherwise."""

from __future__ import annotations

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30
TiB = 1 << 40


def align_down(value: int, step: int) -> int:
    """Largest multiple of `step` that is not above `value`."""
    return value - value % step


def align_up(value: int, step: int) -> int:
    """Smallest multiple of `step` that is not below `value`."""
    return -(-value // step) * step


def in_words(count: int) -> str:
    """A size that a tired person can compare: 465.8 GiB."""
    if count < 1024:
        return f"{count} bytes"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} PiB"


def is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0
