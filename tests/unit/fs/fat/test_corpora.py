"""FAT volumes that others made, and volumes of other formats that must not be taken for FAT."""

from __future__ import annotations

import gzip
import lzma
import tarfile
from pathlib import Path
from typing import IO

import pytest

from formats.base.errors import FormatError, NotThisFormat
from formats.base.extent import ExtentList
from formats.base.source import FileSource, MemorySource
from fs.fat.tree import FatTree, open_tree
from fs.fat.volume import open_volume
from fs.findings import Log
from fs.tree import NodeKind
from fs.walk import digest, walk
from tests.support.fat_oracles import our_tree, sleuthkit_tree
from tests.support.oracles import read_tree
from tests.support.tools import CORPORA, need, need_corpora, run

FOREIGN = sorted(p.name for p in (CORPORA / "detect" / "util-linux").glob("*.img.xz") if "fat32" not in p.name)
SAMPLES = sorted(p.name for p in (CORPORA / "detect" / "util-linux").glob("*fat32*.img.xz"))
DUMPS = sorted(p.name for p in (CORPORA / "fat" / "dosfstools").glob("*.*"))


def sparse_copy(stream: IO[bytes], path: Path) -> Path:
    zeros = bytes(1 << 20)
    with path.open("wb") as file:
        while block := stream.read(1 << 20):
            if block == zeros[: len(block)]:
                file.seek(len(block), 1)
            else:
                file.write(block)
        file.truncate()
    return path


def test_corpora_are_there() -> None:
    need_corpora()
    assert len(SAMPLES) == 11
    assert len(FOREIGN) > 50
    assert len(DUMPS) > 25


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_of_util_linux(name: str) -> None:
    folder = need_corpora() / "detect" / "util-linux"
    expected = dict(
        line.split("=", 1) for line in (folder / f"low-probe-{name[:-7]}.expected").read_text().splitlines()
    )
    volume = open_volume(MemorySource(lzma.decompress((folder / name).read_bytes())))
    identity = volume.identity
    assert identity.kind == expected["ID_FS_VERSION"].lower()
    assert identity.uuid == expected["ID_FS_UUID"]
    assert identity.label.replace(" ", "_") == expected.get("ID_FS_LABEL", "")
    assert identity.size == int(expected["ID_FS_FSSIZE"])
    assert ("fat.small_fat32" in [p.code for p in volume.problems]) == (name == "small-fat32.img.xz")


@pytest.mark.parametrize("name", FOREIGN)
def test_other_formats_are_not_fat(name: str) -> None:
    with lzma.LZMAFile(need_corpora() / "detect" / "util-linux" / name) as file:
        data = file.read(8 << 20)
    with pytest.raises(NotThisFormat):
        open_volume(MemorySource(data))


# What fsck.fat is expected to complain about, in our words.
WRONG = {
    "check-chain_to_other_file.fsck": {"fat.cross_link"},
    "check-circular_chain.fsck": {"fat.chain_loop"},
    "check-fat16_dos_cln_shut.fsck": {"fat.dirty"},
    "check-fat32_dos_cln_shut.fsck": {"fat.dirty"},
}


@pytest.mark.parametrize("name", DUMPS)
def test_dumps_of_dosfstools(tmp_path: Path, name: str) -> None:
    need("xxd", "blkid")
    path = tmp_path / "image"
    run("xxd", "-r", need_corpora() / "fat" / "dosfstools" / name, path)
    told = dict(line.split("=", 1) for line in run("blkid", "-p", "-o", "export", path).splitlines())
    with FileSource(path) as source:
        volume = open_volume(source)
        used = ExtentList(volume.allocated())
        assert all(used.covers(*r.extent) for r in volume.references())
    assert volume.identity.kind == told["VERSION"].lower()
    assert volume.identity.label == told.get("LABEL", "").replace("\\ ", " ")
    assert volume.identity.uuid == told["UUID"]
    assert {p.code for p in volume.problems} == WRONG.get(name, set())


