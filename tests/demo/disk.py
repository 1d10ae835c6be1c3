"""The demo's disk: a GPT with an EFI system partition, NTFS, ext4 and swap, filled with real files of this machine."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.demo.stage import FOLDER, Failed, run, say, size
from tests.support import stuffing

MiB = 1 << 20
WORK = FOLDER / "work"
_TYPES = {
    "fat32": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "ntfs": "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
    "ext4": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "swap": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
}
_WITHOUT_FUSE = 300  # files: each takes a process of its own
_NOISE = random.Random(7).randbytes(MiB)


@dataclass
class Partition:
    """`start`, `size`: bytes. `files`: SHA-256 by name, as they were on this machine. `flat`: NTFS without folders."""

    number: int
    kind: str
    label: str
    start: int
    size: int
    files: dict[str, str] = field(default_factory=dict)
    flat: bool = False


class Disk:
    """An image file. `dump`: its partition table as sfdisk tells it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partitions: list[Partition] = []
        at = MiB
        sizes = (("fat32", "ESP", 96), ("ntfs", "Windows", 768), ("ext4", "Linux", 512), ("swap", "swap", 128))
        for number, (kind, label, mib) in enumerate(sizes, 1):
            self.partitions.append(Partition(number, kind, label, at, mib * MiB))
            at += mib * MiB
        self.size = at + 2 * MiB
        self.dump = ""

    def make(self) -> None:
        """Write the image. Raises Failed."""
        with self.path.open("wb") as file:
            file.truncate(self.size)
        lines = ["label: gpt", "unit: sectors"]
        lines += [
            f"start={p.start // 512}, size={p.size // 512}, type={_TYPES[p.kind]}, name={p.label}"
            for p in self.partitions
        ]
        run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", self.path, stdin="\n".join(lines) + "\n")
        self.dump = self.read_table()
        taken: set[str] = set()
        for partition in self.partitions:
            image = WORK / f"{partition.kind}.img"
            with image.open("wb") as file:
                file.truncate(partition.size)
            _MAKERS[partition.kind](partition, image, taken)
            self._put(image, partition)
            image.unlink()
            about = f"{len(partition.files)} files" if partition.files else "no files"
            say(f"    partition {partition.number}: {partition.kind:<6} {size(partition.size):>7}, {about}")

    def read_table(self) -> str:
        return "".join(
            line + "\n" for line in run("sfdisk", "-d", self.path).splitlines() if not line.startswith("device:")
        )

    def used_on_host(self) -> int:
        """Bytes that the sparse image takes on this machine."""
        return self.path.stat().st_blocks * 512

    def extract(self, partition: Partition) -> Path:
        """The partition as a file of its own, for tools that want one."""
        image = WORK / f"{partition.kind}.img"
        run(
            "dd", f"if={self.path}", f"of={image}", "bs=1M", "conv=sparse", "status=none",
            f"skip={partition.start // MiB}", f"count={partition.size // MiB}",
        )  # fmt: skip
        os.truncate(image, partition.size)
        return image

    def _put(self, image: Path, partition: Partition) -> None:
        seek = f"seek={partition.start // MiB}"
        run("dd", f"if={image}", f"of={self.path}", "bs=1M", "conv=sparse,notrunc", "status=none", seek)

    def wipe(self) -> int:
        """Noise over everything that holds data, tables at both ends included. How many bytes."""
        written = 0
        with self.path.open("r+b", buffering=0) as file:
            at = 0
            while at < self.size:
                try:
                    start = os.lseek(file.fileno(), at, os.SEEK_DATA)
                except OSError:  # only a hole is left
                    break
                at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                for place in range(start, at, MiB):
                    written += os.pwrite(file.fileno(), _NOISE[: at - place], place)
            for place in (0, self.size - MiB):
                os.pwrite(file.fileno(), _NOISE, place)
        return written


def _roots(*names: str) -> list[Path]:
    return [path for name in names for path in sorted(Path("/").glob(name)) if path.is_dir()]


