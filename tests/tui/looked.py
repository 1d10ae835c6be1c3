"""What the tests of looking inside share: a volume with all kinds of files, and a hand that goes through it."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import pytest

from formats.archive.layout import DEFAULT_BLOCK
from formats.archive.model import Manifest, VolumeRecord
from formats.archive.record import digest_of, encode
from formats.archive.sink import FileSink
from formats.archive.writer import ArchiveWriter
from formats.base.extent import ExtentList
from recovery.tui.screens.look import Browse
from recovery.tui.screens.preview import Preview
from recovery.tui.screens.review import Review
from recovery.tui.widgets.rows import Rows
from tests.support import little
from tests.support.command import jurymast
from tests.tui.pilot import Hand

LONG = "a name as long as they come " * 8 + "and its end.txt"
CROWD = 3_000


def picture(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the volume holds. Not to be written, as image and backup."""
    root = tmp_path_factory.mktemp("look") / "files"
    rng = random.Random(7)
    for folder in ("photos/summer", "photos/winter", "letters", "odd", "crowd"):
        (root / folder).mkdir(parents=True)
    for folder in ("summer", "winter"):
        for n in range(3):
            (root / "photos" / folder / f"img{n}.jpg").write_bytes(rng.randbytes(20_000 + n))
    (root / "photos" / "sea.png").write_bytes(picture(64, 48))
    (root / "letters" / "to Köln.txt").write_text("Grüße aus Köln\n" + "".join(f"line {n}\n" for n in range(1000)))
    (root / "letters" / "noise.bin").write_bytes(bytes([0, 1, 2, 255]) * 50_000)
    (root / "letters" / LONG).write_text("long")
    (root / "odd" / "[bold]mark\x1b[31m.txt").write_text("\x1b[2Jred [b]not bold[/b]\n")
    (root / "link").symlink_to("letters")
    for n in range(CROWD):
        (root / "crowd" / f"file {n:05}.txt").touch()
    return root


@pytest.fixture(scope="session")
def image(files: Path) -> Path:
    return little.ext4(files.parent / "volume.img", files, size=48 << 20, label="looked")


@pytest.fixture(scope="session")
def backup(image: Path) -> Path:
    path = image.with_name("volume.jmi")
    jurymast("backup", image, path, "--json", ok=0)
    return path


async def open_backup(hand: Hand, path: Path) -> Browse:
    await hand.choose("Look inside")
    await hand.choose("A backup file")
    await hand.path(path)
    await hand.choose("looked")
    return await browsing(hand)


async def browsing(hand: Hand) -> Browse:
    await hand.on(Browse)
    screen = hand.screen
    assert isinstance(screen, Browse)
    await hand.until(lambda: bool(screen.rows) and screen._reading is None, "the folder")
    return screen


async def bar_on(hand: Hand, name: str) -> None:
    """Put the bar on an entry, the last step by key."""
    screen = hand.screen
    assert isinstance(screen, Browse)
    await hand.until(lambda: any(row.name == name for row in screen.rows), name)
    rows = screen.query_one(Rows)
    rows.focus()
    wanted = screen._find(name)
    rows.show_rows(rows.count, max(0, wanted - 1))
    if wanted:
        await hand.press("down")
    assert screen._name_at(rows.cursor) == name


async def enter(hand: Hand, name: str) -> None:
    await bar_on(hand, name)
    await hand.press("enter")


def names(screen: Browse) -> list[str]:
    return [row.name for row in screen.rows]


def same(a: Path, b: Path) -> bool:
    """The same names, and the same bytes in the files."""
    found = [sorted(str(path.relative_to(top)) for path in top.rglob("*")) for top in (a, b)]
    return found[0] == found[1] and all(
        (a / name).read_bytes() == (b / name).read_bytes() for name in found[0] if (a / name).is_file()
    )


async def extracted(hand: Hand, to: Path) -> str:
    """From the plan on; the text of the report."""
    await hand.on(Review)
    await hand.see("Copy the files")
    assert not to.exists() or not list(to.iterdir())
    await hand.push("start")
    page = await hand.report()
    assert page.report.headline == "EXTRACTED", page.report.to_text()
    return page.report.to_text()


def preview(hand: Hand) -> Preview:
    assert isinstance(hand.screen, Preview)
    return hand.screen


async def settled(hand: Hand) -> None:
    await hand.until(lambda: not preview(hand)._busy)


def with_bad_places(image: Path, to: Path, bad: list[tuple[int, int]]) -> None:
    """An archive of the volume as a backup leaves it when the medium did not give `bad`: zeros stand there."""
    data = bytearray(image.read_bytes())
    for start, end in bad:
        data[start:end] = bytes(end - start)
    size = len(data)
    details = {"file_system": "ext4", "label": "looked"}
    record = VolumeRecord(size, 512, 0, 0, "partition", 1, details=details)
    manifest = Manifest(bytes(16), DEFAULT_BLOCK, ({"size": size},), (record,), {})
    writer = ArchiveWriter(FileSink(to, 0), manifest)
    writer.begin_volume(0, ExtentList([(0, size)]))
    for start, end in bad:
        writer.put_unreadable(start, end)
    for block in range(size // DEFAULT_BLOCK):
        plain = bytes(data[block * DEFAULT_BLOCK : (block + 1) * DEFAULT_BLOCK])
        if not any(plain):
            writer.put_zero(block)
        elif not writer.put_block(block, len(plain), digest_of(plain), None):
            writer.put_block(block, len(plain), digest_of(plain), encode(plain, 1, digest_of(plain)))
    writer.end_volume()
    writer.end_data()
    writer.write_tail(manifest)
    writer.commit()
