"""Swap: one page is kept, a session is never left out."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.base.errors import Corrupt, Inconsistent, NotThisFormat, RecoveryError, Unsupported
from formats.base.extent import Extent
from formats.base.problem import Severity
from formats.base.source import FileSource, MemorySource
from fs.api import Identity, Reference
from fs.swap.header import PAGE_SIZES
from fs.swap.volume import open_volume
from tests.support.blkid import Said, ask
from tests.support.raw_images import GENERATORS, UUID_TEXT, at
from tests.support.tools import sparse_file

MiB = 1 << 20


def header(
    page: int = 4096, pages: int = 16, *, order: str = "<", version: int = 1, last: int = -1, bad: int = 0
) -> bytes:
    """A swap area of `pages` pages."""
    last = pages - 1 if last < 0 else last
    return at(
        page * pages, (1024, struct.pack(order + "III", version, last, bad)), (0x41C, b"name"),
        (page - 10, b"SWAPSPACE2"),
    )  # fmt: skip


@pytest.mark.parametrize(("name", "page"), [("swap_4k", 4096), ("swap_16k", 16384), ("swap_64k", 65536)])
def test_mkswap(name: str, page: int, tmp_path: Path) -> None:
    GENERATORS[name](tmp_path / "swap")
    with FileSource(tmp_path / "swap") as source:
        volume = open_volume(source)
        assert volume.identity == Identity("swap", "page file", UUID_TEXT, page, 8 * MiB)
        assert list(volume.allocated()) == [Extent(0, page)]
        assert list(volume.references()) == [Reference(Extent(0, page), "swap header")]
        assert volume.paging_files() == ()
        (problem,) = volume.problems
        assert (problem.severity, problem.code) == (Severity.INFO, "swap.content_left_out")
        assert str(8 * MiB - page) in problem.text


def test_what_is_kept_makes_swap_space_again(tmp_path: Path) -> None:
    """Its first page on an empty volume is a swap area for blkid too."""
    GENERATORS["swap_4k"](tmp_path / "swap")
    restored = sparse_file(tmp_path / "restored", 8 * MiB)
    with FileSource(tmp_path / "swap") as source, restored.open("r+b") as file:
        for start, end in open_volume(source).allocated():
            file.seek(start)
            file.write(source.read_at(start, end - start))
    assert ask(restored) == ask(tmp_path / "swap") == Said("swap", "page file", UUID_TEXT)


@pytest.mark.parametrize("page", PAGE_SIZES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_page_sizes_and_byte_orders(page: int, order: str) -> None:
    volume = open_volume(MemorySource(header(page, order=order)))
    assert volume.identity == Identity("swap", "name", "", page, 16 * page)


def test_what_lies_behind_the_swap_area_is_kept() -> None:
    volume = open_volume(MemorySource(header(last=9)))
    assert list(volume.allocated()) == [Extent(0, 4096), Extent(10 * 4096, 16 * 4096)]


def test_version_0(tmp_path: Path) -> None:
    GENERATORS["swap_version_0"](tmp_path / "swap")
    with FileSource(tmp_path / "swap") as source:
        volume = open_volume(source)
    assert volume.identity == Identity("swap", "", "", 4096, 8 * MiB)
    assert list(volume.allocated()) == [Extent(0, 4096)]


@pytest.mark.parametrize(
    "bitmap", [bytes(4086), b"\xff" * 4086, b"\xfe" + b"\xff" * 4085], ids=["none", "page 0", "too many"]
)
def test_a_version_0_mark_alone_is_no_proof(bitmap: bytes) -> None:
    with pytest.raises(NotThisFormat):
        open_volume(MemorySource(bitmap + b"SWAP-SPACE" + bytes(60 * 1024)))


@pytest.mark.parametrize("name", sorted(name for name in GENERATORS if name.startswith("suspended")))
def test_a_suspended_session_is_refused(name: str, tmp_path: Path) -> None:
    GENERATORS[name](tmp_path / "swap")
    with FileSource(tmp_path / "swap") as source, pytest.raises(Unsupported, match="suspended session"):
        open_volume(source)


def test_written_over() -> None:
    """A file system with its superblock at 1024 and an old mark at the end of the page."""
    with pytest.raises(NotThisFormat) as caught:
        open_volume(MemorySource(header(version=7)))
    assert caught.value.offset == 0x400


@pytest.mark.parametrize("last", [0, 16, 0xFFFFFFFF])
def test_last_page_outside(last: int) -> None:
    with pytest.raises(Inconsistent) as caught:
        open_volume(MemorySource(header(last=last)))
    assert caught.value.offset == 0x404


def test_bad_pages_must_fit_into_the_page() -> None:
    assert open_volume(MemorySource(header(bad=637))).identity.kind == "swap"
    with pytest.raises(Corrupt) as caught:
        open_volume(MemorySource(header(bad=638)))
    assert caught.value.offset == 0x408


@given(st.integers(0, 70_000), st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=8))
def test_only_our_errors_leave(length: int, changes: list[tuple[int, int]]) -> None:
    data = bytearray(header())
    for place, value in changes:
        data[place] = value
    source = MemorySource(bytes(data[:length]))
    try:
        volume = open_volume(source)
    except RecoveryError:
        return
    extents = list(volume.allocated())
    assert extents[0].start == 0 and extents[-1].end <= source.size


@pytest.mark.parametrize("length", [0, 1, 9, 10, 511, 4085, 4095])
def test_too_small(length: int) -> None:
    with pytest.raises(NotThisFormat):
        open_volume(MemorySource(header()[:length]))
