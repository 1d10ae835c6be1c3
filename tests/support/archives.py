"""Small archives, written straight through ArchiveWriter."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from pathlib import Path

from formats.archive.model import Manifest, VolumeRecord
from formats.archive.opening import reader_of
from formats.archive.record import digest_of, encode
from formats.archive.sink import FileSink
from formats.archive.writer import ArchiveWriter
from formats.base.extent import ExtentList

BLOCK = 4096


@dataclass
class Volume:
    """`data`: the bytes that the source has; `extents`: those of them that are held."""

    data: bytes
    extents: ExtentList

    def held(self) -> bytes:
        """What the archive must give back: zeros outside of the extents."""
        out = bytearray(len(self.data))
        for start, end in self.extents:
            out[start:end] = self.data[start:end]
        return bytes(out)


def sample(seed: int = 1, blocks: int = 60, tail: int = 100) -> Volume:
    """Random, compressible, repeated, zero and unused blocks, and a short last one."""
    rng = random.Random(seed)
    same = rng.randbytes(BLOCK)
    parts = []
    extents = []
    for n in range(blocks):
        kind = rng.choice("rrctzu")
        parts.append(
            {
                "r": rng.randbytes(BLOCK),
                "c": b"text %d " % n * 512,
                "t": same,
                "z": bytes(BLOCK),
                "u": b"U" * BLOCK,
            }[kind][:BLOCK].ljust(BLOCK, b"!")
        )
        if kind != "u":
            extents.append((n * BLOCK, (n + 1) * BLOCK))
        elif n % 2:
            extents.append((n * BLOCK + 512, n * BLOCK + 1024))
    parts.append(rng.randbytes(tail))
    extents.append((blocks * BLOCK, blocks * BLOCK + tail))
    return Volume(b"".join(parts), ExtentList(extents))


def write(
    path: Path,
    volumes: list[Volume],
    *,
    split: int = 0,
    window: int = 16,
    rewrite: dict[int, bytes] | None = None,
) -> ArchiveWriter:
    """An archive of `volumes`; `rewrite`: blocks of volume 0 that are put again after everything else."""
    records = tuple(VolumeRecord(len(v.data), 512, 0, 0, "partition", i + 1) for i, v in enumerate(volumes))
    manifest = Manifest(bytes(range(16)), BLOCK, ({"size": 1},), records, {"note": "planned"})
    writer = ArchiveWriter(FileSink(path, split), manifest)
    writer._window_blocks = window
    for number, volume in enumerate(volumes):
        writer.begin_volume(number, volume.extents)
        held = volume.held()
        for block in range(-(-len(held) // BLOCK)):
            plain = held[block * BLOCK : (block + 1) * BLOCK]
            if volume.extents.touches(block * BLOCK, (block + 1) * BLOCK):
                put(writer, block, plain)
        if number == 0:
            for block, plain in (rewrite or {}).items():
                put(writer, block, plain)
        writer.end_volume()
    writer.end_data()
    with reader_of(writer) as reader:
        assert reader.volume(0).size == len(volumes[0].data)
    writer.write_tail(dataclasses.replace(manifest, details={"note": "final"}))
    writer.commit()
    return writer


def put(writer: ArchiveWriter, block: int, plain: bytes) -> None:
    if not any(plain):
        writer.put_zero(block)
        return
    digest = digest_of(plain)
    if not writer.put_block(block, len(plain), digest, None):
        assert writer.put_block(block, len(plain), digest, encode(plain, 1, digest))
