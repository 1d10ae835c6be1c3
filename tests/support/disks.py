"""Disks for tests of the engine: loop devices with partitions on them, and faked sysfs trees of other machines."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import loop_device, need, need_root, run, sparse_file

MIB = 1 << 20
LOOP_CTL_ADD, LOOP_CTL_REMOVE = 0x4C80, 0x4C81  # linux/loop.h


@contextmanager
def partitioned_loop(
    image: Path, size: int, script: str, *, sector_size: int = 512, fresh: bool = True
) -> Iterator[tuple[Path, list[Path]]]:
    """A loop device with a table that sfdisk makes from `script`, and its partition nodes (by partx).

    Kernels without parsers for partition tables get the nodes all the same.
    """
    need("sfdisk", "partx")
    if fresh:
        sparse_file(image, size)
    with loop_device(image, sector_size=sector_size) as device:
        if fresh:
            run("sfdisk", "-q", "--no-reread", device, stdin=script.encode())
        run("partx", "-a", device, ok=(0, 1))
        try:
            yield device, sorted(device.parent.glob(f"{device.name}p*"))
        finally:
            subprocess.run(["partx", "-d", device], check=False, capture_output=True)


@contextmanager
def private_loop() -> Iterator[Path]:
    """A loop device without a file, with a number so high that no parallel test takes it by `losetup -f`."""
    need_root()
    number = 10000 + os.getpid() % 100000
    with open("/dev/loop-control", "rb") as control:  # noqa: PTH123
        fcntl.ioctl(control, LOOP_CTL_ADD, number)
        device = Path(f"/dev/loop{number}")
        try:
            yield device
        finally:
            subprocess.run(["losetup", "-d", device], check=False, capture_output=True)
            for _ in range(50):
                try:
                    fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
                    break
                except OSError:  # still busy with its file
                    time.sleep(0.02)


class FakeSys:
    """A folder with the shape of /sys, to be put in place of it (monkeypatch `sysblock.SYS`)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("dev/block", "class/block", "fs/btrfs"):
            (root / folder).mkdir(parents=True)

    def add(self, place: str, dev: str, size: int, attributes: dict[str, str | bytes] | None = None) -> Path:
        """A block device at `place` below devices/, such as "pci0000:00/ata1/…/block/sda"; `size` in bytes."""
        folder = self.root / "devices" / place
        folder.mkdir(parents=True)
        name = folder.name.replace("!", "/")
        everything = {"dev": dev, "size": str(size // 512), "uevent": f"DEVNAME={name}", **(attributes or {})}
        for key, value in everything.items():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value if isinstance(value, bytes) else f"{value}\n".encode())
        (self.root / "dev" / "block" / dev).symlink_to(folder)
        (self.root / "class" / "block" / folder.name).symlink_to(folder)
        return folder

    def slaves(self, folder: Path, below: Sequence[Path]) -> None:
        (folder / "slaves").mkdir()
        for one in below:
            (folder / "slaves" / one.name).symlink_to(one)
