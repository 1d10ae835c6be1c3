"""Extraction from hostile and damaged trees: nothing escapes, nothing is overwritten, everything lost is named."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.base.errors import Cancelled, Corrupt
from fs.tree import Node, NodeKind, Run, RunKind, Times
from recovery.engine.cancel import CancelToken
from recovery.engine.extract import Extraction
from recovery.engine.extract_folder import Folder
from recovery.engine.extract_notes import Tally
from recovery.engine.extract_places import TargetFailed
from recovery.engine.extract_stream import Tar, Zip
from recovery.engine.safenames import MAX_NAME_BYTES, another_name, encode, safe_name
from tests.support.fake_tree import Fake, FakeTree, directory, link
from tests.support.tools import need, need_root, run

SECOND = 10**9
WHEN = Times(modified=1_600_000_000 * SECOND + 123456789, accessed=1_500_000_000 * SECOND + 987654321)


def extract(
    root: Fake,
    to: Path,
    *,
    kind: str = "ext4",
    paths: tuple[str, ...] = ("/",),
    overwrite: bool = False,
    windows: bool | None = None,
    check: Callable[[], None] = lambda: None,
) -> Tally:
    tally = Tally()
    with Folder(to, overwrite=overwrite, windows=windows) as folder:
        extraction = Extraction(FakeTree(root, kind), folder, tally, check)
        for path in paths:
            extraction.take(path)
    return tally


def everything_below(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def test_a_tree_comes_back(tmp_path: Path) -> None:
    root = directory()
    sub = root.add("sub", directory(times=WHEN, mode=0o750))
    sub.add("file", Fake(content=b"hello", times=WHEN, mode=0o640, xattrs={"user.colour": b"red"}))
    sub.add("link", link("file", times=WHEN))
    sub.add("empty", Fake(mode=0o600))
    first = Fake(content=b"twice", links=2, mode=0o644)
    sub.add("one", first)
    root.add("two", first)
    root.add("pipe", Fake(NodeKind.FIFO, mode=0o600))
    tally = extract(root, tmp_path / "out")
    out = tmp_path / "out"
    assert everything_below(out) == {
        "sub", "sub/file", "sub/link", "sub/empty", "sub/one", "two", "pipe",
    }  # fmt: skip
    assert (out / "sub/file").read_bytes() == b"hello"
    found = (out / "sub/file").stat()
    assert (found.st_mtime_ns, found.st_mode & 0o7777) == (WHEN.modified, 0o640)
    assert os.getxattr(out / "sub/file", "user.colour") == b"red"
    assert (out / "sub").stat().st_mtime_ns == WHEN.modified
    assert (out / "sub/link").readlink() == Path("file")
    assert (out / "sub/link").lstat().st_mtime_ns == WHEN.modified
    assert (out / "two").stat().st_ino == (out / "sub/one").stat().st_ino
    assert stat.S_ISFIFO((out / "pipe").stat().st_mode)
    assert (tally.loss_count, tally.files, tally.directories) == (0, 4, 2)


HOSTILE = [
    "..", ".", "", "/", "../../etc/passwd", "/etc/passwd", "a/b", "a\0b", "\x1b[31mred", "line\nbreak", "con",
    "CON.txt", "LPT1", "dot.", "space ", "x" * 255, "漢" * 255, "\ud800", "\udfff\ud800x", "a:b", "a\\b", "~",
    "-rf", "%2E%2E",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["ext4", "ntfs"])
@pytest.mark.parametrize("windows", [False, True])
def test_hostile_names_stay_inside(tmp_path: Path, kind: str, windows: bool) -> None:
    root = directory()
    for name in HOSTILE:
        root.add(name, Fake(content=name.encode("utf-8", "surrogatepass")))
        root.add(name + "" if len(name) < 250 else name[:249] + "d", directory()).add("..", Fake(content=b"escaped"))
    outside = tmp_path / "outside"
    outside.mkdir()
    before = everything_below(tmp_path)
    out = tmp_path / "target" / "deep"
    tally = extract(root, out, kind=kind, windows=windows)
    assert everything_below(tmp_path) - before == {"target", "target/deep"} | {
        f"target/deep/{name}" for name in everything_below(out)
    }
    assert tally.loss_count == 0
    files = [p for p in out.rglob("*") if p.is_file()]
    assert len(files) == 2 * len(HOSTILE), "every one is there under some name"
    contents = sorted(p.read_bytes() for p in files)
    wanted = [n.encode("utf-8", "surrogatepass") for n in HOSTILE] + [b"escaped"] * len(HOSTILE)
    assert contents == sorted(wanted)
    for path in out.rglob("*"):
        assert not any(ord(c) < 32 for c in path.name)
        assert len(os.fsencode(path.name)) <= MAX_NAME_BYTES
    told = {path for path, _, _ in tally.renamed}
    assert len(told) >= 10


@given(st.text(st.characters(codec=None, categories=None), max_size=300), st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_safe_name_is_one_component(name: str, byte_names: bool, windows: bool) -> None:
    made, reason = safe_name(name, byte_names=byte_names, windows=windows)
    raw = encode(made)
    assert 0 < len(raw) <= MAX_NAME_BYTES
    assert made not in (".", "..")
    assert b"/" not in raw and b"\0" not in raw and b"\n" not in raw
    assert (made == name) == (reason == "")
    assert 0 < len(encode(another_name(made, 9999))) <= MAX_NAME_BYTES
    if windows:
        assert not set(made) & set('\\:*?"<>|') and not made.endswith((".", " "))


def test_byte_names_of_ext_are_kept() -> None:
    assert safe_name("caf\udce9", byte_names=True) == ("caf\udce9", "")
    assert safe_name("caf\udce9", byte_names=False)[0] == "caf%uDCE9"
    assert safe_name("aux.c", byte_names=True) == ("aux.c", "")
    assert safe_name("aux.c", byte_names=True, windows=True)[0] == "_aux.c"


def test_links_in_the_target_are_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "dir").symlink_to(outside)
    (out / "file").symlink_to(outside / "file")
    root = directory()
    root.add("dir", directory()).add("file", Fake(content=b"theirs"))
    root.add("file", Fake(content=b"theirs"))
    tally = extract(root, out)
    assert (outside / "file").read_text() == "mine" and everything_below(outside) == {"file"}
    assert {(loss.path, loss.code) for loss in tally.losses} == {
        ("/dir", "extract.refused"),
        ("/file", "extract.exists"),
    }
    tally = extract(root, out, overwrite=True)
    assert (outside / "file").read_text() == "mine"
    assert (out / "file").read_bytes() == b"theirs" and not (out / "file").is_symlink()


def test_links_of_the_volume_are_never_followed(tmp_path: Path) -> None:
    """A link first, and then a directory of the same name: a damaged or malicious volume."""
    outside = tmp_path / "outside"
    outside.mkdir()
    root = directory()
    root.add("x", link(str(outside)))
    root.add("x", directory()).add("file", Fake(content=b"theirs"))
    tally = extract(root, tmp_path / "out")
    assert everything_below(outside) == set()
    assert (tmp_path / "out/x/file").read_bytes() == b"theirs"
    assert (tmp_path / "out/x~2").is_symlink() and tally.renamed_count == 1


def test_what_exists_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "file").write_text("old")
    root = directory()
    root.add("file", Fake(content=b"new"))
    root.add("other", Fake(content=b"new"))
    tally = extract(root, out)
    assert (out / "file").read_text() == "old" and (out / "other").read_text() == "new"
    assert [loss.code for loss in tally.losses] == ["extract.exists"]
    assert extract(root, out, overwrite=True).loss_count == 0
    assert (out / "file").read_text() == "new" and everything_below(out) == {"file", "other"}


def test_names_that_meet_on_the_target(tmp_path: Path) -> None:
    root = directory()
    for content in (b"1", b"2", b"3"):
        root.add("same.txt", Fake(content=content))
    root.add("d", directory()).add("in", Fake(content=b"a"))
    root.add("d", directory()).add("in", Fake(content=b"b"))
    out = tmp_path / "out"
    tally = extract(root, out, overwrite=True)
    assert everything_below(out) == {"same.txt", "same~2.txt", "same~3.txt", "d", "d/in", "d~2", "d~2/in"}
    assert (out / "same~3.txt").read_bytes() == b"3" and (out / "d~2/in").read_bytes() == b"b"
    assert tally.loss_count == 0 and tally.renamed_count == 3


def test_damage_is_kept_under_another_name(tmp_path: Path) -> None:
    data = bytes(range(1, 256)) * 20000
    root = directory()
    root.add("hit", Fake(content=data, bad=((1_500_000, 1_500_010), (3_000_000, 3_100_000)), times=WHEN))
    root.add("good", Fake(content=data))
    root.add("gone", Fake(content=b"x" * 100, bad=((0, 100),)))
    root.add("cloud", Fake(content=b"", note="its content is in the cloud"))
    root.add("broken", Fake(error=Corrupt("inode 7", 4096, "is nonsense")))
    root.add("folder", directory(error=Corrupt("inode 8", 8192, "is nonsense"))).add("seen", Fake(content=b"1"))
    out = tmp_path / "out"
    tally = extract(root, out)
    assert everything_below(out) == {"hit.damaged", "good", "folder", "folder/seen"}
    found = (out / "hit.damaged").read_bytes()
    assert len(found) == len(data)
    wrong = [i for i in range(0, len(data), 4096) if found[i : i + 4096] != data[i : i + 4096]]
    assert wrong[0] == 1_500_000 // 4096 * 4096 and len(wrong) == 1 + (3_099_999 // 4096 - 3_000_000 // 4096 + 1)
    assert all(not any(found[i : i + 4096]) for i in wrong)
    codes = {loss.path: loss.code for loss in tally.losses}
    assert codes == {
        "/hit": "extract.damaged", "/gone": "extract.unreadable", "/cloud": "extract.unreadable",
        "/broken": "extract.unreadable", "/folder": "tree.unreadable",
    }  # fmt: skip
    text = next(loss.text for loss in tally.losses if loss.path == "/hit")
    assert "1499136..1503232" in text and "hit.damaged" in text


def test_loops_and_second_places_end(tmp_path: Path) -> None:
    root = directory()
    a = root.add("a", directory())
    b = a.add("b", directory())
    b.add("up", a)
    b.add("top", root)
    root.add("again", b)
    b.add("file", Fake(content=b"1"))
    tally = extract(root, tmp_path / "out")
    assert everything_below(tmp_path / "out") == {"a", "a/b", "a/b/file"}
    assert sorted((loss.path, loss.code) for loss in tally.losses) == [
        ("/a/b/top", "tree.loop"), ("/a/b/up", "tree.loop"), ("/again", "tree.twice"),
    ]  # fmt: skip


def test_very_deep(tmp_path: Path) -> None:
    root = here = directory()
    for _ in range(3000):
        here = here.add("d", directory())
    tally = extract(root, tmp_path / "out")
    assert [loss.code for loss in tally.losses] == ["tree.deep"] and tally.directories == 400
    run("rm", "-r", tmp_path / "out")


def test_holes_are_kept(tmp_path: Path) -> None:
    size = 64 << 20
    content = bytearray(size)
    content[10 << 20 : (10 << 20) + 5] = b"data1"
    content[-3:] = b"end"
    runs = (
        Run(0, None, 10 << 20, RunKind.HOLE), Run(10 << 20, 0, 1 << 20, RunKind.DATA, 1 << 20),
        Run(11 << 20, 7 << 20, 40 << 20, RunKind.UNWRITTEN), Run(51 << 20, None, (13 << 20) - 4096, RunKind.HOLE),
        Run((64 << 20) - 4096, 9 << 20, 4096, RunKind.DATA, 4096),
    )  # fmt: skip
    root = directory()
    root.add("sparse", Fake(content=bytes(content), runs=runs))
    root.add("zeros", Fake(content=bytes(100)))
    tally = extract(root, tmp_path / "out")
    found = tmp_path / "out/sparse"
    assert found.read_bytes() == content
    assert found.stat().st_blocks * 512 <= (1 << 20) + 8192
    assert tally.bytes == (1 << 20) + 4096 + 100
    assert (tmp_path / "out/zeros").read_bytes() == bytes(100)


def test_streams_of_ntfs(tmp_path: Path) -> None:
    root = directory()
    root.add("f", Fake(content=b"main", streams={"Zone.Identifier": b"[ZoneTransfer]", "big": b"x" * 200_000}))
    root.add("d", directory(streams={"on:dir": b"s" * 100_000, "small": b"1"}))
    tally = extract(root, tmp_path / "out", kind="ntfs")
    out = tmp_path / "out"
    assert os.getxattr(out / "f", "user.ntfs-stream.Zone.Identifier") == b"[ZoneTransfer]"
    assert (out / "f:big").read_bytes() == b"x" * 200_000
    assert (out / "d:on:dir").read_bytes() == b"s" * 100_000
    assert os.getxattr(out / "d", "user.ntfs-stream.small") == b"1"
    assert {name for _, name, _ in tally.renamed} == {"f:big", "d:on:dir"} and tally.loss_count == 0


def test_full_target(tmp_path: Path) -> None:
    need_root()
    where = tmp_path / "small"
    where.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", where)
    try:
        root = directory()
        root.add("fits", Fake(content=b"1" * 1000))
        root.add("too large", Fake(content=b"2" * (2 << 20)))
        with pytest.raises(TargetFailed) as caught:
            extract(root, where)
        assert "/too large" in str(caught.value) and "No space left" in str(caught.value)
        assert everything_below(where) == {"fits"}
    finally:
        run("umount", where)


def test_stopped_in_the_middle(tmp_path: Path) -> None:
    token = CancelToken()
    root = directory()
    for i in range(10):
        root.add(f"f{i}", Fake(content=b"1" * 5_000_000))
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            token.cancel()
        token.check()

    with pytest.raises(Cancelled):
        extract(root, tmp_path / "out", check=check)
    found = everything_below(tmp_path / "out")
    assert 0 < len(found) < 10
    assert all((tmp_path / "out" / name).stat().st_size == 5_000_000 for name in found)


def sample_tree() -> Fake:
    root = directory()
    sub = root.add("sub", directory(times=WHEN, mode=0o750, uid=7, gid=8))
    sub.add("file", Fake(content=b"hello" * 30000, times=WHEN, mode=0o4640, uid=7, gid=8, xattrs={"user.x": b"\xff\0"}))
    sub.add("lénk", link("file", times=WHEN, mode=0o777, uid=0, gid=0))
    shared = Fake(content=b"twice", links=2, mode=0o644, uid=0, gid=0)
    sub.add("one", shared)
    root.add("two", shared)
    root.add("..", Fake(content=b"escape", mode=0o644, uid=0, gid=0))
    root.add("hit", Fake(content=b"z" * 9000, bad=((5000, 5001),), mode=0o644, uid=0, gid=0))
    return root


def test_tar(tmp_path: Path) -> None:
    need("tar")
    buffer, tally = io.BytesIO(), Tally()
    tar = Tar(buffer, "test.tar")
    Extraction(FakeTree(sample_tree()), tar, tally, lambda: None).take("/")
    tar.close()
    (tmp_path / "t.tar").write_bytes(buffer.getvalue())
    out = tmp_path / "out"
    out.mkdir()
    run("tar", "--xattrs", "--xattrs-include=user.*", "-xpf", tmp_path / "t.tar", "-C", out)
    assert everything_below(out) == {
        "sub", "sub/file", "sub/lénk", "sub/one", "two", "%2E%2E", "hit", "hit.damaged.txt",
    }  # fmt: skip
    assert (out / "sub/file").read_bytes() == b"hello" * 30000
    found = (out / "sub/file").stat()
    assert found.st_mtime_ns == WHEN.modified and (out / "sub").stat().st_mtime_ns == WHEN.modified
    if os.geteuid() == 0:
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (7, 8, 0o4640)
    assert os.getxattr(out / "sub/file", "user.x") == b"\xff\0"
    assert (out / "two").stat().st_ino == (out / "sub/one").stat().st_ino
    assert (out / "hit").read_bytes() == b"z" * 4096 + bytes(4096) + b"z" * (9000 - 8192)
    assert [loss.code for loss in tally.losses] == ["extract.damaged"]
    with tarfile.open(tmp_path / "t.tar") as again:
        assert all(not m.name.startswith(("/", "..")) for m in again.getmembers())


def test_zip(tmp_path: Path) -> None:
    buffer, tally = io.BytesIO(), Tally()
    root = sample_tree()
    root.add("CON", Fake(content=b"1"))
    root.add("case", Fake(content=b"2"))
    root.add("CASE", Fake(content=b"3"))
    made = Zip(buffer, "test.zip")
    Extraction(FakeTree(root), made, tally, lambda: None).take("/")
    made.close()
    with zipfile.ZipFile(buffer) as found:
        assert found.testzip() is None
        names = {i.filename for i in found.infolist()}
        assert names == {
            "sub/", "sub/file", "sub/lénk", "sub/one", "two", "%2E%2E", "hit", "hit.damaged.txt", "_CON", "case",
            "CASE~2",
        }  # fmt: skip
        assert found.read("sub/file") == b"hello" * 30000 and found.read("two") == b"twice"
        info = found.getinfo("sub/lénk")
        assert stat.S_ISLNK(info.external_attr >> 16) and found.read(info) == b"file"
    assert tally.unkept["hard links (made as separate files)"].count == 2
    if subprocess.run(["which", "unzip"], capture_output=True, check=False).returncode == 0:
        (tmp_path / "t.zip").write_bytes(buffer.getvalue())
        run("unzip", "-tq", tmp_path / "t.zip")


def test_one_path_of_many(tmp_path: Path) -> None:
    root = sample_tree()
    tally = extract(root, tmp_path / "out", paths=("/sub", "two"))
    assert everything_below(tmp_path / "out") == {"sub", "sub/file", "sub/lénk", "sub/one", "two"}
    assert tally.loss_count == 0


def test_many_files_in_one_directory(tmp_path: Path) -> None:
    root = directory()
    for i in range(1000):
        root.add(f"file {i}", Fake(content=b"%d" % i))
    tally = extract(root, tmp_path / "out")
    assert (tally.files, tally.loss_count) == (1000, 0)


def test_a_node_of_an_unknown_kind_is_named(tmp_path: Path) -> None:
    root = directory()
    root.add("what", Fake(NodeKind.OTHER))
    root.add("sock", Fake(NodeKind.SOCKET))
    root.add("nowhere", link(""))
    tally = extract(root, tmp_path / "out")
    assert {loss.path for loss in tally.losses} == {"/what", "/nowhere"}
    assert any("sockets" in what for what in tally.unkept)
    assert isinstance(FakeTree(root).root, Node)
