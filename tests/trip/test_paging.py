"""Paging files: left out by default and said so, kept on request, and kept when they hold a session."""

from __future__ import annotations

import re
from pathlib import Path

from formats.archive.opening import open_archive
from formats.base.extent import ExtentList
from recovery.engine.events import Outcome
from tests.support.oracles import fsck, ntfs_mounted
from tests.support.tools import run
from tests.trip.compare import first_difference, first_stray
from tests.trip.engine import Image, backup, clone, details, held, restore, verify


def clusters_of(image: Path, name: str) -> ExtentList:
    """Bytes of a file in the root directory, as ntfsinfo lists its runs."""
    text = run("ntfsinfo", "-F", name, "-v", image)
    size = int(re.search(r"Cluster Size: (\d+)", run("ntfsinfo", "-m", image))[1])  # type: ignore[index]
    data = text.split("Dumping attribute $DATA (0x80)")[1].split("Dumping attribute")[0]
    runs = re.findall(r"0x[0-9a-f]+\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)", data)
    assert runs
    return ExtentList((int(a, 16) * size, (int(a, 16) + int(b, 16)) * size) for a, b in runs)


def test_the_contents_are_left_out_and_the_files_stay(image: Image, place: Path) -> None:
    source = image("ntfs", "paging")
    archive, target = place / "a.jmi", place / "target.img"
    report = backup(source, archive)
    assert (report.outcome, report.headline) == (Outcome.OK, "PROVEN")
    assert [name.lower() for name in report.volumes[0].left_out] == ["pagefile.sys", "swapfile.sys", "hiberfil.sys"]
    (volume,) = details(archive)
    told = {f["path"].lower(): ExtentList(tuple(e) for e in f["extents"]) for f in volume["left_out"]}
    assert told == {
        "pagefile.sys": clusters_of(source, "pagefile.sys"),
        "swapfile.sys": clusters_of(source, "SwapFile.sys"),
        "hiberfil.sys": clusters_of(source, "hiberfil.sys"),
    }
    left_out = ExtentList(e for extents in told.values() for e in extents)
    assert not len(held(archive).intersect(left_out))
    assert verify(archive).outcome is Outcome.OK
    assert restore(archive, target).outcome is Outcome.OK
    assert first_difference(source, target, held(archive)) is None
    assert first_stray(target, held(archive)) is None
    assert fsck("ntfs", target)[0]
    assert contents(target, place) == {
        "pagefile.sys": bytes(3 << 20),
        "SwapFile.sys": bytes(1 << 20),
        "hiberfil.sys": bytes(2 << 20),
        **{n: d for n, d in contents(source, place).items() if n in ("Windows/pagefile.sys", "kept.bin")},
    }
    copied = place / "clone.img"
    assert clone(source, copied).outcome is Outcome.OK
    assert first_difference(target, copied, ExtentList([(0, target.stat().st_size)])) is None


def test_they_are_kept_on_request(image: Image, place: Path) -> None:
    source = image("ntfs", "paging")
    archive, target = place / "a.jmi", place / "target.img"
    report = backup(source, archive, include_paging=True)
    assert (report.headline, report.volumes[0].left_out) == ("PROVEN", ())
    assert details(archive)[0]["left_out"] == []
    restore(archive, target)
    assert contents(target, place) == contents(source, place)
    copied = place / "clone.img"
    clone(source, copied, include_paging=True)
    assert contents(copied, place) == contents(source, place)


def test_a_session_is_kept_with_a_warning(image: Image, place: Path) -> None:
    source = image("ntfs", "hibernated")
    archive, target = place / "a.jmi", place / "target.img"
    report = backup(source, archive)
    assert report.outcome is Outcome.OK
    warnings = [p.text for _, p in report.problems if p.code == "ntfs.hibernated"]
    assert len(warnings) == 1
    assert warnings[0] in report.to_text()
    assert [name.lower() for name in report.volumes[0].left_out] == ["pagefile.sys"]
    session = clusters_of(source, "hiberfil.sys")
    kept = held(archive)
    assert all(kept.covers(*extent) for extent in session)
    assert not len(kept.intersect(clusters_of(source, "pagefile.sys")))
    with open_archive(archive) as reader:
        start = next(iter(session)).start
        assert reader.volume(0, strict=True).read_at(start, 4) == b"hibr"
    restore(archive, target)
    assert first_difference(source, target, kept) is None


def test_suspended_linux_keeps_its_swap_space(image: Image, place: Path) -> None:
    source = image("raw", "suspended_kernel")
    archive, target = place / "a.jmi", place / "target.img"
    report = backup(source, archive)
    assert "swap.suspended" in {p.code for _, p in report.problems}
    restore(archive, target)
    assert first_difference(source, target, ExtentList([(0, source.stat().st_size)])) is None


def contents(image: Path, place: Path) -> dict[str, bytes]:
    """Every file, as ntfs-3g reads it."""
    where = place / "mnt"
    where.mkdir()
    try:
        with ntfs_mounted(image, where, "ro,norecover") as root:
            return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
    finally:
        where.rmdir()
