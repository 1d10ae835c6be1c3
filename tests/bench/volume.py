"""The volume that everything is measured on: NTFS, half full of programs, libraries, documentation and noise."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support import stuffing

GiB = 1 << 30
DEFAULT_SIZE = 6 * GiB
_FULL = 0.45  # of the volume; with the file system's own structures it is about 2.9 GB of 6 GiB
_NOISE = 400_000_000 / DEFAULT_SIZE
ROOM = 2.0  # memory that a run takes, as a multiple of the volume's size
_ROOTS = ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/share", "/opt", "/usr/local", "/usr/include")


def make_ntfs(image: Path, size: int) -> int:
    """Write the volume; bytes of files in it. Raises OSError when ntfs-3g cannot mount."""
    with image.open("wb") as file:
        file.truncate(size)
    call("mkntfs", "-F", "-Q", "-q", "-L", "bench", "-p", "2048", "-H", "255", "-S", "63", image)
    noise = int(size * _NOISE)
    picked = stuffing.pick([Path(r) for r in _ROOTS if Path(r).is_dir()], int(size * _FULL) - noise, largest=1 * GiB)
    with stuffing.ntfs_mounted(image, image.with_name("mount"), "big_writes") as where:
        for source, name, _ in picked:
            target = where / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(source, target)
        with (where / "noise").open("wb") as file:
            for _ in range(noise // 10**6):
                file.write(os.urandom(10**6))
    return sum(p.size for p in picked) + noise


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        while data := reading.read(1 << 20):
            writing.write(data)


def make_ext4(image: Path, tree: Path, size: int) -> int:
    """An ext4 of `size` bytes with the files below `tree`. Its size in bytes."""
    _sparse(image, size)
    call("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image)
    return image.stat().st_size


def make_big_ext4(image: Path) -> int:
    """15 TiB, empty, as mke2fs makes it: some 220 MB of metadata. Its size in bytes."""
    _sparse(image, 15 << 40)
    call("mke2fs", "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1", image)
    return image.stat().st_size


def make_big_ntfs(image: Path) -> int:
    """8 TiB, empty: 256 MiB of $Bitmap. Its size in bytes."""
    _sparse(image, 8 << 40)
    call("mkntfs", "-F", "-Q", "-q", "-c", "4096", "-p", "2048", "-H", "255", "-S", "63", image)
    return image.stat().st_size


def _sparse(image: Path, size: int) -> None:
    with image.open("wb") as file:
        file.truncate(size)


def call(*argv: str | Path) -> None:
    """Run a program. Raises RuntimeError with its words when it fails."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")


def memory_free() -> int:
    """Bytes that can be taken without pushing anything out."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
