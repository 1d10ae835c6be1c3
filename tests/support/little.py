"""Little disks that take a moment to make: what the tests of failures and of the command work on."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from tests.support.tools import need, run, sparse_file

MiB = 1 << 20
EXT4_START, EXT4_SIZE = 1 * MiB, 24 * MiB
FAT_START, FAT_SIZE = 25 * MiB, 16 * MiB
DISK_SIZE = 42 * MiB


def fill(root: Path, *, total: int = 8 * MiB, files: int = 8, seed: int = 3) -> None:
    """`files` files of random bytes, `total` bytes in all, and some small ones."""
    rng = random.Random(seed)
    (root / "docs").mkdir(parents=True)
    for i in range(files):
        (root / f"data{i}.bin").write_bytes(rng.randbytes(total // files))
    for i in range(10):
        (root / "docs" / f"note {i}.txt").write_text(f"note {i}\n" * 20)


def ext4(image: Path, tree: Path, *, size: int = EXT4_SIZE, label: str = "little") -> Path:
    """A bare ext4 volume with `tree` in it."""
    need("mke2fs")
    sparse_file(image, size)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-L", label, "-d", tree, image)
    return image


def disk(image: Path, tree: Path, *, scheme: str = "gpt") -> Path:
    """42 MiB: partition 1 ext4 'little' with `tree`, partition 2 FAT16 'SMALL' with its docs."""
    need("sfdisk", "mke2fs", "mkfs.fat", "mcopy")
    sparse_file(image, DISK_SIZE)
    label, types = ("gpt", ("linux", "uefi")) if scheme == "gpt" else ("dos", ("83", "e"))
    script = f"label: {label}\nunit: sectors\n" + "".join(
        f"start={start // 512}, size={size // 512}, type={kind}\n"
        for start, size, kind in zip((EXT4_START, FAT_START), (EXT4_SIZE, FAT_SIZE), types, strict=True)
    )
    run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", image, stdin=script.encode())
    run(
        "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-L", "little", "-d", tree, "-E", f"offset={EXT4_START}",
        image, f"{EXT4_SIZE // 1024}k",
    )  # fmt: skip
    run("mkfs.fat", "-F16", "-n", "SMALL", "--offset", str(FAT_START // 512), image, str(FAT_SIZE // 1024))
    run("mcopy", "-s", "-i", f"{image}@@{FAT_START}", *sorted((tree / "docs").iterdir()), "::/")
    return image


def slice_of(disk_image: Path, to: Path, start: int, size: int) -> Path:
    """A part of a disk image as a file of its own."""
    with disk_image.open("rb") as file:
        file.seek(start)
        to.write_bytes(file.read(size))
    return to


def digest(path: Path) -> str:
    """SHA-256 of a file or device."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
