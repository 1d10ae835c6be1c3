"""Volumes that Windows and other drivers wrote, and one of 8 TiB."""

from __future__ import annotations

import bz2
import gzip
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from formats.base.extent import Extent, ExtentList
from formats.base.source import FileSource
from fs.ntfs.volume import open_volume
from tests.support.ntfs_images import make
from tests.support.partclone import used_map
from tests.support.tools import need_corpora
from tests.unit.fs.ntfs.test_volume import owners

TiB = 1 << 40


def volume_file(name: str, where: Path) -> Path:
    """The NTFS volume in a corpus file; of a whole disk, the first partition that its MBR names."""
    packed = need_corpora() / "ntfs" / name
    path = where / "volume"
    kind = bz2.open if name.endswith("bz2") else gzip.open if name.endswith("gz") else open
    with kind(packed, "rb") as source, path.open("wb") as target:
        head = source.read(512)
        left = -1
        if head[3:7] != b"NTFS":
            first, count = struct.unpack_from("<II", head, 446 + 8)
            source.seek(first * 512)
            left = count * 512
            head = b""
        target.write(head)
        while left and (piece := source.read(min(left, 1 << 20) if left > 0 else 1 << 20)):
            left -= len(piece) if left > 0 else 0
            if piece.count(0) == len(piece):
                target.seek(len(piece), 1)
            else:
                target.write(piece)
        target.truncate()
    return path


@pytest.mark.parametrize(
    ("name", "label", "records"),
    [
        ("charlie.dd.bz2", "Charlie", 256),
        ("ntfs.bin.gz", "New Volume", 2304),
        ("ntfs3.raw.gz", "", 1152),
        ("testfs1", "mylabel", 581),
        ("ntfs-lastaccess.raw.gz", "Last access", 256),
        ("ntfs-ptrn.raw.gz", "Slack", 256),
    ],
)
def test_volumes_of_others(tmp_path: Path, name: str, label: str, records: int) -> None:
    path = volume_file(name, tmp_path)
    theirs = used_map("partclone.ntfs", path, tmp_path).extents
    with FileSource(path) as source:
        volume = open_volume(source)
        assert (volume.identity.label, volume.mft.count) == (label, records)
        end = volume.geometry.sectors_end
        allocated = ExtentList(volume.allocated())
        assert allocated == theirs.union([(end, end + 512)])
        found = list(volume.references())
        assert all(allocated.covers(*r.extent) for r in found)
        assert volume.problems == ()
        ours = {int(re.findall(r"\d+", r.owner)[1 if "a part of" in r.owner else 0]) for r in found}
        assert {n for n, _ in owners(path, volume.geometry.clusters)} <= ours
        # Everything that is allocated has an owner: a proof of both, and that $BadClus, $Boot, … are counted.
        owned = ExtentList(r.extent for r in found)
        assert allocated.subtract(owned) == ExtentList([(end, end + 512)])


CHILD = """
import sys, time
from formats.base.source import FileSource
from fs.ntfs.volume import open_volume
begun = time.monotonic()
volume = open_volume(FileSource(sys.argv[1]))
extents = list(volume.allocated())
references = list(volume.references())
assert volume.problems == ()
print(len(extents), extents[-1].end, len(references))
with open("/proc/self/status") as status:  # ru_maxrss would count the parent before exec
    peak = next(line for line in status if line.startswith("VmHWM")).split()[1]
print(time.monotonic() - begun, int(peak) // 1024)
"""


def test_eight_terabytes_take_seconds_and_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "big"
    make(path, size=8 * TiB)
    try:
        root = Path(__file__).resolve().parents[4]
        text = subprocess.run(
            [sys.executable, "-c", CHILD, path], cwd=root, check=True, capture_output=True, text=True
        ).stdout
    finally:
        path.unlink()
    first, second = text.splitlines()
    assert first == f"5 {8 * TiB} 11"
    seconds, megabytes = (float(word) for word in second.split())
    assert seconds < 20
    assert megabytes < 200


def test_the_map_of_a_large_volume_is_where_mkntfs_put_things(tmp_path: Path) -> None:
    """A volume with more than one slab of bitmap (256 GiB at 4 KiB: two), and clusters in the second."""
    path = tmp_path / "large"
    make(path, size=256 << 30)
    theirs = used_map("partclone.ntfs", path, tmp_path)
    with FileSource(path) as source:
        volume = open_volume(source)
        assert ExtentList(volume.allocated()) == theirs.extents.union([Extent(source.size - 512, source.size)])
