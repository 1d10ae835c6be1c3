"""A small FAT16 volume made by hand, so that every entry is known: clusters of 512 bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from formats.base.source import MemorySource


def fat16(entries: Mapping[int, int], root: bytes, blocks: Mapping[int, bytes] | None = None) -> MemorySource:
    """1 FAT of 20 sectors, 16 root entries, 5000 clusters. `blocks`: cluster to content."""
    head = bytearray(512)
    head[0:11] = b"\xeb\x3c\x90TESTTEST"
    struct.pack_into("<HBHBHHBH", head, 11, 512, 1, 1, 1, 16, 1 + 20 + 1 + 5000, 0xF8, 20)
    struct.pack_into("<BBB4s11s8s", head, 36, 0x80, 0, 0x29, b"\1\2\3\4", b"NO NAME    ", b"FAT16   ")
    head[510:] = b"\x55\xaa"
    table = bytearray(20 * 512)
    for number, value in {0: 0xFFF8, 1: 0xFFFF, **entries}.items():
        struct.pack_into("<H", table, 2 * number, value)
    data = bytearray(5000 * 512)
    for cluster, content in (blocks or {}).items():
        data[(cluster - 2) * 512 : (cluster - 2) * 512 + len(content)] = content
    return MemorySource(bytes(head) + bytes(table) + root.ljust(512, b"\0") + bytes(data))


def item(name: bytes, cluster: int, size: int = 0, attributes: int = 0x20) -> bytes:
    return struct.pack("<11sB14xHI", name.ljust(11), attributes, cluster, size)


DATA = 22 * 512


def long_item(name: str, short: bytes, cluster: int, size: int = 0, attributes: int = 0x20) -> bytes:
    """The entries of a file with a long name; lone surrogates are written as they are."""
    total = 0
    for byte in short.ljust(11):
        total = ((total >> 1) + ((total & 1) << 7) + byte) & 0xFF
    units = name.encode("utf-16-le", "surrogatepass")
    if len(units) % 26:
        units = (units + b"\0\0").ljust(-(-(len(units) + 2) // 26) * 26, b"\xff")
    parts = [units[at : at + 26] for at in range(0, len(units), 26)]
    entries = [
        struct.pack("<B10sBBB12sH4s", i | (0x40 if i == len(parts) else 0), p[:10], 0x0F, 0, total, p[10:22], 0, p[22:])
        for i, p in enumerate(parts, 1)
    ]
    return b"".join(reversed(entries)) + item(short, cluster, size, attributes)
