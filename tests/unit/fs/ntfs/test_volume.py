"""The map against partclone, ntfscat and ntfscluster."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.base.bitmap import bit_runs
from formats.base.errors import Corrupt, DeviceError, Inconsistent
from formats.base.extent import Extent, ExtentList
from formats.base.source import FileSource, Window
from fs.ntfs.volume import NtfsVolume, open_volume
from tests.support.ntfs_images import GENERATORS, Editor, encode_runs, record_of
from tests.support.tools import run
from tests.unit.fs.ntfs.conftest import Partclone


def codes(volume: NtfsVolume) -> list[str]:
    return [problem.code for problem in volume.problems]


@pytest.mark.parametrize("name", [n for n in GENERATORS if n not in ("bitmap-lag", "no-primary-boot")])
def test_the_map_is_partclones_and_the_backup_boot_sector(
    image: Callable[[str], Path], partclone: Partclone, name: str
) -> None:
    theirs = partclone(name)
    with FileSource(image(name)) as source:
        volume = open_volume(source)
        extents = list(volume.allocated())
        assert ExtentList(extents) == theirs.extents.union([(volume.geometry.sectors_end, source.size)])
        assert extents == list(ExtentList(extents)), "ascending, disjoint, never touching"
        assert list(volume.allocated()) == extents, "a second time"


@pytest.mark.parametrize("name", ["cluster-512", "cluster-4096", "cluster-2097152", "4kn", "fragmented-mft"])
def test_the_map_is_the_bitmap_that_ntfscat_reads(image: Callable[[str], Path], name: str) -> None:
    path = image(name)
    bits = subprocess.run(["ntfscat", "-i", "6", path], check=True, capture_output=True).stdout
    with FileSource(path) as source:
        volume = open_volume(source)
        size, count = volume.geometry.cluster_size, volume.geometry.clusters
        theirs = ExtentList((a * size, b * size) for a, b in bit_runs(bits, count))
        assert ExtentList(volume.allocated()).clip(0, count * size) == theirs


@pytest.mark.parametrize("name", list(GENERATORS))
def test_everything_that_metadata_refer_to_is_in_the_map(image: Callable[[str], Path], name: str) -> None:
    with FileSource(image(name)) as source:
        volume = open_volume(source)
        allocated = ExtentList(volume.allocated())
        found = list(volume.references())
        before = codes(volume)
        assert len(list(volume.references())) == len(found)
    assert len(found) >= 9
    assert [r for r in found if not allocated.covers(*r.extent)] == []
    assert codes(volume) == before, "a second walk finds nothing twice"
    assert set(before) <= {"ntfs.dirty", "ntfs.hibernated", "ntfs.bitmap_lag", "ntfs.primary_boot"}


def owners(path: Path, clusters: int) -> set[tuple[int, str]]:
    """(record, attribute) of everything that ntfscluster finds on the volume."""
    text = run("ntfscluster", "-c", f"0-{clusters - 1}", path, ok=(0, 1))
    found = set()
    for line in text.splitlines():
        match = re.fullmatch(r"Inode (\d+) .*/(\$[A-Z_]+)(?:\((.*)\))?", line)
        if match:
            found.add((int(match[1]), match[2] + (f":{match[3]}" if match[3] else "")))
    return found


@pytest.mark.parametrize("name", ["cluster-1024", "cluster-65536", "4kn", "rich", "paging", "fragmented-mft"])
def test_the_owners_are_those_that_ntfscluster_names(image: Callable[[str], Path], name: str) -> None:
    path = image(name)
    with FileSource(path) as source:
        volume = open_volume(source)
        ours = set()
        for reference in volume.references():
            match = re.fullmatch(r"MFT record (\d+)(?:, a part of (\d+),)? (\$[A-Z_]+(?::.*)?)", reference.owner)
            assert match, reference.owner
            ours.add((int(match[2] or match[1]), match[3]))
        theirs = owners(path, volume.geometry.clusters)
    assert len(theirs) > 10
    # $MFT's extension records carry base 0 and are named by their own number.
    assert {o for o in ours if o[0] > 23} == {o for o in theirs if o[0] > 23}
    assert theirs <= ours


def test_mft_with_an_attribute_list_of_its_own(image: Callable[[str], Path]) -> None:
    path = image("fragmented-mft")
    with FileSource(path) as source:
        mft = open_volume(source).mft
        parts = [a for a in mft.attributes(0) if a.label == "$DATA"]
        assert len(parts) >= 2, "the generator must force an extension record"
        assert len(list(mft.stream.extents())) > 200
        whole = mft.stream.read_at(0, mft.stream.size)
    theirs = subprocess.run(["ntfscat", "-i", "0", path], check=True, capture_output=True).stdout
    # ntfscat shows the last words of every sector with fixups applied; they are checked elsewhere.
    assert len(whole) == len(theirs)
    assert all(whole[i : i + 510] == theirs[i : i + 510] for i in range(0, len(whole), 512))


def test_the_rich_image_is_rich(image: Callable[[str], Path]) -> None:
    path = image("rich")
    number = record_of(path, "linked.bin")
    with FileSource(path) as source:
        volume = open_volume(source)
        found = volume.mft.attributes(number)
        assert len([a for a in found if a.label == "$FILE_NAME"]) == 301
        assert len({a.record for a in found}) > 10
        big = volume.mft.attributes(record_of(path, "big_fragmented.bin"))
        assert sum(len(a.runs) for a in big) > 50
        assert any(r.owner.endswith(" $DATA:big") for r in volume.references())


def test_lost_clusters_are_found_and_counted(image: Callable[[str], Path], partclone: Partclone) -> None:
    path = image("bitmap-lag")
    theirs = partclone("bitmap-lag").extents
    with FileSource(path) as source:
        volume = open_volume(source)
        extra = ExtentList(volume.allocated()).subtract(theirs)
    number = record_of(path, "dir/f11_1000003.bin")
    with Editor(path) as editor:
        data = editor.read(number)
        lcn, _ = editor.runs(data, editor.find(data, 0x80))[0]
    size = 4096
    lost = [((lcn + i) * size, (lcn + i + 1) * size) for i in (5, 9)]
    assert list(extra) == [Extent(*e) for e in lost] + [Extent(volume.geometry.sectors_end, path.stat().st_size)]
    (problem,) = volume.problems
    assert (problem.code, problem.offset) == ("ntfs.bitmap_lag", lost[0][0])
    assert problem.text.startswith("2 clusters")


def test_bad_clusters(image: Callable[[str], Path]) -> None:
    with FileSource(image("bad-clusters")) as source:
        volume = open_volume(source)
        bad = volume.bad_clusters()
        assert bad == ExtentList([(3000 * 4096, 3002 * 4096), (3100 * 4096, 3101 * 4096)])
        allocated = ExtentList(volume.allocated())
        assert all(allocated.covers(*extent) for extent in bad)
        assert "MFT record 8 $DATA:$Bad" in {r.owner for r in volume.references()}
    assert codes(volume) == []
    with FileSource(image("rich")) as source:
        assert len(open_volume(source).bad_clusters()) == 0


def test_a_run_beyond_the_volume_is_named_and_cut(copy: Callable[[str], Path]) -> None:
    path = copy("cluster-4096")
    number = record_of(path, "dir/f11_1000003.bin")
    with Editor(path) as editor:
        data = editor.read(number)
        at = editor.find(data, 0x80)
        pairs = data[at + 32]
        clusters, where = editor.clusters, editor.place(number) + at
        runs = encode_runs([(clusters - 2, 245)])
        editor.write(number, editor.replace(data, at, bytes(data[at : at + pairs]) + runs))
    with FileSource(path) as source:
        volume = open_volume(source)
        extents = list(volume.allocated())
        assert (extents[-1].start, extents[-1].end) == ((clusters - 2) * 4096, source.size) or (
            extents[-2] == ((clusters - 2) * 4096, clusters * 4096)
        )
        list(volume.references())
    problems = {p.code: p for p in volume.problems}
    assert set(problems) == {"ntfs.run_list", "ntfs.bitmap_lag"}
    assert problems["ntfs.run_list"].offset == where
    assert f"MFT record {number} $DATA" in problems["ntfs.run_list"].text
    assert problems["ntfs.bitmap_lag"].text.startswith("2 clusters")


def test_a_record_written_in_part_is_named_and_the_rest_goes_on(copy: Callable[[str], Path]) -> None:
    path = copy("cluster-4096")
    whole = open_walk(path)
    number = record_of(path, "dir/f10_65536.bin")
    with Editor(path) as editor:
        where = editor.place(number)
        editor.put(where + 1022, b"\xab\xcd")
    with FileSource(path) as source:
        volume = open_volume(source)
        rest = [r.owner for r in volume.references()]
        assert ExtentList(volume.allocated()).total > 0
    assert set(whole) - set(rest) == {f"MFT record {number} $DATA"}
    (problem,) = volume.problems
    assert (problem.code, problem.offset) == ("ntfs.mft_record", where)
    assert f"MFT record {number}" in problem.text


def open_walk(path: Path) -> list[str]:
    with FileSource(path) as source:
        return [r.owner for r in open_volume(source).references()]


def test_free_records_may_hold_anything(copy: Callable[[str], Path]) -> None:
    path = copy("cluster-4096")
    with FileSource(path) as source:
        mft = open_volume(source).mft
        free = next(n for n in range(24, mft.count) if not mft.recorded_in_use(n))
    with Editor(path) as editor:
        editor.put(editor.place(free), b"\xa5" * 1024)
    with FileSource(path) as source:
        volume = open_volume(source)
        assert open_walk(path)
        list(volume.references())
    assert codes(volume) == []


def test_many_damaged_records_are_counted_not_listed(copy: Callable[[str], Path]) -> None:
    path = copy("cluster-4096")
    with Editor(path) as editor:
        for number in range(80, 120):
            editor.put(editor.place(number), b"BAAD")
    with FileSource(path) as source:
        volume = open_volume(source)
        list(volume.references())
    assert codes(volume) == ["ntfs.mft_record"] * 6
    assert volume.problems[-1].text.startswith("40 MFT records")


def test_a_damaged_bitmap_record_is_corrupt(copy: Callable[[str], Path]) -> None:
    path = copy("cluster-4096")
    with Editor(path) as editor:
        where = editor.place(6)
        editor.put(where + 510, b"\xab\xcd")
    with FileSource(path) as source, pytest.raises(Corrupt) as caught:
        open_volume(source)
    assert caught.value.offset == where + 510


def test_a_bitmap_that_is_too_small_or_has_holes_is_corrupt(copy: Callable[[str], Path]) -> None:
    path = copy("cluster-4096")
    with Editor(path) as editor:
        good = editor.read(6)
        at = editor.find(good, 0x80)
        small = bytearray(good)
        small[at + 48 : at + 64] = (100).to_bytes(8, "little") * 2
        editor.write(6, small)
    with FileSource(path) as source, pytest.raises(Inconsistent):
        open_volume(source)
    with Editor(path) as editor:
        head = bytes(good[at : at + good[at + 32]])
        editor.write(6, editor.replace(good, at, head + encode_runs([(None, 1)])))
    with FileSource(path) as source, pytest.raises(Corrupt):
        open_volume(source)


def test_mirror_saves_record_0(copy: Callable[[str], Path], image: Callable[[str], Path]) -> None:
    path = copy("cluster-4096")
    with Editor(path) as editor:
        editor.put(editor.place(0), bytes(16))
        place = editor.mft * editor.cluster
    with FileSource(path) as source, FileSource(image("cluster-4096")) as good:
        volume = open_volume(source)
        assert list(volume.allocated()) == list(open_volume(good).allocated())
    assert ("ntfs.mft_record_0", place) in [(p.code, p.offset) for p in volume.problems]


def test_both_first_records_lost_is_corrupt(copy: Callable[[str], Path]) -> None:
    path = copy("cluster-4096")
    with Editor(path) as editor:
        editor.put(editor.mft * editor.cluster, bytes(16))
        editor.put(editor.mirror * editor.cluster, bytes(16))
        where = editor.mft * editor.cluster
    with FileSource(path) as source, pytest.raises(Corrupt) as caught:
        open_volume(source)
    assert caught.value.offset == where


def test_a_volume_whose_end_is_missing(image: Callable[[str], Path]) -> None:
    path = image("cluster-512")
    with FileSource(path) as source:
        whole = ExtentList(open_volume(source).allocated())
        cut = 20 << 20
        volume = open_volume(Window(source, Extent(0, cut)))
        assert ExtentList(volume.allocated()) == whole.clip(0, cut)
        assert all(r.extent.end <= cut for r in volume.references())
    assert "ntfs.truncated" in codes(volume)


class FailingSource(FileSource):
    """A disk with unreadable sectors."""

    def __init__(self, path: Path, bad: ExtentList) -> None:
        super().__init__(path)
        self.bad = bad

    def read_at(self, offset: int, length: int) -> bytes:
        if self.bad.touches(offset, offset + length):
            raise DeviceError(self.name, "read", offset, length, 5)
        return super().read_at(offset, length)


def test_unreadable_records_cost_only_themselves(image: Callable[[str], Path]) -> None:
    path = image("cluster-4096")
    number = record_of(path, "dir/f10_65536.bin")
    with Editor(path) as editor:
        where = editor.place(number)
    with FailingSource(path, ExtentList([(where, where + 512)])) as source:
        volume = open_volume(source)
        lost = set(open_walk(path)) - {r.owner for r in volume.references()}
    assert lost == {f"MFT record {number} $DATA"}
    assert [(p.code, p.offset) for p in volume.problems] == [("ntfs.mft_record", where)]


def test_an_unreadable_bitmap_is_a_device_error(image: Callable[[str], Path]) -> None:
    path = image("cluster-4096")
    with Editor(path) as editor:
        data = editor.read(6)
        lcn, _ = editor.runs(data, editor.find(data, 0x80))[0]
    with FailingSource(path, ExtentList([(lcn * 4096, lcn * 4096 + 512)])) as source:
        volume = open_volume(source)
        with pytest.raises(DeviceError):
            list(volume.allocated())
