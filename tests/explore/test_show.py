"""show, find and extract --with-folders of the command, on an ext4 that mke2fs made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fs.findings import Log
from recovery.engine.browse import open_volume
from recovery.engine.listing import as_pattern, find, weigh
from tests.support import little
from tests.support.command import jurymast
from tests.unit.recovery.engine.test_pictures import FRAME, jpeg, tiff


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("show") / "tree"
    for folder in ("a/deep/er", "b"):
        (root / folder).mkdir(parents=True)
    for path in ("a/note.txt", "a/deep/er/note.txt", "b/note.txt", "b/other.txt"):
        (root / path).write_text(f"this is {path}\n")
    (root / "b" / "photo.jpg").write_bytes(jpeg((0xE1, b"Exif\0\0" + tiff("<")), FRAME) + bytes(5000))
    return root


@pytest.fixture(scope="module")
def image(tree: Path) -> Path:
    return little.ext4(tree.parent / "volume.img", tree)


def lines(text: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_show_tells_what_a_file_is(image: Path) -> None:
    said = jurymast("show", image, "/b/photo.jpg", ok=0).stdout.decode()
    assert "JPEG, 640 x 480 pixels, taken 2024-05-17 10:20:30, Maker Model 5" in said
    entry, result = lines(jurymast("show", image, "/b/photo.jpg", "--json", ok=0).stdout)
    assert entry["picture"] == {
        "kind": "JPEG", "width": 640, "height": 480, "taken": "2024-05-17 10:20:30", "camera": "Maker Model 5",
    }  # fmt: skip
    assert entry["content"] == "picture" and entry["missing"] == 0 and result["outcome"] == "ok"
    entry, _ = lines(jurymast("show", image, "/a/note.txt", "--json", ok=0).stdout)
    assert (entry["content"], entry["encoding"], entry["size"]) == ("text", "UTF-8", 19)
    assert lines(jurymast("show", image, "/nothing", "--json", ok=1).stdout)[-1]["outcome"] == "failed"


def test_show_gives_the_bytes(image: Path, tree: Path) -> None:
    data = (tree / "b/photo.jpg").read_bytes()
    said = jurymast("show", image, "/b/photo.jpg", "--hex", "--offset", "16", "--length", "40", ok=0).stdout.decode()
    assert bytes.fromhex("".join(line[10:59].replace(" ", "") for line in said.splitlines())) == data[16:56]
    found = lines(jurymast("show", image, "/b/photo.jpg", "--hex", "--length", "100000", "--json", ok=0).stdout)
    assert b"".join(bytes.fromhex(str(line["hex"])) for line in found[:-1]) == data
    assert found[-1]["bytes"] == len(data)


def test_several_files_keep_their_folders(image: Path, tree: Path, tmp_path: Path) -> None:
    paths = ("/a/deep/er/note.txt", "/b/note.txt", "/a/note.txt", "/a/deep/er", "/b/note.txt")
    result = lines(jurymast("extract", image, *paths, tmp_path, "--with-folders", "--json", ok=0).stdout)[-1]
    assert result["outcome"] == "ok"
    found = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == {name: (tree / name).read_bytes() for name in ("a/note.txt", "a/deep/er/note.txt", "b/note.txt")}
    times = [(tree / "a/deep").stat().st_mtime_ns, (tmp_path / "a/deep").stat().st_mtime_ns]
    assert abs(times[0] - times[1]) < 10**9  # mke2fs -d keeps whole seconds
    again = lines(jurymast("extract", image, *paths, tmp_path, "--with-folders", "--json", ok=4).stdout)[-1]
    assert again["outcome"] == "losses"  # all exist already, and were kept


def test_finding_below_a_folder_and_weighing(image: Path, tree: Path) -> None:
    with open_volume(str(image)) as volume:
        found = [path for path, _ in find(volume.tree, as_pattern("note"), Log(), below="/a/")]
        assert sorted(found) == ["/a/deep/er/note.txt", "/a/note.txt"]
        assert as_pattern("*.txt") == "*.txt"
        weight = weigh(volume.tree, "/b")
        assert (weight.files, weight.folders, weight.faults) == (3, 1, 0)
        assert weight.bytes == sum(p.stat().st_size for p in (tree / "b").iterdir())
        assert weigh(volume.tree, "/a/note.txt") == (1, 0, 19, 0)
