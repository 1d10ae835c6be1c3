"""exFAT volumes that others made, sound and broken."""

from __future__ import annotations

import gzip
import lzma
import tarfile
from pathlib import Path

import pytest

from formats.base.errors import FormatError, Inconsistent, NotThisFormat
from formats.base.extent import ExtentList
from formats.base.source import BlockSource, FileSource, MemorySource
from fs.exfat.tree import ExfatTree, open_tree
from fs.exfat.volume import ExfatVolume, open_volume
from fs.findings import Log
from fs.tree import NodeKind
from fs.walk import digest, read_through, walk
from tests.support.fat_oracles import our_tree, sleuthkit_tree
from tests.support.oracles import read_tree
from tests.support.tools import CORPORA, loop_device, mounted, need_corpora

FOREIGN = sorted(p.name for p in (CORPORA / "detect" / "util-linux").glob("*.img.xz") if p.name != "exfat.img.xz")


def unpacked(path: Path) -> BlockSource:
    if path.name.endswith(".gz"):
        return MemorySource(gzip.decompress(path.read_bytes()))
    if path.name.endswith(".tar.xz"):
        with tarfile.open(path) as archive:
            member = archive.extractfile("exfat.img")
            assert member is not None
            return MemorySource(member.read())
    return MemorySource(lzma.decompress(path.read_bytes()))


def complete(source: BlockSource) -> tuple[ExfatVolume, set[str]]:
    """The volume after a full walk, and the owners; all references are in what is allocated."""
    volume = open_volume(source)
    used = ExtentList(volume.allocated())
    owners = set()
    for reference in volume.references():
        assert used.covers(*reference.extent)
        owners.add(reference.owner)
    return volume, owners


@pytest.mark.parametrize(
    ("name", "label", "uuid", "owners"),
    [
        ("exfat/exfat_win.raw.gz", "test123", "405E-4EA6", 640),
        ("exfat/exfat.tar.xz", "", "64F3-F727", 14),
        ("detect/util-linux/exfat.img.xz", "Новый том", "9C23-8877", 100),
    ],
)
def test_sound_volumes(name: str, label: str, uuid: str, owners: int) -> None:
    volume, found = complete(unpacked(need_corpora() / name))
    assert (volume.identity.label, volume.identity.uuid) == (label, uuid)
    assert len(found) >= owners
    assert list(volume.problems) == []


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("bad_dentries2", {"exfat.stray_entry", "exfat.set_incomplete"}),
        ("bad_first_clu", {"exfat.set_checksum", "exfat.chain_range"}),
        ("bad_root", {"exfat.set_incomplete"}),
        ("de_bad_csum", {"exfat.dirty", "exfat.set_checksum"}),
        ("duplicated_name", set()),
        ("invalid_name", set()),
        ("loop_chain", {"exfat.chain_loop"}),
    ],
)
def test_broken_volumes_of_exfatprogs(name: str, codes: set[str]) -> None:
    volume, _ = complete(unpacked(need_corpora() / "exfat" / "exfatprogs" / f"{name}.img.tar.xz"))
    found = {p.code for p in volume.problems}
    assert codes <= found
    assert bool(codes) == bool(found)


def test_bitmap_of_a_wrong_size() -> None:
    volume = open_volume(unpacked(need_corpora() / "exfat" / "exfatprogs" / "bad_bitmap_size.img.tar.xz"))
    with pytest.raises(Inconsistent):
        list(volume.allocated())
    assert [p.code for p in volume.problems] == ["exfat.no_bitmap"]


@pytest.mark.parametrize("name", FOREIGN)
def test_other_formats_are_not_exfat(name: str) -> None:
    with lzma.LZMAFile(need_corpora() / "detect" / "util-linux" / name) as file:
        data = file.read(1 << 20)
    with pytest.raises(NotThisFormat):
        open_volume(MemorySource(data))


def on_disk(name: str, path: Path) -> Path:
    source = unpacked(need_corpora() / name)
    path.write_bytes(source.read_at(0, source.size))
    return path


def contents(source: BlockSource) -> tuple[ExfatTree, Log, dict[str, str], dict[str, int]]:
    """The tree after a full walk, the digests of what could be read, and how many bytes of the rest."""
    tree = open_tree(source)
    log = Log()
    whole: dict[str, str] = {}
    broken: dict[str, int] = {}
    for path, node in walk(tree, tree.root, log=log):
        if node.kind is NodeKind.FILE:
            read = 0
            try:
                for piece in read_through(tree.open(node)):
                    read += len(piece)
                whole[path[1:]] = digest(tree.open(node))
            except FormatError:
                broken[path[1:]] = read
    return tree, log, whole, broken


@pytest.mark.parametrize(
    ("name", "ahead", "count"),
    [
        ("exfat/exfat_win.raw.gz", 3 * 3600, 702),
        ("exfat/exfat.tar.xz", 0, 15),
        ("detect/util-linux/exfat.img.xz", None, 0),
    ],
)
def test_files_of_sound_volumes(tmp_path: Path, name: str, ahead: int | None, count: int) -> None:
    """Written by Windows in UTC+3 and by others: The Sleuth Kit and exfat-fuse see the same."""
    path = on_disk(name, tmp_path / "image")
    with FileSource(path) as source:
        tree, log, whole, broken = contents(source)
        ours = our_tree(tree)
        nodes = dict(walk(tree, tree.root))
    assert broken == {}
    assert [*tree.problems, *log.problems()] == []
    assert whole == read_tree("exfat", path, tmp_path)
    if ahead is not None:
        assert len(ours) == count
        assert ours == sleuthkit_tree(path, ahead=ahead)
    where = tmp_path / "m"
    with loop_device(path, read_only=True) as loop, mounted(["mount.exfat-fuse", "-o", "ro", loop, where], where):
        for found, node in nodes.items():
            stat = (where / found[1:]).stat()
            assert node.times.modified is not None
            assert int(stat.st_mtime) == node.times.modified // 10**9
            assert stat.st_size == node.size


@pytest.mark.parametrize(
    ("name", "codes", "files", "broken"),
    [
        ("bad_bitmap_size", {"exfat.no_bitmap"}, 0, {}),
        ("bad_dentries2", {"exfat.stray_entry", "exfat.set_incomplete"}, 7, {}),
        ("bad_first_clu", {"exfat.set_checksum"}, 5, {"dir_01/bad_child_02": 0}),
        ("bad_root", {"exfat.set_checksum", "exfat.set_incomplete"}, 88, {}),
        ("de_bad_csum", {"exfat.dirty", "exfat.set_checksum"}, 6, {}),
        ("duplicated_name", set(), 3, {}),
        ("invalid_name", set(), 41, {}),
        ("loop_chain", set(), 8, {"dir_02/bad_child_02": 8192}),
    ],
)
def test_files_of_broken_volumes(name: str, codes: set[str], files: int, broken: dict[str, int]) -> None:
    """What can be read is read, and the rest is named."""
    tree, log, whole, torn = contents(unpacked(need_corpora() / "exfat" / "exfatprogs" / f"{name}.img.tar.xz"))
    assert log.problems() == []
    assert {p.code for p in tree.problems} == codes
    assert (len(whole), torn) == (files, broken)
