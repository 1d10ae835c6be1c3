from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.base.errors import Corrupt, Inconsistent, NotThisFormat, Unsupported
from formats.base.problem import Severity
from formats.base.source import FileSource, MemorySource
from fs.ntfs.boot import backup_places, find_boot, parse_boot
from fs.ntfs.findings import Findings
from fs.ntfs.volume import open_volume
from tests.support.ntfs_images import CLUSTER_SIZES, Editor
from tests.support.tools import run


def boot(**change: int) -> bytes:
    """A boot sector of 8192 sectors of 512 bytes in clusters of 4096."""
    values = {
        "sector": 512,
        "cluster": 8,
        "total": 8191,
        "mft": 4,
        "mirror": 511,
        "record": -10,
        "index": 1,
        **change,
    }
    data = bytearray(512)
    data[3:11] = b"NTFS    "
    struct.pack_into("<HB", data, 11, values["sector"], values["cluster"])
    struct.pack_into(
        "<QQQb3xb3xQ", data, 40, *(values[k] for k in ("total", "mft", "mirror", "record", "index")), 0xABC
    )
    data[510:] = b"\x55\xaa"
    return bytes(data)


def test_every_field() -> None:
    geometry = parse_boot(boot(), 0, "test")
    assert (geometry.sector_size, geometry.cluster_size, geometry.clusters) == (512, 4096, 1023)
    assert (geometry.record_size, geometry.index_size, geometry.serial) == (1024, 4096, 0xABC)
    assert geometry.sectors_end == 8191 * 512


@pytest.mark.parametrize(
    ("change", "error", "offset"),
    [
        ({"sector": 0}, Corrupt, 0x0B),
        ({"sector": 513}, Corrupt, 0x0B),
        ({"cluster": 0}, Corrupt, 0x0D),
        ({"cluster": 3}, Corrupt, 0x0D),
        ({"cluster": 0xF3}, Unsupported, None),
        ({"cluster": 129}, Unsupported, None),
        ({"total": 7}, Corrupt, 0x28),
        ({"total": 1 << 63}, Corrupt, 0x28),
        ({"mft": 1023}, Inconsistent, 0x30),
        ({"record": 0}, Corrupt, 0x40),
        ({"record": -4}, Corrupt, 0x40),
        ({"record": -128}, Corrupt, 0x40),
        ({"record": 3}, Corrupt, 0x40),
        ({"index": 127}, Corrupt, 0x44),
    ],
)
def test_impossible_values_are_named_with_their_place(
    change: dict[str, int], error: type[Exception], offset: int | None
) -> None:
    with pytest.raises(error) as caught:
        parse_boot(boot(**change), 4096, "test")
    assert getattr(caught.value, "offset", None) == (None if offset is None else 4096 + offset)


@pytest.mark.parametrize("size", CLUSTER_SIZES)
def test_cluster_sizes_of_mkntfs(image: Callable[[str], Path], size: int) -> None:
    path = image(f"cluster-{size}")
    with FileSource(path) as source:
        geometry = find_boot(source, Findings())
    text = run("ntfsinfo", "-m", path)
    facts = {k.strip(): v.strip() for k, v in (line.split(":", 1) for line in text.splitlines() if ":" in line)}
    assert geometry.cluster_size == size == int(facts["Cluster Size"])
    assert geometry.clusters == int(facts["Volume Size in Clusters"])
    assert geometry.record_size == int(facts["MFT Record Size"])
    assert geometry.index_size == int(facts["Index Block Size"])


def test_4kn_media(image: Callable[[str], Path]) -> None:
    with FileSource(image("4kn")) as source:
        geometry = find_boot(source, Findings())
        assert (geometry.sector_size, geometry.record_size) == (4096, 4096)
        assert backup_places(source, geometry) == [source.size - 4096]


@pytest.mark.parametrize("name", ["cluster-4096", "4kn", "rich"])
def test_identity_is_what_blkid_says(image: Callable[[str], Path], name: str) -> None:
    path = image(name)
    said = dict(line.split("=", 1) for line in run("blkid", "-p", "-o", "export", path).splitlines() if "=" in line)
    with FileSource(path) as source:
        identity = open_volume(source).identity
    assert (identity.kind, identity.uuid) == (said["TYPE"], said["UUID"])
    assert f"Volume Name: {identity.label}\n" in run("ntfsinfo", "-m", path)
    assert identity.label in ("tree", "Ünï")
    assert identity.size == path.stat().st_size


def test_nothing_of_ntfs_is_not_this_format() -> None:
    for data in (b"", b"\0" * 300, bytes(1 << 20), boot()[:11]):
        with pytest.raises(NotThisFormat):
            open_volume(MemorySource(data))


def test_the_backup_is_used_and_said(image: Callable[[str], Path]) -> None:
    with FileSource(image("no-primary-boot")) as source:
        volume = open_volume(source)
        assert volume.geometry.offset == source.size - 512
    assert [(p.severity, p.code, p.offset) for p in volume.problems] == [(Severity.ERROR, "ntfs.primary_boot", 0)]


def test_the_backup_of_4kn_media_is_found(copy: Callable[[str], Path]) -> None:
    path = copy("4kn")
    with Editor(path) as editor:
        editor.put(11, b"\xff\xff")
    with FileSource(path) as source:
        assert open_volume(source).geometry.offset == source.size - 4096


def test_a_damaged_sector_0_without_backup_is_corrupt(copy: Callable[[str], Path]) -> None:
    path = copy("cluster-4096")
    with Editor(path) as editor:
        editor.put(11, b"\xff\xff")
        editor.put(editor.end, bytes(512))
    with FileSource(path) as source, pytest.raises(Corrupt) as caught:
        open_volume(source)
    assert caught.value.offset == 11


@pytest.mark.parametrize("damage", [bytes(512), None])
def test_a_lost_or_different_backup_is_a_warning(copy: Callable[[str], Path], damage: bytes | None) -> None:
    path = copy("cluster-4096")
    with Editor(path) as editor:
        end = editor.end
        if damage is None:
            editor.put(end + 40, b"\1")
        else:
            editor.put(end, damage)
    with FileSource(path) as source:
        volume = open_volume(source)
        assert list(volume.allocated())[-1][1] == end + 512, "the sector belongs to the volume all the same"
    assert [(p.severity, p.code, p.offset) for p in volume.problems] == [(Severity.WARNING, "ntfs.backup_boot", end)]


def test_in_a_larger_partition_both_places_are_kept(copy: Callable[[str], Path]) -> None:
    path = copy("cluster-4096")
    with path.open("r+b") as file:
        first = file.read(512)
        end = path.stat().st_size
        file.seek(end + 65536 - 512)
        file.write(first)
    with FileSource(path) as source:
        extents = list(open_volume(source).allocated())
    assert extents[-2:] == [(end - 512, end), (end + 65536 - 512, end + 65536)]
