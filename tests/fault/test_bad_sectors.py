"""Sources with bad sectors: what is lost is known to the sector, and everything else comes back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from formats.archive.opening import open_archive
from formats.base.extent import ExtentList
from recovery.cli.exit_codes import ExitCode
from tests.support import jobs, little
from tests.support.command import jurymast
from tests.support.faulty import bad_sectors, bad_sectors_device
from tests.support.ntfs_images import make as make_ntfs
from tests.support.oracles import fsck, ntfs_mounted, read_tree
from tests.support.tools import need, run

pytestmark = pytest.mark.root
BLOCK = 4096
Ranges = list[tuple[int, int]]


def file_blocks(image: Path, name: str) -> list[int]:
    """Byte offsets of the blocks of a file in an ext image, as debugfs tells."""
    need("debugfs")
    return [int(n) * BLOCK for n in run("debugfs", "-R", f"blocks /{name}", image).split()]


def expected(image: Path, bad: Sequence[tuple[int, int]]) -> bytes:
    """The image with zeros in the bad places. Its unused blocks are zeros anyway: it was made as a sparse file."""
    data = bytearray(image.read_bytes())
    for start, end in bad:
        data[start:end] = bytes(end - start)
    return bytes(data)


def lost(told: dict[str, object], title: str = "") -> Ranges:
    """The lost ranges in a result line."""
    volumes = told["volumes"]
    assert isinstance(volumes, list)
    return [(a, b) for v in volumes if title in v["title"] for a, b in v["lost"]]


@pytest.fixture(scope="session")
def hit_places(volume: Path) -> Ranges:
    """One sector in the middle of a block, two neighbours across a border of blocks, a whole block."""
    blocks = file_blocks(volume, "data3.bin")
    other = file_blocks(volume, "data5.bin")
    assert blocks[11] == blocks[10] + BLOCK
    found = [
        (blocks[2] + 512, blocks[2] + 1024),
        (blocks[11] - 512, blocks[11] + 512),
        (other[7], other[7] + BLOCK),
    ]
    return sorted(found)


@pytest.mark.parametrize("how", [bad_sectors, bad_sectors_device])
def test_bad_sectors_in_files_cost_exactly_these(volume: Path, hit_places: Ranges, tmp_path: Path, how: object) -> None:
    """In the output, the report beside the archive, the manifest, info, and the restored volume."""
    archive = tmp_path / "a.jmi"
    assert callable(how)
    with how(volume, hit_places, tmp_path) as source:
        done = jurymast("backup", source, archive, "--json", ok=4)
    assert lost(done.told) == hit_places
    assert done.told["volumes"][0]["lost_bytes"] == 512 + 1024 + BLOCK
    assert done.told["volumes"][0]["proof"] == "FAILED" and done.told["headline"] == "COMPLETED WITH LOSSES"
    assert done.problems("source.unreadable")[0]["offset"] == hit_places[0][0]
    hit = done.told["volumes"][0]["missing"]
    assert len(hit) == 2, hit
    assert hit[0].startswith("/data3.bin: 1536 bytes") and hit[1].startswith("/data5.bin: 4096 bytes")
    text = archive.with_name("a.jmi.report.txt").read_text()
    assert all(f"bytes {start} to {end}" in text for start, end in hit_places)
    with open_archive(archive) as reader:
        assert reader.unreadable(0) == ExtentList(hit_places)
        assert reader.manifest.volumes[0].details["unreadable_bytes"] == 512 + 1024 + BLOCK
        assert reader.manifest.details["outcome"] == "losses"
    told = jurymast("info", archive, "--json", ok=0).told
    assert told["partitions"][0]["proof"]["verdict"] == "FAILED"
    assert told["partitions"][0]["unreadable_bytes"] == 512 + 1024 + BLOCK
    # The archive itself is undamaged.
    assert jurymast("verify", archive, "--json", ok=4).told["numbers"]["damaged_places"] == 0
    back = jurymast("restore", archive, tmp_path / "back.img", "--yes", "--json", ok=4)
    assert lost(back.told) == hit_places
    assert (tmp_path / "back.img").read_bytes() == expected(volume, hit_places)


def test_clone_around_bad_sectors(volume: Path, hit_places: Ranges, tmp_path: Path) -> None:
    with bad_sectors_device(volume, hit_places, tmp_path) as source:
        done = jurymast("clone", source, tmp_path / "t.img", "--yes", "--json", ok=4)
    assert lost(done.told) == hit_places
    assert (tmp_path / "t.img").read_bytes() == expected(volume, hit_places)


def test_bad_sectors_that_nobody_uses_cost_nothing(volume: Path, tmp_path: Path) -> None:
    """Neither in the free rest, nor where a file of a mebibyte or of one block was deleted between others."""
    image = tmp_path / "v.img"
    shutil.copyfile(volume, image)
    block = int(run("debugfs", "-R", 'blocks "/docs/note 3.txt"', image).split()[0]) * BLOCK
    deleted = file_blocks(image, "data4.bin")
    for name in ("/docs/note 3.txt", "/data4.bin"):
        run("debugfs", "-w", "-R", f'rm "{name}"', image)
    bad = sorted([(block, block + BLOCK), (deleted[0], deleted[0] + 1024), (deleted[9], deleted[9] + 64 * 1024)])
    bad.append((little.EXT4_SIZE - (4 << 20), little.EXT4_SIZE))
    for start, _ in bad:
        assert "not in use" in run("debugfs", "-R", f"testb {start // BLOCK}", image)
    with bad_sectors_device(image, bad, tmp_path) as source:
        code, report = jobs.backup(source, tmp_path / "a.jmi")
    assert code is ExitCode.OK and report.volumes[0].proof == "PROVEN", report.to_text()
    assert jobs.restore(tmp_path / "a.jmi", tmp_path / "back.img")[0] is ExitCode.OK
    assert fsck("ext4", tmp_path / "back.img")[0]
    assert read_tree("ext4", tmp_path / "back.img", tmp_path) == read_tree("ext4", image, tmp_path)


def group_place(image: Path, what: str) -> int:
    """Byte offset of "Block bitmap", "Inode bitmap" or "Inode table" of group 0, as dumpe2fs tells."""
    found = re.search(rf"{what} at (\d+)", run("dumpe2fs", image))
    assert found is not None
    return int(found[1]) * BLOCK


@pytest.mark.parametrize(
    ("what", "raw"), [("Block bitmap", True), ("Inode bitmap", False), ("Inode table", False), ("superblock", None)]
)
def test_bad_sectors_in_the_metadata_of_ext(volume: Path, tmp_path: Path, what: str, raw: bool | None) -> None:
    """Whatever cannot be told is stored whole; the rest of the volume comes back byte for byte."""
    start = 1024 if what == "superblock" else group_place(volume, what)
    bad = [(start, start + 512)]
    with bad_sectors_device(volume, bad, tmp_path) as source:
        code, report = jobs.backup(source, tmp_path / "a.jmi")
    assert code is ExitCode.LOSSES
    assert report.volumes[0].lost == bad
    if raw:
        assert report.volumes[0].image_bytes == little.EXT4_SIZE
        assert any("the whole group is taken as in use" in p.text for _, p in report.problems)
    assert jobs.restore(tmp_path / "a.jmi", tmp_path / "back.img")[0] is ExitCode.LOSSES
    assert (tmp_path / "back.img").read_bytes() == expected(volume, bad)


@pytest.fixture(scope="session")
def ntfs(shared: Path, tree: Path) -> Path:
    image = shared / "ntfs.img"
    make_ntfs(image, size=24 << 20, label="win")
    where = shared / "ntfs.mnt"
    where.mkdir()
    with ntfs_mounted(image, where, "streams_interface=windows"):
        for file in sorted(tree.glob("*.bin")):
            (where / file.name).write_bytes(file.read_bytes())
    return image


@pytest.mark.parametrize("what", ["boot sector", "MFT record", "MFT of files", "bitmap"])
def test_bad_sectors_in_the_metadata_of_ntfs(ntfs: Path, tmp_path: Path, what: str) -> None:
    start = {
        "boot sector": 0,
        "MFT record": 4 * 4096 + 6 * 1024,  # seen with mkntfs 2022.10.3: the MFT at cluster 4; record 6 is $Bitmap
        "MFT of files": 4 * 4096 + 66 * 1024,
        "bitmap": ntfs_attribute(ntfs, 6),
    }[what]
    bad = [(start, start + 512)]
    with bad_sectors_device(ntfs, bad, tmp_path) as source:
        code, report = jobs.backup(source, tmp_path / "a.jmi")
    assert code is ExitCode.LOSSES, report.to_text()
    assert report.volumes[0].lost == bad
    assert jobs.restore(tmp_path / "a.jmi", tmp_path / "back.img")[0] is ExitCode.LOSSES
    back, want = (tmp_path / "back.img").read_bytes(), expected(ntfs, bad)
    with open_archive(tmp_path / "a.jmi") as reader:
        for start, end in reader.map(0):
            assert back[start:end] == want[start:end]
        if report.volumes[0].image_bytes == len(want):
            assert back == want


def ntfs_attribute(image: Path, record: int) -> int:
    """Byte offset of the first run of $DATA of an MFT record, as ntfsinfo tells."""
    need("ntfsinfo")
    text = run("ntfsinfo", "-fv", "-i", str(record), image)
    data = text[text.index("$DATA") :]
    found = re.search(r"Runlist:.*?\n\s*0x0\s+0x([0-9a-f]+)\s", data, re.DOTALL)
    assert found is not None, text
    return int(found[1], 16) * 4096


def test_a_disk_whose_first_mebibyte_is_bad_is_found_by_its_backup_table(
    disk: Path, tree: Path, tmp_path: Path
) -> None:
    bad = [(0, 1 << 20)]
    with bad_sectors_device(disk, bad, tmp_path) as source:
        done = jurymast("backup", source, tmp_path / "a.jmi", "--json", ok=4)
    assert lost(done.told, "boot areas") == [(0, 1 << 20)]
    assert lost(done.told, "partition") == []
    assert [v["proof"] for v in done.told["volumes"][1:]] == ["PROVEN", "PROVEN"]
    jurymast("restore", tmp_path / "a.jmi", tmp_path / "back.img", "--yes", "--json", ok=4)
    assert (tmp_path / "back.img").read_bytes()[1 << 20 :] == disk.read_bytes()[1 << 20 :]
    assert "2 : start=" in run("sfdisk", "-d", tmp_path / "back.img").replace("img2", "2")
    part = little.slice_of(tmp_path / "back.img", tmp_path / "1.img", little.EXT4_START, little.EXT4_SIZE)
    assert fsck("ext4", part)[0]
    files = read_tree("ext4", part, tmp_path)
    assert {name for name in files if name.endswith(".bin")} == {p.name for p in tree.glob("*.bin")}


def test_a_disk_whose_table_is_lost_is_stored_whole(tree: Path, tmp_path: Path) -> None:
    """Sector 0 of a disk with an MBR: nobody can tell where its partitions are, and nothing may be left out."""
    image = little.disk(tmp_path / "mbr.img", tree, scheme="mbr")
    with bad_sectors_device(image, [(0, 512)], tmp_path) as source:
        looked = jurymast("inspect", source, "--json", ok=0).told
        assert looked["problems"][0]["code"] == "table.unreadable"
        done = jurymast("backup", source, tmp_path / "a.jmi", "--json", ok=4)
    assert done.told["volumes"][0]["image_bytes"] == little.DISK_SIZE and lost(done.told) == [(0, 512)]
    jurymast("restore", tmp_path / "a.jmi", tmp_path / "back.img", "--yes", "--json", ok=4)
    assert (tmp_path / "back.img").read_bytes() == expected(image, [(0, 512)])


def test_every_second_sector_of_a_stretch(volume: Path, tmp_path: Path) -> None:
    """Many small holes: each is found, what is between them is kept, and the list stays in order."""
    start = file_blocks(volume, "data3.bin")[0]
    bad = [(at, at + 512) for at in range(start, start + 64 * 1024, 1024)]
    with bad_sectors_device(volume, bad, tmp_path) as source:
        code, report = jobs.backup(source, tmp_path / "a.jmi")
    assert code is ExitCode.LOSSES and report.volumes[0].lost == bad
    assert jobs.restore(tmp_path / "a.jmi", tmp_path / "back.img")[0] is ExitCode.LOSSES
    assert (tmp_path / "back.img").read_bytes() == expected(volume, bad)
