"""Which disk is this: everything by which a device or an image file is recognised again just before it is written.

Names such as /dev/sda go to another disk after a reset or a re-plug; a loop device can get another file, and a
file can be replaced under its name. So an identity holds all that can be known without reading the content.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from formats.base.errors import DeviceError, Refused
from recovery.engine import blkdev, sysblock
from recovery.engine.hardware import hardware_of

ABSENT = "absent"  # kind of a file that is still to be made

_WORDS = {
    "path": "name",
    "kind": "kind",
    "size": "size in bytes",
    "logical_sector": "logical sector size",
    "physical_sector": "physical sector size",
    "model": "model",
    "serial": "serial number",
    "wwn": "WWN",
    "transport": "connection",
    "dev": "device number",
    "start": "start on the disk in bytes",
    "disk_sequence": "appearance of the disk (it was taken out or replaced)",
    "inode": "file behind the name",
    "backing": "file behind the loop device",
}


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """One fresh look at a device or file. Sizes, sectors and `start` in bytes.

    `path`: resolved. `kind`: disk, partition, loop, dm, md, zram, optical, file or absent. `dev`: "8:0", '' for
    files. `start`: of a partition on its disk, or of a loop device in its file. `disk_sequence`: the kernel's
    number of this appearance of the disk, 0 when unknown; it is another one after a restart.
    `inode`: (st_dev, st_ino) of the file, or of the file behind a loop device; of the folder for an absent file.
    Some file systems (FAT, some CIFS) give a file another inode number when it was forgotten by the cache: it
    then counts as another file, and a new plan has to be made.
    """

    path: str
    kind: str
    size: int
    logical_sector: int = 512
    physical_sector: int = 512
    model: str = ""
    serial: str = ""
    wwn: str = ""
    transport: str = ""
    dev: str = ""
    start: int = 0
    disk_sequence: int = 0
    inode: tuple[int, int] = (0, 0)
    backing: str = ""

    @property
    def is_block(self) -> bool:
        return bool(self.dev)

    @property
    def confirm_text(self) -> str:
        """What a person must type before this is overwritten.

        The last 4 characters of the serial number, which are on the label of the disk; for a partition its
        number behind them; the name where there is no serial number, and for files.
        """
        name = Path(self.path).name
        if not self.is_block or not self.serial:
            return name
        if self.kind == "partition":
            digits = name[len(name.rstrip("0123456789")) :]
            return f"{self.serial[-4:]}-{digits}"
        return self.serial[-4:]

    def differences(self, other: DeviceIdentity) -> list[str]:
        """What moved between this (earlier) and the `other` (later) look, in words; empty when nothing did."""
        moved = []
        for field in fields(self):
            was, now = getattr(self, field.name), getattr(other, field.name)
            if was == now or (field.name == "disk_sequence" and 0 in (was, now)):
                continue
            moved.append(f"{_WORDS[field.name]}: was {_show(was)}, is now {_show(now)}")
        return moved

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "inode": list(self.inode)}


def _show(value: object) -> str:
    if value == "":
        return "unknown"
    return f"{value[0]}:{value[1]}" if isinstance(value, tuple) else str(value)


def identify(path: str | Path, *, may_be_absent: bool = False) -> DeviceIdentity:
    """Look at a device or regular file now. Nothing is kept from earlier looks.

    `may_be_absent`: a file that does not exist, in a folder that does, gives an identity of kind "absent".
    Raises DeviceError when it is not there or has no medium, Refused when it is nothing that holds sectors.
    """
    try:
        resolved = os.path.realpath(path)
        found = Path(resolved).stat()
    except FileNotFoundError as error:
        if may_be_absent:
            return _absent(resolved)
        advice = "Check the name, and whether the disk is still connected."
        raise DeviceError(str(path), "look-up", 0, 0, errno.ENOENT, advice) from error
    except OSError as error:
        raise DeviceError(str(path), "look-up", 0, 0, error.errno or 0) from error
    except ValueError as error:
        raise Refused(f"{path!r} cannot be a file name: {error}") from error
    if stat.S_ISREG(found.st_mode):
        return DeviceIdentity(resolved, "file", found.st_size, inode=(found.st_dev, found.st_ino))
    if stat.S_ISBLK(found.st_mode):
        return _identify_device(resolved, found.st_rdev)
    raise Refused(
        f"{resolved} is neither a disk, a partition nor a regular file, but {_kind_words(found.st_mode)}.",
        "Name a block device such as /dev/sda, or an image file.",
    )


def _absent(resolved: str) -> DeviceIdentity:
    parent = Path(resolved).parent
    try:
        folder = parent.stat()
    except OSError as error:
        raise DeviceError(str(parent), "look-up", 0, 0, error.errno or 0, "Make the folder first.") from error
    if not stat.S_ISDIR(folder.st_mode):
        raise Refused(f"{parent} is no folder, so {resolved} cannot be made in it.")
    if folder.st_dev == sysblock.DEV.stat().st_dev:
        # A mistyped device name would else fill the memory file system under /dev.
        raise DeviceError(resolved, "look-up", 0, 0, errno.ENOENT, "There is no such device.")
    return DeviceIdentity(resolved, ABSENT, 0, inode=(folder.st_dev, folder.st_ino))


def _kind_words(mode: int) -> str:
    for test, words in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if test(mode):
            return words
    return "something else"


def _identify_device(path: str, rdev: int) -> DeviceIdentity:
    dev = sysblock.dev_name(rdev)
    folder = sysblock.folder_of(dev)
    if folder is None:
        advice = "The node is stale: the disk was unplugged, or the node belongs to another machine."
        raise DeviceError(path, "look-up", 0, 0, errno.ENXIO, advice)
    # Opened, because the kernel notices only then that a card or disc was changed. Without the right to open
    # it, sysfs has to do.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return of_folder(folder, path)
    except OSError as error:
        number = error.errno or 0
        advice = "There is no medium in the drive." if number == errno.ENOMEDIUM else ""
        raise DeviceError(path, "open", 0, 0, number, advice) from error
    try:
        if os.fstat(fd).st_rdev != rdev:
            raise Refused(f"{path} became another device while it was looked at.", "Start again.")
        size = blkdev.size(fd)
        if size == 0:  # an empty card reader or loop device
            raise DeviceError(path, "look-up", 0, 0, errno.ENOMEDIUM, "There is no medium in the drive.")
        status = blkdev.loop_status(fd) if sysblock.disk_folder(folder).name.startswith("loop") else None
        return of_folder(folder, path, size=size, loop=status)
    except OSError as error:
        raise DeviceError(path, "control request", 0, 0, error.errno or 0) from error
    finally:
        os.close(fd)


def of_folder(
    folder: Path, path: str = "", *, size: int | None = None, loop: blkdev.LoopStatus | None = None
) -> DeviceIdentity:
    """The identity of a block device from its sysfs folder alone; `size` and `loop` when they are known better."""
    disk = sysblock.disk_folder(folder)
    hardware = hardware_of(disk)
    backing = sysblock.text(disk, "loop/backing_file")
    inode, start = (0, 0), sysblock.start(folder)
    if backing:
        if loop is not None:
            inode = (loop.st_dev, loop.st_ino)
        start += sysblock.number(disk, "loop/offset")
    return DeviceIdentity(
        path=path or sysblock.node_path(folder),
        kind=kind_of(folder),
        size=sysblock.size(folder) if size is None else size,
        logical_sector=sysblock.number(disk, "queue/logical_block_size", 512),
        physical_sector=sysblock.number(disk, "queue/physical_block_size", 512),
        model=hardware.model,
        serial=hardware.serial,
        wwn=hardware.wwn,
        transport=hardware.transport,
        dev=sysblock.text(folder, "dev"),
        start=start,
        disk_sequence=sysblock.number(disk, "diskseq"),
        inode=inode,
        backing=backing,
    )


def kind_of(folder: Path) -> str:
    """partition, loop, dm, md, zram, ram, optical, or disk for everything else."""
    if sysblock.is_partition(folder):
        return "partition"
    name = folder.name.rstrip("0123456789")
    return {"loop": "loop", "dm-": "dm", "md": "md", "zram": "zram", "ram": "ram", "sr": "optical"}.get(name, "disk")
