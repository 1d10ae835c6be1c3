"""A whole small disk as people have them: ESP, Windows, Linux, swap; each with the tree of tests/support/tree.py.

The image is sparse: about 400 MB long, some 15 MB on the disk. Needs root and FUSE for the NTFS volume.
"""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.support.oracles import ntfs_mounted
from tests.support.tools import loop_device, need, run, sparse_file
from tests.support.tree import digest, populate

MiB = 1 << 20
GPT_TYPES = {
    "fat32": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",  # EFI system partition
    "ntfs": "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
    "ext4": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "swap": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
}
MBR_TYPES = {"fat32": "c", "ntfs": "7", "ext4": "83", "swap": "82", "extended": "f"}
LABELS = {"fat32": "ESP", "ntfs": "Windows", "ext4": "linux-root", "swap": "swap-space"}


@dataclass(frozen=True)
class ScenePartition:
    """`start` and `size` in bytes; `kind` as Identity.kind, "extended" for the container of logical partitions.

    `tree`: path to SHA-256 of each file in it. `uuid`: as blkid prints it.
    """

    number: int
    start: int
    size: int
    kind: str
    label: str
    uuid: str
    tree: dict[str, str]


@dataclass(frozen=True)
class Scene:
    """A disk image; `size` in bytes."""

    path: Path
    scheme: str
    sector_size: int
    size: int
    partitions: tuple[ScenePartition, ...]

    def partition(self, kind: str) -> ScenePartition:
        return next(p for p in self.partitions if p.kind == kind)

    def extract(self, partition: ScenePartition, to: Path) -> Path:
        """The bytes of `partition` as a sparse file of its own, for the judges in tests/support/oracles.py."""
        sparse_file(to, partition.size)
        copy_sparse(self.path, to, source_start=partition.start, length=partition.size)
        return to


