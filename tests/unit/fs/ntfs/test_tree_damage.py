"""Whatever the bytes: a tree that is walked whole ends, in bounded time, and only our errors leave."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.base.errors import Corrupt, RecoveryError
from formats.base.source import FileSource, MemorySource
from fs.ntfs import lznt1, lzx, xpress
from fs.ntfs.boot import find_boot
from fs.ntfs.findings import Findings
from fs.ntfs.index import Index
from fs.ntfs.mft import Mft
from fs.ntfs.reparse import parse_reparse
from fs.ntfs.tree import open_tree
from fs.tree import NodeKind
from tests.support.ntfs_images import Editor
from tests.support.ntfs_walk import exercise, walk
from tests.support.ntfs_wof import METHODS, contents, resources
from tests.support.sources import BadSectorSource

Image = Callable[[str], Path]


def metadata_places(path: Path) -> list[int]:
    """Where records in use, index blocks and boot sectors begin."""
    raw = path.read_bytes()
    places = [0, len(raw) - 512]
    at = raw.find(b"FILE")
    while at >= 0:
        if at % 512 == 0 and raw[at + 0x16] & 1:
            places.append(at)
        at = raw.find(b"FILE", at + 512)
    at = raw.find(b"INDX")
    while at >= 0:
        if at % 512 == 0:
            places += [at] * 8
        at = raw.find(b"INDX", at + 512)
    return places


def flip(data: bytearray, rng: random.Random, places: list[int]) -> None:
    """Change a few bytes near the begins of structures."""
    for _ in range(rng.choice((1, 2, 4, 16, 60))):
        at = rng.choice(places) + min(int(rng.expovariate(1 / 200)), 4095)
        if at < len(data):
            data[at] = rng.choice((0, 0xFF, 0x7F, 0x80, data[at] ^ 1 << rng.randrange(8), rng.randrange(256)))


@pytest.mark.parametrize(("name", "rounds"), [("strange", 120), ("cluster-512", 60), ("wof", 2), ("4kn", 30)])
def test_flipped_bytes(image: Image, name: str, rounds: int) -> None:
    path = image(name)
    good, places = path.read_bytes(), metadata_places(path)
    assert len(places) > 60
    rng = random.Random(name)
    outcomes = set()
    for _ in range(rounds):
        data = bytearray(good)
        flip(data, rng, places)
        outcomes.add(exercise(MemorySource(bytes(data)), most=20_000))
    assert "" in outcomes


@pytest.mark.parametrize("name", ["strange", "wof"])
def test_flipped_bytes_behind_the_fixups(copy: Image, name: str) -> None:
    """Damage that the update sequence does not show reaches the decoders of attributes and what is in them."""
    path = copy(name)
    rng = random.Random(11)
    with FileSource(path) as source:
        numbers = [5, 9, *{node.number for _, node in walk(open_tree(source)) if node.number > 23}]
    with Editor(path) as editor:
        good = {number: editor.read(number) for number in numbers}
        for _ in range(50 if name == "strange" else 3):
            for number, record in good.items():
                data = bytearray(record)
                if rng.random() < 0.5:
                    for _ in range(rng.choice((1, 2, 5))):
                        at, width = rng.randrange(0x10, 0x1E0), rng.choice((1, 1, 2, 4, 8))
                        data[at : at + width] = rng.choice((b"\xff" * width, bytes(width), rng.randbytes(width)))
                editor.write(number, data)
            editor.file.flush()
            assert exercise(MemorySource(path.read_bytes()), most=20_000) in ("", "Corrupt")


def test_truncations(image: Image) -> None:
    good = image("strange").read_bytes()
    rng = random.Random(3)
    outcomes = [exercise(MemorySource(good[: rng.randrange(len(good))]), most=70_000) for _ in range(12)]
    outcomes += [exercise(MemorySource(good[:size])) for size in (0, 511, 512, 1024, 16384)]
    assert "" in outcomes and "NotThisFormat" in outcomes


def test_bad_sectors_are_named_and_the_rest_is_read(image: Image) -> None:
    path = image("cluster-4096")
    with FileSource(path) as source:
        tree = open_tree(source)
        expected = {name for name, _ in walk(tree)}
        node = next(node for name, node in walk(tree) if name == "dir/f11_1000003.bin")
        (run, *_) = tree.runs(node)
        lost = next(node for name, node in walk(tree) if name == "dir/f5_700.bin")
        with Editor(path) as editor:
            record = editor.place(lost.number)
        assert run.physical is not None
        bad = BadSectorSource(source, [(record, record + 512), (run.physical + 8192, run.physical + 8704)])
        tree = open_tree(bad)
        found = {name for name, _ in walk(tree)}
        assert expected - found == {"dir/f5_700.bin"}
        assert [p for p in tree.problems if "f5_700.bin" in p.text]
        assert len(tree.open(node).read_at(0, 8192)) == 8192
        with pytest.raises(RecoveryError):
            tree.open(node).read_at(0, 16384)
        assert exercise(bad) == ""


def test_a_directory_that_claims_to_hold_itself_a_thousand_times(copy: Image) -> None:
    """Every entry of an index leads to the directory above, or to one sister."""
    path = copy("fragmented-mft")
    with FileSource(path) as source:
        tree = open_tree(source)
        a, b = tree.child(tree.root, "a"), tree.child(tree.root, "b")
        assert a is not None and b is not None
        blocks = list(tree._mft.attributes(a.number))
    with Editor(path) as editor:
        runs = next(part.runs for part in blocks if part.type == 0xA0)
        for target in (5, a.number, b.number):
            for _, lcn, length in runs:
                at = lcn * editor.cluster
                data = bytearray(editor.at(at, length * editor.cluster))
                for i in range(64, len(data) - 16, 8):
                    reference, size, key = struct.unpack_from("<QHH", data, i)
                    if 0x52 <= size < 0x90 and 0x44 <= key < size and reference >> 48 and i % 512 < 480:
                        struct.pack_into("<Q", data, i, target | 1 << 48)
                editor.put(at, bytes(data))
            editor.file.flush()
            with FileSource(path) as source:
                tree = open_tree(source)
                begun = time.process_time()
                numbers = [n.number for _, n in walk(tree, 20_000) if n.kind is NodeKind.DIRECTORY]
                assert len(numbers) == len(set(numbers))
                assert time.process_time() - begun < 10
                assert len(tree.problems) < 60


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=6000), st.sampled_from((1, 100, 4096, 32768)))
def test_any_bytes_as_compressed_data(data: bytes, size: int) -> None:
    for decoder in (lznt1.decompress, xpress.decompress, lzx.decompress):
        try:
            assert len(decoder(data, size, "test", 7)) == size
        except Corrupt as error:
            assert error.offset >= 7


@given(st.binary(max_size=80), st.sampled_from((0xA0000003, 0xA000000C, 0x80000017, 0x80000014, 0xA000001D, 5)))
def test_any_bytes_as_reparse_point(data: bytes, tag: int) -> None:
    for value in (data, struct.pack("<IHH", tag, len(data), 0) + data):
        try:
            found = parse_reparse(value, 0, "test", 0)
            assert found.kind is not NodeKind.SYMLINK or tag not in (0xA0000003, 0xA000000C) or found.target
        except Corrupt:
            pass


@pytest.mark.parametrize("method", METHODS)
def test_damaged_chunks(tmp_path: Path, method: str) -> None:
    """Flipped and cut chunks: our error, or as many bytes as there must be."""
    packed = resources({"text": contents()["text"][:70000]}, method, tmp_path)["text"]
    _, compression, chunk = METHODS[method]
    decoder = xpress.decompress if compression == "XPRESS" else lzx.decompress
    table = 4 * (-(-70000 // chunk) - 1)
    end = table + struct.unpack_from("<I", packed)[0]
    good = packed[table:end]
    assert decoder(good, chunk, "test", 0) == contents()["text"][:chunk]
    rng = random.Random(method)
    failed = 0
    for _ in range(150):
        data = bytearray(good[: rng.choice((len(good), len(good), rng.randrange(len(good))))])
        for _ in range(rng.choice((0, 1, 2, 8))):
            if data:
                data[min(int(rng.expovariate(1 / 300)), len(data) - 1)] = rng.randrange(256)
        try:
            assert len(decoder(bytes(data), chunk, "test", 0)) == chunk
        except Corrupt:
            failed += 1
    assert failed > 10


def test_lzx_blocks_that_are_not_compressed() -> None:
    """wimlib never makes them; Microsoft's compressor does. Layout: 3 bits kind, 1 + 16 bits length, to the next
    word; three offsets; the bytes; one byte more when their number is odd."""

    def head(length: int) -> bytes:
        bits = f"011{0}{length:016b}".ljust(32, "0")
        return int(bits[:16], 2).to_bytes(2, "little") + int(bits[16:], 2).to_bytes(2, "little")

    first, second = bytes(range(251)), b"the second block"
    data = head(251) + struct.pack("<III", 1, 1, 1) + first + b"\0" + head(16) + struct.pack("<III", 5, 6, 7) + second
    assert lzx.decompress(data, 267, "test", 0) == first + second
    with pytest.raises(Corrupt, match="leaves its 100 bytes"):
        lzx.decompress(data, 100, "test", 0)


def test_lznt1_by_hand() -> None:
    """The example of [MS-XCA] 3.3, and the borders of a chunk."""
    text = (
        b"F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E D E A "
    )
    text += b"F# F# G A A G F# E D D E F# E D D\0"
    packed = bytes.fromhex(
        "38b08846232000204720410010a24701a045204400084501507900c045200524138805b402"
        "4a44ef0358028c091601484500be009e000401189000"
    )
    assert lznt1.decompress(packed, len(text), "test", 0) == text
    stored = b"\xff\x3f" + bytes(range(256)) * 16
    assert lznt1.decompress(stored * 2, 8192, "test", 0) == bytes(range(256)) * 32
    assert lznt1.decompress(b"\x02\xb0\x00ab" + stored, 4097, "test", 0) == b"ab".ljust(4096, b"\0") + b"\0"
    assert lznt1.decompress(b"", 10, "test", 0) == bytes(10)
    # A run of one byte: 1 literal and a match of 4095.
    run = b"\x03\xb0\x02Q\xfc\x0f"
    assert lznt1.decompress(run, 4096, "test", 0) == b"Q" * 4096
    for bad in (b"\x02\xb0\x01\x00\x00", b"\x00\x10\x00", b"\xff\xb0\x00", b"\x03\xb0\x02Q\xff\x1f"):
        with pytest.raises(Corrupt):
            lznt1.decompress(bad, 4096, "test", 0)


def test_the_name_of_a_damaged_index_does_not_reach_a_report(image: Image) -> None:
    """A terminal would obey control characters in it; found by fuzzing."""
    with FileSource(image("cluster-4096")) as source:
        mft = Mft(source, find_boot(source, Findings()), Findings())
        with pytest.raises(Corrupt, match="index \ufffd\\[2J of MFT record 5") as caught:
            Index(mft, 5, [], "\x1b[2J")
    assert str(caught.value).isprintable()
