"""The doors to real disks and image files: `open_source` reads, `open_target` writes, and nothing else opens them.

A source is opened read-only and never written. A target is opened with a WriteTicket only, which the executor makes
out of an accepted plan; everything that could make it the wrong disk is checked before the first byte changes.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from formats.base.errors import DeviceError, Refused
from recovery.engine import blkdev, sysblock
from recovery.engine.device_source import DeviceSource
from recovery.engine.device_target import DeviceTarget, lock, refuse_moved
from recovery.engine.identity import ABSENT, DeviceIdentity, identify
from recovery.engine.storage import Storage
from recovery.engine.usage import advice_for, busy, refuse_held, refuse_mounted

__all__ = [
    "DeviceSource",
    "DeviceTarget",
    "WriteTicket",
    "is_read_only",
    "open_source",
    "open_target",
    "write_protected",
]


@dataclass(frozen=True, slots=True)
class WriteTicket:
    """The right to write one target: what it was when the plan was made, and the plan that was accepted."""

    identity: DeviceIdentity
    plan_id: str


def open_source(path: str | Path, *, allow_mounted: bool = False) -> DeviceSource:
    """Open a device or image file for reading.

    A device is opened exclusively, so that nobody mounts it while it is read. Refused when it or a part of it is
    mounted writable, swapped to, or held by another; `allow_mounted` (for snapshot providers, which make it
    consistent in another way) permits all of that. Raises DeviceError when it cannot be opened.
    """
    identity = identify(path)
    # O_NONBLOCK: should the file have become a pipe by now, opening it must not hang.
    flags = os.O_RDONLY | os.O_CLOEXEC | (0 if identity.is_block else os.O_NONBLOCK)
    if not allow_mounted:
        storage = Storage()
        refuse_mounted(identity, storage, writable_only=True)
        # What is mounted read-only is held by its file system, and stands still.
        if identity.is_block and not storage.mounts_of(identity.path):
            flags |= os.O_EXCL
    fd = _open(identity, flags)
    try:
        _same(fd, identity)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    except BaseException:
        os.close(fd)
        raise
    return DeviceSource(fd, identity)


def open_target(ticket: WriteTicket, *, create_size: int | None = None, resize: bool = False) -> DeviceTarget:
    """Open what the ticket names for writing, exclusively and locked.

    A file that did not exist when the plan was made (identity of kind "absent") is made, as one hole of
    `create_size` bytes. An existing file keeps its size, unless `resize` says that the plan gives it `create_size`.
    Raises Refused when anything differs from the ticket, or it is mounted, in use, locked or read-only;
    DeviceError when it cannot be opened or made. Nothing is changed by opening but the size of a file.
    """
    planned = ticket.identity
    if not ticket.plan_id:
        raise Refused(f"{planned.path} is not opened for writing without an accepted plan.")
    refuse_moved(planned.path, planned.differences(identify(planned.path, may_be_absent=planned.kind == ABSENT)))
    if planned.is_block:
        return _open_device(planned, create_size)
    return _open_file(planned, create_size, resize)


def _open_device(identity: DeviceIdentity, create_size: int | None) -> DeviceTarget:
    if create_size is not None and create_size != identity.size:
        raise Refused(f"{identity.path} is a device of {identity.size} bytes and cannot be made {create_size}.")
    storage = Storage()
    if is_read_only(identity):
        raise write_protected(identity)
    refuse_mounted(identity, storage, writable_only=False)
    refuse_held(identity, storage)
    fd = _open(identity, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    try:
        lock(fd, identity)
        if blkdev.read_only(fd):
            raise write_protected(identity)
        _same(fd, identity)
    except BaseException:
        os.close(fd)
        raise
    return DeviceTarget(fd, identity)


def is_read_only(identity: DeviceIdentity) -> bool:
    """Whether the kernel lets nobody write to this device."""
    folder = sysblock.folder_of(identity.dev) if identity.is_block else None
    return folder is not None and sysblock.number(folder, "ro") != 0


def _open_file(planned: DeviceIdentity, create_size: int | None, resize: bool) -> DeviceTarget:
    absent = planned.kind == ABSENT
    if absent and create_size is None:
        raise Refused(f"{planned.path} does not exist, and the plan does not say how large to make it.")
    if create_size is not None and create_size < 0:
        raise Refused(f"{planned.path} cannot be made {create_size} bytes long.")
    if not absent and not resize and create_size not in (None, planned.size):
        raise Refused(
            f"{planned.path} has {planned.size} bytes, and not {create_size}; the plan does not say to resize it.",
            "Choose another name, or plan to replace the file.",
        )
    if not absent:
        storage = Storage()
        refuse_mounted(planned, storage, writable_only=False)
        refuse_held(planned, storage)
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if absent else 0)
    fd = _open(planned, flags)
    try:
        lock(fd, planned)
        if not absent:
            _same(fd, planned)
        if create_size is not None and (absent or create_size != planned.size):
            _set_size(fd, planned, create_size)
        if absent:
            _keep_name(planned)
        now = identify(planned.path)
        _same(fd, now)
    except BaseException:
        os.close(fd)
        if absent:
            Path(planned.path).unlink(missing_ok=True)
        raise
    return DeviceTarget(fd, now)


def _set_size(fd: int, identity: DeviceIdentity, size: int) -> None:
    try:
        os.ftruncate(fd, size)
    except OSError as error:
        number = error.errno or 0
        raise DeviceError(identity.path, "setting the size", 0, size, number, advice_for(number)) from error
    except OverflowError as error:
        raise DeviceError(identity.path, "setting the size", 0, size, errno.EFBIG, advice_for(errno.EFBIG)) from error


def _keep_name(identity: DeviceIdentity) -> None:
    """Bring the new name itself to the medium, which syncing the file does not promise."""
    try:
        fd = os.open(Path(identity.path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in blkdev.NOT_POSSIBLE:  # some network and FUSE file systems cannot sync a folder
            number = error.errno or 0
            raise DeviceError(identity.path, "making the file", 0, 0, number, advice_for(number)) from error


def _open(identity: DeviceIdentity, flags: int) -> int:
    writing = bool(flags & os.O_RDWR)
    try:
        return os.open(identity.path, flags, 0o600)
    except OSError as error:
        number = error.errno or 0
        if number == errno.EBUSY:
            raise busy(identity) from error
        if number == errno.EROFS and writing and identity.is_block:
            raise write_protected(identity) from error
        if number in (errno.EEXIST, errno.ELOOP):
            refuse_moved(identity.path, [f"something appeared under its name ({os.strerror(number)})"])
        raise DeviceError(identity.path, "open", 0, 0, number, advice_for(number)) from error


def _same(fd: int, identity: DeviceIdentity) -> None:
    """What was opened is what was looked at: between the two, a name can come to mean something else."""
    found = os.fstat(fd)
    if identity.is_block:
        same = sysblock.dev_name(found.st_rdev) == identity.dev and blkdev.size(fd) == identity.size
        sequence = blkdev.disk_sequence(fd)
        same = same and (0 in (sequence, identity.disk_sequence) or sequence == identity.disk_sequence)
    else:
        same = (found.st_dev, found.st_ino) == identity.inode and found.st_size == identity.size
    if not same:
        refuse_moved(identity.path, ["it was replaced or resized while it was opened"])


def write_protected(identity: DeviceIdentity) -> Refused:
    """The refusal for a target that cannot be written."""
    return Refused(
        f"{identity.path} is read-only.",
        "Check the switch on the card or adapter. If it was made read-only by the system: blockdev --setrw "
        f"{identity.path}",
    )