def make_disk(path: Path, *, scheme: str = "gpt", sector_size: int = 512) -> Scene:
    """Write a disk image to `path`: `scheme` "gpt" or "mbr", `sector_size` 512 or 4096.

    GPT: 1 ESP (FAT32), 2 NTFS, 3 ext4, 4 swap. MBR: 1 FAT32, 2 NTFS, 3 extended with the logical 5 ext4 and 6 swap.
    The swap space is full of random bytes behind its header.
    """
    need("sfdisk", "mkfs.fat", "mcopy", "mkntfs", "mke2fs", "mkswap", "blkid")
    # FAT32 means at least 65525 clusters: with sectors of 4 KiB that takes 256 MiB.
    sizes = {
        "fat32": (300 if sector_size == 4096 else 64) * MiB,
        "ntfs": 128 * MiB,
        "ext4": 128 * MiB,
        "swap": 32 * MiB,
    }
    places, size = _places(scheme, sizes)
    sparse_file(path, size)
    _partition(path, scheme, sector_size, places)
    work = path.with_name(path.name + ".work")
    work.mkdir()
    try:
        tree = work / "tree"
        tree.mkdir()
        populate(tree)
        partitions = []
        for number, kind, start, length in places:
            if kind == "extended":
                partitions.append(ScenePartition(number, start, length, kind, "", "", {}))
                continue
            image = sparse_file(work / f"{kind}.img", length)
            MAKERS[kind](image, tree, sector_size, start // sector_size)
            copy_sparse(image, path, target_start=start)
            uuid = run("blkid", "-p", "-s", "UUID", "-o", "value", image).strip()
            files = {} if kind == "swap" else digest(tree)
            partitions.append(ScenePartition(number, start, length, kind, LABELS[kind], uuid, files))
            image.unlink()
    finally:
        shutil.rmtree(work)
    return Scene(path, scheme, sector_size, size, tuple(partitions))


def copy_sparse(
    source: Path, target: Path, *, source_start: int = 0, target_start: int = 0, length: int | None = None
) -> None:
    """Copy `length` bytes (all by default) into `target`; where `source` has holes, nothing is written."""
    with source.open("rb") as reading, target.open("r+b") as writing:
        end = source.stat().st_size if length is None else source_start + length
        at = source_start
        while at < end:
            try:
                begin = os.lseek(reading.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                break
            at = min(os.lseek(reading.fileno(), begin, os.SEEK_HOLE), end)
            while begin < at:
                data = os.pread(reading.fileno(), min(MiB, at - begin), begin)
                os.pwrite(writing.fileno(), data, begin - source_start + target_start)
                begin += len(data)


def _places(scheme: str, sizes: dict[str, int]) -> tuple[list[tuple[int, str, int, int]], int]:
    """(number, kind, start, size) of each partition, and the size of the disk, all in bytes."""
    places = []
    at = MiB
    if scheme == "gpt":
        for number, (kind, size) in enumerate(sizes.items(), 1):
            places.append((number, kind, at, size))
            at += size
        return places, at + 4 * MiB
    if scheme != "mbr":
        raise ValueError(f"no scheme {scheme!r}")
    for number, kind in ((1, "fat32"), (2, "ntfs")):
        places.append((number, kind, at, sizes[kind]))
        at += sizes[kind]
    extended = at
    logicals = []
    for number, kind in ((5, "ext4"), (6, "swap")):
        at += MiB  # for its link
        logicals.append((number, kind, at, sizes[kind]))
        at += sizes[kind]
    return [*places, (3, "extended", extended, at - extended), *logicals], at + 3 * MiB


def _partition(path: Path, scheme: str, sector_size: int, places: list[tuple[int, str, int, int]]) -> None:
    lines = [f"label: {'gpt' if scheme == 'gpt' else 'dos'}", "unit: sectors", f"sector-size: {sector_size}"]
    types = GPT_TYPES if scheme == "gpt" else MBR_TYPES
    for number, kind, start, size in places:
        name = f", name={LABELS[kind]}" if scheme == "gpt" else ""
        boot = ", bootable" if scheme == "mbr" and kind == "ntfs" else ""
        lines.append(
            f"{number}: start={start // sector_size}, size={size // sector_size}, type={types[kind]}{name}{boot}"
        )
    script = "\n".join(lines).encode()
    options = ("--no-reread", "--no-tell-kernel", "--wipe", "never", "-q")
    if sector_size == 512:
        run("sfdisk", *options, path, stdin=script)
        return
    with loop_device(path, sector_size=sector_size) as device:
        run("sfdisk", *options, device, stdin=script)


def _fat32(image: Path, tree: Path, sector_size: int, start_sector: int) -> None:
    run("mkfs.fat", "-F32", "-S", str(sector_size), "-s1", "-h", str(start_sector), "-n", LABELS["fat32"], image)
    run("mcopy", "-s", "-i", image, *sorted(tree.iterdir()), "::/")


def _ntfs(image: Path, tree: Path, sector_size: int, start_sector: int) -> None:
    run(
        "mkntfs", "-F", "-Q", "-q", "-s", str(sector_size), "-p", str(start_sector), "-H", "255", "-S", "63",
        "-L", LABELS["ntfs"], image,
    )  # fmt: skip
    where = image.with_suffix(".mnt")
    where.mkdir()
    with ntfs_mounted(image, where, "streams_interface=windows"):
        shutil.copytree(tree, where, dirs_exist_ok=True)
    where.rmdir()


def _ext4(image: Path, tree: Path, _sector_size: int, _start_sector: int) -> None:
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-L", LABELS["ext4"], "-d", tree, image)


def _swap(image: Path, _tree: Path, _sector_size: int, _start_sector: int) -> None:
    """With pages that were swapped out: what must not be in an archive."""
    with image.open("r+b") as file:
        file.seek(MiB)
        file.write(random.Random(5).randbytes(2 * MiB))
    image.chmod(0o600)
    run("mkswap", "-p", "4096", "-L", LABELS["swap"], image)


MAKERS = {"fat32": _fat32, "ntfs": _ntfs, "ext4": _ext4, "swap": _swap}
