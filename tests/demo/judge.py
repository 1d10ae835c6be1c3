"""Is the restored disk what it was? Asked of the file systems' own tools, and of every file."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.demo.disk import WORK, Disk, Partition, read_ntfs
from tests.demo.stage import Failed, run, say
from tests.support import stuffing

_CHECKS: dict[str, list[str]] = {
    "fat32": ["fsck.fat", "-n"],
    "ntfs": ["ntfsfix", "-n"],
    "ext4": ["e2fsck", "-fn"],
}


def check_table(disk: Disk) -> None:
    """The table is the same, entry by entry, and sfdisk finds no fault in it."""
    if disk.read_table() != disk.dump:
        raise Failed(f"the partition table differs:\n{disk.dump}\n{disk.read_table()}")
    text = run("sfdisk", "--verify", disk.path, quiet=False)
    if "No errors detected" not in text:
        raise Failed(f"sfdisk --verify: {text}")


def check_file_systems(disk: Disk) -> None:
    """Raises Failed with the words of the tool that found a fault."""
    for partition in disk.partitions:
        image = disk.extract(partition)
        if partition.kind in _CHECKS:
            run(*_CHECKS[partition.kind], image, quiet=False)
        else:
            run("swaplabel", image, quiet=False)


def compare_files(disk: Disk) -> int:
    """Every file that went in, by SHA-256. How many. Raises Failed naming those that differ."""
    total = 0
    for partition in disk.partitions:
        image = WORK / f"{partition.kind}.img"
        if not partition.files:
            continue
        found = _read(image, partition)
        wrong = [name for name, digest in partition.files.items() if found.get(name) != digest]
        if wrong:
            raise Failed(f"{len(wrong)} files of partition {partition.number} differ, such as {wrong[:5]}")
        strange = sorted(found.keys() - partition.files.keys())
        if strange:
            raise Failed(f"{len(strange)} files of partition {partition.number} were not there, such as {strange[:5]}")
        say(f"    partition {partition.number} ({partition.kind}): all {len(partition.files)} files are equal")
        total += len(partition.files)
    return total


def _read(image: Path, partition: Partition) -> dict[str, str]:
    if partition.kind == "ntfs":
        return read_ntfs(image, partition)
    out = WORK / "out"
    out.mkdir()
    try:
        if partition.kind == "fat32":
            run("mcopy", "-s", "-n", "-i", image, "::/*", f"{out}/")
        else:
            run("debugfs", "-R", f"rdump / {out}", image)
        return stuffing.digests_below(out)
    finally:
        shutil.rmtree(out)