def _fat32(partition: Partition, image: Path, taken: set[str]) -> None:
    start = str(partition.start // 512)
    run("mkfs.fat", "-F32", "-s1", "-h", start, "-n", partition.label.upper(), image)
    tree = WORK / "esp"
    found = stuffing.pick(_roots("usr/share/doc", "usr/share", "usr/lib"), 12 * MiB, skip=taken, most=300)
    partition.files = stuffing.copy(found, tree)
    run("mcopy", "-s", "-i", image, *sorted(tree.iterdir()), "::/")


def _ntfs(partition: Partition, image: Path, taken: set[str]) -> None:
    start = str(partition.start // 512)
    run("mkntfs", "-F", "-Q", "-q", "-p", start, "-H", "255", "-S", "63", "-L", partition.label, image)
    found = stuffing.pick(_roots("usr/lib/python3*", "usr/bin", "usr/lib"), 220 * MiB, skip=taken, most=6000)
    try:
        with stuffing.ntfs_mounted(image, WORK / "windows") as where:
            partition.files = stuffing.copy(found, where)
            _extras(where, partition.files)
    except OSError as error:
        say(f"    ntfs-3g cannot mount here ({error}): the NTFS volume gets {_WITHOUT_FUSE} files through ntfscp.")
        partition.flat = True
        step = max(1, len(found) // _WITHOUT_FUSE)
        tree = WORK / "windows-files"
        partition.files = {
            name.replace("/", "_"): digest for name, digest in stuffing.copy(found[::step], tree).items()
        }
        for path in [p for p in tree.rglob("*") if p.is_file()]:
            run("ntfscp", "-q", image, path, str(path.relative_to(tree)).replace("/", "_"))


def _ext4(partition: Partition, image: Path, taken: set[str]) -> None:
    tree = WORK / "linux"
    found = stuffing.pick(_roots("usr/share", "usr/lib"), 150 * MiB, skip=taken, most=8000)
    partition.files = stuffing.copy(found, tree)
    _extras(tree, partition.files)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-L", partition.label, "-d", tree, image)


def _extras(where: Path, files: dict[str, str]) -> None:
    """What real trees seldom have: nothing, noise, holes, and names beyond ASCII."""
    folder = where / "Zoë’s files — 日本語"
    folder.mkdir()
    (folder / "empty").write_bytes(b"")
    (folder / "noise.bin").write_bytes(random.Random(where.name).randbytes(5_000_003))
    with (folder / "with a hole.bin").open("wb") as file:
        file.seek(3 * MiB)
        file.write(b"behind the hole")
    files.update({f"{folder.name}/{name}": digest for name, digest in stuffing.digests_below(folder).items()})


def _swap(partition: Partition, image: Path, taken: set[str]) -> None:
    """With pages in it that were swapped out: they need not come back."""
    with image.open("r+b") as file:
        file.seek(MiB)
        for _ in range(64):
            file.write(_NOISE)
    image.chmod(0o600)
    run("mkswap", "-L", partition.label, image)


_MAKERS = {"fat32": _fat32, "ntfs": _ntfs, "ext4": _ext4, "swap": _swap}


def read_ntfs(image: Path, partition: Partition) -> dict[str, str]:
    """SHA-256 of every file of the volume, read by ntfs-3g, or by ntfscat where it cannot mount. Raises Failed."""
    if partition.flat:
        return {name: _ntfscat(image, name) for name in partition.files}
    try:
        with stuffing.ntfs_mounted(image, WORK / "windows", "ro") as where:
            return stuffing.digests_below(where)
    except OSError as error:
        raise Failed(f"ntfs-3g cannot mount the restored NTFS volume: {error}") from error


def _ntfscat(image: Path, name: str) -> str:
    done = subprocess.run(["ntfscat", image, name], capture_output=True, check=False)
    return hashlib.sha256(done.stdout).hexdigest() if done.returncode == 0 else "cannot be read"
