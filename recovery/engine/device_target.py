"""Writing a device or image file. Opened by `device.open_target` only, with a ticket of an accepted plan.

Before the very first change the identity is looked at once more: through the open descriptor (what will really be
written) and through the name (what the person meant).
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence

from formats.base.closing import Closing
from formats.base.errors import DeviceError, Refused
from formats.base.units import MiB, align_down, align_up
from recovery.engine import blkdev, sysblock
from recovery.engine.identity import DeviceIdentity, identify
from recovery.engine.partition_nodes import reread, settle
from recovery.engine.storage import Storage
from recovery.engine.sysblock import PartitionNode
from recovery.engine.usage import advice_for, refuse_held, refuse_mounted

_ZEROS = bytes(1 * MiB)
_ZERO_STEP = 256 * MiB  # of one request to the device, which cannot be interrupted
_WRITE_BACK_AFTER = 32 * MiB  # dirty pages beyond this are sent on their way, so that flush() has little left
_LOCK_PATIENCE = 5.0  # seconds; udev holds its lock for moments while it looks at a disk


class DeviceTarget(Closing):
    """A BlockTarget over a device or image file. Owns `fd`. Writes may come from several threads."""

    def __init__(self, fd: int, identity: DeviceIdentity) -> None:
        """`identity`: what the plan named; for a file that was made or resized for it, as it is since then."""
        self.identity = identity
        self.name = identity.path
        self.size = identity.size
        self.sector_size = identity.logical_sector
        self._fd = fd
        self._checked = False
        self._check_lock = threading.Lock()
        self._unsent = 0
        self._lost: DeviceError | None = None

    def fileno(self) -> int:
        return self._fd

    def write_at(self, offset: int, *data: bytes) -> None:
        """Write all of `data`, one behind the other. DeviceError when the medium fails, is gone or full; Refused when
        it is another.
        """
        self._ready(offset, sum(map(len, data)))
        self._write(offset, *data)

    def _write(self, offset: int, *data: bytes | memoryview) -> None:
        done, total = 0, sum(map(len, data))
        rest: Sequence[bytes | memoryview] = data
        while done < total:
            try:
                done += os.pwritev(self._fd, rest, offset + done)
            except OSError as error:
                raise self._failed("write", offset + done, total - done, error) from error
            if done < total:  # seldom: what is left in one piece
                rest = (memoryview(b"".join(data))[done:],)
        self._unsent += total
        if self._unsent >= _WRITE_BACK_AFTER:
            self._unsent = 0
            # Starts the write-back of dirty pages and forgets the clean ones; never waits for the medium.
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros: by the device itself or as a hole in the file, else by writing zeros."""
        self._ready(offset, length)
        unit = self.sector_size if self.identity.is_block else 1
        low, high = align_up(offset, unit), align_down(offset + length, unit)
        if low >= high:
            self._write_zeros(offset, offset + length)
            return
        self._write_zeros(offset, low)
        self._write_zeros(high, offset + length)
        at = low
        while at < high:
            step = min(_ZERO_STEP, high - at)
            if not self._try("zeroing", at, step, blkdev.zero_out if self.identity.is_block else blkdev.punch_hole):
                self._write_zeros(at, high)
                return
            at += step

    def discard(self, offset: int, length: int) -> bool:
        """Tell the medium that the range is not needed; a file gets a hole. Only whole sectors inside the range.

        False when the medium cannot. What it then reads is undefined.
        """
        self._ready(offset, length)
        unit = self.sector_size if self.identity.is_block else 1
        low, high = align_up(offset, unit), align_down(offset + length, unit)
        if self.identity.is_block:
            folder = sysblock.folder_of(self.identity.dev)
            if folder is None or not sysblock.number(sysblock.disk_folder(folder), "queue/discard_max_bytes"):
                return False
        request = blkdev.discard if self.identity.is_block else blkdev.punch_hole
        at = low
        while at < high:
            step = min(_ZERO_STEP, high - at)
            if not self._try("discarding", at, step, request):
                return False
            at += step
        return True

    def _try(self, action: str, offset: int, length: int, request: Callable[[int, int, int], None]) -> bool:
        """False when the device or file system does not know the request."""
        try:
            request(self._fd, offset, length)
        except OSError as error:
            if error.errno in blkdev.NOT_POSSIBLE:
                return False
            raise self._failed(action, offset, length, error) from error
        return True

    def _write_zeros(self, start: int, end: int) -> None:
        with memoryview(_ZEROS) as zeros:
            for at in range(start, end, len(_ZEROS)):
                with zeros[: min(len(_ZEROS), end - at)] as piece:
                    self._write(at, piece)

    def flush(self) -> None:
        """Return only when everything written is on the medium; what is read next comes from there.

        A failure is told once by the kernel and would be forgotten by the next call: it is kept, and every
        later flush raises it again.
        """
        if self._lost is not None:
            raise self._lost
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._lost = self._failed("writing back", 0, self.size, error)
            raise self._lost from error
        self._unsent = 0
        if self.identity.is_block:
            self._try("flushing", 0, self.size, lambda fd, _offset, _length: blkdev.flush_buffers(fd))
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; after flush() from the medium itself."""
        self._check_range("read", offset, length)
        pieces, done = [], 0
        while done < length:
            try:
                piece = os.pread(self._fd, length - done, offset + done)
            except OSError as error:
                raise self._failed("read", offset + done, length - done, error) from error
            if not piece:
                raise DeviceError(
                    self.name, "read", offset + done, length - done, errno.ENXIO, "It became shorter: start again."
                )
            pieces.append(piece)
            done += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def reread_table(self, expected: Sequence[PartitionNode] | None = None) -> tuple[PartitionNode, ...]:
        """Make the kernel's partition nodes agree with the table that was written; returns what it has now.

        `expected`: number, start and size in bytes of every partition but extended containers; the nodes are
        then made exactly so, and verified. None: as the tool partx reads the table. Nothing happens for files
        and partitions. Raises Refused when a partition is in use, DeviceError when the kernel does not follow.
        """
        if self.identity.kind in ("file", "partition"):
            return ()
        self._ready(0, 0)
        self.flush()
        nodes = reread(self._fd, self.identity, expected)
        # udev leaves a locked disk alone, and "settle" would then wait in vain.
        blkdev.unlock(self._fd)
        try:
            settle(nodes)
        finally:
            lock(self._fd, self.identity)
        return nodes

    def _ready(self, offset: int, length: int) -> None:
        self._check_range("write", offset, length)
        if not self._checked:
            with self._check_lock:
                if not self._checked:
                    self._check_again()
                    self._checked = True

    def _check_range(self, action: str, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise Refused(
                f"A {action} of {length} bytes at offset {offset} leaves {self.name}, which has {self.size} bytes.",
                "This is a fault in the plan or in the archive; nothing was done there.",
            )

    def _check_again(self) -> None:
        """The last look before the first change."""
        moved = self.identity.differences(identify(self.name))
        try:
            found = os.fstat(self._fd)
            size = blkdev.size(self._fd) if self.identity.is_block else found.st_size
            sequence = blkdev.disk_sequence(self._fd) if self.identity.is_block else 0
        except OSError as error:
            raise self._failed("control request", 0, 0, error) from error
        if self.identity.is_block:
            dev = sysblock.dev_name(found.st_rdev)
            if dev != self.identity.dev:
                moved.append(f"the opened device: was {self.identity.dev}, is now {dev}")
            if 0 not in (sequence, self.identity.disk_sequence) and sequence != self.identity.disk_sequence:
                moved.append("the opened disk was taken out or replaced")
        elif (found.st_dev, found.st_ino) != self.identity.inode:
            moved.append("the name leads to another file than the opened one")
        if size != self.size:
            moved.append(f"the opened size in bytes: was {self.size}, is now {size}")
        refuse_moved(self.name, moved)
        storage = Storage()
        refuse_mounted(self.identity, storage, writable_only=False)
        refuse_held(self.identity, storage)

    def _failed(self, action: str, offset: int, length: int, error: OSError) -> DeviceError:
        number = error.errno or 0
        return DeviceError(self.name, action, offset, length, number, advice_for(number))

    def close(self) -> None:
        """Gives up the device and its lock. Does not wait for the medium: that is flush()."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def refuse_moved(name: str, moved: list[str]) -> None:
    """Raise Refused when there is anything in `moved`."""
    if moved:
        raise Refused(
            f"{name} is not what the plan was made for: {'; '.join(moved)}. Nothing was written.",
            "Look at the list of disks again and make a new plan.",
        )


def lock(fd: int, identity: DeviceIdentity) -> None:
    """Take the lock that udev and partitioning tools respect; Refused when another keeps it."""
    deadline = time.monotonic() + _LOCK_PATIENCE
    while not blkdev.lock_exclusively(fd):
        if time.monotonic() >= deadline:
            raise Refused(
                f"{identity.path} is locked by another program.",
                "A partitioning or formatting tool may be at work on it: wait until it has ended.",
            )
        time.sleep(0.05)
