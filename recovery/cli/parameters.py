"""Parameters that several commands share, and their types."""

from __future__ import annotations

import re

import click

_SUFFIX = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


class _Size(click.ParamType[int]):
    """A size in bytes: 4G, 700M, 1073741824."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+)\s*([KMGT]?)(?:iB|B)?", str(value), re.IGNORECASE)
        if not match:
            self.fail(f"{value!r} is not a size such as 4G or 700M", param, ctx)
        return int(match[1]) << _SUFFIX[match[2].upper()]


class _PartitionPair(click.ParamType[tuple[int, int | None]]):
    """N or N:M, partition numbers from 1."""

    name = "N[:M]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int | None]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([1-9]\d{0,4})(?::([1-9]\d{0,4}))?", str(value))
        if not match:
            self.fail(f"{value!r} is not N or N:M with partition numbers from 1", param, ctx)
        return int(match[1]), int(match[2]) if match[2] else None


SIZE = _Size()
PARTITION_PAIR = _PartitionPair()

json_option = click.option("--json", "as_json", is_flag=True, help="JSON, one object a line, instead of text.")

# 64 KiB is a quarter of a block: less than that a second is surely a mistake for something else.
bandwidth_option = click.option(
    "--bandwidth",
    type=SIZE,
    default=0,
    callback=lambda _, __, value: _at_least(value, 1 << 16),
    help="Read at most so many bytes a second from the source, such as 50M.",
)


def _at_least(value: int, least: int) -> int:
    if value and value < least:
        raise click.BadParameter(f"{value} bytes a second is too little: at least {least >> 10}K")
    return value
