"""The tree against ntfs-3g: names, sizes, times, contents, streams, links, descriptors; and what only we can read."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import struct
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.base.errors import Inconsistent, Truncated, Unsupported
from formats.base.source import FileSource
from fs.ntfs.names import UPCASE_FILE
from fs.ntfs.tree import NtfsTree, open_tree
from fs.tree import Node, NodeKind, RunKind
from tests.support.ntfs_images import MAX_NAME, STRANGE, Editor, make, mount, reparse
from tests.support.ntfs_walk import check_runs, digest, walk
from tests.support.ntfs_wof import METHODS, contents
from tests.support.oracles import ntfs_mounted
from tests.support.tools import need, run
from tests.support.tree import SIZES, populate
from tests.support.tree import digest as digest_files

Image = Callable[[str], Path]
OPTIONS = "ro,norecover,show_sys_files,streams_interface=windows"
EPOCH = 116_444_736_000_000_000
ODD = (NodeKind.SYMLINK, NodeKind.CHARACTER_DEVICE, NodeKind.BLOCK_DEVICE, NodeKind.OTHER)


def find(tree: NtfsTree, path: str) -> Node:
    """By one lookup a component."""
    node = tree.root
    for part in path.split("/"):
        found = tree.child(node, part)
        assert found is not None, f"no {part} of {path}"
        node = found
    return node


def xattr(path: Path, name: str) -> bytes | None:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None


def audited(image_path: Path, path: str) -> bytes | None:
    """The security descriptor as ntfssecaudit prints it; it wants a volume that is not mounted."""
    need("ntfssecaudit")
    lines = run("ntfssecaudit", "-v", image_path, f"/{path}").splitlines()
    dump = [re.fullmatch(r"\s+[0-9a-f]{6} ((?: +[0-9a-f]{2,8})+)\s*", line) for line in lines]
    return bytes.fromhex("".join(found[1] for found in dump if found)) or None


def descriptor(path: Path) -> bytes | OSError | None:
    """The security descriptor as ntfs-3g tells it. Of those in $Secure that Windows wrote it tells EIO."""
    try:
        return os.getxattr(path, "system.ntfs_acl", follow_symlinks=False) or None
    except OSError as error:
        return error if error.errno == errno.EIO else None


def compare(image_path: Path, mnt: Path, expect: int) -> None:
    """All that ntfs-3g shows is what we show, and nothing else."""
    mnt.mkdir()
    untold: dict[str, bytes | None] = {}
    with FileSource(image_path) as source, ntfs_mounted(image_path, mnt, OPTIONS):
        tree = open_tree(source)
        ours = dict(walk(tree))
        theirs = {str(Path(top, name).relative_to(mnt)) for top, dirs, files in os.walk(mnt) for name in dirs + files}
        mft = ours.pop("$MFT")  # the only one that ntfs-3g never lists
        assert (mft.number, mft.size) == (0, (mnt / "$MFT").stat().st_size)
        assert set(ours) == theirs
        assert len(ours) >= expect
        volume = tree.identity.size
        for path, node in ours.items():
            there = mnt / path
            status = there.lstat()
            assert node.number == status.st_ino, path
            created, modified, accessed, changed = struct.unpack("<4q", xattr(there, "system.ntfs_times") or b"")
            assert tuple(node.times) == tuple((t - EPOCH) * 100 for t in (created, modified, changed, accessed)), path
            attributes = struct.unpack("<I", xattr(there, "system.ntfs_attrib") or b"")[0]
            assert (node.attributes & 0xFFFF or 0x80) == attributes & 0xFFFF, path
            attributes_of_tree = tree.xattrs(node)
            # A dozen, for ntfs-3g stops when nobody reads what it has to say of each.
            told = descriptor(there) if len(untold) < 12 else OSError()
            if isinstance(told, OSError):
                if len(untold) < 12:
                    untold[path] = attributes_of_tree.get("system.ntfs_acl")
            else:
                assert attributes_of_tree.get("system.ntfs_acl") == told, path
            assert attributes_of_tree.get("system.ntfs_reparse_data") == xattr(there, "system.ntfs_reparse_data"), path
            if node.kind in ODD or "system.ntfs_reparse_data" in attributes_of_tree:
                continue  # shown by ntfs-3g as links, which lead to where it is mounted
            assert (node.kind is NodeKind.DIRECTORY) == stat.S_ISDIR(status.st_mode), path
            if node.kind is NodeKind.FILE:
                short = "for dos" in path  # ntfs-3g counts short names too
                assert (node.size, node.links) == (status.st_size, status.st_nlink - short), path
                reader = tree.open(node)
                assert reader.size == node.size
                if 0 < node.size < 256 << 20:
                    assert digest(reader) == hashlib.sha256(there.read_bytes()).hexdigest(), path
                check_runs(tree, node, node.size, volume)
            for stream in tree.streams(node):
                if stream.size < 1 << 20:
                    expected = Path(f"{there}:{stream.name}").read_bytes()
                    reader = tree.open(node, stream.name)
                    assert reader.read_at(0, stream.size) == expected, (path, stream)
        assert tree.problems == ()
    for path, found in untold.items():
        assert found == audited(image_path, path) and found, path


@pytest.mark.parametrize(
    ("name", "expect"),
    [
        ("cluster-512", 80),
        ("cluster-4096", 80),
        ("cluster-65536", 80),
        ("cluster-2097152", 80),
        ("4kn", 80),
        ("rich", 900),
        ("fragmented-mft", 2000),
        ("strange", 40),
    ],
)
def test_everything_as_ntfs_3g_sees_it(image: Image, tmp_path: Path, name: str, expect: int) -> None:
    compare(image(name), tmp_path / "mnt", expect)


def test_the_tree_of_72_files(image: Image, tmp_path: Path) -> None:
    populate(tmp_path)
    expected = digest_files(tmp_path)
    assert len(expected) == 72
    for name in ("cluster-1024", "cluster-131072", "dirty", "bitmap-lag", "no-primary-boot"):
        with FileSource(image(name)) as source:
            tree = open_tree(source)
            found = {
                path: digest(tree.open(node), 4099)
                for path, node in walk(tree)
                if node.kind is NodeKind.FILE and not path.startswith("$")
            }
            assert found == expected
            codes = {p.code for p in tree.problems}
            assert codes == {"dirty": {"ntfs.dirty"}, "no-primary-boot": {"ntfs.primary_boot"}}.get(name, set())


def test_reading_at_any_place(image: Image) -> None:
    """Plain, sparse and compressed data: any piece is the piece of the whole."""
    with FileSource(image("rich")) as source:
        tree = open_tree(source)
        for path in ("comp/text.txt", "comp/mixed.bin", "big_fragmented.bin", "ads.txt"):
            reader = tree.open(find(tree, path))
            size = min(reader.size, 1_310_720)
            whole = reader.read_at(0, size)
            for at in (0, 1, 4095, 65535, 65536, 70001, 131071, size - 1, size):
                for length in (0, 1, 4096, 65537, 200001):
                    if at + length <= size:
                        assert reader.read_at(at, length) == whole[at : at + length]
            for at, length in ((-1, 1), (0, -1), (reader.size, 1), (1, reader.size)):
                with pytest.raises(Truncated):
                    reader.read_at(at, length)


def test_where_the_content_lies(image: Image) -> None:
    path = image("rich")
    raw = path.read_bytes()
    with FileSource(path) as source:
        tree = open_tree(source)
        fragmented = find(tree, "big_fragmented.bin")
        runs = list(tree.runs(fragmented))
        assert len(runs) > 200
        state = hashlib.sha256()
        for r in runs:
            assert r.kind is RunKind.DATA and r.physical is not None
            state.update(raw[r.physical : r.physical + r.length])
        assert state.hexdigest() == digest(tree.open(fragmented))
        sparse = list(tree.runs(find(tree, "sparse.bin")))
        assert [r.kind for r in sparse[:3]] == [RunKind.DATA, RunKind.HOLE, RunKind.DATA]
        assert sum(r.length for r in sparse if r.kind is RunKind.HOLE) > 190 << 20
        text = list(tree.runs(find(tree, "comp/text.txt")))
        assert {r.kind for r in text} == {RunKind.ENCODED}
        assert sum(r.physical_length for r in text) * 512 <= 1_200_000 * 512 // 7
        mixed = {r.kind for r in tree.runs(find(tree, "comp/mixed.bin"))}
        assert mixed == {RunKind.ENCODED, RunKind.DATA}
        assert list(tree.runs(find(tree, "ads.txt"))) == []


def test_what_has_a_place_and_was_never_written(copy: Image) -> None:
    """Behind the initialised size, clusters hold what somebody else left there: it must read as zeros."""
    path = copy("cluster-4096")
    with FileSource(path) as source:
        tree = open_tree(source)
        node = find(tree, "dir/f11_1000003.bin")
        good = tree.open(node).read_at(0, node.size)
    with Editor(path) as editor:
        data = editor.read(node.number)
        at = editor.find(data, 0x80)
        struct.pack_into("<Q", data, at + 0x38, 300_001)
        editor.write(node.number, data)
    with FileSource(path) as source:
        tree = open_tree(source)
        assert tree.open(node).read_at(0, node.size) == good[:300_001].ljust(node.size, b"\0")
        assert tree.open(node).read_at(300_000, 2) == good[300_000:300_001] + b"\0"
        kinds = [(r.kind, r.length) for r in tree.runs(node)]
        assert kinds == [(RunKind.DATA, 300_001), (RunKind.UNWRITTEN, 700_002)]


def test_lookup_finds_every_name_and_only_these(image: Image) -> None:
    with FileSource(image("fragmented-mft")) as source:
        tree = open_tree(source)
        for name in ("a", "b"):
            directory = find(tree, name)
            nodes = list(tree.children(directory))
            assert len(nodes) > 500
            for node in nodes[::7]:
                assert tree.child(directory, node.name) == node
            known = {node.name for node in nodes}
            for i in range(0, 6000, 97):
                assert (tree.child(directory, f"{i}") is not None) == (f"{i}" in known)
        assert tree.child(tree.root, "") is None is tree.child(tree.root, "n" * 256)
        assert tree.child(tree.root, ".") is None is tree.child(tree.root, "..")
        assert tree.problems == ()


def test_case_in_lookups(image: Image) -> None:
    with FileSource(image("strange")) as source:
        tree = open_tree(source)
        names = find(tree, "NAMES")
        assert names.name == "names"
        for exact in ("case", "CASE", "Case", "Straße", MAX_NAME, "😀.txt", "e\u0301", "ÿ"):
            found = tree.child(names, exact)
            assert found is not None and found.name == exact
        near = tree.child(names, "cAsE")
        assert near is not None and near.name in ("case", "CASE", "Case")
        for asked, name in (("äöü", "ÄÖÜ"), ("ÄÖÜ.TXT", "äöÜ.txt"), ("Ÿ", "ÿ"), ("straße", "Straße")):
            found = tree.child(names, asked)
            assert found is not None and found.name == name
        # 'ß' has no upper case of its own, and é is not the same as e with an accent.
        assert tree.child(names, "STRASSE") is None is tree.child(names, unicodedata.normalize("NFC", "e\u0301"))


def test_short_names_are_found_and_not_listed(image: Image) -> None:
    with FileSource(image("strange")) as source:
        tree = open_tree(source)
        names = find(tree, "names")
        node = tree.child(names, "alongn~1.TEX")
        assert node is not None and node.name == "a long name for dos.text"
        assert node.links == 1
        assert not [n.name for n in tree.children(names) if "~" in n.name]


def test_what_reparse_points_become(image: Image) -> None:
    with FileSource(image("strange")) as source:
        tree = open_tree(source)
        nodes = {node.name: node for node in tree.children(find(tree, "r"))}
        targets = {name: tree.link_target(node) for name, node in nodes.items() if node.kind is NodeKind.SYMLINK}
        assert targets == {
            "junction": "C:\\Windows",
            "symlink": "..\\target.txt",
            "symlink-no-print": "\\??\\D:\\x",
            "lx-symlink": "ziel/ä",
            "nfs-link": "a/b",
        }
        assert nodes["lx-symlink"].size == 7
        for name, word in {"dedup": "deduplicated", "wim": "WIM", "unknown": "0x80004711", "app": "app"}.items():
            assert word in nodes[name].note
            with pytest.raises(Unsupported, match=word):
                tree.open(nodes[name])
            tag, data = STRANGE[name]
            assert tree.xattrs(nodes[name])["system.ntfs_reparse_data"] == reparse(tag, data)
        assert nodes["app"].kind is NodeKind.OTHER
        # A file of a cloud drive that is on the disk too.
        assert nodes["cloud"].note == "" and tree.open(nodes["cloud"]).read_at(0, 4) == b"here"
        with pytest.raises(Inconsistent):
            tree.link_target(nodes["dedup"])


def test_a_cloud_file_that_is_not_here(copy: Image) -> None:
    path = copy("strange")
    with FileSource(path) as source:
        number = find(open_tree(source), "r/cloud").number
    with Editor(path) as editor:
        data = editor.read(number)
        at = editor.find(data, 0x10) + 24
        struct.pack_into("<I", data, at + 0x20, 0x401620)
        editor.write(number, data)
    with FileSource(path) as source:
        tree = open_tree(source)
        node = find(tree, "r/cloud")
        assert "in the cloud" in node.note
        with pytest.raises(Unsupported, match="in the cloud"):
            tree.open(node)


def test_encrypted_data_are_not_given_as_content(copy: Image) -> None:
    path = copy("cluster-4096")
    with FileSource(path) as source:
        node = find(open_tree(source), "dir/f11_1000003.bin")
    with Editor(path) as editor:
        data = editor.read(node.number)
        at = editor.find(data, 0x80)
        struct.pack_into("<H", data, at + 0x0C, 0x4000)
        editor.write(node.number, data)
    with FileSource(path) as source:
        tree = open_tree(source)
        node = find(tree, "dir/f11_1000003.bin")
        assert "encrypted" in node.note
        with pytest.raises(Unsupported, match="encrypted"):
            tree.open(node)
        assert sum(r.length for r in tree.runs(node)) == node.size == 1000003


def test_links_and_devices_of_interix(image: Image) -> None:
    with FileSource(image("strange")) as source:
        tree = open_tree(source)
        assert tree.link_target(find(tree, "interix/link")) == "../r/somewhere ü"
        assert tree.link_target(find(tree, "interix/long")) == "x/" * 700 + "end"
        char, block = find(tree, "interix/char"), find(tree, "interix/block")
        assert (char.kind, char.device) == (NodeKind.CHARACTER_DEVICE, (4, 300))
        assert (block.kind, block.device) == (NodeKind.BLOCK_DEVICE, (259, 1))


def test_extended_attributes_times_and_streams_of_directories(image: Image) -> None:
    with FileSource(image("strange")) as source:
        tree = open_tree(source)
        found = tree.xattrs(find(tree, "ea.txt"))
        assert {k: v for k, v in found.items() if k.startswith("user.")} == {
            "user.COLOR": b"crimson",
            "user.BG": b"v" * 300,
        }
        old = find(tree, "old")
        assert old.times.created == (129_000_000_000_000_001 - EPOCH) * 100
        assert (old.times.accessed, old.times.modified) == (-11644473600_000000000 + 12345600, 1234567890_123456700)
        directory = find(tree, "dir")
        assert [s.name for s in tree.streams(directory)] == ["of directory"]
        assert tree.open(directory, "of directory").read_at(0, 11) == b"a directory"
        with pytest.raises(Unsupported):
            tree.open(directory)
        with pytest.raises(Inconsistent):
            tree.open(directory, "none")
        with pytest.raises(Inconsistent):
            next(tree.children(old))


def test_hard_links_are_one_file(image: Image) -> None:
    with FileSource(image("rich")) as source:
        tree = open_tree(source)
        nodes = list(tree.children(find(tree, "links")))
        assert len(nodes) == 300
        assert {(n.number, n.links, n.size) for n in nodes} == {(find(tree, "linked.bin").number, 301, 5500)}


def test_files_that_wof_compressed(image: Image) -> None:
    data = contents()
    with FileSource(image("wof")) as source:
        tree = open_tree(source)
        for method in METHODS:
            nodes = {node.name: node for node in tree.children(find(tree, method))}
            assert len(nodes) >= 7
            for name, node in nodes.items():
                assert (node.kind, node.note, node.size) == (NodeKind.FILE, "", len(data[name]))
                reader = tree.open(node)
                assert digest(reader) == hashlib.sha256(data[name]).hexdigest(), (method, name)
                for at, length in ((0, 1), (4095, 2), (node.size - 1, 1), (node.size // 2, node.size // 3)):
                    if at + length <= node.size:
                        assert reader.read_at(at, length) == data[name][at : at + length]
                assert tree.streams(node) == []
                assert "system.ntfs_reparse_data" in tree.xattrs(node)
                check_runs(tree, node, node.size, source.size)
                kinds = {r.kind for r in tree.runs(node)}
                assert kinds <= {RunKind.ENCODED}
                stored = tree.open(node, "WofCompressedData")
                if kinds:
                    assert sum(r.physical_length for r in tree.runs(node)) == stored.size
        assert tree.problems == ()


def test_a_damaged_chunk_costs_only_itself(copy: Image) -> None:
    path = copy("wof")
    with FileSource(path) as source:
        tree = open_tree(source)
        node = find(tree, "LZX/program")
        runs = list(tree.runs(node))
    with path.open("r+b") as file:
        file.seek(runs[3].physical or 0)
        file.write(b"\xff" * 64)
    data = contents()["program"]
    with FileSource(path) as source:
        reader = open_tree(source).open(node)
        assert reader.read_at(0, 98304) == data[:98304]
        assert reader.read_at(131072, 65536) == data[131072:196608]
        try:
            assert reader.read_at(98304, 32768) != data[98304:131072]
        except Exception as error:
            assert "chunk 3 of" in str(error)


def test_a_directory_whose_index_is_lost(copy: Image) -> None:
    path = copy("rich")
    with FileSource(path) as source:
        tree = open_tree(source)
        links, frag = find(tree, "links"), find(tree, "frag")
        expected = {name: set(tree.children(node)) for name, node in (("links", links), ("frag", frag))}
    with Editor(path) as editor:
        for node in (links, frag):
            data = editor.read(node.number)
            at = editor.find(data, 0xA0, "$I30")
            runs = editor.runs(data, at)
            if node is links:
                struct.pack_into("<I", data, editor.find(data, 0x90, "$I30") + 0x20 + 8, 77)  # block size
                editor.write(node.number, data)
            else:
                editor.put(runs[0][0] * editor.cluster + 0x18, b"\xff" * 500)  # one block of many
    with FileSource(path) as source:
        tree = open_tree(source)
        assert set(tree.children(links)) == expected["links"]
        assert set(tree.children(frag)) == expected["frag"]
        assert {p.code for p in tree.problems} == {"ntfs.index"}
        some = next(iter(expected["links"]))
        assert tree.child(links, some.name.upper()) == some


def test_a_lost_root_is_searched_for(copy: Image) -> None:
    path = copy("cluster-4096")
    with FileSource(path) as source:
        before = {name: node.number for name, node in walk(open_tree(source))}
    with Editor(path) as editor:
        editor.put(editor.place(5), bytes(1024))
    with FileSource(path) as source:
        tree = open_tree(source)
        assert {name: node.number for name, node in walk(tree)} == before
        assert "ntfs.root" in {p.code for p in tree.problems}
        assert find(tree, "dir/sub").kind is NodeKind.DIRECTORY


def test_a_lost_record_is_named_and_the_rest_listed(copy: Image) -> None:
    path = copy("cluster-4096")
    with FileSource(path) as source:
        node = find(open_tree(source), "dir/f3_512.bin")
    with Editor(path) as editor:
        editor.put(editor.place(node.number), b"BAAD")
    with FileSource(path) as source:
        tree = open_tree(source)
        names = {n.name for n in tree.children(find(tree, "dir"))}
        assert len(names) == len(SIZES) and node.name not in names
        assert [p for p in tree.problems if node.name in p.text]


def test_directories_that_contain_each_other_are_shown_once(copy: Image) -> None:
    """dir/sub's entry is made to lead back to dir, and the other way round."""
    path = copy("cluster-4096")
    with FileSource(path) as source:
        tree = open_tree(source)
        outer, inner = find(tree, "dir"), find(tree, "dir/sub")
    with Editor(path) as editor:
        data = editor.read(outer.number)
        blocks = editor.runs(data, editor.find(data, 0xA0, "$I30")) if b"$\0I\0003\0000" in data[0x100:] else []
        whole = bytearray(path.read_bytes())
        old, new = struct.pack("<Q", inner.number | 1 << 48)[:8], struct.pack("<Q", outer.number | 1 << 48)[:8]
        places = [lcn * editor.cluster for lcn, _ in blocks]
        assert places
        for at in places:
            found = whole.find(old, at, at + 4096)
            if found >= 0:
                editor.put(found, new)
    with FileSource(path) as source:
        tree = open_tree(source)
        numbers = [node.number for _, node in walk(tree) if node.kind is NodeKind.DIRECTORY]
        assert len(numbers) == len(set(numbers))
        assert [p for p in tree.problems if "lies elsewhere" in p.text or "another file" in p.text]


