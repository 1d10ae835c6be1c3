"""The oracle for used blocks: the bitmap that partclone writes into its image.

Layout of the v2 image: partclone 0.3.x, src/partclone.h; fields checked against images with xxd.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from formats.base.bitmap import bit_runs
from formats.base.extent import ExtentList, collect
from tests.support.tools import need, run


@dataclass(frozen=True)
class PartcloneMap:
    """`extents`: bytes that partclone counts as used; `device_size` bytes and `block_size` as in its header."""

    file_system: str
    device_size: int
    block_size: int
    total_blocks: int
    extents: ExtentList


def used_map(program: str, image: Path, scratch: Path) -> PartcloneMap:
    """Let `program` (such as partclone.ntfs) image the file `image` and read its bitmap back."""
    need(program)
    out = scratch / "partclone.img"
    run(program, "-c", "-a0", "-I", "-s", image, "-O", out, "-L", scratch / "partclone.log")
    result = read_map(out)
    out.unlink()
    return result


def read_map(path: Path) -> PartcloneMap:
    """The header and bitmap of a partclone v2 image."""
    with path.open("rb") as file:
        head = file.read(110)
        assert head[:15] == b"partclone-image" and head[30:34] == b"0002"
        device_size, total = struct.unpack_from("<QQ", head, 52)
        (block_size,) = struct.unpack_from("<I", head, 84)
        bits = file.read(-(-total // 8))
        (crc,) = struct.unpack("<I", file.read(4))
    assert crc == zlib.crc32(bits) ^ 0xFFFFFFFF, "partclone bitmap CRC"
    extents = collect((a * block_size, b * block_size) for a, b in bit_runs(bits, total))
    return PartcloneMap(head[36:52].rstrip(b"\0").decode(), device_size, block_size, total, extents)
