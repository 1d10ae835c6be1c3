"""Tiny volumes with one of each thing: small enough that all of them can be asked about many times a second."""

from __future__ import annotations

import os
import random
import struct
import tempfile
from pathlib import Path

from tests.support import ntfs_images
from tests.support.fat_images import mkfs_fat
from tests.support.ntfs_wof import METHODS, resources, wof_reparse
from tests.support.tools import loop_device, mounted, need, run, sparse_file

KiB, MiB = 1 << 10, 1 << 20
TEXT = b"The quick brown fox jumps over the lazy dog. " * 60


def ntfs(path: Path, cluster: int = 1024) -> None:
    """Streams, holes, compression, an attribute list, reparse points, EAs, a directory with index blocks, WOF."""
    ntfs_images.make(path, size=4 * MiB, cluster=cluster, label="fuzz")
    rng = random.Random(1)
    with ntfs_images.mount(path) as root:
        (root / "packed").mkdir()
        os.setxattr(root / "packed", "system.ntfs_attrib_be", struct.pack(">I", 0x810))
        (root / "many").mkdir()
        for i in range(40):
            (root / "many" / f"a name that is rather long {i:02d}.txt").write_bytes(b"x" * (i * 29))
        (root / "links").mkdir()
        (root / "linked").write_bytes(b"hard linked" * 200)
        for i in range(14):
            os.link(root / "linked", root / "links" / f"{'another name of it ' * 4}{i}")
        with (root / "holes").open("wb") as file:
            for offset in (0, 50_000, 300_000):
                file.seek(offset)
                file.write(b"DATA")
        (root / "streams").write_text("main")
        (root / "streams:small").write_text("resident")
        (root / "streams:big").write_bytes(rng.randbytes(9000))
        for name, (tag, data) in ntfs_images.STRANGE.items():
            node = root / f"r-{name}"
            if name == "junction":
                node.mkdir()
            else:
                node.write_bytes(b"")
            os.setxattr(node, "system.ntfs_reparse_data", ntfs_images.reparse(tag, data))
        (root / "interix").symlink_to("r/somewhere")
        first = (struct.pack("<IBBH", 24, 0, 5, 7) + b"COLOR\0crimson").ljust(24, b"\0")
        second = struct.pack("<IBBH", 20, 0x80, 2, 9) + b"BG\0" + b"v" * 9
        (root / "ea").write_text("ea")
        os.setxattr(root / "ea", "system.ntfs_ea", first + second)
        (root / "private").write_text("mode")
        (root / "private").chmod(0o600)
        (root / "pagefile.sys").write_bytes(bytes(9000))
        wof_files(root, path.parent)
    with ntfs_images.mount(path) as root:
        (root / "packed" / "text").write_bytes(TEXT * 4)
        (root / "packed" / "mixed").write_bytes(TEXT + rng.randbytes(16 * KiB) + bytes(40 * KiB))


def wof_files(root: Path, folder: Path) -> None:
    """A short file by each method of WOF."""
    for method, (algorithm, _, _) in METHODS.items():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            for name, packed in resources({"text": TEXT}, method, Path(scratch)).items():
                file = root / f"{method}-{name}"
                with file.open("wb") as main:
                    main.truncate(len(TEXT))
                Path(f"{file}:WofCompressedData").write_bytes(packed)
                os.setxattr(file, "system.ntfs_reparse_data", wof_reparse(algorithm))


def populate(root: Path) -> None:
    """What every file system can hold."""
    rng = random.Random(2)
    (root / "dir" / "deeper").mkdir(parents=True)
    for i in range(12):
        (root / "dir" / f"a name that is rather long, ünïcödé {i:02d}.txt").write_bytes(b"x" * (i * 97))
    (root / "dir" / "deeper" / "big").write_bytes(rng.randbytes(30_000))
    (root / "SHORT.TXT").write_bytes(TEXT)
    (root / "empty").write_bytes(b"")


def ext(path: Path, kind: str, *options: str, size: int = 2 * MiB, journal: bool = False) -> None:
    """A hash tree, links, holes, attributes; `journal`: a log that was not replayed."""
    need("mke2fs", "debugfs", "e2fsck")
    sparse_file(path, size)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        populate(tree)
        (tree / "long link").symlink_to("target/" * 20)
        (tree / "link").symlink_to("SHORT.TXT")
        os.mkfifo(tree / "fifo")
        for name, length in (("user.small", 10), ("user.larger", 300)):
            os.setxattr(tree / "SHORT.TXT", name, b"v" * length)
        with (tree / "holes").open("wb") as file:
            for i in range(16):
                file.seek(i * 40_000)
                file.write(b"DATA")
        (tree / "hashed").mkdir()
        for i in range(40):
            (tree / "hashed" / f"a name to fill the blocks of a directory with {i:02d}").write_bytes(b"")
        run(
            "mke2fs", "-q", "-F", "-t", kind, "-b", "1024", "-N", "128", "-U", "6f1e1a2c-5a3b-4d47-9a58-3d6f0a8b1c2d",
            "-E", "hash_seed=6f1e1a2c-5a3b-4d47-9a58-3d6f0a8b1c2e", "-L", "fuzz", *options, "-d", tree, path,
        )  # fmt: skip
        run("e2fsck", "-fyD", path, ok=(0, 1))
        if journal:
            zeros = Path(folder) / "zeros"
            zeros.write_bytes(b"new content of a block ".ljust(1024, b"!") * 3)
            commands = f"jo\njw -b 400,401,402 {zeros}\njw -b 500 -r 401\njc\n"
            run("debugfs", "-w", "-f", "-", path, stdin=commands.encode())


def fat(path: Path, size: int, *options: str) -> None:
    """Long names, short names, a file in pieces."""
    need("mcopy", "mdel")
    mkfs_fat(path, size, *options)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        populate(tree)
        run("mcopy", "-i", path, "-s", *sorted(tree.iterdir()), "::/")
        run("mdel", "-i", path, "::/SHORT.TXT")
        run("mcopy", "-i", path, tree / "dir" / "deeper" / "big", "::/PIECES.BIN")


def exfat(path: Path, cluster: str = "512") -> None:
    """Long names, a deleted file, a file with a chain in the FAT."""
    need("mkfs.exfat", "mount.exfat-fuse")
    sparse_file(path, 2 * MiB)
    with loop_device(path) as loop:
        run("mkfs.exfat", "-L", "fuzz", "-c", cluster, "-b", "64K", loop)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            where = Path(scratch) / "mnt"
            with mounted(["mount.exfat-fuse", loop, where], where):
                populate(where)
                (where / "SHORT.TXT").unlink()
                (where / "pieces").write_bytes(bytes(40_000))
                (where / "dir" / "deeper" / "more").write_bytes(b"m" * 3000)
                with (where / "dir" / "deeper" / "big").open("ab") as file:
                    file.write(b"more" * 3000)
