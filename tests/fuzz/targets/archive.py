"""Archives: records and what is in them, and whole archives opened, checked, rebuilt and read.

The seeds are written without compression, so that damage keeps its place, and every digest that damage makes wrong
is made right again in most inputs: then it is the reader that has to notice, not a checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

from formats.archive import writer as writer_module
from formats.archive.index import unpack_index
from formats.archive.layout import FLAG_STORED_CRC, HEADER_SIZE, Footer, Kind
from formats.archive.model import Manifest, VolumeRecord
from formats.archive.opening import is_archive, structure_of
from formats.archive.reader import ArchiveReader, split_checkpoint, unpack_map
from formats.archive.record import RecordHeader, decode, digest_of, encode_plain, parse_header
from formats.archive.scan import Found, walk
from formats.archive.segment import Segment
from formats.archive.sink import FileSink
from formats.archive.verify import verify
from formats.archive.writer import ArchiveWriter
from formats.base.checksum import crc32c
from formats.base.decode import decode as decode_layout
from formats.base.errors import RecoveryError
from formats.base.extent import ExtentList
from formats.base.source import BlockSource
from tests.fuzz import mutator
from tests.fuzz.mutator import Data
from tests.fuzz.questions import printable
from tests.fuzz.target import Images, Patched, Raw, Seed, Structure, Target, Volume
from tests.support import archives
from tests.support.overlay import Overlay

BLOCKS = 24
HUGE = 1 << 60  # bytes of a volume
MOST = 4 << 20  # bytes of a volume that are read


class OnePart(Overlay):
    """An archive in one file, as PartsSource shows it."""

    missing: tuple[int, ...] = ()
    parts = 1
    starts = (0,)


def write(path: Path) -> None:
    """Two volumes, several checkpoints, references, a block that was written again."""
    volumes = [archives.sample(1, BLOCKS), archives.sample(2, 6)]
    archives.write(path, volumes, window=8, rewrite={3: bytes(archives.BLOCK), 5: b"again " * 600})


def uncompressed(make: Callable[[Path], None], path: Path) -> None:
    with mock.patch.object(writer_module, "encode", lambda data, level, digest=None: encode_plain(data, digest)):
        make(path)


def write_huge(path: Path) -> None:
    """A volume as large as one may be, nearly all of it unused: what damage makes of its map is huge too."""
    block = archives.BLOCK
    extents = ExtentList([(0, 3 * block), (1 << 40, (1 << 40) + 2 * block), (HUGE - block, HUGE)])
    record = VolumeRecord(HUGE, 512, 0, 0, "partition", 1)
    manifest = Manifest(bytes(range(16)), block, ({"size": HUGE},), (record,), {"note": "planned"})
    writer = ArchiveWriter(FileSink(path), manifest)
    writer.begin_volume(0, extents)
    for start, end in extents:
        for number in range(start // block, end // block):
            archives.put(writer, number, b"%d" % number * (block // len(str(number))) + bytes(block % len(str(number))))
    writer.end_volume()
    writer.end_data()
    writer.write_tail(manifest)
    writer.commit()


WRITERS: dict[str, Callable[[Path], None]] = {
    "plain": lambda path: uncompressed(write, path),
    "packed": write,
    "huge": lambda path: uncompressed(write_huge, path),
}


def image(images: Images, name: str = "plain") -> Data:
    return images.get(f"archive-{name}", WRITERS[name])


def found(data: Data) -> list[Found]:
    return [item for item in walk(Raw(data), 0, len(data), None) if isinstance(item, Found)]


def whole(data: Data, header: RecordHeader) -> bytes:
    return data[header.offset : header.end]


def record_seeds(images: Images) -> Sequence[Seed]:
    out: list[Seed] = []
    for name in WRITERS:
        data = image(images, name)
        kinds: dict[int, int] = {}
        for item in found(data):
            kinds[item.header.kind] = kinds.get(item.header.kind, 0) + 1
            if kinds[item.header.kind] <= 3:
                out.append(Seed(f"{name} {item.header.offset}", whole(data, item.header)))
    return out


def sealed(data: bytes) -> bytes:
    """A record with the digests and checksums that belong to it; its payload is what its header says of its size."""
    if len(data) < HEADER_SIZE:
        return data
    size = int.from_bytes(data[0x3C:0x40], "little")
    head, stored = bytearray(data[:HEADER_SIZE]), data[HEADER_SIZE : HEADER_SIZE + size]
    if head[0x21] == 0 and head[0x20] != Kind.REFERENCE:
        head[0x40:0x60] = digest_of(stored)
    if int.from_bytes(head[0x22:0x24], "little") & FLAG_STORED_CRC:
        head[0x60:0x70] = crc32c(stored).to_bytes(4, "little") + bytes(12)
    else:
        head[0x60:0x70] = digest_of(stored)[:16]
    head[0x7C:0x80] = crc32c(bytes(head[:0x7C])).to_bytes(4, "little")
    return bytes(head) + data[HEADER_SIZE:]


def seal_all(good: Data, patches: dict[int, bytes]) -> None:
    """The same for all records that `patches` touch."""
    for item in found(good):
        data = mutator.absorbed(good, patches, item.header.offset, item.header.end)
        if data is not None:
            patches[item.header.offset] = sealed(bytes(data))


def check_record(_: Seed, damaged: bytes) -> None:
    header = parse_header(damaged[:HEADER_SIZE], 0)
    assert header.what
    plain = decode(header, damaged[HEADER_SIZE : HEADER_SIZE + header.stored_size])
    assert len(plain) == header.plain_size


def payload_seeds(kind: Kind) -> Callable[[Images], Sequence[Seed]]:
    """The plain payloads of all records of one kind."""

    def seeds(images: Images) -> Sequence[Seed]:
        data = image(images)
        headers = [item.header for item in found(data) if item.header.kind == kind]
        return [Seed(f"{kind.name} {h.offset}", whole(data, h)[HEADER_SIZE:], extra=h) for h in headers]

    return seeds


def segment_seeds(images: Images) -> Sequence[Seed]:
    return [
        Seed(f"{seed.name} {i}", part)
        for seed in payload_seeds(Kind.CHECKPOINT)(images)
        for i, part in enumerate(split_checkpoint(seed.extra, bytes(seed.data))[1:])
        if part
    ]


def check_segment(_: Seed, damaged: bytes) -> None:
    segment = Segment.unpack(damaged, 0)
    assert len(segment.pack()) == len(damaged)


def check_map(seed: Seed, damaged: bytes) -> None:
    extents = unpack_map([(seed.extra, damaged)], 1 << 40)
    last = -1
    for start, end in extents:
        assert last < start < end <= 1 << 40
        last = end


def check_manifest(_: Seed, damaged: bytes) -> None:
    manifest = Manifest.from_bytes(damaged, 0)
    assert manifest.volumes and len(manifest.archive_id) == 16
    assert Manifest.from_bytes(manifest.to_bytes(), 0).volumes == manifest.volumes


def archive_seeds(images: Images) -> Sequence[Seed]:
    """Metadata weigh as much as they do; of each block only its header."""
    out = []
    for name in WRITERS:
        data = image(images, name)
        places = []
        for item in found(data):
            header = item.header
            places.append((header.offset, header.payload_offset))
            if header.kind not in (Kind.BLOCK, Kind.PART):
                places += [(at, min(at + 256, header.end)) for at in range(header.payload_offset, header.end, 256)]
        out.append(Seed(name, data, tuple(places)))
    return out


def open_all(damaged: Patched) -> ArchiveReader:
    source = OnePart(Raw(damaged.data), damaged.patches, size=damaged.size)
    is_archive(source)
    return ArchiveReader(source, structure_of(source))  # type: ignore[arg-type]


def check_archive(_: Seed, damaged: Patched) -> None:
    reader = open_all(damaged)
    printable(iter(reader.problems))
    result = verify(reader, workers=1)
    for index in range(len(reader.manifest.volumes)):
        ask(reader, index)
    assert result.records >= 0


def ask(reader: ArchiveReader, index: int) -> None:
    """Map, losses and content of one volume."""
    try:
        held = reader.map(index)
        reader.unreadable(index)
        entries = reader.entries(index)
        for count, _ in enumerate(entries):
            if count > 1000:
                break
        volume: BlockSource = reader.volume(index)
        for start, end in held:
            for at in range(start, min(end, start + MOST), 1 << 16):
                length = min(1 << 16, end - at)
                try:
                    assert len(volume.read_at(at, length)) == length
                except RecoveryError as error:
                    assert str(error)
    except RecoveryError as error:
        assert str(error)


def check_rebuilt(seed: Seed, damaged: Patched) -> None:
    """Without its end: by a walk over the records."""
    cut = Patched(damaged.data, damaged.patches, min(damaged.size, len(damaged.data) - 100))
    reader = open_all(cut)
    assert not reader.structure.complete or reader.problems
    for index in range(len(reader.manifest.volumes)):
        ask(reader, index)


TARGETS: tuple[Target, ...] = (
    Structure("archive.record", record_seeds, check_record, sealed, cost=2),
    Structure("archive.segment", segment_seeds, check_segment),
    Structure("archive.map", payload_seeds(Kind.MAP), check_map),
    Structure("archive.index", payload_seeds(Kind.INDEX), lambda _, data: unpack_index(data, 0, (BLOCKS + 1, 7))),
    Structure("archive.checkpoint", payload_seeds(Kind.CHECKPOINT), lambda s, data: split_checkpoint(s.extra, data)),
    Structure("archive.footer", payload_seeds(Kind.FOOTER), lambda _, data: decode_layout(Footer, data, "FOOTER", 0)),
    Structure("archive.manifest", payload_seeds(Kind.MANIFEST), check_manifest, json=True, cost=2),
    Volume("archive.file", archive_seeds, check_archive, seal_all, cost=60),
    Volume("archive.rebuilt", archive_seeds, check_rebuilt, seal_all, cost=60),
)