def test_descriptors_survive_a_damaged_first_copy(copy: Image) -> None:
    path = copy("strange")
    with FileSource(path) as source:
        tree = open_tree(source)
        node = find(tree, "ea.txt")
        expected = tree.xattrs(node)["system.ntfs_acl"]
        secure = find(tree, "$Secure")
        place = next(iter(tree.runs(secure, "$SDS"))).physical
        size = next(s.size for s in tree.streams(secure) if s.name == "$SDS")
        assert place is not None and size > 262144
    with path.open("r+b") as file:
        file.seek(place + 0x14)
        file.write(b"\xee" * 1000)
    with FileSource(path) as source:
        tree = open_tree(source)
        assert tree.xattrs(node)["system.ntfs_acl"] == expected
        assert tree.problems == ()


def test_without_the_volumes_table_of_upper_case(copy: Image) -> None:
    path = copy("strange")
    with Editor(path) as editor:
        editor.put(editor.place(UPCASE_FILE), bytes(1024))
    with FileSource(path) as source:
        tree = open_tree(source)
        assert find(tree, "NAMES/äöü").name == "ÄÖÜ"
        assert "ntfs.upcase" in {p.code for p in tree.problems}


@pytest.mark.slow
def test_seventy_thousand_files(tmp_path: Path) -> None:
    path = tmp_path / "many"
    make(path, size=256 << 20)
    with mount(path) as root:
        (root / "d").mkdir()
        for i in range(70000):
            os.close(os.open(root / "d" / f"n{i}", os.O_CREAT | os.O_WRONLY))
    with FileSource(path) as source:
        tree = open_tree(source)
        directory = find(tree, "d")
        begun = time.process_time()
        names = {node.name for node in tree.children(directory)}
        assert time.process_time() - begun < 4
        assert names == {f"n{i}" for i in range(70000)}
        begun = time.process_time()
        for i in range(0, 70000, 700):
            found = tree.child(directory, f"N{i}")
            assert found is not None and found.name == f"n{i}"
        assert time.process_time() - begun < 1