@pytest.mark.parametrize(
    ("name", "files"),
    [("fat12.raw.gz", 512), ("fat16.raw.gz", 512), ("fat_lfn_test.raw.gz", 17), ("fat32_full_test.tgz", 250)],
)
def test_volumes_of_dfir_ntfs(tmp_path: Path, name: str, files: int) -> None:
    packed = need_corpora() / "fat" / name
    if name.endswith("tgz"):
        with tarfile.open(packed) as archive:
            member = archive.extractfile("fat32_full_test.raw")
            assert member is not None
            path = sparse_copy(member, tmp_path / "image")
    else:
        with gzip.open(packed) as stream:
            path = sparse_copy(stream, tmp_path / "image")
    with FileSource(path) as source:
        volume = open_volume(source)
        used = ExtentList(volume.allocated())
        owners = set()
        for reference in volume.references():
            assert used.covers(*reference.extent)
            owners.add(reference.owner)
    assert len(owners) >= files
    assert list(volume.problems) == []


def contents(source: FileSource) -> tuple[FatTree, dict[str, str], list[str]]:
    """The tree after a full walk, the digests of what could be read, and the paths of what could not."""
    tree = open_tree(source)
    log = Log()
    whole, broken = {}, []
    for path, node in walk(tree, tree.root, log=log):
        if node.kind is NodeKind.FILE:
            try:
                whole[path[1:]] = digest(tree.open(node))
            except FormatError:
                broken.append(path[1:])
    assert log.problems() == []
    return tree, whole, broken


# Files that cannot be read to their end, of which mtools reads less or nothing.
BROKEN = {"check-circular_chain.fsck": ["TEST4CLS.TXT"]}


@pytest.mark.parametrize("name", DUMPS)
def test_files_in_dumps_of_dosfstools(tmp_path: Path, name: str) -> None:
    """Names as mdir lists them, contents as mcopy reads them, damaged ones named."""
    need("xxd", "mdir")
    path = tmp_path / "image"
    run("xxd", "-r", need_corpora() / "fat" / "dosfstools" / name, path)
    with FileSource(path) as source:
        tree, whole, broken = contents(source)
    assert broken == BROKEN.get(name, [])
    listed = run("mdir", "-a", "-b", "-/", "-i", path, "::/", ok=(0, 1))
    theirs = {line[3:].rstrip() for line in listed.splitlines() if not line.endswith("/")}
    if name != "check-bad_names.fsck":  # mtools makes '~' of what no name may hold
        assert set(whole) | set(broken) == theirs
        if not broken:
            judged = read_tree("vfat", path, tmp_path)
            assert {k: v for k, v in whole.items() if k in judged} == judged
            assert len(judged) == len(whole) or name.startswith("check-")
    assert not [p for p in tree.problems if p.code not in {"fat.dirty", "fat.small_fat32"}]


@pytest.mark.parametrize("name", ["fat12.raw.gz", "fat16.raw.gz", "fat_lfn_test.raw.gz", "fat32_full_test.tgz"])
def test_files_of_dfir_ntfs(tmp_path: Path, name: str) -> None:
    """Over a thousand entries by Windows: names, sizes and times as The Sleuth Kit, contents as mtools."""
    packed = need_corpora() / "fat" / name
    path = tmp_path / "image"
    if name.endswith("tgz"):
        with tarfile.open(packed) as archive:
            member = archive.extractfile("fat32_full_test.raw")
            assert member is not None
            sparse_copy(member, path)
    else:
        with gzip.open(packed) as stream:
            sparse_copy(stream, path)
    with FileSource(path) as source:
        tree, whole, broken = contents(source)
        ours = our_tree(tree)
    assert broken == []
    assert whole == read_tree("vfat", path, tmp_path)
    found = {(p.code, p.offset) for p in tree.problems}
    if name.startswith("fat_lfn"):
        # Its long name has a wrong checksum. mtools and Windows show the short one, The Sleuth Kit the long one.
        assert found == {("fat.long_name_lost", 1049664)}
        ours["/long_name_test.txt"] = ours.pop("/SHORT.TXT")
    else:
        assert found == set()
    if name.endswith("tgz"):  # The Sleuth Kit cuts names there
        listed = run("mdir", "-a", "-b", "-/", "-i", path, "::/")
        assert {line[2:].rstrip("/") for line in listed.splitlines()} == set(ours)
    else:
        assert ours == sleuthkit_tree(path)
