"""The kernel's partition nodes after a table was written: read again, made by hand where needed, awaited.

Some kernels are built without parsers for partition tables; BLKRRPART then succeeds and no node appears. And a
stale view has sent writes to the wrong place: so what the kernel has in the end is compared with what was meant.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from formats.base.errors import DeviceError, RecoveryError, Refused
from recovery.engine import blkdev, sysblock
from recovery.engine.identity import DeviceIdentity
from recovery.engine.run import find_tool, run_tool
from recovery.engine.sysblock import PartitionNode
from recovery.engine.usage import advice_for, join, users_of

_PATIENCE = 3.0  # seconds that a busy partition is waited for: udev opens new ones for moments
_CONTAINER = 1024  # bytes, or one sector: so small is the node that the kernel shows for an extended partition
UDEV_CONTROL = Path("/run/udev/control")


def reread(fd: int, identity: DeviceIdentity, expected: Sequence[PartitionNode] | None) -> tuple[PartitionNode, ...]:
    """See DeviceTarget.reread_table."""
    for node in expected or ():
        if not (0 < node.number < 65536 and node.start >= 0 and 0 < node.size <= identity.size - node.start):
            raise Refused(
                f"{identity.path}: partition {node.number} ({_place(node)}) does not lie on this disk, "
                f"which has {identity.size} bytes."
            )
    _ask_kernel(fd, identity)
    if expected is None:
        # Adds what the kernel did not find by itself. Not --update, which forgets partitions numbered above
        # their count (seen with util-linux 2.38.1). Exit code 1 says that some are there already, or that there
        # is no table, and that is a right answer for an emptied disk.
        run_tool(["partx", "--add", identity.path], timeout=60, ok=(0, 1))
        return _view(identity)
    wanted = {node.number: node for node in expected}
    have = _relevant(identity, wanted)
    for number, node in have.items():
        if not _agree(node, wanted.get(number)):
            _request(identity, partial(blkdev.remove_partition, fd, number))
    for number, node in wanted.items():
        if not _agree(node, have.get(number)):
            _request(identity, partial(blkdev.add_partition, fd, number, node.start, node.size))
    _verify(identity, wanted, _relevant(identity, wanted))
    return _view(identity)


def _relevant(identity: DeviceIdentity, wanted: dict[int, PartitionNode]) -> dict[int, PartitionNode]:
    """The kernel's partitions, without the containers of logical ones that nobody asked for."""
    small = max(_CONTAINER, identity.logical_sector)
    return {node.number: node for node in _view(identity) if node.size > small or node.number in wanted}


def settle(nodes: Sequence[PartitionNode], timeout: float = 10.0) -> None:
    """Wait until udev, where it runs, has handled the news and the nodes are there."""
    if UDEV_CONTROL.exists() and find_tool("udevadm"):
        run_tool(["udevadm", "settle", f"--timeout={timeout:.0f}"], timeout=timeout + 5, ok=None)
    deadline = time.monotonic() + timeout
    for node in nodes:
        while not Path(node.path).exists():
            if time.monotonic() >= deadline:
                advice = "The kernel has the partition, but nobody made its node: is /dev complete here?"
                raise DeviceError(node.path, "waiting for the node", 0, 0, errno.ENOENT, advice)
            time.sleep(0.05)


def _ask_kernel(fd: int, identity: DeviceIdentity) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            blkdev.reread_partition_table(fd)
        except OSError as error:
            number = error.errno or 0
            if number in (errno.EINVAL, errno.ENOTTY):  # a device that is not scanned, such as most loop devices
                _drop_all(fd, identity)
                return
            if number != errno.EBUSY:
                raise _failed(identity, number) from error
            if time.monotonic() >= deadline:
                raise _busy(identity) from error
            time.sleep(0.2)
        else:
            return


def _drop_all(fd: int, identity: DeviceIdentity) -> None:
    """What the kernel's own scan does first."""
    for node in _view(identity):
        _request(identity, partial(blkdev.remove_partition, fd, node.number))


def _request(identity: DeviceIdentity, request: Callable[[], None]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            request()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise _failed(identity, error.errno or 0) from error
            if time.monotonic() >= deadline:
                raise _busy(identity) from error
            time.sleep(0.2)
        else:
            return


def _view(identity: DeviceIdentity) -> tuple[PartitionNode, ...]:
    folder = sysblock.folder_of(identity.dev)
    if folder is None:
        raise _failed(identity, errno.ENXIO)
    return sysblock.partitions(folder)


def _agree(a: PartitionNode, b: PartitionNode | None) -> bool:
    return b is not None and (a.start, a.size) == (b.start, b.size)


def _verify(identity: DeviceIdentity, wanted: dict[int, PartitionNode], have: dict[int, PartitionNode]) -> None:
    for number in sorted(wanted.keys() | have.keys()):
        a, b = wanted.get(number), have.get(number)
        if a is None or not _agree(a, b):
            raise Refused(
                f"{identity.path}: the kernel's view of partition {number} is not the table's: "
                f"it has {_place(b)}, the table has {_place(a)}. Nothing is written to it.",
                "Restart the machine, so that the kernel reads the table anew.",
            )


def _place(node: PartitionNode | None) -> str:
    return f"{node.size} bytes at {node.start}" if node else "none"


def _failed(identity: DeviceIdentity, number: int) -> DeviceError:
    advice = advice_for(number) or "The table is written; the kernel will see it after a restart."
    return DeviceError(identity.path, "reading the partition table anew", 0, 0, number, advice)


def _busy(identity: DeviceIdentity) -> RecoveryError:
    users = users_of(identity)
    words = join(users) if users else "the kernel does not tell by whom"
    return Refused(
        f"{identity.path}: the kernel keeps its old view of the partitions, because one is in use: {words}.",
        "The table on the disk is written. Close what uses it, or restart the machine.",
    )
