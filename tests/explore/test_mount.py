"""The mount shows what independent programs read: every tree, and every partition byte by byte."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from formats.base.source import BlockSource, MemorySource
from recovery.engine import mounting
from recovery.engine.browse import Place, VolumeInfo
from recovery.engine.mountfs import MountedPlace
from tests.explore.conftest import Made, environment, jurymast_json, jurymast_process
from tests.support.fake_tree import Fake, FakeTree, directory, link
from tests.support.tools import need, need_root, run
from tests.support.tree import digest


@contextmanager
def mounted_source(source: Path, where: Path, *, background: bool = False) -> Iterator[Path]:
    need_root()
    need("fusermount3")
    where.mkdir()
    process = None
    try:
        if background:
            jurymast_process("mount", "--background", source, where)
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", "recovery", "mount", str(source), str(where)],
                env=environment(), stderr=subprocess.PIPE,
            )  # fmt: skip
            deadline = time.monotonic() + 30
            while not where.is_mount() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
        assert where.is_mount()
        yield where
    finally:
        if where.is_mount():
            subprocess.run(["fusermount3", "-uz", where], check=False)
        if process is not None:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_archive(made: Made, tmp_path: Path) -> None:
    with mounted_source(made.archive, tmp_path / "mnt", background=True) as where:
        assert sorted(p.name for p in where.iterdir()) == ["1", "1.raw", "2", "2.raw", "3", "3.raw", "4.raw"]
        for partition in made.scene.partitions:
            raw = where / f"{partition.number}.raw"
            assert raw.stat().st_size == partition.size
            if partition.kind == "swap":
                continue
            assert digest(where / str(partition.number)) == partition.tree
        # What the file system uses is the same; what it does not use is zeros in the archive.
        for kind, number in (("fat32", 1), ("ext4", 3)):
            partition = made.scene.partition(kind)
            checker = ["fsck.fat", "-n"] if kind == "fat32" else ["e2fsck", "-fn"]
            run(*checker, where / f"{number}.raw")
            assert (where / f"{number}.raw").read_bytes()[:4096] == _bytes(made, partition.start, 4096)
        names = {p.name for p in (where / "2").iterdir()}
        assert names == {"dir", "empty"} and (where / "2/$MFT").exists()
        with pytest.raises(OSError) as caught:
            (where / "3/dir/new").write_text("x")
        assert caught.value.errno == errno.EROFS
        assert not (where / "3/nothing").exists()


def test_image_in_the_foreground(made: Made, tmp_path: Path) -> None:
    with mounted_source(made.scene.path, tmp_path / "mnt") as where:
        for partition in made.scene.partitions:
            content = (where / f"{partition.number}.raw").read_bytes()
            assert content == _bytes(made, partition.start, partition.size), "byte by byte"
            if partition.kind != "swap":
                assert digest(where / str(partition.number)) == partition.tree


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_unmounts(made: Made, tmp_path: Path, number: signal.Signals) -> None:
    where = tmp_path / "mnt"
    where.mkdir()
    need_root()
    process = subprocess.Popen(
        [sys.executable, "-m", "recovery", "mount", str(made.archive), str(where)],
        env=environment(), stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert b"is mounted at" in told and where.is_mount()
        process.send_signal(number)
        assert process.wait(20) == 0
        assert not where.is_mount()
    finally:
        process.kill()
        process.wait()
        subprocess.run(["fusermount3", "-uzq", where], check=False)


def test_refusals(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = jurymast_json("mount", made.archive, tmp_path / "missing", ok=3)[-1]
    assert "is not a directory" in told["error"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    told = jurymast_json("mount", made.archive, tmp_path / "full", ok=3)[-1]
    assert "is not empty" in told["error"]
    (tmp_path / "empty").mkdir()
    told = jurymast_json("mount", f"{made.archive}:2", tmp_path / "empty", ok=3)[-1]
    assert "mounted together" in told["error"]
    told = jurymast_json("mount", "--background", tmp_path / "no archive", tmp_path / "empty", ok=3)[-1]
    assert "no archive" in told["error"]

    def missing(name: str) -> None:
        raise OSError("Unable to find libfuse")

    monkeypatch.setattr(mounting.importlib, "import_module", missing)
    told = jurymast_json("mount", made.archive, tmp_path / "empty", ok=1)[-1]
    assert "libfuse" in told["error"] and "fuse3" in told["advice"]


class FakePlace(Place):
    """A place with one volume, whose files are a fake tree."""

    def __init__(self, root: Fake, kind: str) -> None:
        info = VolumeInfo(1, 1, "1", kind, "", "", 0, 1000)
        super().__init__("fake", (info,), None, None)
        self._fake = FakeTree(root, kind)

    def raw(self, volume: VolumeInfo) -> BlockSource:
        return MemorySource(bytes(1000))

    def tree(self, volume: VolumeInfo) -> FakeTree:
        return self._fake


@pytest.mark.parametrize("kind", ["ext4", "ntfs"])
def test_hostile_names_through_the_callbacks(kind: str) -> None:
    root = directory()
    names = ["..", "a/b", "x\ny", "\ud800\ud801", "漢" * 255, "plain", "50%", "\udc80"]
    for name in names:
        root.add(name, Fake(content=name.encode("utf-8", "surrogatepass")))
    root.add("up", directory()).add("again", root)
    root.add("out", link("/etc"))
    place = MountedPlace(FakePlace(root, kind))
    listed = [n for n in place.readdir("/1", 0) if isinstance(n, tuple)]
    assert len(listed) == len(names) + 2
    contents = set()
    for name, attributes, _ in listed:
        assert "/" not in name and name not in (".", "..") and len(name.encode("utf-8", "surrogateescape")) <= 255
        place = MountedPlace(FakePlace(root, kind))  # without what the listing remembered
        assert place.getattr(f"/1/{name}")["st_size"] == attributes["st_size"]
        if attributes["st_mode"] & 0o170000 == 0o100000:
            handle = place.open(f"/1/{name}", os.O_RDONLY)
            contents.add(place.read("", 4096, 0, handle))
            place.release("", handle)
    assert contents == {n.encode("utf-8", "surrogatepass") for n in names}
    assert place.readlink("/1/out") == "/etc"
    for path, number in (("/2", errno.ENOENT), ("/1/plain/x", errno.ENOTDIR), ("/1/no", errno.ENOENT)):
        with pytest.raises(OSError) as caught:
            place.getattr(path)
        assert caught.value.errno == number
    with pytest.raises(OSError) as caught:
        place.open("/1/plain", os.O_RDWR)
    assert caught.value.errno == errno.EROFS


def _bytes(made: Made, start: int, length: int) -> bytes:
    with made.scene.path.open("rb") as file:
        file.seek(start)
        return file.read(length)
