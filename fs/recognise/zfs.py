"""ZFS: four labels of 256 KiB, two at the start and two at the end, each with a name/value list and uberblocks.

Source: ZFS On-Disk Specification (draft, 2006), 1.2 and 1.3; XDR as in RFC 4506.
"""

from __future__ import annotations

import struct

from formats.base.units import KiB, align_down
from fs.recognise import layout
from fs.recognise.model import Family, Found, Signature, header
from fs.recognise.peek import Peek

LABEL, NVLIST_AT, NVLIST_SIZE = 256 * KiB, 16 * KiB, 112 * KiB
UBERBLOCKS_AT, UBERBLOCKS_SIZE = 128 * KiB, 128 * KiB
UBERBLOCK_MAGICS = (b"\x0c\xb1\xba\x00\0\0\0\0", b"\0\0\0\0\x00\xba\xb1\x0c")
TYPE_UINT64, TYPE_STRING = 8, 9
MOST_PAIRS = 256  # the top level of a label has about fifteen


def _places(size: int) -> tuple[int, ...]:
    end = align_down(size, LABEL)
    return (0, LABEL, end - 2 * LABEL, end - LABEL) if end >= 4 * LABEL else ()


def _label(peek: Peek, offset: int) -> Found | None:
    """A label counts with its list and an uberblock. Those at the end survive what is made over the beginning."""
    head = header(layout.ZFS_NVLIST, peek, offset + NVLIST_AT, "ZFS label")
    if head is None or head.encoding != 1:
        return None
    pairs = _pairs(peek.get(offset + NVLIST_AT, NVLIST_SIZE))
    guid, name = pairs.get("pool_guid"), pairs.get("name", "")
    if not isinstance(guid, int) or not isinstance(name, str):
        return None
    ring = peek.get(offset + UBERBLOCKS_AT, UBERBLOCKS_SIZE)
    if not any(ring[i : i + 8] in UBERBLOCK_MAGICS for i in range(0, len(ring), KiB)):
        return None
    return Found(label=name, uuid=str(guid), strong=offset <= LABEL)


def _pairs(data: bytes) -> dict[str, int | str]:
    """The numbers and strings of the outermost list."""
    pairs: dict[str, int | str] = {}
    at = 12
    for _ in range(MOST_PAIRS):
        if at + 12 > len(data):
            break
        size, _decoded, name_length = struct.unpack_from(">III", data, at)
        body = at + 12 + -(-name_length // 4) * 4
        if size < 20 or at + size > len(data) or body + 8 > at + size:
            break
        name = data[at + 12 : at + 12 + name_length].decode("utf-8", "replace")
        kind, _count = struct.unpack_from(">II", data, body)
        value = data[body + 8 : at + size]
        if kind == TYPE_UINT64 and len(value) >= 8:
            pairs[name] = int.from_bytes(value[:8], "big")
        elif kind == TYPE_STRING and len(value) >= 4:
            pairs[name] = value[4 : 4 + int.from_bytes(value[:4], "big")].decode("utf-8", "replace")
        at += size
    return pairs


SIGNATURES = (Signature("zfs_member", "ZFS pool", Family.FILESYSTEM, _places, 0, (), _label),)
