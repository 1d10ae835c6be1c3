"""Media that are full: of the archive at every place of its making, and of the file that a restore makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from formats.archive.opening import open_archive
from recovery.cli.exit_codes import ExitCode
from recovery.engine import prepare
from tests.support import jobs, little
from tests.support.command import jurymast
from tests.support.tools import mounted, run

pytestmark = pytest.mark.root
PAGE = 4096


@pytest.fixture
def small_place(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "small"
    with mounted(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", tmp_path / "small"], where) as place:
        yield place


def resize(place: Path, size: int) -> None:
    run("mount", "-o", f"remount,size={size}", place)


def test_a_destination_that_fills_up_at_any_place_keeps_nothing(
    volume: Path, volume_archive: Path, small_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first record to the footer and the last page before there is room, not known beforehand."""
    monkeypatch.setattr(prepare, "free_below", lambda path: None)
    whole = -(-volume_archive.stat().st_size // PAGE) * PAGE
    wanted = volume_archive.stat().st_size
    for size in (PAGE, whole // 2, whole - 20 * PAGE, whole - 4 * PAGE, whole - 2 * PAGE, whole - PAGE):
        resize(small_place, size)
        code, report = jobs.backup(volume, small_place / "a.jmi")
        assert code is ExitCode.FAILED, (size, wanted)
        assert "No space left on device" in report.error and "Free some space" in report.advice
        assert "Nothing was left behind" in report.aftermath
        assert list(small_place.iterdir()) == [], size


def test_room_for_the_archive_and_not_for_the_report(volume: Path, small_place: Path, tmp_path: Path) -> None:
    """The archive is good, and so is the outcome; nothing half-written lies beside it."""
    _, first = jobs.backup(volume, tmp_path / "a.jmi")
    # The sizes differ by some bytes from run to run, because times and names do.
    resize(small_place, -(-first.numbers["archive_bytes"] // PAGE) * PAGE + PAGE)
    (small_place / "filler").write_bytes(bytes(PAGE))
    code, report = jobs.backup(volume, small_place / "a.jmi")
    assert code is ExitCode.OK, report.error
    assert "report.not_saved" in {p.code for _, p in report.problems}
    assert sorted(p.name for p in small_place.iterdir()) == ["a.jmi", "filler"]
    assert jobs.verify(small_place / "a.jmi")[0] is ExitCode.OK


def test_the_command_refuses_what_cannot_fit(volume: Path, small_place: Path) -> None:
    done = jurymast("backup", volume, small_place / "a.jmi", "--json", ok=3)
    assert "cannot fit" in done.words and "Choose a larger destination" in done.words
    assert list(small_place.iterdir()) == []


def test_the_command_says_that_it_filled_up(volume: Path, small_place: Path) -> None:
    resize(small_place, 4 << 20)
    done = jurymast("backup", volume, small_place / "a.jmi", "--json", ok=1)
    assert "No space left" in done.words and "choose another destination" in done.words
    assert list(small_place.iterdir()) == []


def test_parts_on_a_full_destination_are_all_removed(volume: Path, small_place: Path) -> None:
    resize(small_place, 5 << 20)
    code, report = jobs.backup(volume, small_place / "a.jmi", split=1 << 20)
    assert code is ExitCode.FAILED and "No space left" in report.error
    assert list(small_place.iterdir()) == []


def test_a_target_file_that_fills_its_file_system(volume_archive: Path, small_place: Path) -> None:
    resize(small_place, 4 << 20)
    done = jurymast("restore", volume_archive, small_place / "t.img", "--yes", "--json", ok=1)
    assert "No space left" in done.words and "is removed" in done.words
    assert list(small_place.iterdir()) == []


def test_an_existing_target_file_on_a_full_file_system_stays_and_looks_blank(
    volume_archive: Path, small_place: Path
) -> None:
    from tests.support.blank import traces

    resize(small_place, 4 << 20)
    target = little.sparse_file(small_place / "t.img", little.EXT4_SIZE)
    code, report = jobs.restore(volume_archive, target)
    assert code is ExitCode.FAILED and "No space left" in report.error
    assert "looks blank" in report.aftermath
    assert target.exists() and traces(target) == []


def test_space_that_comes_back_is_used(volume: Path, small_place: Path) -> None:
    resize(small_place, 4 << 20)
    assert jobs.backup(volume, small_place / "a.jmi")[0] is ExitCode.FAILED
    resize(small_place, 32 << 20)
    assert jobs.backup(volume, small_place / "a.jmi")[0] is ExitCode.OK
    with open_archive(small_place / "a.jmi") as reader:
        assert not reader.problems
