"""NTFS: records, attributes and what is in them, decompression, single files, whole volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from fs.ntfs import lznt1, lzx, xpress
from fs.ntfs.attribute import (
    ATTRIBUTE_LIST,
    FILE_NAME,
    REPARSE_POINT,
    Attribute,
    attributes,
    list_entries,
    parse_file_name,
)
from fs.ntfs.boot import parse_boot
from fs.ntfs.inode import quick_facts
from fs.ntfs.record import FILE, INDX, SEQUENCE, STRIDE, apply_fixups, parse_record
from fs.ntfs.reparse import parse_reparse
from fs.ntfs.runlist import decode_runs
from fs.ntfs.tree import open_tree
from fs.ntfs.volume import open_volume
from fs.tree import RunKind
from tests.fuzz import images as tiny
from tests.fuzz import mutator
from tests.fuzz.mutator import Data
from tests.fuzz.questions import File, ask_all, nodes_of, volume_seed
from tests.fuzz.target import Images, Raw, Seed, Structure, Target, Volume, only_ours
from tests.support.ntfs_images import STRANGE, encode_runs, reparse

RECORD = 1024
CLUSTERS = 4096
MOST = 4096  # bytes that are decompressed of one chunk


def image(images: Images, cluster: int = 1024) -> Data:
    return images.get(f"ntfs-{cluster}", partial(tiny.ntfs, cluster=cluster))


def protected(data: bytes) -> bytes:
    """`data` with the words at the ends of its sectors as the update sequence wants them."""
    if data[:4] not in (FILE, INDX) or len(data) < STRIDE:
        return data
    fixed = bytearray(data)
    _, usa, _ = SEQUENCE.unpack_from(data)
    if usa + 2 <= len(data):
        for end in range(STRIDE, len(data) + 1, STRIDE):
            fixed[end - 2 : end] = data[usa : usa + 2]
    return bytes(fixed)


def protect_all(good: Data, patches: dict[int, bytes]) -> None:
    """The same for every record that `patches` touch."""
    for start in sorted({at // RECORD * RECORD for at in patches}):
        if good[start : start + 4] in (FILE, INDX):
            data = mutator.absorbed(good, patches, start, start + RECORD)
            if data is not None:
                patches[start] = protected(bytes(data))


def records(data: Data) -> list[bytes]:
    """Records in use."""
    found = [data[at : at + RECORD] for at in range(0, len(data), RECORD) if data[at : at + 4] == FILE]
    return [record for record in found if record[0x16] & 1]


def record_seeds(images: Images) -> Sequence[Seed]:
    """Of one kind once or twice."""
    used = records(image(images))
    return [Seed(f"record {i}", record) for i, record in enumerate([*used[:16], *used[24::3]])]


def parts(images: Images) -> Iterator[tuple[Attribute, bytes]]:
    """Attributes of all records in use, each with what its first run holds or its value."""
    data = image(images)
    for number, record in enumerate(records(data)):
        raw = bytearray(record)
        apply_fixups(raw, 0, RECORD, FILE, "", 0)
        header = parse_record(raw, 0, RECORD, "", 0)
        for part in attributes(raw, 0, header.attributes, header.end, number, len(data) // 1024, 0):
            if part.value is not None:
                yield part, part.value
            elif part.runs and part.runs[0][1] >= 0:
                start = part.runs[0][1] * 1024
                yield part, data[start : start + min(part.runs[0][2] * 1024, max(part.data_size, 0))]


def check_record(_: Seed, damaged: bytes) -> None:
    data = bytearray(damaged)
    apply_fixups(data, 0, RECORD, FILE, "record", 0)
    header = parse_record(data, 0, RECORD, "record", 0)
    only_ours(lambda: quick_facts(data, header.attributes, header.end, header))
    for part in attributes(data, 0, header.attributes, header.end, 7, CLUSTERS, 0):
        value = part.value
        assert part.label.isprintable()
        if value is None:
            assert all(
                (length > 0 and lcn >= -1 and lcn + length <= CLUSTERS) or lcn < 0 for _, lcn, length in part.runs
            )
        elif part.type == FILE_NAME:
            only_ours(partial(parse_file_name, value, "name", 0))
        elif part.type == ATTRIBUTE_LIST:
            only_ours(lambda value=value: list(list_entries(value, 7, 0)))  # type: ignore[misc]
        elif part.type == REPARSE_POINT:
            only_ours(partial(parse_reparse, value, 0, "reparse point", 0))


def boot_seeds(images: Images) -> Sequence[Seed]:
    return [Seed(f"boot {cluster}", image(images, cluster)[:512]) for cluster in (512, 1024)]


def run_seeds(_: Images) -> Sequence[Seed]:
    lists: list[list[tuple[int | None, int]]] = [
        [(10, 5)], [(10, 5), (3000, 300), (None, 70_000), (20, 1)], [(None, 1 << 40)],
        [(i * 37 % CLUSTERS, i % 5 + 1) for i in range(60)],
    ]  # fmt: skip
    return [Seed(f"runs {i}", encode_runs(runs)) for i, runs in enumerate(lists)]


def check_runs(_: Seed, damaged: bytes) -> None:
    runs, fault = decode_runs(damaged, 0, len(damaged), 0, CLUSTERS)
    at = 0
    for vcn, lcn, length in runs:
        assert vcn >= at and length > 0 and (lcn == -1 or 0 <= lcn <= lcn + length <= CLUSTERS)
        at = vcn + length
    assert fault == "" or fault.isprintable()


def list_seeds(images: Images) -> Sequence[Seed]:
    """Attribute lists, resident and out of clusters."""
    found = [value for part, value in parts(images) if part.type == ATTRIBUTE_LIST]
    assert found
    return [Seed(f"list {i}", value) for i, value in enumerate(found)]


def reparse_seeds(_: Images) -> Sequence[Seed]:
    values = {name: reparse(tag, data) for name, (tag, data) in STRANGE.items()}
    values["wof"] = reparse(0x80000017, bytes.fromhex("01000000020000000100000000000000"))
    return [Seed(name, value) for name, value in values.items()]


def lznt1_seeds(images: Images) -> Sequence[Seed]:
    """The first compression unit of a file."""
    data = image(images)
    tree = open_tree(Raw(data))
    node = next(n for d, n in nodes_of(tree) if d.name == "packed" and n.name == "text")
    run = next(run for run in tree.runs(node) if run.kind is RunKind.ENCODED)
    assert run.physical is not None
    return [Seed("text", data[run.physical : run.physical + run.physical_length])]


def wof_seeds(*methods: int) -> Callable[[Images], Sequence[Seed]]:
    """Streams of WOF that hold one chunk, of files by these methods."""

    def seeds(images: Images) -> Sequence[Seed]:
        streams = {part.record: value for part, value in parts(images) if part.name == "WofCompressedData"}
        kinds = {part.record: value for part, value in parts(images) if part.type == REPARSE_POINT}
        found = [value for record, value in streams.items() if kinds[record][20] in methods]
        assert len(found) == len(methods)
        return [Seed(f"stream {i}", value) for i, value in enumerate(found)]

    return seeds


def unpacking(decompress: Callable[[bytes, int, str, int], bytes]) -> Callable[[Seed, bytes], None]:
    def check(_: Seed, damaged: bytes) -> None:
        size = min(MOST, len(tiny.TEXT))
        assert len(decompress(damaged, size, "chunk", 0)) == size

    return check


def volume_seeds(images: Images) -> Sequence[Seed]:
    return [volume_seed(f"ntfs {c}", image(images, c), open_volume, open_tree) for c in (1024, 512)]


TARGETS: tuple[Target, ...] = (
    Structure("ntfs.boot", boot_seeds, lambda _, data: parse_boot(data, 0, "boot"), fixed=True),
    Structure("ntfs.record", record_seeds, check_record, protected, fixed=True),
    Structure("ntfs.runs", run_seeds, check_runs),
    Structure("ntfs.list", list_seeds, lambda _, data: list(list_entries(data, 7, 0))),
    Structure("ntfs.reparse", reparse_seeds, lambda _, data: parse_reparse(data, 0x1000, "reparse point", 0)),
    Structure("ntfs.lznt1", lznt1_seeds, unpacking(lznt1.decompress), cost=5),
    Structure("ntfs.xpress", wof_seeds(0, 2), unpacking(xpress.decompress), cost=5),
    Structure("ntfs.lzx", wof_seeds(1), unpacking(lzx.decompress), cost=10),
    File("ntfs.file", lambda images: [("ntfs 1024", image(images))], open_tree, protected),
    Volume("ntfs.volume", volume_seeds, ask_all(open_volume, open_tree), protect_all),
)
