"""Looking inside, through the screens: folders, marks, search, preview, and files that come back byte for byte."""

from __future__ import annotations

import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs.tree import Node
from recovery.engine import listing
from recovery.tui.screens.dialog import Dialog
from recovery.tui.screens.find import Find
from recovery.tui.screens.home import Home
from recovery.tui.screens.look import Browse
from recovery.tui.screens.options import Options
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.pick import PickOne
from recovery.tui.screens.preview import Preview
from recovery.tui.texts import look as texts
from recovery.tui.themes import THEMES
from recovery.tui.widgets.rows import Rows
from tests.support import ntfs_images
from tests.tui.looked import (
    CROWD,
    LONG,
    bar_on,
    browsing,
    enter,
    extracted,
    names,
    open_backup,
    preview,
    same,
    settled,
)
from tests.tui.pilot import Hand, play
from tests.tui.test_layout import SIZES, shown


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
