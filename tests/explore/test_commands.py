"""Looking into a disk, an image and an archive gives what independent programs read from it."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.base.extent import ExtentList
from recovery.engine.browse import split_address
from tests.explore.conftest import Made, environment, jurymast, jurymast_json, jurymast_process
from tests.support.archives import Volume, write
from tests.support.fat_images import GENERATORS as FAT
from tests.support.oracles import ntfs_mounted, read_tree
from tests.support.tools import loop_device, mounted, need, need_root, run
from tests.support.tree import digest

NUMBERS = {"fat32": 1, "ntfs": 2, "ext4": 3}


def manifest(text: str) -> dict[str, str]:
    return {line[66:]: line[:64] for line in text.splitlines()}


@pytest.mark.parametrize("kind", ["fat32", "ntfs", "ext4"])
def test_hash_equals_the_oracles(made: Made, kind: str, tmp_path: Path) -> None:
    partition = made.scene.partition(kind)
    volume = made.scene.extract(partition, tmp_path / "volume")
    wanted = read_tree(kind, volume, tmp_path)
    assert wanted == partition.tree and len(wanted) == 72
    assert manifest(jurymast("hash", f"{made.archive}:{NUMBERS[kind]}")) == wanted
    assert manifest(jurymast("hash", f"{made.scene.path}:{NUMBERS[kind]}")) == wanted
    assert manifest(jurymast("hash", volume)) == wanted
    with loop_device(volume, read_only=True) as device:
        assert manifest(jurymast("hash", device)) == wanted


def test_hash_of_a_whole_disk_is_what_sha256sum_checks(made: Made, tmp_path: Path) -> None:
    lines = jurymast("hash", made.archive)
    (tmp_path / "sums").write_text(lines)
    for n in (1, 2, 3):
        jurymast("extract", f"{made.archive}:{n}", tmp_path / "out" / str(n))
    told = run("sha256sum", "-c", "--strict", tmp_path / "sums", ok=(1,))  # in the wrong folder
    assert "OK" not in told
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "--quiet", tmp_path / "sums"], cwd=tmp_path / "out", capture_output=True
    )  # fmt: skip
    assert done.returncode == 0, done
    assert lines.count("\n") == 3 * 72


def test_volumes_are_listed_when_none_is_named(made: Made) -> None:
    lines = jurymast_json("ls", made.archive)
    volumes = [line for line in lines if line["type"] == "volume"]
    assert [(v["address"], v["file_system"], v["has_files"]) for v in volumes] == [
        ("1", "fat32", True), ("2", "ntfs", True), ("3", "ext4", True), ("4", "swap", False),
    ]  # fmt: skip
    assert [v["start"] for v in volumes] == [p.start for p in made.scene.partitions]
    assert jurymast_json("ls", made.scene.path)[:-1] == volumes
    told = jurymast_json("hash", f"{made.archive}:9", ok=3)[-1]
    assert "no partition 9" in told["error"] and "1, 2, 3, 4" in told["advice"]
    told = jurymast_json("find", made.archive, "*", ok=3)[-1]
    assert f"{made.archive}:2" in told["advice"]
    told = jurymast_json("ls", f"{made.archive}:4", ok=1)[-1]
    assert "swap" in told["error"]


def test_a_name_with_a_colon(made: Made, tmp_path: Path) -> None:
    odd = tmp_path / "disk:3"
    shutil.copy(made.archive, odd)
    assert len(jurymast_json("ls", odd)) == 5
    names = {line["name"] for line in jurymast_json("ls", f"{odd}:3") if line["type"] == "entry"}
    assert names == {"dir", "empty", "lost+found"}


@pytest.mark.parametrize("kind", ["fat32", "ntfs", "ext4"])
def test_ls_and_find(made: Made, kind: str) -> None:
    source = f"{made.archive}:{NUMBERS[kind]}"
    entries = [line for line in jurymast_json("ls", source, "/dir") if line["type"] == "entry"]
    wanted = {Path(p).name for p in made.scene.partition(kind).tree if p.count("/") == 1} | {"sub"}
    assert {e["name"] for e in entries} == wanted
    sizes = {e["name"]: e["size"] for e in entries}
    assert sizes["f11_1000003.bin"] == 1000003
    assert all(e["modified"] for e in entries)
    text = jurymast("ls", source, "dir/f11_1000003.bin")
    assert text.split()[-1] == "f11_1000003.bin" and "1000003" in text
    found = jurymast("find", source, "*number 01?*").splitlines()
    assert sorted(found) == [f"/dir/sub/a long file name number 01{i} — ünïcödé.txt" for i in range(10)]
    upper = jurymast("find", source, "DIR/*513*").splitlines()
    assert upper == ([] if kind == "ext4" else ["/dir/f4_513.bin"])
    assert jurymast("find", source, "/dir/*513*").splitlines() == ["/dir/f4_513.bin"]
    told = jurymast_json("ls", source, "/dir/nothing", ok=1)[-1]
    assert "nothing" in told["error"]


def test_cat(made: Made) -> None:
    path = "dir/f9_65535.bin"
    content = jurymast_process("cat", f"{made.archive}:2", path)
    assert hashlib.sha256(content).hexdigest() == made.scene.partition("ntfs").tree[path]


def test_a_tar_through_a_pipe(made: Made) -> None:
    data = jurymast_process("extract", f"{made.archive}:3", "dir", "-", "--as-tar")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert len([m for m in tar if m.isfile()]) == 72


@pytest.mark.parametrize("kind", ["fat32", "ntfs", "ext4"])
def test_extract(made: Made, kind: str, tmp_path: Path) -> None:
    source = f"{made.archive}:{NUMBERS[kind]}"
    tree = made.scene.partition(kind).tree
    result = jurymast_json("extract", source, tmp_path / "out")[-1]
    assert digest(tmp_path / "out") == tree
    assert result["numbers"]["files"] == 72 and result["numbers"]["not_whole"] == 0
    jurymast("extract", source, "/dir/sub", tmp_path / "part")
    assert digest(tmp_path / "part") == {p.removeprefix("dir/"): d for p, d in tree.items() if p.startswith("dir/sub/")}
    jurymast("extract", source, tmp_path / "t.tar", "--as-tar")
    with tarfile.open(tmp_path / "t.tar") as tar:
        tar.extractall(tmp_path / "untarred", filter="fully_trusted")
    assert digest(tmp_path / "untarred") == tree
    jurymast("extract", source, tmp_path / "t.zip", "--as-zip")
    with zipfile.ZipFile(tmp_path / "t.zip") as zipped:
        assert zipped.testzip() is None
        found = {i.filename: hashlib.sha256(zipped.read(i)).hexdigest() for i in zipped.infolist() if not i.is_dir()}
    assert found == tree
    assert "exists already" in jurymast("extract", source, tmp_path / "t.zip", "--as-zip", ok=3)
    result = jurymast_json("extract", source, tmp_path / "out", ok=4)[-1]
    assert result["numbers"]["not_whole"] == 72, "nothing is overwritten"
    jurymast("extract", source, tmp_path / "out", "--overwrite")
    assert digest(tmp_path / "out") == tree


def test_the_only_volume(tmp_path: Path) -> None:
    image = tmp_path / "volume"
    next(iter(FAT.values()))(image)
    assert jurymast_json("ls", image)[-1]["outcome"] == "ok"
    assert jurymast_json("ls", f"{image}:1")[-1]["outcome"] == "ok"
    (tmp_path / "text").write_text("not a disk at all")
    assert "showing its files" in jurymast_json("hash", tmp_path / "text", ok=1)[-1]["error"]
    assert jurymast_json("hash", tmp_path / "missing", ok=1)[-1]["outcome"] == "failed"


def test_several_disks_in_one_archive(tmp_path: Path) -> None:
    need_root()
    images = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"only-{name}").write_text(name)
        images.append(tmp_path / f"{name}.img")
        run("mke2fs", "-q", "-F", "-t", "ext4", "-d", tmp_path / name, images[-1], "8m")
    archive = tmp_path / "both.jmi"
    jurymast("backup", *images, archive)
    volumes = [line["address"] for line in jurymast_json("ls", archive) if line["type"] == "volume"]
    assert volumes == ["1.1", "2.1"]
    assert jurymast("find", f"{archive}:2.1", "only*") == "/only-b\n"
    assert "several disks" in jurymast_json("ls", f"{archive}:1", ok=3)[-1]["error"]


def full_tree(root: Path) -> None:
    """Everything that a Linux file system can hold and mke2fs -d copies."""
    (root / "bin").mkdir()
    tool = root / "bin" / "tool"
    tool.write_bytes(b"#!/bin/sh\n" * 1000)
    tool.chmod(0o4755)
    (root / "bin" / "alias").symlink_to("tool")
    (root / "absolute").symlink_to("/etc/passwd")
    os.link(tool, root / "hard")
    os.mkfifo(root / "pipe", 0o640)
    os.mknod(root / "null", 0o20666, os.makedev(1, 3))
    secret = root / "secret"
    secret.write_text("x")
    os.chown(secret, 1234, 5678)
    secret.chmod(0o600)
    os.setxattr(secret, "user.comment", b"mine")
    sparse = root / "sparse"
    with sparse.open("wb") as file:
        file.seek(20 << 20)
        file.write(b"in the middle")
        file.truncate(40 << 20)
    (root / "caf\udce9").write_text("no UTF-8")
    (root / "sticky").mkdir(mode=0o1777)
    (root / "sticky").chmod(0o1777)
    for i, path in enumerate(sorted(root.rglob("*"))):
        when = (1_400_000_000 + i * 1000) * 10**9 + 123456789
        os.utime(path, ns=(when, when), follow_symlinks=False)


def picture(root: Path) -> dict[str, object]:
    """All that can be compared of a tree, except for inode numbers."""
    found: dict[str, object] = {}
    firsts: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name == "lost+found":
            continue
        at = path.lstat()
        attributes = {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[name] = (
            oct(at.st_mode), at.st_uid, at.st_gid, at.st_mtime_ns, at.st_rdev, attributes,
            hashlib.sha256(content).hexdigest(), str(path.readlink()) if path.is_symlink() else "",
            firsts.setdefault(at.st_ino, name), at.st_nlink if not path.is_dir() else 0,
        )  # fmt: skip
    return found


def test_extraction_equals_cp(scratch_ext4: Callable[[Callable[[Path], None]], Path], tmp_path: Path) -> None:
    need_root()
    image = scratch_ext4(full_tree)
    result = jurymast_json("extract", image, tmp_path / "ours")[-1]
    assert result["numbers"]["not_whole"] == 0
    with loop_device(image, read_only=True) as device:
        try:
            with mounted(["mount", "-o", "ro", device, tmp_path / "mnt"], tmp_path / "mnt"):
                run("cp", "-a", f"{tmp_path / 'mnt'}/.", tmp_path / "theirs")
        except AssertionError as error:
            pytest.skip(f"this kernel does not mount ext4: {error}")
    ours, theirs = picture(tmp_path / "ours"), picture(tmp_path / "theirs")
    assert ours.keys() == theirs.keys()
    assert ours == theirs
    assert len(ours) == 11
    assert (tmp_path / "ours/sparse").stat().st_blocks * 512 < 64 << 10
    assert (tmp_path / "ours/sparse").stat().st_size == 40 << 20


def test_ntfs_streams_and_links(tmp_path: Path) -> None:
    need_root()
    need("mkntfs", "ntfs-3g")
    image = tmp_path / "ntfs.img"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    run("mkntfs", "-F", "-Q", "-q", image)
    where = tmp_path / "mnt"
    where.mkdir()
    with ntfs_mounted(image, where, "streams_interface=windows"):
        (where / "doc.txt").write_text("main")
        Path(f"{where}/doc.txt:Zone.Identifier").write_text("[ZoneTransfer]\nZoneId=3\n")
        Path(f"{where}/doc.txt:large").write_bytes(b"L" * 300_000)
        os.link(where / "doc.txt", where / "same.txt")
        os.utime(where / "doc.txt", ns=(10**18 + 100, 10**18 + 700))
    entries = {e["name"]: e for e in jurymast_json("ls", image, "/", "--all-streams") if e["type"] == "entry"}
    assert {s["name"]: s["size"] for s in entries["doc.txt"]["streams"]} == {"Zone.Identifier": 24, "large": 300_000}
    assert jurymast("cat", image, "doc.txt:Zone.Identifier") == "[ZoneTransfer]\nZoneId=3\n"
    assert jurymast("hash", image, "--all-streams").count("doc.txt:large") == 1
    jurymast("extract", image, tmp_path / "out")
    out = tmp_path / "out"
    assert os.getxattr(out / "doc.txt", "user.ntfs-stream.Zone.Identifier") == b"[ZoneTransfer]\nZoneId=3\n"
    assert (out / "doc.txt:large").read_bytes() == b"L" * 300_000 or (out / "same.txt:large").exists()
    assert (out / "doc.txt").stat().st_ino == (out / "same.txt").stat().st_ino
    assert (out / "doc.txt").stat().st_mtime_ns == 10**18 + 700
    assert not (out / "$MFT").exists()
    jurymast("extract", image, "$UpCase", tmp_path / "named")
    assert (tmp_path / "named/$UpCase").stat().st_size == 131072


def test_stopping_a_reader_of_ours(made: Made) -> None:
    """`| head` ends us without noise."""
    done = subprocess.run(
        ["bash", "-c", '"$0" -m recovery find "$1:2" "*" | head -n 1', sys.executable, str(made.archive)],
        capture_output=True, env=environment(),
    )  # fmt: skip
    assert done.stdout.count(b"\n") == 1
    assert b"Traceback" not in done.stderr and b"BrokenPipe" not in done.stderr


def test_an_archive_of_bytes_without_a_file_system(tmp_path: Path) -> None:
    data = bytes(range(256)) * 64
    write(tmp_path / "a.jmi", [Volume(data, ExtentList([(0, len(data))]))])
    assert jurymast_json("ls", tmp_path / "a.jmi", ok=1)[-1]["outcome"] == "failed"


def test_paging_files_are_told_and_are_no_fault(tmp_path: Path) -> None:
    """Left out of the archive on purpose: neither zeros nor an error."""
    need_root()
    need("mkntfs", "ntfs-3g")
    image, where = tmp_path / "ntfs.img", tmp_path / "mnt"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    run("mkntfs", "-F", "-Q", "-q", image)
    where.mkdir()
    with ntfs_mounted(image, where, "streams_interface=windows"):
        (where / "pagefile.sys").write_bytes(b"swapped out" * 400_000)
        (where / "mine.txt").write_text("kept")
    archive = tmp_path / "a.jmi"
    result = jurymast_json("backup", image, archive)[-1]
    assert any("pagefile.sys" in name for v in result["volumes"] for name in v["left_out"])
    lines = jurymast_json("hash", archive)
    assert [line["path"] for line in lines if line["type"] == "file"] == ["mine.txt"]
    assert [p["code"] for p in lines if p["type"] == "problem"] == ["files.left_out"]
    told = jurymast_json("extract", archive, tmp_path / "out")[-1]
    assert digest(tmp_path / "out").keys() == {"mine.txt"}
    assert any("left out" in p["text"] for p in told["problems"])
    assert jurymast_json("diff", archive, image)[-1]["left_out"] == 1
    assert jurymast_json("verify", "--files", archive)[-1]["outcome"] == "ok"
    jurymast("cat", archive, "pagefile.sys", ok=3)
    assert jurymast("hash", image).count("\n") == 2, "the disk itself still has it"


def test_a_signal_stops_an_extraction(tmp_path: Path) -> None:
    need("mke2fs")
    tree = tmp_path / "tree"
    tree.mkdir()
    for i in range(3):
        with (tree / f"large{i}").open("wb") as file:
            for _ in range(60):
                file.write(b"x" * (1 << 20))
    image, out = tmp_path / "e.img", tmp_path / "out"
    run("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, "250m")
    process = subprocess.Popen(
        [sys.executable, "-m", "recovery", "extract", "--json", str(image), str(out)],
        env=environment(), stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if b'"advanced"' in line:
            break
    process.terminate()
    rest = process.stdout.read()
    assert process.wait(30) == 130, rest
    assert b'"outcome": "cancelled"' in rest
    sizes = {p.name: p.stat().st_size for p in out.iterdir() if p.is_file()}
    assert all(size == 60 << 20 for size in sizes.values()) and len(sizes) < 3, sizes


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("disk.jmi", ("disk.jmi", "")),
        ("disk.jmi:2", ("disk.jmi", "2")),
        ("disk.jmi:2.13", ("disk.jmi", "2.13")),
        ("C:\\disk.jmi", ("C:\\disk.jmi", "")),
        ("a:b", ("a:b", "")),
        ("a:0", ("a:0", "")),
        ("a:b:7", ("a:b", "7")),
        (":5", (":5", "")),
        ("a:123456", ("a:123456", "")),
        ("x\0:1", ("x\0", "1")),
    ],
)
def test_split_address(text: str, wanted: tuple[str, str]) -> None:
    assert split_address(text) == wanted
