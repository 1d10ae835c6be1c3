"""Descriptions of machines, as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from recovery.engine.identity import DeviceIdentity
from recovery.engine.inventory import Disk
from recovery.engine.machine import dump_machine, parse_machine
from recovery.engine.mounts import Mount
from recovery.engine.sysblock import PartitionNode
from tests.fuzz.target import Images, Seed, Structure, Target


def seeds(_: Images) -> Sequence[Seed]:
    disk = Disk(
        DeviceIdentity("/dev/sda", "disk", 1 << 30, 512, 4096, "model", "serial", inode=(3, 4)),
        holders=("dm-0",),
        partitions=(PartitionNode("/dev/sda1", 1, 2048 * 512, 1 << 20),),
        mounts=(Mount("/mnt", "/dev/sda1", "ext4", True, "8:1", 30, "ro"),),
        swaps=("/dev/sda2",),
    )
    return [Seed("machine", dump_machine([disk, disk]).encode())]


def check(_: Seed, damaged: bytes) -> None:
    disks = parse_machine(damaged)
    assert parse_machine(dump_machine(disks).encode("utf-8", "surrogatepass")) == disks


TARGETS: tuple[Target, ...] = (Structure("machine.json", seeds, check, json=True, cost=2),)
