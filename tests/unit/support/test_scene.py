"""The demo disk: is it what it says, by sfdisk, sgdisk, blkid and the readers of each file system?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.blkid import ask
from tests.support.oracles import fsck, read_tree
from tests.support.scene import LABELS, copy_sparse, make_disk
from tests.support.tools import loop_device, need, need_root, run, sparse_file

MiB = 1 << 20
NUMBERS = {
    "gpt": {"fat32": 1, "ntfs": 2, "ext4": 3, "swap": 4},
    "mbr": {"fat32": 1, "ntfs": 2, "extended": 3, "ext4": 5, "swap": 6},
}


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize("scheme", ["gpt", "mbr"])
def test_scene(scheme: str, sector_size: int, tmp_path: Path) -> None:
    need_root()
    scene = make_disk(tmp_path / "disk.img", scheme=scheme, sector_size=sector_size)
    assert scene.path.stat().st_size == scene.size
    assert scene.path.stat().st_blocks * 512 < 32 * MiB, "sparse"
    assert {p.kind: p.number for p in scene.partitions} == NUMBERS[scheme]
    with loop_device(scene.path, sector_size=sector_size, read_only=True) as device:
        table = json.loads(run("sfdisk", "-J", device))["partitiontable"]
        if scheme == "gpt":
            need("sgdisk")
            assert "No problems found" in run("sgdisk", "-v", device)
    assert table["label"] == {"gpt": "gpt", "mbr": "dos"}[scheme]
    listed = [
        (int(p["node"].rpartition("p")[2]), p["start"] * sector_size, p["size"] * sector_size)
        for p in table["partitions"]
    ]
    assert listed == [(p.number, p.start, p.size) for p in scene.partitions]
    for partition in scene.partitions:
        if partition.kind == "extended":
            continue
        volume = scene.extract(partition, tmp_path / "volume")
        said = ask(volume)
        assert (said.kind, said.label, said.uuid) == (
            partition.kind.replace("fat32", "vfat"), LABELS[partition.kind], partition.uuid,
        )  # fmt: skip
        if partition.kind == "swap":
            assert partition.tree == {} and any(volume.read_bytes()[MiB : 3 * MiB])
        else:
            assert len(partition.tree) == 72
            assert read_tree(partition.kind, volume, tmp_path) == partition.tree
            clean, told = fsck(partition.kind, volume)
            assert clean, told
        volume.unlink()


def test_copy_sparse(tmp_path: Path) -> None:
    source = sparse_file(tmp_path / "source", 8 * MiB)
    with source.open("r+b") as file:
        for at in (0, 3 * MiB, 8 * MiB - 5):
            file.seek(at)
            file.write(b"12345")
    target = sparse_file(tmp_path / "target", 10 * MiB)
    copy_sparse(source, target, target_start=MiB)
    data = target.read_bytes()
    assert data[MiB : 9 * MiB] == source.read_bytes()
    assert not any(data[:MiB]) and not any(data[9 * MiB :])
    part = sparse_file(tmp_path / "part", 4 * MiB)
    copy_sparse(source, part, source_start=3 * MiB + 2, length=4 * MiB)
    assert part.read_bytes() == source.read_bytes()[3 * MiB + 2 : 7 * MiB + 2]
    assert part.stat().st_blocks * 512 < MiB
