"""Small sparse FAT and exFAT volumes with everything that is easily read wrongly.

GENERATORS: name to function(path). All hold the tree of tests.support.tree below ``\\tree`` unless the name says
"empty". exFAT images need root (loop device and exfat-fuse); the functions skip the test without it.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.support.tools import loop_device, mounted, need, run, sparse_file
from tests.support.tree import populate

MiB = 1 << 20
BAD_CLUSTERS = range(2000, 2011)  # the clusters of the image fat16-bad that are marked bad


def mkfs_fat(path: Path, size: int, *options: str) -> None:
    """An empty FAT volume that is the same on every run."""
    need("mkfs.fat")
    sparse_file(path, size)
    run("mkfs.fat", "-i", "1234abcd", "-n", "JURY MAST", "--invariant", *options, path)


def fill_fat(path: Path) -> None:
    """Copy the test tree to ``\\tree``."""
    need("mcopy")
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        populate(tree)
        run("mcopy", "-i", path, "-s", tree, "::/")


def fat(path: Path, size: int, *options: str) -> None:
    mkfs_fat(path, size, *options)
    fill_fat(path)


def fragmented(path: Path, size: int, *options: str) -> None:
    """Files of one cluster, every second one deleted, then a large file in the holes."""
    mkfs_fat(path, size, *options)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        small = Path(scratch) / "small"
        small.mkdir()
        for i in range(400):
            (small / f"s{i:03d}").write_bytes(bytes([i % 255 + 1]) * 500)
        large = Path(scratch) / "large"
        large.write_bytes(b"large" * (size // 12))
        run("mcopy", "-i", path, "-s", small, "::/")
        run("mdel", "-i", path, *[f"::/small/s{i:03d}" for i in range(0, 400, 2)])
        if "-F32" in options:
            patch(path, 512 + 0x1EC, struct.pack("<I", 2))  # FSI_Nxt_Free: look for room from the start
        run("mcopy", "-i", path, large, "::/large")


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def fat_geometry(path: Path) -> tuple[int, int, int]:
    """Offset of the first FAT, its size, and offset of the backup boot sector of a FAT32 volume, in bytes."""
    with path.open("rb") as file:
        head = file.read(512)
    (sector,) = struct.unpack_from("<H", head, 11)
    (reserved,) = struct.unpack_from("<H", head, 14)
    (sectors,) = struct.unpack_from("<I", head, 36)
    (backup,) = struct.unpack_from("<H", head, 50)
    return reserved * sector, sectors * sector, backup * sector


def small_fat32(path: Path) -> None:
    fat(path, 40 * MiB, "-F32", "-s1", "-h63", "-R38")


def mirror_differs(path: Path) -> None:
    """Entries 20 to 29 of the second FAT are zero."""
    small_fat32(path)
    start, size, _ = fat_geometry(path)
    patch(path, start + size + 4 * 20, bytes(40))


def second_fat_active(path: Path) -> None:
    """Mirroring off, FAT 2 active, FAT 1 overwritten from entry 20 on."""
    small_fat32(path)
    start, _, backup = fat_geometry(path)
    for sector in (0, backup):
        patch(path, sector + 40, struct.pack("<H", 0x81))
    patch(path, start + 4 * 20, b"\xee" * 400)


def wrong_fsinfo(path: Path) -> None:
    small_fat32(path)
    patch(path, 512 + 488, b"\x11\x22\x33\x00\xff\xff\xff\x0f")


def reserved_bits(path: Path) -> None:
    """Free entries with a value in the four bits that do not count, in both FATs."""
    small_fat32(path)
    start, size, _ = fat_geometry(path)
    for copy in (0, 1):
        patch(path, start + copy * size + 4 * 60000, b"\0\0\0\xf0" * 5)


def bad_clusters(path: Path) -> None:
    """FAT16 with BAD_CLUSTERS marked bad."""
    mkfs_fat(path, 16 * MiB, "-F16", "-s4")
    with path.open("rb") as file:
        head = file.read(512)
    reserved, fats = struct.unpack_from("<HB", head, 14)
    (sectors,) = struct.unpack_from("<H", head, 22)
    for copy in range(fats):
        start = (reserved + copy * sectors) * 512
        patch(path, start + 2 * BAD_CLUSTERS.start, b"\xf7\xff" * len(BAD_CLUSTERS))
    fill_fat(path)


def exfat(path: Path, size: int, *options: str, sector_size: int = 512, fill: bool = True) -> None:
    """An exFAT volume with the test tree, written by exfat-fuse."""
    need("mkfs.exfat", "mount.exfat-fuse")
    sparse_file(path, size)
    with loop_device(path, sector_size=sector_size) as loop:
        run("mkfs.exfat", "-L", "Jury Mäst", *options, loop)
        if fill:
            with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
                where = Path(scratch) / "mnt"
                with mounted(["mount.exfat-fuse", loop, where], where):
                    (where / "tree").mkdir()
                    populate(where / "tree")


def exfat_fragmented(path: Path) -> None:
    """Files of one cluster, every second one deleted, then a large file in the holes: a chain in the FAT."""
    need("mkfs.exfat", "mount.exfat-fuse")
    sparse_file(path, 4 * MiB)
    with loop_device(path) as loop:
        run("mkfs.exfat", "-c", "4K", "-b", "64K", loop)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            where = Path(scratch) / "mnt"
            with mounted(["mount.exfat-fuse", loop, where], where):
                for i in range(400):
                    (where / f"s{i:03d}").write_bytes(bytes([i % 255 + 1]) * 4000)
                for i in range(0, 400, 2):
                    (where / f"s{i:03d}").unlink()
                (where / "large").write_bytes(b"large" * 500_000)


FAT: dict[str, Callable[[Path], None]] = {
    "fat12-1fat": lambda path: fat(path, 4 * MiB, "-F12", "-f1", "-s4"),
    "fat12": lambda path: fat(path, 3 * MiB, "-F12", "-s8", "-f2"),
    "fat16": lambda path: fat(path, 33 * MiB, "-F16", "-s4"),
    "fat16-4k": lambda path: fat(path, 32 * MiB, "-F16", "-S4096", "-s1"),
    "fat16-bad": bad_clusters,
    "fat32": small_fat32,
    "fat32-4kn": lambda path: fat(path, 300 * MiB, "-F32", "-S4096", "-s1"),
    "fat32-64k": lambda path: fat(path, 4500 * MiB, "-F32", "-s128"),
    "fat32-mirrordiff": mirror_differs,
    "fat32-active1": second_fat_active,
    "fat32-fsinfo": wrong_fsinfo,
    "fat32-reserved-bits": reserved_bits,
    "fat12-fragmented": lambda path: fragmented(path, 1 * MiB, "-F12", "-s1"),
    "fat16-fragmented": lambda path: fragmented(path, 5 * MiB, "-F16", "-s1"),
    "fat32-fragmented": lambda path: fragmented(path, 34 * MiB, "-F32", "-s1"),
}
EXFAT: dict[str, Callable[[Path], None]] = {
    "exfat-c512": lambda path: exfat(path, 20 * MiB, "-c", "512"),
    "exfat-c32k": lambda path: exfat(path, 300 * MiB, "-c", "32K"),
    "exfat-c32m-empty": lambda path: exfat(path, 300 * MiB, "-c", "32M", fill=False),
    "exfat-b1m": lambda path: exfat(path, 300 * MiB, "-b", "1M"),
    "exfat-4kn": lambda path: exfat(path, 64 * MiB, sector_size=4096),
    "exfat-fragmented": exfat_fragmented,
}
GENERATORS: dict[str, Callable[[Path], None]] = {**FAT, **EXFAT}
