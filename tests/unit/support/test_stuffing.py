"""The files that demo and bench take from the machine: names that fit everywhere, within the limits, told truly."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.demo.disk import Disk
from tests.support import stuffing
from tests.support.tools import need


@pytest.mark.parametrize("name", ["a", "Zoë’s files — 日本語", "x.tar.gz", ".hidden", "console", "a b"])
def test_names_that_fit(name: str) -> None:
    assert stuffing.fits_everywhere(name)


@pytest.mark.parametrize("name", ["a:b", "a.", "a ", "NUL", "com1.txt", "what?", "a\\b", "tab\there", "x" * 121, ""])
def test_names_that_windows_refuses(name: str) -> None:
    assert not stuffing.fits_everywhere(name)


def test_picking_keeps_to_its_limits(tmp_path: Path) -> None:
    for name, size in (("a", 1000), ("B", 2000), ("b", 10), ("big", 900_000), ("c:d", 5), ("z/e", 300)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name[0].encode() * size)
    (tmp_path / "link").symlink_to("a")
    names = [p.source.name for p in stuffing.pick([tmp_path], 10**6, largest=500_000)]
    assert names == ["B", "a", "e"], "b differs from B in case alone, c:d is no name, big is too large"
    taken: set[str] = set()
    assert [p.source.name for p in stuffing.pick([tmp_path], 10**6, skip=taken, most=1)] == ["B"]
    assert [p.source.name for p in stuffing.pick([tmp_path], 10**6, skip=taken, most=1)] == ["a"]
    assert sum(p.size for p in stuffing.pick([tmp_path], 70_000)) == 3300, "what does not fit is passed over"


def test_copies_are_told_by_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "from" / "sub").mkdir(parents=True)
    (tmp_path / "from" / "sub" / "file").write_bytes(b"content")
    picked = stuffing.pick([tmp_path / "from"], 10**6)
    (tmp_path / "from" / "gone").touch()
    picked += [stuffing.Picked(tmp_path / "from" / "never there", "never there", 1)]
    told = stuffing.copy(picked, tmp_path / "to")
    assert list(told.values()) == [hashlib.sha256(b"content").hexdigest()]
    assert stuffing.digests_below(tmp_path / "to") == told


def test_the_demo_wipes_all_that_was_there(tmp_path: Path) -> None:
    need("sfdisk")
    disk = Disk(tmp_path / "disk.img")
    with disk.path.open("wb") as file:
        file.truncate(disk.size)
        file.seek(disk.size // 2)
        file.write(b"secret" * 1000)
    disk.wipe()
    with disk.path.open("rb") as file:
        assert any(file.read(512)), "the front is noise"
        file.seek(disk.size // 2)
        assert b"secret" not in file.read(8000)
        file.seek(disk.size - 512)
        assert any(file.read(512)), "so is the end"
