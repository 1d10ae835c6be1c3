"""Whose is this block? Bad sectors of a disk and bad bytes of an archive lead to the names of files."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from formats.archive.opening import open_archive
from fs.walk import resolve
from recovery.engine.browse import open_volume
from tests.explore.conftest import Made, jurymast, jurymast_json
from tests.support.faulty import bad_sectors_device
from tests.support.scene import copy_sparse
from tests.support.tools import need, run, sparse_file
from tests.support.tree import digest

HIT = "dir/f11_1000003.bin"
NUMBERS = {"fat32": 1, "ntfs": 2, "ext4": 3}


def place_of(made: Made, kind: str, path: str) -> tuple[int, int]:
    """(bytes of the disk, length) of the first run of a file, by our own runs; checked against the content below."""
    partition = made.scene.partition(kind)
    with open_volume(f"{made.scene.path}:{partition.number}") as volume:
        node = resolve(volume.tree, path)
        run_ = next(r for r in volume.tree.runs(node) if r.physical is not None)
        with made.scene.path.open("rb") as file:
            file.seek(partition.start + run_.physical)
            assert file.read(run_.length) == volume.tree.open(node).read_at(0, min(run_.length, node.size)).ljust(
                run_.length, b"\0"
            )
        return partition.start + run_.physical, run_.length


@pytest.mark.parametrize("kind", ["fat32", "ntfs", "ext4"])
def test_runs_agree_with_other_programs(made: Made, kind: str, tmp_path: Path) -> None:
    """Before anything is built on the runs: debugfs, ntfscluster and mshowfat tell the same first cluster."""
    start, _ = place_of(made, kind, HIT)
    partition = made.scene.partition(kind)
    volume = made.scene.extract(partition, tmp_path / "volume")
    inside = start - partition.start
    if kind == "ext4":
        need("debugfs")
        assert int(run("debugfs", "-R", f"blocks /{HIT}", volume).split()[0]) * 4096 == inside
    elif kind == "ntfs":
        need("ntfscluster")
        told = run("ntfscluster", "-c", f"{inside // 4096}-{inside // 4096}", volume, ok=(0, 1))
        assert "f11_1000003.bin" in told
    else:
        need("mshowfat")
        first = run("mshowfat", "-i", volume, f"::/{HIT}").split("<")[1]
        told = run("fsck.fat", "-nv", volume)
        line = next(line for line in told.splitlines() if "Data area starts at byte" in line)
        data = int(line.split("byte")[1].split()[0])
        assert data + (int(first.split("-")[0].rstrip(">")) - 2) * 512 == inside


def test_backup_of_a_damaged_disk_names_the_files(made: Made, tmp_path: Path) -> None:
    bad = []
    for kind in NUMBERS:
        start, _ = place_of(made, kind, HIT)
        bad.append(((start + 65536) // 512 * 512, (start + 65536) // 512 * 512 + 1024))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with bad_sectors_device(made.scene.path, sorted(bad), scratch) as device:
        result = jurymast_json("backup", device, tmp_path / "a.jmi", ok=4)[-1]
    assert result["outcome"] == "losses"
    for kind, number in NUMBERS.items():
        volume = next(v for v in result["volumes"] if v["number"] == number and v["file_system"] == kind)
        assert volume["lost_bytes"] == 1024
        assert [name for name in volume["missing"] if HIT in name], volume
        assert len(volume["missing"]) == 1, "nothing but that file"
    for number in NUMBERS.values():
        out = tmp_path / f"out{number}"
        told = jurymast_json("extract", f"{tmp_path / 'a.jmi'}:{number}", out, ok=4)
        assert told[-1]["numbers"]["not_whole"] == 1
        assert (out / f"{HIT}.damaged").stat().st_size == 1000003 and not (out / HIT).exists()
        assert len(digest(out)) == 72
        lines = jurymast_json("hash", f"{tmp_path / 'a.jmi'}:{number}", ok=4)
        assert [line["path"] for line in lines if line.get("fault")] == [HIT]
    files = jurymast_json("verify", "--files", tmp_path / "a.jmi", ok=4)[-1]
    faults = [p["text"] for p in files["problems"] if p["code"] == "files.fault"]
    assert len(faults) == 3 and all(HIT in text for text in faults)


def test_verify_of_a_damaged_archive_names_the_files(made: Made, tmp_path: Path) -> None:
    archive = tmp_path / "bad.jmi"
    shutil.copy(made.archive, archive)
    start, _ = place_of(made, "ntfs", HIT)
    partition = made.scene.partition("ntfs")
    with open_archive(archive) as reader:
        index = next(i for i, v in enumerate(reader.manifest.volumes) if v.number == 2)
        block = (start - partition.start) // reader.block_size + 1
        where = reader.find(index, block).where
        assert where is not None
    with archive.open("r+b") as file:
        file.seek(where.offset + 200)
        file.write(random.Random(3).randbytes(50))
    result = jurymast_json("verify", "--files", archive, ok=5)[-1]
    volume = next(v for v in result["volumes"] if v["number"] == 2)
    assert any(f"/{HIT}: " in name for name in volume["missing"])
    faults = [p["text"] for p in result["problems"] if p["code"] == "files.fault"]
    assert any(HIT in text for text in faults)
    others = [v for v in result["volumes"] if v["number"] in (1, 3)]
    assert all(not v["missing"] and v["files"] == 72 for v in others)
    # What is left comes back, and the rest is named.
    told = jurymast_json("extract", f"{archive}:2", tmp_path / "out", ok=4)[-1]
    assert told["numbers"]["files"] == 72
    good = {p: d for p, d in digest(tmp_path / "out").items() if not p.endswith(".damaged")}
    assert len(good) >= 60 and all(partition.tree[p] == d for p, d in good.items())


def test_verify_files_of_a_good_archive(made: Made) -> None:
    result = jurymast_json("verify", "--files", made.archive)[-1]
    assert [v["files"] for v in result["volumes"]] == [None, 72, 72, 72, None]
    assert result["headline"] == "THE ARCHIVE IS GOOD"
    assert all("files" in v and v["files"] is None for v in jurymast_json("verify", made.archive)[-1]["volumes"])


def test_diff(made: Made, tmp_path: Path) -> None:
    """Against an archive of a changed disk; by equal blocks where nothing moved."""
    same = jurymast_json("diff", made.archive, made.archive)[-1]
    assert same["differences"] == 0 and same["by_blocks"] >= 100
    image = sparse_file(tmp_path / "disk.img", made.scene.size)
    copy_sparse(made.scene.path, image)
    partition = made.scene.partition("ext4")
    volume = made.scene.extract(partition, tmp_path / "volume")
    (tmp_path / "new").write_bytes(b"n" * 5000)
    (tmp_path / "other").write_bytes(b"o" * 4096)
    script = "\n".join(
        ["cd /dir", f"write {tmp_path / 'new'} added", "rm f4_513.bin", "rm f6_4095.bin", "rm f7_4096.bin",
         f"write {tmp_path / 'other'} f7_4096.bin", "set_inode_field f8_4097.bin mtime 200001010000"]
    )  # fmt: skip
    (tmp_path / "script").write_text(script + "\n")
    run("debugfs", "-w", "-f", tmp_path / "script", volume)
    copy_sparse(volume, image, target_start=partition.start)
    other = tmp_path / "other.jmi"
    jurymast("backup", image, other)
    lines = jurymast_json("diff", made.archive, other)
    found = {line["path"]: line["change"] for line in lines if line["type"] == "difference"}
    found.pop("3/dir", None)  # its own times, as debugfs leaves them
    assert found == {
        "3/dir/added": "added", "3/dir/f4_513.bin": "removed", "3/dir/f6_4095.bin": "removed",
        "3/dir/f7_4096.bin": "changed", "3/dir/f8_4097.bin": "metadata",
    }  # fmt: skip
    assert lines[-1]["same"] >= 200
    back = {line["path"]: line["change"] for line in jurymast_json("diff", other, made.archive) if "change" in line}
    assert back["3/dir/added"] == "removed" and back["3/dir/f4_513.bin"] == "added"
    by_reading = jurymast_json("diff", f"{made.archive}:3", f"{image}:3")
    assert {line["path"] for line in by_reading if "change" in line} - {"/dir"} == {p.removeprefix("3") for p in found}
