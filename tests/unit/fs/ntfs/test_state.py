"""What the volume says about its own state, and paging files."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.base.extent import Extent, ExtentList
from formats.base.problem import Severity
from formats.base.source import FileSource
from fs.ntfs.volume import NtfsVolume, open_volume
from tests.support.ntfs_images import Editor, make, mount, record_of
from tests.support.tools import mounted

Images = Callable[[str], Path]


def problems(volume: NtfsVolume) -> list[tuple[Severity, str]]:
    return [(p.severity, p.code) for p in volume.problems]


def opened(path: Path) -> NtfsVolume:
    return open_volume(FileSource(path))


def test_a_dirty_volume_says_so(image: Images) -> None:
    assert problems(opened(image("dirty"))) == [(Severity.WARNING, "ntfs.dirty")]


def test_a_hibernated_volume_says_so_and_its_session_is_active(image: Images) -> None:
    path = image("hibernated")
    volume = opened(path)
    assert problems(volume) == [(Severity.WARNING, "ntfs.hibernated")]
    assert {f.path: f.active for f in volume.paging_files()} == {"pagefile.sys": False, "hiberfil.sys": True}


@pytest.mark.parametrize(
    ("start", "active"),
    [(b"HIBR", True), (b"wake", True), (b"WAKE", True), (b"RSTR", True), (b"\0\0\0\0", False), (b"abcd", False)],
)
def test_first_bytes_of_hiberfil(copy: Images, start: bytes, active: bool) -> None:
    path = copy("hibernated")
    with Editor(path) as editor:
        data = editor.read(record_of(path, "hiberfil.sys"))
        lcn, _ = editor.runs(data, editor.find(data, 0x80))[0]
        editor.put(lcn * editor.cluster, start)
    volume = opened(path)
    assert [f.active for f in volume.paging_files() if f.path == "hiberfil.sys"] == [active]
    assert (("ntfs.hibernated") in [p.code for p in volume.problems]) is active


def test_paging_files_lie_where_the_records_say(image: Images) -> None:
    path = image("paging")
    volume = opened(path)
    files = volume.paging_files()
    assert [f.path for f in files] == ["pagefile.sys", "swapfile.sys", "hiberfil.sys"]
    for file, name in zip(files, ("pagefile.sys", "SwapFile.sys", "hiberfil.sys"), strict=True):
        with Editor(path) as editor:
            data = editor.read(record_of(path, name))
            runs = editor.runs(data, editor.find(data, 0x80))
        assert ExtentList(file.extents) == ExtentList([(a * 4096, (a + n) * 4096) for a, n in runs])
        assert not file.active
    allocated = ExtentList(volume.allocated())
    assert all(allocated.covers(*extent) for file in files for extent in file.extents)
    other = [r.extent for r in volume.references() if not any(r.extent in f.extents for f in files)]
    assert not any(ExtentList(f.extents).touches(*e) for f in files for e in other)


def test_what_is_no_plain_paging_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    make(path)
    with mount(path) as root:
        (root / "pagefile.sys").write_bytes(b"x" * 100_000)
        (root / "second name").hardlink_to(root / "pagefile.sys")
        (root / "swapfile.sys").mkdir()
        (root / "hiberfil.sys").write_bytes(b"tiny")
    volume = opened(path)
    assert volume.paging_files() == ()
    assert problems(volume) == []


@pytest.mark.parametrize(("flag", "count"), [(0x0001, 0), (0x4000, 0), (0x8000, 1)])
def test_compressed_and_encrypted_paging_files_are_kept(copy: Images, flag: int, count: int) -> None:
    path = copy("hibernated")
    number = record_of(path, "pagefile.sys")
    with Editor(path) as editor:
        data = editor.read(number)
        struct.pack_into("<H", data, editor.find(data, 0x80) + 12, flag)
        editor.write(number, data)
    assert len([f for f in opened(path).paging_files() if f.path == "pagefile.sys"]) == count


def test_a_paging_file_that_claims_the_mft_is_kept(copy: Images) -> None:
    path = copy("hibernated")
    number = record_of(path, "pagefile.sys")
    with Editor(path) as editor:
        mft = editor.read(0)
        lcn, _ = editor.runs(mft, editor.find(mft, 0x80))[0]
        data = editor.read(number)
        at = editor.find(data, 0x80)
        head = bytes(data[at : at + data[at + 32]])
        run_list = b"\x22" + (256).to_bytes(2, "little") + lcn.to_bytes(2, "little") + b"\0"
        editor.write(number, editor.replace(data, at, head + run_list))
    volume = opened(path)
    assert [f.path for f in volume.paging_files()] == ["hiberfil.sys"]
    assert (Severity.ERROR, "ntfs.paging_file") in problems(volume)


def test_a_paging_file_is_found_in_a_large_root_directory(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    make(path)
    with mount(path) as root:
        for i in range(600):
            (root / f"a file that fills the directory {i}").touch()
        (root / "PageFile.Sys").write_bytes(b"x" * 100_000)
    volume = opened(path)
    (file,) = volume.paging_files()
    assert (file.path, sum(e.length for e in file.extents)) == ("pagefile.sys", 102_400)
    assert any(r.owner == "MFT record 5 $INDEX_ALLOCATION:$I30" for r in volume.references())


def test_a_mirror_that_differs(copy: Images) -> None:
    path = copy("cluster-4096")
    with Editor(path) as editor:
        where = editor.mirror * editor.cluster
        editor.put(where + 2 * 1024 + 0x60, b"\xff\xfe\xfd")
    volume = opened(path)
    (problem,) = volume.problems
    assert (problem.severity, problem.code, problem.offset) == (Severity.WARNING, "ntfs.mft_mirror", where)
    assert "record 2." in problem.text


def restart_page(client: int, flags: int, lsn: int, size: int) -> bytes:
    """One restart page of 4096 bytes with fixups for a journal of `size` bytes (fields: ntfs-3g logfile.h)."""
    page = bytearray(4096)
    page[:4] = b"RSTR"
    struct.pack_into("<HHQIIHhh", page, 4, 0x1E, 9, 0, 4096, 4096, 0x30, 1, 1)
    free, bits = (0xFFFF if client != 0xFFFF else 0), 67 - size.bit_length()
    struct.pack_into(
        "<QHHHHIHHQIHHI4x", page, 0x30, lsn, 1, free, client, flags, bits, 0xD0, 0x30, size, 0, 0x30, 0x40, 1
    )
    struct.pack_into("<QQHHH6xI8s", page, 0x60, lsn, lsn, 0xFFFF, 0xFFFF, 0, 8, "NTFS".encode("utf-16-le"))
    struct.pack_into("<H", page, 0x1E, 7)
    for i in range(8):
        page[0x20 + 2 * i : 0x22 + 2 * i] = page[i * 512 + 510 : i * 512 + 512]
        struct.pack_into("<H", page, i * 512 + 510, 7)
    return bytes(page)


@pytest.mark.parametrize(
    ("first", "second", "dirty"),
    [
        ((0xFFFF, 0, 5), (0xFFFF, 0, 4), False),
        ((0, 0, 5), (0xFFFF, 0, 4), True),
        ((0, 0, 4), (0xFFFF, 0, 5), False),
        ((0, 2, 5), (0, 2, 4), False),
    ],
)
def test_a_journal_that_is_open(
    copy: Images, first: tuple[int, int, int], second: tuple[int, int, int], dirty: bool
) -> None:
    path = copy("cluster-4096")
    with Editor(path) as editor:
        data = editor.read(2)
        at = editor.find(data, 0x80)
        lcn, _ = editor.runs(data, at)[0]
        (size,) = struct.unpack_from("<Q", data, at + 48)
        editor.put(lcn * 4096, restart_page(*first, size) + restart_page(*second, size))
    expected = [(Severity.WARNING, "ntfs.log_dirty")] if dirty else []
    assert problems(opened(path)) == expected
    # ntfs-3g, told not to replay, is of the same opinion: it mounts an open journal read-only.
    where = path.with_name("mnt")
    with mounted(["ntfs-3g", "-o", "norecover", path, where], where):
        line = next(line for line in Path("/proc/mounts").read_text().splitlines() if f" {where} " in line)
    assert line.split()[3].startswith("ro," if dirty else "rw,")


def test_a_damaged_root_directory_is_an_error_and_nothing_is_left_out(copy: Images) -> None:
    path = copy("paging")
    with Editor(path) as editor:
        data = editor.read(5)
        at = editor.find(data, 0x90, "$I30")
        editor.write(5, data[:at] + b"\xff" * 4 + bytes(len(data) - at - 4))
        where = editor.place(5)
    volume = opened(path)
    assert volume.paging_files() == ()
    assert [(p.severity, p.code, p.offset) for p in volume.problems] == [(Severity.ERROR, "ntfs.root_directory", where)]


def test_damaged_index_blocks_are_named(copy: Images) -> None:
    path = copy("cluster-4096")
    number = record_of(path, "dir")
    with Editor(path) as editor:
        data = editor.read(number)
        lcn, _ = editor.runs(data, editor.find(data, 0xA0, "$I30"))[0]
        good = editor.at(lcn * 4096, 4096)
        for at, wrong in ((0, b"BAAD"), (0x10, b"\x07"), (1022, b"\xab\xcd")):
            editor.put(lcn * 4096, good)
            editor.put(lcn * 4096 + at, wrong)
            editor.file.flush()
            volume = opened(path)
            assert len(list(volume.references())) > 10
            (problem,) = volume.problems
            assert (problem.severity, problem.code) == (Severity.ERROR, "ntfs.index")
            assert f"MFT record {number}" in problem.text
            assert problem.offset == lcn * 4096
    assert Extent(lcn * 4096, (lcn + 1) * 4096) in [r.extent for r in volume.references()]


def test_a_lost_extension_record_is_named(copy: Images) -> None:
    path = copy("rich")
    number = record_of(path, "linked.bin")
    mft = opened(path).mft
    lost = next(a.record for a in mft.attributes(number) if a.record != number)
    with Editor(path) as editor:
        data = editor.read(lost)
        data[0x16] &= 0xFE  # no longer in use
        editor.write(lost, data)
    volume = opened(path)
    list(volume.references())
    (problem,) = volume.problems
    assert (problem.severity, problem.code) == (Severity.ERROR, "ntfs.attribute_list")
    assert f"MFT record {number} is not whole" in problem.text
    assert f"MFT record {lost}" in problem.text
