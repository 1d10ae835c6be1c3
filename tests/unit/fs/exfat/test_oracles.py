"""Generated exFAT volumes against partclone, dump.exfat, fsck.exfat, blkid and The Sleuth Kit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from formats.base.extent import ExtentList
from formats.base.source import FileSource
from fs.exfat.volume import open_volume
from tests.support.fat_images import EXFAT
from tests.support.partclone import PartcloneMap, used_map
from tests.support.tools import need, run
from tests.support.tree import populate
from tests.unit.fs.exfat.conftest import Image

NAMES = sorted(EXFAT)
TREE = [name for name in NAMES if "empty" not in name and "fragmented" not in name]


@pytest.fixture(scope="module")
def partclone(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[PartcloneMap]]]:
    """What partclone counts as used. It sleeps for two seconds on each image, so they run side by side."""
    need("partclone.exfat")
    with ThreadPoolExecutor(len(NAMES)) as pool:
        yield {
            name: pool.submit(used_map, "partclone.exfat", image(name), tmp_path_factory.mktemp("partclone"))
            for name in NAMES
        }


def geometry(path: Path) -> dict[str, int]:
    """What dump.exfat prints, by a short name."""
    text = run("dump.exfat", path)
    return {key.strip(): int(value, 0) for key, value in re.findall(r"^([^:\n]+):\s+(0x[0-9a-f]+|\d+)$", text, re.M)}


@pytest.mark.parametrize("name", NAMES)
def test_allocated_as_partclone(image: Image, partclone: dict[str, Future[PartcloneMap]], name: str) -> None:
    theirs = partclone[name].result()
    with FileSource(image(name)) as source:
        volume = open_volume(source)
        used = ExtentList(volume.allocated())
        last = volume._boot.cluster_offset(volume._boot.limit)
    assert volume.identity.size == theirs.device_size
    # The sectors behind the last cluster belong to no file; partclone leaves them out, we keep them.
    assert used.clip(0, last) == theirs.extents
    assert used.clip(last, theirs.device_size).total == theirs.device_size - last
    assert list(volume.problems) == []


@pytest.mark.parametrize("name", NAMES)
def test_counts_as_dump(image: Image, name: str) -> None:
    need("dump.exfat")
    told = geometry(image(name))
    with FileSource(image(name)) as source:
        volume = open_volume(source)
        boot = volume._boot
        area = ExtentList(volume.allocated()).clip(boot.heap_offset, boot.cluster_offset(boot.limit))
    assert volume.identity.block_size == told["Cluster size"]
    assert boot.clusters == told["Total Clusters"]
    assert boot.clusters - area.total // boot.cluster_size == told["Free Clusters"]


@pytest.mark.parametrize("name", NAMES)
def test_identity_as_blkid(image: Image, name: str) -> None:
    need("blkid")
    told = dict(line.split("=", 1) for line in run("blkid", "-p", "-o", "export", image(name)).splitlines())
    with FileSource(image(name)) as source:
        identity = open_volume(source).identity
    assert (identity.kind, identity.uuid) == (told["TYPE"], told["UUID"])
    label = run("blkid", "-p", "-o", "value", "-s", "LABEL", image(name), ok=(0, 2))
    assert identity.label == label.rstrip("\n")


@pytest.mark.parametrize("name", TREE)
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
    for path, length in expected.items():
        assert found[path] == -(-length // size) * size, path
    assert {"allocation bitmap", "up-case table", "\\"} <= found.keys()


def test_scattered_file_reads_right(image: Image) -> None:
    """The content of the large file, put together from its references, is what was written."""
    with FileSource(image("exfat-fragmented")) as source:
        runs = [r.extent for r in open_volume(source).references() if r.owner == "\\large"]
        data = b"".join(source.read_at(e.start, e.length) for e in runs)
    wanted = b"large" * 500_000
    assert data[: len(wanted)] == wanted
    assert len(runs) > 2


@pytest.mark.parametrize("name", ["exfat-c512", "exfat-fragmented"])
def test_files_lie_where_sleuthkit_says(image: Image, name: str) -> None:
    need("fls", "istat")
    path = image(name)
    with FileSource(path) as source:
        volume = open_volume(source)
        per_cluster = volume.identity.block_size // 512
        ours: dict[str, set[int]] = {}
        for reference in volume.references():
            sectors = range(reference.extent.start // 512, reference.extent.end // 512)
            ours.setdefault(reference.owner, set()).update(sectors)
    listed = run("fls", "-r", "-p", "-F", "-u", "-f", "exfat", path)
    checked = 0
    for inode, file in re.findall(r"^r/r (\d+):\t([^$].*)$", listed, re.M)[:24]:
        owner = "\\" + file.replace("/", "\\")
        if owner not in ours:
            continue
        text = run("istat", "-f", "exfat", path, inode)
        numbers = {int(n) for n in text.split("Sectors:")[1].split("\n\n")[0].split()} - {0}
        assert numbers <= ours[owner], owner
        assert len(ours[owner]) == -(-len(numbers) // per_cluster) * per_cluster
        checked += 1
    assert checked >= 10
