"""exFAT volumes that others made, sound and broken."""

from __future__ import annotations

import gzip
import lzma
import tarfile
from pathlib import Path

import pytest

from formats.base.errors import Inconsistent, NotThisFormat
from formats.base.extent import ExtentList
from formats.base.source import BlockSource, MemorySource
from fs.exfat.volume import ExfatVolume, open_volume
from tests.support.tools import CORPORA, need_corpora

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
