"""The header of a swap area (kernel, include/linux/swap.h, union swap_header; man 8 mkswap)."""

from __future__ import annotations

from construct import Bytes, Int32ub, Int32ul, Padding, Struct

HEADER_LE = Struct(
    "bootbits" / Padding(1024),  # +0x000 room for a disk label
    "version" / Int32ul,  # +0x400
    "last_page" / Int32ul,  # +0x404 pages, inclusive
    "nr_badpages" / Int32ul,  # +0x408
    "sws_uuid" / Bytes(16),  # +0x40C
    "sws_volume" / Bytes(16),  # +0x41C
    "padding" / Padding(117 * 4),  # +0x42C
)  # +0x600: badpages[nr_badpages]

HEADER_BE = Struct(
    "bootbits" / Padding(1024),
    "version" / Int32ub,
    "last_page" / Int32ub,
    "nr_badpages" / Int32ub,
    "sws_uuid" / Bytes(16),
    "sws_volume" / Bytes(16),
    "padding" / Padding(117 * 4),
)
