"""Control requests to block devices. The only module that knows ioctl numbers, struct layouts and libc.

Numbers and structures: Linux uapi headers linux/fs.h, linux/blkpg.h, linux/loop.h, linux/falloc.h, with the
_IO encoding of asm-generic/ioctl.h (x86, arm, riscv). Functions take an open descriptor and let OSError pass:
the callers know which disk it was and what to say.
"""

from __future__ import annotations

import array
import ctypes
import errno
import os
import struct
import sys
from dataclasses import dataclass

if sys.platform == "linux":
    import fcntl

BLKROGET = 0x125E  # _IO(0x12, 94): int, is it read-only
BLKRRPART = 0x125F  # _IO(0x12, 95): read the partition table again
BLKFLSBUF = 0x1261  # _IO(0x12, 97): write out and forget the buffer cache
BLKSSZGET = 0x1268  # _IO(0x12, 104): int, logical sector in bytes
BLKPG = 0x1269  # _IO(0x12, 105): add, remove partition nodes
BLKDISCARD = 0x1277  # _IO(0x12, 119): u64 start, u64 length, bytes
BLKPBSZGET = 0x127B  # _IO(0x12, 123): unsigned int, physical sector in bytes
BLKZEROOUT = 0x127F  # _IO(0x12, 127): u64 start, u64 length, bytes
BLKGETSIZE64 = 0x80001272 | struct.calcsize("P") << 16  # _IOR(0x12, 114, size_t): u64 bytes
BLKGETDISKSEQ = 0x80081280  # _IOR(0x12, 128, __u64): since Linux 5.15
LOOP_GET_STATUS64 = 0x4C05

_BLKPG_ADD, _BLKPG_DEL = 1, 2
_BLKPG_ARG = struct.Struct("@iiiP")  # op, flags, datalen, data
_BLKPG_PARTITION = struct.Struct("@qqi64s64s0q")  # start, length in bytes, number, two names
# lo_device, lo_inode, lo_rdevice, lo_offset, lo_sizelimit; number, encrypt type, key size, flags; then names
_LOOP_INFO = struct.Struct("@5Q4I")
_LOOP_INFO_SIZE = 232

_FALLOC_KEEP_SIZE, _FALLOC_PUNCH_HOLE = 0x01, 0x02

# What the kernel and the C library say for "this cannot be done here", in contrast to "the medium failed".
NOT_POSSIBLE = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EACCES})


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """What a loop device really stands on: the backing file's device and inode, offset and limit in bytes."""

    st_dev: int
    st_ino: int
    offset: int
    size_limit: int


def _number(fd: int, request: int, size: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, request, bytes(size)), sys.byteorder)


def size(fd: int) -> int:
    """Bytes of the device."""
    return _number(fd, BLKGETSIZE64, 8)


def logical_sector(fd: int) -> int:
    """Bytes."""
    return _number(fd, BLKSSZGET, 4)


def physical_sector(fd: int) -> int:
    """Bytes."""
    return _number(fd, BLKPBSZGET, 4)


def read_only(fd: int) -> bool:
    return _number(fd, BLKROGET, 4) != 0


def disk_sequence(fd: int) -> int:
    """The kernel's serial number of this very appearance of the disk; 0 when the kernel has none (before 5.15)."""
    try:
        return _number(fd, BLKGETDISKSEQ, 8)
    except OSError:
        return 0


def loop_status(fd: int) -> LoopStatus | None:
    """None when it is no loop device, or one without a file."""
    try:
        raw = fcntl.ioctl(fd, LOOP_GET_STATUS64, bytes(_LOOP_INFO_SIZE))
    except OSError:
        return None
    device, inode, _, offset, limit, *_ = _LOOP_INFO.unpack_from(raw)
    # huge_encode_dev of the kernel: minor bits 0-7, major from bit 8, minor's rest from bit 20.
    major, minor = (device >> 8) & 0xFFF, (device & 0xFF) | ((device >> 12) & 0xFFF00)
    return LoopStatus(os.makedev(major, minor), inode, offset, limit)


def zero_out(fd: int, offset: int, length: int) -> None:
    """Both multiples of the logical sector. The device unmaps or writes zeros, whichever it does safely."""
    fcntl.ioctl(fd, BLKZEROOUT, struct.pack("QQ", offset, length))


def discard(fd: int, offset: int, length: int) -> None:
    """Both multiples of the logical sector. What is read afterwards is undefined."""
    fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", offset, length))


def flush_buffers(fd: int) -> None:
    """Write out and forget what the kernel caches, so that the next read comes from the medium."""
    fcntl.ioctl(fd, BLKFLSBUF, 0)


def reread_partition_table(fd: int) -> None:
    """OSError EBUSY when a partition is in use, EINVAL when the device is not one that is scanned."""
    fcntl.ioctl(fd, BLKRRPART, 0)


def add_partition(fd: int, number: int, start: int, length: int) -> None:
    """`start` and `length` in bytes."""
    _partition(fd, _BLKPG_ADD, number, start, length)


def remove_partition(fd: int, number: int) -> None:
    _partition(fd, _BLKPG_DEL, number, 0, 0)


def _partition(fd: int, operation: int, number: int, start: int, length: int) -> None:
    # An array, because its address is known and it stays where it is while the kernel reads it.
    body = array.array("B", _BLKPG_PARTITION.pack(start, length, number, b"", b""))
    address, count = body.buffer_info()
    fcntl.ioctl(fd, BLKPG, _BLKPG_ARG.pack(operation, 0, count, address))


def lock_exclusively(fd: int) -> bool:
    """Take the advisory lock that udev and the partitioning tools respect; False when another holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int) -> None:
    fcntl.flock(fd, fcntl.LOCK_UN)


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Give a range of a regular file back to its file system; it then reads as zeros. The size stays."""
    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "fallocate64", None) or libc.fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    while call(fd, _FALLOC_KEEP_SIZE | _FALLOC_PUNCH_HOLE, offset, length) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
