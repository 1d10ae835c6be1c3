"""Files of FAT volumes: equal to what mtools and The Sleuth Kit read; damage; hostile bytes."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from formats.base.errors import (
    DeviceError,
    Inconsistent,
    PathNotFound,
    RecoveryError,
    Refused,
    Truncated,
    Unsupported,
)
from formats.base.problem import Severity
from formats.base.source import BlockSource, FileSource
from fs.fat.tree import FatTree, open_tree
from fs.fat.volume import open_volume
from fs.findings import Log
from fs.tree import NodeKind, RunKind
from fs.walk import digest, read_through, resolve, walk
from tests.support.fat_images import FAT
from tests.support.fat_oracles import our_tree, sleuthkit_tree
from tests.support.fat_small import DATA, fat16, item, long_item
from tests.support.oracles import read_tree
from tests.support.overlay import Overlay
from tests.support.sources import WatchedSource
from tests.support.tools import run
from tests.unit.fs.fat.conftest import Image
from tests.unit.fs.fat.test_volume import meta

END = 0xFFFF


def digests(tree: FatTree) -> dict[str, str]:
    return {
        path[1:]: digest(tree.open(node)) for path, node in walk(tree, tree.root) if node.kind is not NodeKind.DIRECTORY
    }


def codes(tree: FatTree) -> list[str]:
    return [p.code for p in tree.problems]


@pytest.mark.parametrize("name", sorted(FAT))
def test_contents_as_mtools(image: Image, tmp_path: Path, name: str) -> None:
    path = image(name)
    with FileSource(path) as source:
        tree = open_tree(source)
        ours = digests(tree)
        assert len(ours) >= 72
        assert ours == read_tree(tree.identity.kind, path, tmp_path)
        assert all(p.severity is Severity.INFO for p in tree.problems)


# The Sleuth Kit reads the first FAT, and takes 20 s for a large volume.
@pytest.mark.parametrize("name", sorted(set(FAT) - {"fat32-active1", "fat32-64k"}))
def test_listing_as_sleuthkit(image: Image, name: str) -> None:
    path = image(name)
    with FileSource(path) as source:
        ours = our_tree(open_tree(source))
    assert len(ours) > 72
    assert ours == sleuthkit_tree(path)


@pytest.mark.parametrize("name", ["fat12-fragmented", "fat16-fragmented", "fat32-fragmented", "fat16-4k"])
def test_runs(image: Image, name: str) -> None:
    """They hold the content, without gaps, merged, and are what the walk over the metadata finds."""
    with FileSource(image(name)) as source:
        tree = open_tree(source)
        cluster = tree.identity.block_size
        places: dict[str, list[tuple[int, int]]] = {}
        for reference in open_volume(source).references():
            places.setdefault(reference.owner.replace("\\", "/"), []).append(reference.extent)
        most = 0
        for path, node in walk(tree, tree.root):
            if node.kind is NodeKind.DIRECTORY:
                continue
            runs = list(tree.runs(node))
            most = max(most, len(runs))
            assert [r.logical for r in runs] == [sum(r.length for r in runs[:i]) for i in range(len(runs))]
            assert all(r.kind is RunKind.DATA and r.physical_length == r.length for r in runs)
            whole = [(r.physical, (r.physical or 0) + -(-r.length // cluster) * cluster) for r in runs]
            assert whole == [tuple(e) for e in places.get(path, [])]
            data = b"".join(source.read_at(r.physical or 0, r.length) for r in runs)
            assert data == tree.open(node).read_at(0, node.size)
        assert most > 100 or name == "fat16-4k"


def test_reading_does_not_go_by_clusters(image: Image) -> None:
    """A megabyte side by side in clusters of 512 bytes: a read for each call, not for each cluster."""
    with FileSource(image("fat32")) as source:
        watched = WatchedSource(source)
        tree = open_tree(watched)
        node = resolve(tree, "/tree/dir/f11_1000003.bin")
        reader = tree.open(node)
        before = watched.reads
        assert b"".join(read_through(reader)) == b"".join(read_through(reader, 70_001))
        assert watched.reads - before <= 1 + 15 + 2


def test_random_access(image: Image) -> None:
    rng = random.Random(3)
    with FileSource(image("fat16-fragmented")) as source:
        tree = open_tree(source)
        node = resolve(tree, "LARGE")
        assert node.name == "large"
        whole = b"".join(read_through(tree.open(node)))
        reader = tree.open(node)
        for _ in range(200):
            at = rng.randrange(node.size)
            length = rng.randrange(node.size - at + 1)
            assert reader.read_at(at, length) == whole[at : at + length]
        for at, length in ((-1, 1), (0, -1), (0, node.size + 1), (node.size, 1)):
            with pytest.raises(Truncated):
                reader.read_at(at, length)
        assert reader.read_at(node.size, 0) == b""


def test_times_and_attributes() -> None:
    """Every field with its precision: 2 s written, 10 ms created, days read."""
    entry = bytearray(item(b"TIMES   TXT", 2, 1, 0x27))
    entry[0x0D] = 151  # 1.51 s
    entry[0x0E:0x12] = (13 << 11 | 59 << 5 | 29).to_bytes(2, "little") + (41 << 9 | 2 << 5 | 28).to_bytes(2, "little")
    entry[0x12:0x14] = (20 << 9 | 2 << 5 | 29).to_bytes(2, "little")
    entry[0x16:0x1A] = (0).to_bytes(2, "little") + (1 << 5 | 1).to_bytes(2, "little")
    tree = open_tree(fat16({2: END}, bytes(entry)))
    (node,) = tree.children(tree.root)
    created, modified, changed, accessed = node.times
    assert created == 1_614_520_799_510_000_000  # 2021-02-28 13:59:59.51
    assert modified == 315_532_800_000_000_000  # 1980-01-01
    assert accessed == 951_782_400_000_000_000  # 2000-02-29
    assert changed is None
    assert node.attributes == 0x27
    assert (node.number, node.links, node.mode, node.note) == (21 * 512, 1, None, "")


def test_impossible_times() -> None:
    entry = bytearray(item(b"TIMES", 2, 1))
    entry[0x0D] = 200
    entry[0x0E:0x12] = b"\xff\xff" + (41 << 9 | 2 << 5 | 28).to_bytes(2, "little")
    entry[0x12:0x14] = (21 << 9 | 2 << 5 | 29).to_bytes(2, "little")  # 2001-02-29
    entry[0x16:0x1A] = bytes(4)
    tree = open_tree(fat16({2: END}, bytes(entry)))
    (node,) = tree.children(tree.root)
    assert node.times == (1_614_470_400_000_000_000, None, None, None)


def test_short_names() -> None:
    root = bytearray(item(b"README  TXT", 2, 1) * 4 + item(b"\x05\x9a\x8e     A\xff ", 2, 1))
    root[0x0C], root[0x2C], root[0x4C], root[0x6C] = 0x00, 0x08, 0x10, 0x18
    tree = open_tree(fat16({2: END}, bytes(root)))
    assert [n.name for n in tree.children(tree.root)] == [
        "README.TXT", "readme.TXT", "README.txt", "readme.txt", "σÜÄ.A\xa0",
    ]  # fmt: skip


def test_deleted_entries_and_labels_are_not_listed() -> None:
    gone = b"\xe5" + long_item("gone.txt", b"GONE    TXT", 3)[1:32] + b"\xe5" + item(b"GONE    TXT", 3, 4)[1:]
    root = item(b"LABEL", 0, attributes=8) + gone + item(b"KEPT", 2, 4) + bytes(32) + item(b"BEHIND", 2, 4)
    tree = open_tree(fat16({2: END}, root))
    assert [n.name for n in tree.children(tree.root)] == ["KEPT"]
    assert codes(tree) == []


def test_long_names_that_belong_to_nobody() -> None:
    good = long_item("A long name.txt", b"ALONGN~1TXT", 2, 1)
    wrong = bytearray(long_item("Another long name.txt", b"ANOTHE~1TXT", 2, 1))
    wrong[13] ^= 1  # the checksum of the first
    orphan = long_item("orphan.txt", b"ORPHAN  TXT", 2, 1)[:32]
    lacking = long_item("a name in two entries", b"TWOENT~1   ", 2, 1)[32:]
    root = good + bytes(wrong) + orphan + b"\xe5" + item(b"DELETED", 2)[1:] + lacking + orphan
    tree = open_tree(fat16({2: END}, root))
    assert [n.name for n in tree.children(tree.root)] == ["A long name.txt", "ANOTHE~1.TXT", "TWOENT~1"]
    assert list(tree.children(tree.root))
    places = [(p.code, p.severity, p.offset) for p in tree.problems]
    assert places == [
        ("fat.long_name_lost", "warning", 21 * 512 + 5 * 32),
        ("fat.long_name_lost", "warning", 21 * 512 + 9 * 32),
    ]


def test_names_that_are_no_text() -> None:
    """Half of a pair stays in the name, and does not get into reports."""
    root = long_item("a\ud800b\U0001f600" + "x" * 8, b"HALF       ", 2, 1) + long_item("a/..\x01", b"SLASH      ", 2, 1)
    source = fat16({2: END}, root)
    tree = open_tree(source)
    first, second = tree.children(tree.root)
    assert (first.name, second.name) == ("a\ud800b\U0001f600" + "x" * 8, "a/..\x01")
    assert tree.child(tree.root, first.name.upper()) == first
    assert [path for path, _ in walk(tree, tree.root)] == ["/" + first.name, "/a\\x2f..\x01"]
    assert resolve(tree, "/a\\x2f..\x01") == second
    owners = [r.owner for r in open_volume(source).references()]
    assert "\\a\ufffdb\U0001f600xxxxxxxx" in owners


def test_a_name_of_255_units() -> None:
    root = long_item("n" * 255, b"LONG       ", 2, 1)
    tree = open_tree(fat16({2: 3, 3: END, 4: END}, item(b"D", 2, attributes=0x10), {2: root}))
    assert resolve(tree, "d/" + "N" * 255).name == "n" * 255


def test_lookup() -> None:
    root = (
        long_item("Straße.txt", b"STRASS~1TXT", 2, 1) + item(b"STRASSE TXT", 2, 2)
        + long_item("twice", b"TWICE~1", 2, 3) + long_item("TWICE", b"TWICE~2", 2, 4)
        + item(b"ALIAS~1", 2, 5) + long_item("other", b"ALIAS~1", 2, 6)
    )  # fmt: skip
    tree = open_tree(fat16({2: END}, root))

    def size(name: str) -> int | None:
        node = tree.child(tree.root, name)
        return None if node is None else node.size

    assert [size(n) for n in ("straße.TXT", "STRASSE.txt", "STRASS~1.TXT", "strass~1.txt")] == [1, 2, 1, 1]
    assert [size(n) for n in ("twice", "TWICE", "Twice", "twice~2")] == [3, 4, 3, 4]
    assert [size(n) for n in ("alias~1", "OTHER", "", ".", "..", "none")] == [5, 6, None, None, None, None]


def test_large_directories_are_searched_without_keeping(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fs.fat.lookup.MAX_NAMES", 20)
    with FileSource(image("fat16")) as source:
        tree = open_tree(source)
        folder = resolve(tree, "tree/dir/sub")
        names = [n.name for n in tree.children(folder)]
        assert len(names) == 60
        for name in names[::7]:
            found = tree.child(folder, name.upper())
            assert found is not None
            assert found.name == name
        assert tree.child(folder, "none") is None


def test_damaged_chains() -> None:
    """What can be read is read; then an error tells the place."""
    entries = {
        2: 3, 3: END,  # A: good
        4: 5, 5: 6, 6: 5,  # B: a loop
        7: 8, 8: 0,  # D: ends in a free cluster
        9: 60000,  # E: leads outside
        10: 11, 11: 0xFFF7,  # F: ends in a bad cluster
        12: END,  # G: too short
        13: 13,  # I: points to itself
        15: 3,  # C: runs into A
    }  # fmt: skip
    files = [
        (b"A", 2, 1024), (b"B", 4, 9999), (b"C", 15, 1024), (b"D", 7, 1024), (b"E", 9, 1024), (b"F", 10, 1024),
        (b"G", 12, 1024), (b"H", 0, 5), (b"I", 13, 1024), (b"J", 20, 1), (b"K", 12, 0xFFFFFFFF), (b"L", 99999 & END, 1),
    ]  # fmt: skip
    root = b"".join(item(*file) for file in files)
    blocks = {number: bytes([number]) * 512 for number in range(2, 30)}
    tree = open_tree(fat16(entries, root, blocks))
    found: dict[str, tuple[str, int | None]] = {}
    for node in tree.children(tree.root):
        data = b""
        where = None
        try:
            for piece in read_through(tree.open(node)):
                data += piece
        except Inconsistent as error:
            where = error.offset
        found[node.name] = (data[::512].hex(), where)
        with_runs = 0
        try:
            for extent in tree.runs(node):
                with_runs += extent.length
        except Inconsistent as error:
            assert error.offset == where or node.name == "K"
        assert with_runs == len(data)
    entry = 21 * 512

    def place(cluster: int) -> int:
        return DATA + (cluster - 2) * 512

    assert found == {
        "A": ("0203", None),
        "B": ("040506", place(5)),
        "C": ("0f03", None),  # cross-linked: only the walk over all metadata can tell
        "D": ("07", place(8)),
        "E": ("09", place(9)),
        "F": ("0a", place(11)),
        "G": ("0c", place(12)),
        "H": ("", entry + 7 * 32),
        "I": ("0d", place(13)),
        "J": ("", place(20)),
        "K": ("0c", place(12)),
        "L": ("", entry + 11 * 32),
    }


def test_directory_loops_end() -> None:
    """A directory that contains itself, its parent and a sibling that does the same, and one without a place."""
    inner = item(b"SELF", 2, attributes=0x10) + item(b"OTHER", 3, attributes=0x10) + item(b"F", 4, 10)
    root = item(b"D", 2, attributes=0x10) + item(b"NONE", 0, attributes=0x10) + item(b"FAR", 60000, attributes=0x10)
    tree = open_tree(fat16({2: END, 3: END, 4: END}, root, {2: inner, 3: inner}))
    log = Log()
    assert [path for path, _ in walk(tree, tree.root, log=log)] == [
        "/D", "/D/SELF", "/D/OTHER", "/D/OTHER/SELF", "/D/OTHER/OTHER", "/D/OTHER/F", "/D/F", "/NONE", "/FAR",
    ]  # fmt: skip
    assert [p.code for p in log.problems()] == ["walk.loop"] * 3 + ["walk.directory_unreadable"] * 2
    assert [p.offset for p in log.problems()[3:]] == [21 * 512 + 32, 21 * 512 + 64]


def test_two_names_for_one_directory(image: Image) -> None:
    """FAT32: a directory entry that leads to the root directory, and two for one directory."""
    with FileSource(image("fat32")) as source:
        tree = open_tree(source)
        entry = next(tree.children(tree.root))
        sub = resolve(tree, "tree/dir")
        assert tree.root.number % 512 == 1
        empty = next(n for n in tree.children(entry) if n.name == "empty")
        at = tree.key(empty).entry
        for cluster, code in ((2, "walk.loop"), (tree.key(sub).cluster, "walk.directory_twice")):
            changed = open_tree(Overlay(source, {at + 0x1A: cluster.to_bytes(2, "little")}))
            log = Log()
            names = [path for path, _ in walk(changed, changed.root, log=log)]
            assert len(names) == 76
            assert [p.code for p in log.problems()] == [code]


def test_a_chain_of_a_directory_that_loops() -> None:
    block = b"".join(item(b"F%d" % i, 9, 1) for i in range(16))
    tree = open_tree(fat16({2: 3, 3: 2}, item(b"D", 2, attributes=0x10), {2: block, 3: block}))
    folder = resolve(tree, "D")
    assert len(list(tree.children(folder))) == 32
    (problem,) = tree.problems
    assert (problem.code, problem.offset) == ("fat.directory_broken", DATA)


def test_a_directory_with_too_many_entries() -> None:
    block = item(b"F", 9, 1) * 16
    chain = {c: c + 1 for c in range(2, 4200)} | {4200: END}
    tree = open_tree(fat16(chain, item(b"D", 2, attributes=0x10), dict.fromkeys(range(2, 4201), block)))
    assert sum(1 for _ in tree.children(resolve(tree, "d"))) == 65536
    assert codes(tree) == ["fat.directory_too_long"]


def test_unreadable_sector_of_a_directory() -> None:
    """The entries before and behind it are there, and what it may have held is named."""
    blocks = {c: b"".join(item(b"F%d" % (c * 16 + i), 9, 1) for i in range(16)) for c in range(2, 50)}
    base = fat16({c: c + 1 for c in range(2, 49)} | {49: END}, item(b"D", 2, attributes=0x10), blocks)
    tree = open_tree(Overlay(base, failing=[(DATA + 10 * 512, DATA + 11 * 512)]))
    names = [n.name for n in tree.children(resolve(tree, "D"))]
    assert names == [f"F{i}" for i in range(32, 48 * 16 + 32) if i // 16 != 12]
    (problem,) = tree.problems
    assert (problem.code, problem.severity, problem.offset) == ("fat.directory_unreadable", "error", DATA + 10 * 512)


def test_unreadable_content(image: Image) -> None:
    with FileSource(image("fat32")) as source:
        node = resolve(open_tree(source), "tree/dir/f11_1000003.bin")
        (whole,) = open_tree(source).runs(node)
        assert whole.physical is not None
        bad = whole.physical + 300 * 512
        tree = open_tree(Overlay(source, failing=[(bad, bad + 512)]))
        read = bytearray()
        with pytest.raises(DeviceError) as error:
            for piece in read_through(tree.open(resolve(tree, "tree/dir/f11_1000003.bin"))):
                read += piece
        assert len(read) == 300 * 512
        assert error.value.offset <= bad < error.value.offset + error.value.length


def test_unreadable_table(image: Image) -> None:
    """Where no FAT can be read, directories and files say so; what lies elsewhere is still read."""
    with FileSource(image("fat16-fragmented")) as source:
        good = digests(open_tree(source))
        bpb = open_volume(source).bpb
        spans = [(bpb.fat_start(i) + 1024, bpb.fat_start(i) + bpb.fat_size) for i in (0, 1)]
        tree = open_tree(Overlay(source, failing=spans))
        node = resolve(tree, "LARGE")
        with pytest.raises(DeviceError):
            digest(tree.open(node))
        log = Log()
        assert [p for p, _ in walk(tree, tree.root, log=log)] == ["/small", "/large"]
        assert [p.code for p in log.problems()] == ["walk.directory_unreadable"]
        tree = open_tree(Overlay(source, failing=spans[:1]))
        assert digests(tree) == good
        assert "fat.copy_used" in codes(tree)


def test_what_fat_does_not_have(image: Image) -> None:
    with FileSource(image("fat12")) as source:
        tree = open_tree(source)
        node = resolve(tree, "tree/dir/f5_700.bin")
        assert tree.streams(node) == ()
        assert tree.xattrs(node) == {}
        with pytest.raises(PathNotFound):
            tree.open(node, "stream")
        with pytest.raises(Unsupported):
            tree.open(tree.root)
        with pytest.raises(Unsupported):
            tree.link_target(node)
        with pytest.raises(Refused):
            list(tree.children(node))
        stranger = type(node)("x", 1, NodeKind.FILE, 5)
        with pytest.raises(Refused):
            tree.open(stranger)
        assert [n.kind for n in tree.children(tree.root)] == [NodeKind.DIRECTORY]


def test_mcopy_keeps_times_and_case(tmp_path: Path) -> None:
    """Written by mtools, with a name that needs the case bits and one that needs a long name."""
    path = tmp_path / "image"
    FAT["fat12"](path)
    for name in ("lower.txt", "Mixed Case.txt"):
        file = tmp_path / name
        file.write_bytes(b"x")
        run("touch", "-d", "2001-02-03T04:05:06Z", file)
        run("env", "TZ=UTC", "mcopy", "-m", "-i", path, file, "::/")
    with FileSource(path) as source:
        tree = open_tree(source)
        for name in ("lower.txt", "Mixed Case.txt"):
            node = resolve(tree, name.upper())
            assert node.name == name
            assert node.times.modified == 981_173_106_000_000_000


def hostile(source: BlockSource) -> int:
    """Open, walk and read everything; files that could be read to their end."""
    tree = open_tree(source)
    log = Log()
    whole = 0
    for _, node in walk(tree, tree.root, log=log):
        if node.kind is NodeKind.DIRECTORY:
            continue
        assert node.size >= 0
        read = 0
        try:
            for piece in read_through(tree.open(node)):
                read += len(piece)
            whole += 1
            assert read == node.size
            assert sum(r.length for r in tree.runs(node)) == node.size
        except RecoveryError as error:
            assert read < node.size, error
        assert tree.child(tree.root, node.name) is None or node.name
    assert len(tree.problems) < 2000
    return whole


@pytest.mark.parametrize("name", ["fat12", "fat16", "fat32", "fat12-fragmented"])
def test_mutations(image: Image, name: str) -> None:
    """Random bytes in metadata and cuts: everything is walked and read, only our errors, in bounded time."""
    path = image(name)
    offsets = meta(path)
    rng = random.Random(21)
    refused = whole = damaged = 0
    begun = time.monotonic()
    with FileSource(path) as source:
        good = hostile(source)
        for round_ in range(80):
            patches = {rng.choice(offsets): rng.randbytes(rng.choice((1, 1, 2, 4))) for _ in range(rng.randint(1, 8))}
            size = rng.randrange(source.size) if round_ % 10 == 0 else source.size
            try:
                found = hostile(Overlay(source, patches, size=size))
                whole += found == good
                damaged += found != good
            except RecoveryError:
                refused += 1
    assert refused >= 8
    assert whole >= 5
    assert damaged >= 5
    assert time.monotonic() - begun < 60
