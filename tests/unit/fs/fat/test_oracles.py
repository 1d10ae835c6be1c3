"""Generated FAT volumes against partclone, fsck.fat, blkid and The Sleuth Kit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from formats.base.extent import ExtentList
from formats.base.source import FileSource
from fs.fat.volume import FatVolume, open_volume
from tests.support.fat_images import BAD_CLUSTERS, FAT
from tests.support.partclone import PartcloneMap, used_map
from tests.support.tools import need, run
from tests.support.tree import SIZES, populate
from tests.unit.fs.fat.conftest import Image

TREE = {name for name in FAT if "fragmented" not in name}
# partclone 0.3.23 reads FAT12 as one 16-bit word for each cluster, and ExtFlags not at all.
PARTCLONE = sorted(name for name in FAT if not name.startswith("fat12") and name != "fat32-active1")


@pytest.fixture(scope="module")
def partclone(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[PartcloneMap]]]:
    """What partclone counts as used. It sleeps for two seconds on each image, so they run side by side."""
    need("partclone.fat16")
    with ThreadPoolExecutor(len(PARTCLONE)) as pool:
        yield {
            name: pool.submit(used_map, f"partclone.{name[:5]}", image(name), tmp_path_factory.mktemp("partclone"))
            for name in PARTCLONE
        }


def sleuthkit_runs(text: str) -> set[tuple[int, int]]:
    """The runs of sectors that fsstat lists as chains, as (first, end)."""
    listed = text.split("FAT CONTENTS")[1]
    return {(int(a), int(b) + 1) for a, b in re.findall(r"^(\d+)-(\d+) \(", listed, re.M)}


@pytest.mark.parametrize("name", PARTCLONE)
def test_allocated_as_partclone(image: Image, partclone: dict[str, Future[PartcloneMap]], name: str) -> None:
    path = image(name)
    with FileSource(path) as source:
        volume = open_volume(source)
        theirs = partclone[name].result()
        assert theirs.file_system.lower() == volume.identity.kind
        assert volume.identity.size == theirs.device_size
        used = ExtentList(volume.allocated())
    expected = theirs.extents.clip(0, theirs.device_size)
    if name == "fat32-reserved-bits":
        # Entries whose low 28 bits are 0 are free (fatgen103); partclone compares all 32.
        assert used.subtract(expected).total == 0
        assert expected.subtract(used).total == 5 * 512
    else:
        assert used == expected


@pytest.mark.parametrize("name", ["fat12-1fat", "fat12", "fat12-fragmented", "fat16-fragmented"])
def test_allocated_as_sleuthkit(image: Image, name: str) -> None:
    need("fsstat")
    path = image(name)
    with FileSource(path) as source:
        volume = open_volume(source)
        used = ExtentList(volume.allocated())
        kind = volume.identity.kind
    text = run("fsstat", "-f", kind, path)
    first = int(re.search(r"Cluster Area: (\d+) - ", text)[1])  # type: ignore[index]
    (last,) = re.findall(r"Cluster Area: \d+ - (\d+)", text)
    total = used.end // 512 if used.end > (int(last) + 1) * 512 else int(last) + 1
    tail = (int(last) + 1, volume.identity.size // 512)
    expected = ExtentList(
        (a * 512, b * 512) for a, b in [(0, first), tail, *sleuthkit_runs(text)] if a < b and b <= max(total, tail[1])
    )
    assert used == expected


@pytest.mark.parametrize("name", sorted(set(FAT) - {"fat32-active1", "fat32-mirrordiff"}))
def test_cluster_count_as_fsck(image: Image, name: str) -> None:
    need("fsck.fat")
    path = image(name)
    text = run("fsck.fat", "-v", "-n", path, ok=(0, 1))
    used, total = map(int, re.search(r"files, (\d+)/(\d+) clusters", text).groups())  # type: ignore[union-attr]
    start = int(re.search(r"Data area starts at byte (\d+)", text)[1])  # type: ignore[index]
    with FileSource(path) as source:
        volume = open_volume(source)
        size = volume.identity.block_size
        area = ExtentList(volume.allocated()).clip(start, start + total * size)
        assert area.total // size == used - volume.bad_clusters().total // size


@pytest.mark.parametrize("name", sorted(FAT))
def test_identity_as_blkid(image: Image, name: str) -> None:
    need("blkid")
    path = image(name)
    lines = run("blkid", "-p", "-o", "export", path).splitlines()
    told = dict(line.split("=", 1) for line in lines)
    with FileSource(path) as source:
        identity = open_volume(source).identity
    assert identity.kind == told["VERSION"].lower()
    assert identity.uuid == told["UUID"]
    assert identity.label == told["LABEL"].replace("\\ ", " ")


@pytest.mark.parametrize("name", ["fat12-1fat", "fat16-4k", "fat32-fragmented"])
def test_files_lie_where_sleuthkit_says(image: Image, name: str) -> None:
    """Every run of every file, as istat lists its sectors."""
    need("fls", "istat")
    path = image(name)
    with FileSource(path) as source:
        volume = open_volume(source)
        kind = volume.identity.kind
        ours: dict[str, set[int]] = {}
        for reference in volume.references():
            sectors = range(reference.extent.start // 512, reference.extent.end // 512)
            ours.setdefault(reference.owner, set()).update(sectors)
        sector_size = 4096 if name.endswith("4k") else 512
        per_cluster = volume.identity.block_size // 512
    listed = run("fls", "-r", "-p", "-F", "-u", "-f", kind, path)
    inodes = re.findall(r"^r/r (\d+):\t(.+)$", listed, re.M)
    checked = 0
    for inode, file in inodes[:24]:
        owner = "\\" + file.replace("/", "\\")
        text = run("istat", "-f", kind, path, inode)
        if "(Volume Label Entry)" in file:
            continue
        tail = text.split("Sectors:")[1].split("\n\n")[0]
        scale = sector_size // 512
        numbers = {int(n) * scale + i for n in tail.split() for i in range(scale)}
        numbers.discard(0)  # istat fills its last line up
        mine = ours.get(owner, set())
        assert numbers <= mine, owner
        assert len(mine) == -(-len(numbers) // per_cluster) * per_cluster, "whole clusters"
        checked += 1
    assert checked >= 20


@pytest.mark.parametrize("name", sorted(TREE))
def test_tree_is_complete(image: Image, tmp_path: Path, name: str) -> None:
    """Owners are the paths of the tree that was copied in; lengths fit; all of it is in allocated()."""
    populate(tmp_path)
    expected = {
        "\\tree\\" + str(p.relative_to(tmp_path)).replace("/", "\\"): p.stat().st_size
        for p in tmp_path.rglob("*")
        if p.is_file() and p.stat().st_size
    }
    with FileSource(image(name)) as source:
        volume = open_volume(source)
        used = ExtentList(volume.allocated())
        found: dict[str, int] = {}
        for reference in volume.references():
            assert used.covers(*reference.extent), reference
            found[reference.owner] = found.get(reference.owner, 0) + reference.extent.length
        size = volume.identity.block_size
        assert [p for p in volume.problems if p.severity == "error"] == []
    for path, length in expected.items():
        assert found[path] == -(-length // size) * size, path
    assert len(expected) == len(SIZES) - 1 + 59


@pytest.mark.parametrize("name", ["fat12-fragmented", "fat16-fragmented", "fat32-fragmented"])
def test_scattered_file_reads_right(image: Image, name: str) -> None:
    """The content of the large file, put together from its references, is what was written."""
    path = image(name)
    with FileSource(path) as source:
        runs = [r.extent for r in open_volume(source).references() if r.owner == "\\large"]
        data = b"".join(source.read_at(e.start, e.length) for e in runs)
    wanted = b"large" * (path.stat().st_size // 12)
    assert data[: len(wanted)] == wanted
    assert len(runs) > 2


def test_bad_clusters(image: Image) -> None:
    with FileSource(image("fat16-bad")) as source:
        volume: FatVolume = open_volume(source)
        bad = volume.bad_clusters()
        used = ExtentList(volume.allocated())
        codes = [p.code for p in volume.problems]
    assert bad.total == len(BAD_CLUSTERS) * volume.identity.block_size
    assert len(bad) == 1
    assert not used.touches(*next(iter(bad)))
    assert codes == ["fat.bad_clusters"]
