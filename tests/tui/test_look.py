"""Looking inside, through the screens: folders, marks, search, preview, and files that come back byte for byte."""

from __future__ import annotations

import random
import shutil
import struct
import tarfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from formats.archive.parts import PartsSource
from formats.base.errors import DeviceError
from fs.tree import Node
from recovery.engine import listing
from recovery.engine.device import DeviceSource
from recovery.tui.screens.dialog import Dialog, Help
from recovery.tui.screens.find import Find
from recovery.tui.screens.home import Home
from recovery.tui.screens.look import Browse
from recovery.tui.screens.options import Options
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.pick import PickOne
from recovery.tui.screens.preview import Preview
from recovery.tui.screens.refusal import Refusal
from recovery.tui.screens.review import Review
from recovery.tui.texts import look as texts
from recovery.tui.themes import THEMES
from recovery.tui.widgets.rows import Rows
from tests.support import little, ntfs_images
from tests.support.command import jurymast
from tests.tui.pilot import Hand, play
from tests.tui.test_layout import SIZES, crowd, shown

LONG = "a name as long as they come " * 8 + "and its end.txt"
CROWD = 3_000


def picture(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the volume holds."""
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


@pytest.fixture(scope="module")
def image(files: Path) -> Path:
    return little.ext4(files.parent / "volume.img", files, size=48 << 20, label="looked")


@pytest.fixture(scope="module")
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


def test_marked_files_of_several_folders_come_back_byte_for_byte(tmp_path: Path, backup: Path, files: Path) -> None:
    to = tmp_path / "out"

    async def script(hand: Hand) -> None:
        screen = await open_backup(hand, backup)
        assert names(screen) == ["crowd", "letters", "lost+found", "odd", "photos", "link"]
        await bar_on(hand, "letters")
        await hand.press("space")
        await hand.see("1 marked")
        await enter(hand, "photos")
        await hand.until(lambda: names(screen) == ["summer", "winter", "sea.png"])
        await enter(hand, "summer")
        await hand.until(lambda: screen.path == "/photos/summer")
        await bar_on(hand, "img1.jpg")
        await hand.press("space")
        await hand.press("backspace")
        await hand.until(lambda: screen.path == "/photos")
        assert screen._name_at(screen.query_one(Rows).cursor) == "summer"
        await bar_on(hand, "winter")
        await hand.press("space")
        size = 8000 + 200_000 + 20_001 + 60_003
        await hand.until(lambda: not screen.marks.unweighed() and screen.marks.total.bytes > size)
        assert "[x] winter/" in hand.words and "[ ] summer/" in hand.words
        await hand.press("e")
        await hand.on(Options)
        await hand.push("continue")
        await hand.on(PickPath)
        await hand.path(to)
        report = await extracted(hand, to)
        assert "files: 7" in report
        await hand.press("escape")
        await hand.on(Home)

    play(script)
    for folder in ("letters", "photos/winter"):
        assert same(files / folder, to / folder)
    assert (to / "photos/summer/img1.jpg").read_bytes() == (files / "photos/summer/img1.jpg").read_bytes()
    assert sorted(path.name for path in to.rglob("summer/*")) == ["img1.jpg"]
    assert sorted(path.name for path in to.iterdir()) == ["letters", "photos"]


def test_without_marks_what_lies_under_the_bar_goes_into_a_tar(tmp_path: Path, image: Path, files: Path) -> None:
    async def script(hand: Hand) -> None:
        await hand.choose("Look inside")
        await hand.choose(image.name)
        await hand.choose("looked")
        await browsing(hand)
        await bar_on(hand, "photos")
        await hand.press("e")
        await hand.on(Options)
        await hand.pick("form", "tar")
        await hand.push("continue")
        await hand.path(tmp_path / "photos.tar")
        await extracted(hand, tmp_path / "photos.tar")

    play(script, images=[image])
    with tarfile.open(tmp_path / "photos.tar") as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]
    theirs = {str(p.relative_to(files)): p.read_bytes() for p in (files / "photos").rglob("*") if p.is_file()}
    assert found == theirs


def test_a_crowded_folder_is_listed_marked_and_left(backup: Path) -> None:
    async def script(hand: Hand) -> None:
        screen = await open_backup(hand, backup)
        rows = screen.query_one(Rows)
        await enter(hand, "crowd")
        await hand.until(lambda: screen.path == "/crowd" and screen._reading is None)
        assert names(screen) == [f"file {n:05}.txt" for n in range(CROWD)]
        await hand.press("end")
        assert f"file {CROWD - 1:05}.txt" in hand.words
        await hand.press("pageup", "up")
        assert rows.cursor == CROWD - 1 - (rows.size.height - 1) + 0
        await hand.press("a")
        await hand.until(lambda: len(screen.marks) == CROWD)
        assert f"{CROWD} marked, 0 bytes" in hand.words
        await hand.press("space")
        await hand.until(lambda: len(screen.marks) == CROWD - 1)
        await hand.press("a", "a")
        await hand.until(lambda: not len(screen.marks))
        await hand.press("a", "backspace")
        await hand.until(lambda: screen.path == "/")
        await bar_on(hand, "crowd")
        await hand.press("space")  # the folder instead of all that is in it
        await hand.until(lambda: not screen.marks.unweighed())
        assert list(screen.marks) == ["/crowd"] and screen.marks.total.files == CROWD
        await enter(hand, "crowd")
        await hand.until(lambda: screen.path == "/crowd")
        assert "[x] file 00000.txt" in hand.words
        await bar_on(hand, "file 00003.txt")
        await hand.press("space")
        assert "/crowd is marked as a whole" in hand.words and list(screen.marks) == ["/crowd"]
        await hand.press("escape")
        await hand.on(Dialog)
        await hand.press("escape")
        await hand.on(Browse)
        await hand.press("escape")
        await hand.on(Dialog)
        await hand.push("yes")
        await hand.on(PickOne)

    play(script)


def test_what_is_searched_is_found_marked_and_gone_to(backup: Path) -> None:
    async def script(hand: Hand) -> None:
        screen = await open_backup(hand, backup)
        await hand.press("slash")
        await hand.on(Find)
        find = hand.screen
        assert isinstance(find, Find)
        await hand.press("enter")
        assert texts.FIND_NONE in hand.words
        await hand.type("*.JPG")
        await hand.press("enter")
        await hand.see("0 found. Enter")  # case counts on ext
        await hand.type("img")
        await hand.press("enter")
        await hand.see("6 found. Enter goes to it")
        assert "photos/summer/img2.jpg" in hand.words
        await hand.press("a")
        assert len(screen.marks) == 6
        await hand.press("home", "space")
        await hand.until(lambda: len(screen.marks) == 5)
        wanted, _ = find.found[1]
        await hand.press("enter")
        await hand.on(Browse)
        await hand.until(lambda: screen.path == wanted.rpartition("/")[0] and screen._reading is None)
        assert screen._name_at(screen.query_one(Rows).cursor) == wanted.rpartition("/")[2]
        await hand.press("slash")
        await hand.type("file 1*")
        await hand.press("enter")
        await hand.see("0 found. Enter goes to it")  # below this folder only
        await hand.press("escape")
        await hand.on(Browse)

    play(script)


def test_a_search_is_stopped_and_what_it_found_stays(backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk waits in the middle: what was found stands there already, and Esc does not wait for the walk."""
    go_on = threading.Event()

    def slow(*args: object) -> Iterator[tuple[str, Node]]:
        for count, found in enumerate(listing.find(*args)):  # type: ignore[arg-type]
            if count == 50:
                go_on.wait(30)
            yield found

    monkeypatch.setattr("recovery.tui.screens.find.find", slow)
    monkeypatch.setattr("recovery.tui.screens.find._OFTEN", 0.0)

    async def script(hand: Hand) -> None:
        await open_backup(hand, backup)
        await hand.press("slash")
        await hand.type("file")
        await hand.press("enter")
        await hand.see("50 found, 0 s. The search goes on")
        await hand.press("escape")
        await hand.see("50 found, then stopped")
        await hand.press("down", "space")
        assert "[x] crowd/file" in hand.words
        go_on.set()
        await hand.press("escape")
        await hand.on(Browse)

    try:
        play(script)
    finally:
        go_on.set()


def test_previews_show_text_bytes_and_pictures_and_nothing_that_controls_a_terminal(backup: Path, files: Path) -> None:
    async def script(hand: Hand) -> None:
        screen = await open_backup(hand, backup)
        await enter(hand, "letters")
        await enter(hand, "to Köln.txt")
        await hand.see("line 17")
        assert "Grüße aus Köln" in hand.words
        for _ in range(3):
            await hand.press("pagedown")
            await settled(hand)
        view = preview(hand).view
        assert view.lines[0] == f"line {(files / 'letters/to Köln.txt').read_bytes()[: view.start].count(10) - 1}"
        await hand.press("up", "up")
        await settled(hand)
        await hand.press("end")
        await hand.see("line 999")
        assert hand.lines()[-2].startswith(" Text: byte") and "100 %" in hand.words
        await hand.press("home")
        await hand.see("Grüße aus Köln")
        await hand.press("escape", "backspace")
        await hand.until(lambda: screen.path == "/")
        await enter(hand, "odd")
        await enter(hand, "[bold]mark\x1b[31m.txt")
        await hand.see(".[2Jred [b]not bold[/b]")
        assert "[bold]mark\\x1b[31m.txt" in hand.words
        await hand.press("escape")
        await hand.press("backspace")
        await hand.until(lambda: screen.path == "/")
        await enter(hand, "letters")
        await enter(hand, "noise.bin")
        await hand.see("00000010 00 01 02 ff")
        await hand.press("end")
        await hand.see("00030d30 00 01 02 ff")
        await hand.press("escape", "backspace")
        await hand.until(lambda: screen.path == "/")
        await enter(hand, "photos")
        await enter(hand, "sea.png")
        await hand.see("PNG, 64 x 48 pixels")
        await hand.press("x")
        await hand.see(".PNG")
        await hand.press("t", "i")
        await hand.see("Modified")
        await hand.press("escape", "backspace")
        await hand.until(lambda: screen.path == "/")
        await enter(hand, "link")
        await hand.see("Leads to letters")
        await hand.press("t")
        await hand.see(texts.VIEW_NOTHING)

    play(script)


def preview(hand: Hand) -> Preview:
    assert isinstance(hand.screen, Preview)
    return hand.screen


async def settled(hand: Hand) -> None:
    await hand.until(lambda: not preview(hand)._busy)


def test_partitions_without_files_are_shown_and_say_why(tmp_path: Path, disk: Path) -> None:
    holed = tmp_path / "holed.img"
    shutil.copyfile(disk, holed)
    with holed.open("r+b") as file:
        file.seek(little.EXT4_START)
        file.write(bytes(little.EXT4_SIZE))

    async def script(hand: Hand) -> None:
        await hand.choose("Look inside")
        await hand.choose("holed.img")
        await hand.see("cannot be opened: no file system that Jurymast knows")
        hand.check_layout("look-volumes")
        await hand.choose("cannot be opened")
        await hand.on(Refusal)
        await hand.press("escape")
        await hand.on(PickOne)
        await hand.choose("SMALL")
        screen = await browsing(hand)
        assert names(screen) == [f"note {n}.txt" for n in range(10)]

    play(script, images=[holed])


def test_an_ntfs_is_looked_into_and_keeps_its_own_files_apart(tmp_path: Path) -> None:
    image = tmp_path / "ntfs.img"
    ntfs_images.make(image, label="windows")
    with ntfs_images.mount(image) as top:
        (top / "Users").mkdir()
        (top / "Users" / "Note.TXT").write_bytes("\ufeffGrüße".encode("utf-16-le"))

    async def script(hand: Hand) -> None:
        await hand.choose("Look inside")
        await hand.choose("ntfs.img")
        await hand.choose("windows")
        screen = await browsing(hand)
        assert "$MFT" in names(screen)
        await hand.press("slash")
        await hand.type("note.txt")  # case does not count here
        await hand.press("enter")
        await hand.see("1 found")
        await hand.press("enter")
        await hand.on(Browse)
        await hand.until(lambda: screen.path == "/Users" and screen._reading is None)
        await hand.press("enter")
        await hand.see("Grüße")
        await hand.press("i")
        await hand.see("text, UTF-16 LE")
        await hand.see("archive")
        await hand.press("escape", "e")
        await hand.push("continue")
        await hand.path(tmp_path / "out")
        await extracted(hand, tmp_path / "out")

    play(script, images=[image])
    assert (tmp_path / "out" / "Note.TXT").read_bytes() == "\ufeffGrüße".encode("utf-16-le")


def test_no_screen_reads_a_disk_itself(backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()
    read = PartsSource.read_at

    def watched(self: PartsSource, offset: int, length: int) -> bytes:
        threads.add(threading.current_thread())
        return read(self, offset, length)

    monkeypatch.setattr(PartsSource, "read_at", watched)

    async def script(hand: Hand) -> None:
        screen = await open_backup(hand, backup)
        await bar_on(hand, "photos")
        await hand.press("space", "i")
        await hand.see("Modified")
        await hand.press("escape")
        await enter(hand, "letters")
        await hand.until(lambda: not screen.marks.unweighed())
        await enter(hand, "noise.bin")
        await hand.see("00000010 00 01 02 ff")
        await hand.press("end", "escape", "slash")
        await hand.type("img")
        await hand.press("enter")
        await hand.see("found. Enter")

    play(script)
    assert len(threads) > 4 and threading.main_thread() not in threads


def test_a_disk_that_does_not_answer_can_be_left(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First while it is opened, then while a folder is read: the screens stay alive, and Esc leaves."""
    hang, go_on = threading.Event(), threading.Event()
    hang.set()
    read = DeviceSource.read_at

    def hanging(self: DeviceSource, offset: int, length: int) -> bytes:
        if hang.is_set() and not go_on.wait(60):
            raise DeviceError("disk", "read", offset, length, 5)
        return read(self, offset, length)

    monkeypatch.setattr(DeviceSource, "read_at", hanging)

    async def script(hand: Hand) -> None:
        monkeypatch.setattr(hand.app.machine, "disks", lambda width=0: [])
        await hand.choose("Look inside")
        await hand.choose("An image file")
        await hand.path(image)
        await hand.on(PickOne)
        await hand.until(lambda: "Please wait" in hand.words)
        await hand.press("f1")
        await hand.on(Help)
        await hand.press("escape", "escape")
        await hand.on(PickPath)
        hang.clear()
        await hand.path(image)
        await hand.choose("looked")
        screen = await browsing(hand)
        hang.set()
        await enter(hand, "crowd")
        await hand.until(lambda: "Please wait: /crowd" in hand.words)
        await hand.press("down", "f2")
        await hand.press("escape")
        await hand.until(lambda: "Please wait" not in hand.words)
        assert screen.path == "/" and "letters" in hand.words and hand.screen is screen
        await bar_on(hand, "photos")
        await hand.press("space", "slash")
        await hand.type("img")
        await hand.press("enter")
        await hand.see("0 found, 0 s")
        await hand.press("escape")
        await hand.see("then stopped")
        await hand.press("escape", "escape")
        await hand.on(Dialog)
        await hand.push("yes")
        await hand.on(PickOne)

    try:
        play(script)
    finally:
        go_on.set()


def test_a_disk_that_is_only_described_is_not_looked_into(tmp_path: Path) -> None:
    described = crowd(tmp_path / "crowd.json")

    async def script(hand: Hand) -> None:
        await hand.choose("Look inside")
        await hand.choose("/dev/sdb")
        await hand.on(Refusal)
        await hand.see("is only described here")

    play(script, machines=[described])


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
def test_every_screen_of_looking_fits(backup: Path, size: tuple[int, int]) -> None:
    async def script(hand: Hand) -> None:
        screen = await open_backup(hand, backup)
        await enter(hand, "letters")
        await hand.until(lambda: screen.path == "/letters")
        await bar_on(hand, LONG)
        assert "and its end.txt" in " ".join(hand.words.split())
        await shown(hand, Browse, "look-folder")
        before = hand.lines()
        for _ in THEMES:
            await hand.press("f2")
            assert hand.lines() == before
        await hand.press("space", "slash")
        await hand.type("o")
        await hand.press("enter")
        await hand.see("found. Enter")
        await shown(hand, Find, "look-find")
        await hand.press("escape")
        await hand.on(Browse)
        await bar_on(hand, LONG)
        for key, words in (("i", "Modified"), ("t", "long"), ("x", "6c 6f 6e 67")):
            if key == "i":
                await hand.press(key)
                await hand.on(Preview)
            else:
                await settled(hand)
                await hand.press(key)
            await hand.see(words)
            await shown(hand, Preview, f"look-preview-{key}")
        await hand.press("escape", "e")
        await shown(hand, Options, "look-options")
        await hand.push("continue")
        await hand.see("one folder up")
        await shown(hand, PickPath, "look-target")

    play(script, size=size)
