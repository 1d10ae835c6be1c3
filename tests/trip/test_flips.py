"""One byte of an archive is wrong: verify finds it wherever it is, and a restore writes nothing wrong as if right."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from formats.archive import writer
from formats.archive.layout import HEADER_SIZE, Kind
from formats.archive.record import RecordHeader
from formats.archive.scan import Found, walk
from formats.base.errors import RecoveryError
from formats.base.extent import ExtentList
from formats.base.source import FileSource
from recovery.cli.exit_codes import ExitCode, exit_code
from recovery.engine.events import Outcome
from recovery.engine.settings import Settings
from tests.support.ext_images import e2fsck_status
from tests.support.scene import copy_sparse
from tests.support.tools import need, run, sparse_file
from tests.support.tree import populate
from tests.trip.compare import differing
from tests.trip.conftest import once
from tests.trip.engine import backup, restore, verify

MiB = 1 << 20
BLOCK = 8192
PARTS = {1: ("6", 1 * MiB, 12 * MiB), 2: ("83", 13 * MiB, 10 * MiB)}
SIZE = 24 * MiB
RANDOM_PLACES = 200
GROUPS = 8


@dataclass(frozen=True)
class Sound:
    """The archive of a small disk, and the disk that is restored from it."""

    archive: Path
    data: bytes
    restored: Path
    records: tuple[RecordHeader, ...]


def small_disk(path: Path) -> None:
    """An MBR, boot code, FAT16 and ext2 with the same tree in both: references, zeros, and free space."""
    need("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    sparse_file(path, SIZE)
    lines = "".join(f"start={start // 512}, size={size // 512}, type={kind}\n" for kind, start, size in PARTS.values())
    run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", path, stdin=f"label: dos\n{lines}".encode())
    with path.open("r+b") as file:
        file.write(bytes(i * 7 & 0xFF for i in range(440)))
        file.seek(600 * 512)
        file.write(b"core image of a boot loader" * 700)
    tree = path.with_name("tree")
    tree.mkdir()
    populate(tree)
    (tree / "zeros").write_bytes(bytes(300_000))
    (tree / "repeated").write_bytes(random.Random(3).randbytes(2048) * 400)
    volume = sparse_file(path.with_name("volume"), PARTS[1][2])
    run("mkfs.fat", "-F16", "-s4", "-i", "1234abcd", "--invariant", volume)
    run("mcopy", "-s", "-i", volume, *sorted(tree.iterdir()), "::/")
    copy_sparse(volume, path, target_start=PARTS[1][1])
    sparse_file(volume, PARTS[2][2])
    run("mke2fs", "-q", "-F", "-t", "ext2", "-b", "4096", "-d", tree, volume)
    assert e2fsck_status(volume) == 0
    copy_sparse(volume, path, target_start=PARTS[2][1])


@pytest.fixture(scope="module")
def sound(shelf: Path) -> Iterator[Sound]:
    """With checkpoints after few blocks, so that there are many."""

    def make(path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writer, "GiB", 60 * BLOCK)
            report = backup(shelf / "flips-disk", path, Settings(block_size=BLOCK))
        assert (report.outcome, report.headline) == (Outcome.OK, "PROVEN")

    once(shelf, "flips-disk", small_disk)
    archive = once(shelf, "flips.jmi", make)
    restored = once(shelf, "flips-restored", lambda path: restore(archive, path))
    with FileSource(archive) as source:
        found = list(walk(source, 0, source.size, None))
    headers = [item.header for item in found if isinstance(item, Found)]
    assert len(headers) == len(found)
    kinds = [h.kind for h in headers]
    assert set(kinds) == set(Kind) - {Kind.PART}
    assert kinds.count(Kind.CHECKPOINT) > 4 and kinds.count(Kind.REFERENCE) > 50 and kinds.count(Kind.BLOCK) > 100
    yield Sound(archive, archive.read_bytes(), restored, tuple(headers))


def check(sound: Sound, place: Path, data: bytes, where: str) -> Outcome:
    """All that must hold for a damaged archive `data`."""
    archive, target = place / "bad.jmi", place / "target.img"
    archive.write_bytes(data)
    report = verify(archive)
    assert report.damaged_archive and exit_code(report) == ExitCode.DAMAGED, where
    assert report.outcome is Outcome.FAILED, where
    target.unlink(missing_ok=True)
    try:
        result = restore(archive, target)
    except RecoveryError:
        assert not target.exists(), where
        return Outcome.FAILED
    if result.outcome is Outcome.FAILED:
        assert not target.exists(), where
        return Outcome.FAILED
    wrong = differing(target, sound.restored)
    if result.outcome is Outcome.OK:
        assert not len(wrong), f"{where}: said to be whole, but differs at {wrong}"
        return Outcome.OK
    assert result.outcome is Outcome.LOSSES, where
    starts = {number: start for number, (_, start, _) in PARTS.items()} | {0: 0}
    lost = ExtentList((starts[v.number] + a, starts[v.number] + b) for v in result.volumes for a, b in v.lost)
    assert len(lost), where
    assert not len(wrong.subtract(lost)), f"{where}: {wrong.subtract(lost)} differs and is not named"
    with target.open("rb") as file:
        for start, end in wrong:
            file.seek(start)
            assert not any(file.read(end - start)), f"{where}: wrong bytes at {start}"
    named = {v.number: ExtentList(v.lost) for v in report.volumes if v.lost_bytes}
    table = ExtentList([(0, 512)])  # comes from the manifest
    assert {n: e.subtract(table) if n == 0 else e for n, e in named.items()} == {
        v.number: ExtentList(v.lost) for v in result.volumes if v.lost_bytes
    }, where
    return Outcome.LOSSES


def flipped(data: bytes, at: int, by: int) -> bytes:
    return data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.PART}))
def test_in_every_structure(sound: Sound, fast_place: Path, kind: Kind) -> None:
    """In every field of the header, and at the ends and in the middle of the payload, of up to three records."""
    records = [h for h in sound.records if h.kind == kind]
    fields = (0, 4, 8, 0x10, 0x20, 0x21, 0x22, 0x24, 0x28, 0x30, 0x38, 0x3C, 0x40, 0x60, 0x70, 0x7C)
    outcomes = []
    chosen = list({h.offset: h for h in (records[0], records[len(records) // 2], records[-1])}.values())
    for position, header in enumerate(chosen):
        places = [header.offset + field for field in fields] if position == 0 else [header.offset + 0x28]
        size = header.stored_size
        places += [header.payload_offset + at for at in sorted({0, size // 2, size - 1}) if size]
        for at in places:
            where = f"{header.what} at {header.offset}, byte {at - header.offset}"
            outcomes.append(check(sound, fast_place, flipped(sound.data, at, 0x10), where))
    if kind == Kind.BLOCK:
        assert Outcome.LOSSES in outcomes
    elif kind != Kind.MAP:
        assert set(outcomes) == {Outcome.OK}, "everything but the data itself exists twice"


@pytest.mark.parametrize("group", range(GROUPS))
def test_in_random_places(sound: Sound, fast_place: Path, group: int) -> None:
    rng = random.Random(group)
    for _ in range(RANDOM_PLACES // GROUPS):
        at, by = rng.randrange(len(sound.data)), 1 << rng.randrange(8)
        check(sound, fast_place, flipped(sound.data, at, by), f"byte {at} ^ {by}")


@pytest.mark.parametrize("group", range(2))
def test_cut_short_or_with_a_hole(sound: Sound, fast_place: Path, group: int) -> None:
    rng = random.Random(100 + group)
    data = sound.data
    for _ in range(6):
        cut = rng.randrange(HEADER_SIZE, len(data))
        check(sound, fast_place, data[:cut], f"cut at {cut}")
        start = rng.randrange(len(data))
        end = min(len(data), start + rng.choice((512, 4096, 100_000)))
        if any(data[start:end]):
            check(sound, fast_place, data[:start] + bytes(end - start) + data[end:], f"zeros from {start} to {end}")
            check(sound, fast_place, data[:start] + data[end:], f"without {start} to {end}")
