"""Files of exFAT volumes: equal to what exfat-fuse and The Sleuth Kit read; times, names, damage, hostile bytes."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from formats.base.errors import DeviceError, Inconsistent, RecoveryError, Truncated
from formats.base.problem import Severity
from formats.base.source import BlockSource, FileSource
from fs.exfat.directory import set_checksum
from fs.exfat.tree import ExfatTree, open_tree, timestamp
from fs.exfat.upcase import parse_upcase
from fs.exfat.volume import open_volume
from fs.findings import Log
from fs.tree import Node, NodeKind, RunKind
from fs.walk import digest, read_through, resolve, shown, walk
from tests.support.fat_images import EXFAT
from tests.support.fat_oracles import our_tree, sleuthkit_tree
from tests.support.oracles import read_tree
from tests.support.overlay import Overlay
from tests.support.tools import loop_device, mounted, need
from tests.unit.fs.exfat.conftest import Image

FILLED = sorted(name for name in EXFAT if "empty" not in name)


def digests(tree: ExfatTree) -> dict[str, str]:
    return {
        path[1:]: digest(tree.open(node)) for path, node in walk(tree, tree.root) if node.kind is not NodeKind.DIRECTORY
    }


def codes(tree: ExfatTree) -> list[str]:
    return [p.code for p in tree.problems]


def entry_set(source: BlockSource, node: Node) -> bytearray:
    at = node.key.entry  # type: ignore[attr-defined]
    count = source.read_at(at, 2)[1] + 1
    return bytearray(source.read_at(at, 32 * count))


def patched(source: BlockSource, node: Node, changes: dict[int, bytes], **more: object) -> ExfatTree:
    """The tree after `changes` (offset in the entry set of `node` to bytes), with a valid checksum."""
    entries = entry_set(source, node)
    for at, data in changes.items():
        entries[at : at + len(data)] = data
    entries[2:4] = set_checksum(bytes(entries)).to_bytes(2, "little")
    at = node.key.entry  # type: ignore[attr-defined]
    return open_tree(Overlay(source, {at: bytes(entries)}, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(EXFAT))
def test_contents_as_exfat_fuse(image: Image, tmp_path: Path, name: str) -> None:
    path = image(name)
    with FileSource(path) as source:
        tree = open_tree(source)
        ours = digests(tree)
        assert len(ours) >= (0 if name not in FILLED else 72)
        assert ours == read_tree("exfat", path, tmp_path)
        assert list(tree.problems) == []


@pytest.mark.parametrize("name", FILLED)
def test_listing_as_sleuthkit(image: Image, name: str) -> None:
    path = image(name)
    with FileSource(path) as source:
        ours = our_tree(open_tree(source))
    assert len(ours) > 72
    assert ours == sleuthkit_tree(path)


def test_times_as_exfat_fuse(image: Image, tmp_path: Path) -> None:
    """Set through exfat-fuse, and read by it and by us: fine parts, and the offset from UTC."""
    need("mount.exfat-fuse")
    path = tmp_path / "image"
    path.write_bytes(image("exfat-c512").read_bytes())
    where = tmp_path / "mnt"
    stamps = [315_532_800, 981_173_107, 1_709_210_096, 4_000_000_001]
    with loop_device(path) as loop, mounted(["mount.exfat-fuse", loop, where], where):
        for stamp in stamps:
            (where / f"t{stamp}").write_bytes(b"x")
            os.utime(where / f"t{stamp}", (stamp, stamp))
    with loop_device(path, read_only=True) as loop, mounted(["mount.exfat-fuse", "-o", "ro", loop, where], where):
        theirs = {p.name: p.stat() for p in where.iterdir()}
    with FileSource(path) as source:
        tree = open_tree(source)
        ours = {node.name: node.times for node in tree.children(tree.root)}
    assert set(ours) == set(theirs) == {"tree", *(f"t{s}" for s in stamps)}
    for name, times in ours.items():
        assert times.modified is not None
        assert times.accessed is not None
        assert times.modified // 10**9 == int(theirs[name].st_mtime)
        assert times.accessed // 10**9 == int(theirs[name].st_atime)
    assert [ours[f"t{s}"].modified for s in stamps[:3]] == [s * 10**9 for s in stamps[:3]]


def test_timestamps() -> None:
    """Sections 7.4.8 to 7.4.10: fields, 10 ms, quarters of an hour, and what counts when they are not valid."""
    stamp = (41 << 9 | 2 << 5 | 28) << 16 | 13 << 11 | 59 << 5 | 29  # 2021-02-28 13:59:58
    base = 1_614_520_798 * 10**9
    assert timestamp(stamp, 0, 0) == base
    assert timestamp(stamp, 199, 0x7F) == base + 1_990_000_000
    assert timestamp(stamp, 200, 0x80) == base
    assert timestamp(stamp, 0, 0x80 | 12) == base - 3 * 3600 * 10**9
    assert timestamp(stamp, 0, 0x80 | (0x80 - 20)) == base + 5 * 3600 * 10**9
    assert timestamp(0, 0, 0x80) is None


def test_upcase_table_as_mkfs_writes_it(image: Image) -> None:
    with FileSource(image("exfat-c512")) as source:
        tree = open_tree(source)
        folder = resolve(tree, "/TREE/Dir/SUB")
        name = "A LONG FILE NAME NUMBER 007 — ÜNÏCÖDÉ.TXT"
        found = tree.child(folder, name)
        assert found is not None
        assert found.name == name.lower()
        assert tree.child(folder, name.replace("Ü", "U")) is None
        assert codes(tree) == []
        assert tree._upcase is not None
        assert len(tree._upcase) > 800
        assert all(chr(a).upper() == chr(b) for a, b in tree._upcase.items() if a < 0x180 and a != 0xB5)


def test_upcase_parsing() -> None:
    words = (0xFFFF, 0x61, 0x41, 0xFFFF, 2, 0x44)
    assert parse_upcase(b"".join(w.to_bytes(2, "little") for w in words)) == {0x61: 0x41, 0x64: 0x44}
    assert parse_upcase(b"") == {}
    assert parse_upcase(b"\x01") == {}
    assert parse_upcase(b"\xff\xff") == {0: 0xFFFF}
    assert 0xD800 not in parse_upcase(b"\0\0" * 70_000)


@pytest.mark.parametrize(
    ("where", "code"), [(4, "exfat.upcase_checksum"), (24, "exfat.upcase_size"), (20, "exfat.upcase_unreadable"),
                        (0, "exfat.no_upcase")],
)  # fmt: skip
def test_upcase_table_damaged(image: Image, where: int, code: str) -> None:
    """Names are still found, by the rules of Unicode."""
    with FileSource(image("exfat-c512")) as source:
        root = open_tree(source).root.number - 1
        data = source.read_at(root, 512)
        at = next(i for i in range(0, 512, 32) if data[i] == 0x82)
        patch = b"\x02" if where == 0 else b"\xff\xff\xff\x7f"
        tree = open_tree(Overlay(source, {root + at + where: patch}))
        assert resolve(tree, "TREE/DIR/F5_700.BIN").size == 700
        assert resolve(tree, "tree/EMPTY").kind is NodeKind.DIRECTORY
        assert codes(tree) == [code]


def test_valid_data_length(image: Image) -> None:
    """What was never written reads as zeros, whatever lies there."""
    with FileSource(image("exfat-c512")) as source:
        node = resolve(open_tree(source), "tree/dir/f11_1000003.bin")
        whole = b"".join(read_through(open_tree(source).open(node)))
        for valid in (0, 1, 512, 700_000, 1_000_003):
            tree = patched(source, node, {32 + 8: valid.to_bytes(8, "little")})
            cut = resolve(tree, "tree/dir/f11_1000003.bin")
            assert cut.size == 1_000_003
            reader = tree.open(cut)
            assert b"".join(read_through(reader)) == whole[:valid] + bytes(1_000_003 - valid)
            assert reader.read_at(600_000, 200_000) == (whole[:valid] + bytes(1_000_003 - valid))[600_000:800_000]
            runs = list(tree.runs(cut))
            assert sum(r.length for r in runs if r.kind is RunKind.DATA) == valid
            assert sum(r.length for r in runs if r.kind is RunKind.UNWRITTEN) == 1_000_003 - valid
            assert [r.logical for r in runs] == [sum(r.length for r in runs[:i]) for i in range(len(runs))]
            assert codes(tree) == []
        tree = patched(source, node, {32 + 8: (2_000_000).to_bytes(8, "little")})
        assert digest(tree.open(resolve(tree, "tree/dir/f11_1000003.bin"))) == digest(open_tree(source).open(node))
        assert codes(tree) == ["exfat.valid_size"]


def test_contiguous_files(image: Image) -> None:
    """NoFatChain: the table has nothing about them; they end with the volume at the latest."""
    with FileSource(image("exfat-b1m")) as source:
        tree = open_tree(source)
        node = resolve(tree, "tree/dir/f11_1000003.bin")
        assert tree.key(node).contiguous
        assert len(list(tree.runs(node))) == 1
        boot = open_volume(source).boot
        last = boot.limit - 1
        tree = patched(source, node, {32 + 20: last.to_bytes(4, "little")})
        far = resolve(tree, "tree/dir/f11_1000003.bin")
        with pytest.raises(Inconsistent) as error:
            digest(tree.open(far))
        assert error.value.offset == boot.cluster_offset(last)
        assert tree.open(far).read_at(0, boot.cluster_size) == source.read_at(
            boot.cluster_offset(last), boot.cluster_size
        )
        assert [r.physical for r in _until_error(tree, far)] == [boot.cluster_offset(last)]
        for cluster in (0, 1, last + 1, 0xFFFFFFFF):
            tree = patched(source, node, {32 + 20: cluster.to_bytes(4, "little")})
            far = resolve(tree, "tree/dir/f11_1000003.bin")
            with pytest.raises(Inconsistent) as error:
                tree.open(far).read_at(0, 1)
            assert error.value.offset == tree.key(far).entry


def _until_error(tree: ExfatTree, node: Node) -> list:  # type: ignore[type-arg]
    found = []
    with pytest.raises(Inconsistent):
        for run in tree.runs(node):
            found.append(run)  # noqa: PERF402
    return found


def test_sizes_beyond_the_volume(image: Image) -> None:
    """Zeros without end are refused, and nothing is asked of memory."""
    with FileSource(image("exfat-c512")) as source:
        node = resolve(open_tree(source), "tree/dir/f5_700.bin")
        huge = (1 << 62).to_bytes(8, "little")
        tree = patched(source, node, {32 + 24: huge, 32 + 8: bytes(8)})
        large = resolve(tree, "tree/dir/f5_700.bin")
        assert large.size == 1 << 62
        with pytest.raises(Inconsistent):
            tree.open(large).read_at(1 << 61, 10)
        with pytest.raises(Truncated):
            tree.open(large).read_at(1 << 62, 1)
        read = 0
        with pytest.raises(Inconsistent):
            for piece in read_through(tree.open(large)):
                read += len(piece)
        assert source.size * 0.85 < read <= source.size


def test_entry_set_with_a_wrong_checksum(image: Image) -> None:
    with FileSource(image("exfat-c512")) as source:
        good = open_tree(source)
        node = resolve(good, "tree/dir/f5_700.bin")
        at = good.key(node).entry
        tree = open_tree(Overlay(source, {at + 2: b"\x12\x34"}))
        assert digests(tree) == digests(good)
        (problem,) = tree.problems
        assert (problem.code, problem.severity, problem.offset) == ("exfat.set_checksum", Severity.ERROR, at)
        assert node.number == at
        tree = open_tree(Overlay(source, {at + 32: b"\x40"}))
        assert set(digests(good)) - set(digests(tree)) == {"tree/dir/f5_700.bin"}
        assert ("exfat.set_incomplete", at) in [(p.code, p.offset) for p in tree.problems]


def test_names_that_are_no_text(image: Image) -> None:
    with FileSource(image("exfat-c512")) as source:
        node = resolve(open_tree(source), "tree/dir/f5_700.bin")
        tree = patched(source, node, {64 + 2: b"\x00\xd8/\0"})
        folder = resolve(tree, "tree/dir")
        assert "\ud800/_700.bin" in [n.name for n in tree.children(folder)]
        assert resolve(tree, "tree/dir/\ud800\\x2f_700.bin").size == 700
        at = node.key.entry  # type: ignore[attr-defined]
        volume = open_volume(Overlay(source, {at + 64 + 2: b"\x00\xd8"}))
        assert any("\ufffd" in r.owner for r in volume.references())


def test_directory_loops_end(image: Image) -> None:
    """A directory that leads to its parent, to the root and to itself."""
    with FileSource(image("exfat-c512")) as source:
        good = open_tree(source)
        sub, folder = resolve(good, "tree/dir/sub"), resolve(good, "tree/dir")
        empty = resolve(good, "tree/empty")
        for target, code in ((folder, "walk.loop"), (good.root, "walk.loop"), (empty, "walk.directory_twice")):
            key = good.key(target)
            flags = bytes([3 if key.contiguous else 1])
            size = min(key.size, 512).to_bytes(8, "little")
            place = key.cluster.to_bytes(4, "little")
            tree = patched(source, sub, {33: flags, 32 + 20: place, 32 + 8: size, 32 + 24: size})
            log = Log()
            names = [path for path, _ in walk(tree, tree.root, log=log)]
            assert len(names) == 76 - 60
            assert [p.code for p in log.problems()] == [code]


def test_unreadable_sector_of_a_directory(image: Image) -> None:
    with FileSource(image("exfat-c32k")) as source:
        good = open_tree(source)
        folder = resolve(good, "tree/dir/sub")
        before = [n.name for n in good.children(folder)]
        at = folder.number - 1 + 512
        tree = open_tree(Overlay(source, failing=[(at, at + 512)]))
        after = [n.name for n in tree.children(folder)]
        assert 55 <= len(after) < 60
        assert set(after) < set(before)
        assert ("exfat.directory_unreadable", at) in [(p.code, p.offset) for p in tree.problems]
        everything = Overlay(source, failing=[(folder.number - 1, folder.number - 1 + (32 << 10))])
        assert list(open_tree(everything).children(folder)) == []


def test_unreadable_table(image: Image) -> None:
    with FileSource(image("exfat-fragmented")) as source:
        boot = open_volume(source).boot
        whole = [(boot.fat_offset + 512, boot.fat_offset + boot.fat_size)]
        node = resolve(open_tree(source), "large")
        with pytest.raises(DeviceError):
            digest(open_tree(Overlay(source, failing=whole)).open(node))


def hostile(source: BlockSource) -> int:
    """Open, walk and read everything; files that could be read to their end."""
    tree = open_tree(source)
    whole = 0
    for _, node in walk(tree, tree.root, log=Log()):
        if node.kind is NodeKind.DIRECTORY:
            continue
        read = 0
        try:
            for piece in read_through(tree.open(node)):
                read += len(piece)
                if read > 4 << 20:
                    break
            else:
                whole += 1
                assert read == node.size
        except RecoveryError as error:
            assert read < node.size, error
        try:
            assert sum(run.length for run in tree.runs(node)) == node.size
        except RecoveryError as error:
            assert shown(node.name) in str(error) or "chain" in str(error)
    resolve(tree, "/")
    tree.child(tree.root, "any")
    assert len(tree.problems) < 2000
    return whole


@pytest.mark.parametrize("name", ["exfat-c512", "exfat-fragmented"])
def test_mutations(image: Image, name: str) -> None:
    """Random bytes in metadata and cuts: everything is walked and read, only our errors, in bounded time."""
    path = image(name)
    rng = random.Random(22)
    refused = whole = damaged = 0
    begun = time.monotonic()
    with FileSource(path) as source:
        boot = open_volume(source).boot
        offsets = [*range(64, 120), *range(boot.fat_offset, boot.fat_offset + 8000)]
        for reference in open_volume(source).references():
            if reference.owner in ("\\", "\\tree", "\\tree\\dir", "\\tree\\dir\\sub"):
                offsets += [
                    *range(reference.extent.start, min(reference.extent.end, reference.extent.start + 8000))
                ] * 2
        good = hostile(source)
        for round_ in range(60):
            patches = {rng.choice(offsets): rng.randbytes(rng.choice((1, 1, 2, 4))) for _ in range(rng.randint(1, 8))}
            size = rng.randrange(source.size) if round_ % 10 == 0 else source.size
            try:
                found = hostile(Overlay(source, patches, size=size))
                whole += found == good
                damaged += found != good
            except RecoveryError:
                refused += 1
    assert refused >= 3
    assert whole >= 5
    assert damaged >= 5
    assert time.monotonic() - begun < 60
