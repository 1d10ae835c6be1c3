"""Reading a device or image file: exact, at offsets, with absolute places in the errors. Opened by `device`."""

from __future__ import annotations

import errno
import mmap
import os
import threading

from formats.base.closing import Closing
from formats.base.errors import DeviceError, RecoveryError, Refused, Truncated
from formats.base.extent import ExtentBuilder, ExtentList
from formats.base.source import check_range
from formats.base.units import MiB, align_down, align_up
from recovery.engine.identity import DeviceIdentity, identify
from recovery.engine.usage import advice_for

_DIRECT_LIMIT = 16 * MiB  # of one read around the cache; callers step sector by sector
_CLOSE_PATIENCE = 1.0  # seconds


class DeviceSource(Closing):
    """A BlockSource over a device or image file. Owns `fd`. Reads may come from several threads."""

    def __init__(self, fd: int, identity: DeviceIdentity) -> None:
        self.identity = identity
        self.name = identity.path
        self.size = identity.size
        self.sector_size = identity.logical_sector
        self._fd = fd
        self._first_good = self._last_good = -1  # offsets of reads that the medium answered
        self._direct_fd = -1
        self._direct_lock = threading.Lock()

    def fileno(self) -> int:
        return self._fd

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. DeviceError carries the absolute offset at which the medium failed.

        Raises Truncated when the range leaves the source, or when the medium has become shorter.
        """
        check_range(self, offset, length)
        data = self._pread(offset, length)
        if len(data) == length:
            return data
        pieces, done = [data], len(data)
        while done < length:
            piece = self._pread(offset + done, length - done)
            if not piece:
                raise self._shorter(offset + done)
            pieces.append(piece)
            done += len(piece)
        return b"".join(pieces)

    def _pread(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._fd, length, offset)
        except OSError as error:
            number = error.errno or 0
            raise DeviceError(self.name, "read", offset, length, number, advice_for(number)) from error
        self._last_good = offset
        if self._first_good < 0:
            self._first_good = offset
        return data

    def read_direct(self, offset: int, length: int) -> bytes:
        """As read_at, but around the page cache, whole sectors at a time: for weak places and mounted devices.

        A buffered read fails for the whole page (4 KiB) around a bad sector; this one for the sector alone.
        Falls back to read_at where the file system cannot. At most 16 MiB.
        """
        check_range(self, offset, length)
        if length > _DIRECT_LIMIT:
            raise Refused(f"A direct read of {length} bytes was asked for; {_DIRECT_LIMIT} is the most.")
        low, high = align_down(offset, self.sector_size), align_up(offset + length, self.sector_size)
        with self._direct_lock:
            if low == high or not self._open_direct():
                return self.read_at(offset, length)
            with mmap.mmap(-1, high - low) as buffer:  # aligned to a page, as O_DIRECT wants it
                try:
                    self._fill(buffer, low, offset + length - low)
                except OSError as error:
                    if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                        raise
                    return self.read_at(offset, length)
                return buffer[offset - low : offset - low + length]

    def _open_direct(self) -> bool:
        if self._direct_fd < 0:
            try:
                # Through /proc, so that it is the very same file, whatever its name leads to now.
                path = f"/proc/self/fd/{self._fd}"
                self._direct_fd = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
            except OSError:
                return False
        return True

    def _fill(self, buffer: mmap.mmap, low: int, wanted: int) -> None:
        """Read `wanted` bytes from `low` to the front of `buffer`. EINVAL and EOPNOTSUPP are left as they are."""
        done = 0
        with memoryview(buffer) as view:
            while done < wanted:
                try:
                    with view[done:] as rest:
                        count = os.preadv(self._direct_fd, [rest], low + done)
                except OSError as error:
                    number = error.errno or 0
                    if number in (errno.EINVAL, errno.EOPNOTSUPP):
                        raise
                    length = len(buffer) - done
                    raise DeviceError(self.name, "read", low + done, length, number, advice_for(number)) from error
                if done + count < wanted:
                    count = align_down(count, self.sector_size)
                    if count == 0:
                        raise self._shorter(low + done)
                done += count

    def extents_known(self) -> ExtentList | None:
        """The parts of a sparse image file that hold data; None for devices. Takes two calls for each extent."""
        if self.identity.is_block:
            return None
        builder = ExtentBuilder()
        at = 0
        while at < self.size:
            try:
                start = os.lseek(self._fd, at, os.SEEK_DATA)
                at = os.lseek(self._fd, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:  # no data behind `at`
                    break
                return None
            if start >= self.size or at <= start:
                break
            builder.add(start, min(at, self.size))
        return builder.build()

    def drop_cache(self, offset: int, length: int) -> None:
        """Let the kernel forget what it cached of the range, so that imaging a disk does not empty all caches."""
        os.posix_fadvise(self._fd, offset, length, os.POSIX_FADV_DONTNEED)

    def check_present(self) -> None:
        """To be asked when something could not be read: a disk that is gone looks like one full of bad sectors.

        Raises DeviceError (ENODEV) when it is not there any more, or does not even give what it gave before.
        """
        try:
            moved = self.identity.differences(identify(self.name))
        except RecoveryError as error:
            moved = [str(error)]
        given = {align_down(at, self.sector_size) for at in (self._first_good, self._last_good) if at >= 0}
        if not moved and given and not any(self._gives(at) for at in given):
            moved = ["it does not even give what it gave before"]
        if moved:
            advice = f"The disk is gone: {'; '.join(moved)}. Check its cable and power, then start again."
            raise DeviceError(self.name, "read", 0, 0, errno.ENODEV, advice)

    def _gives(self, offset: int) -> bool:
        try:
            self.read_direct(offset, min(self.sector_size, self.size - offset))
        except DeviceError:
            return False
        return True

    def check_size(self) -> None:
        """Raise Refused when the medium is not as long any more as it was when it was opened."""
        now = self._current_size()
        if now != self.size:
            raise Refused(
                f"{self.name} changed its size from {self.size} to {now} bytes while it was read.",
                "Something else writes to it. Stop that, then start again.",
            )

    def _current_size(self) -> int:
        try:
            return os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            number = error.errno or 0
            raise DeviceError(self.name, "size request", 0, 0, number, advice_for(number)) from error

    def _shorter(self, at: int) -> Truncated:
        return Truncated(
            "read", at, "the medium became shorter while it was read",
            expected=f"{self.size} bytes", found=f"{self._current_size()} bytes", source=self.name,
        )  # fmt: skip

    def close(self) -> None:
        """Gives up the device; not when a direct read hangs in it: the end of the process does it then."""
        if not self._direct_lock.acquire(timeout=_CLOSE_PATIENCE):
            return
        try:
            for fd in (self._fd, self._direct_fd):
                if fd >= 0:
                    os.close(fd)
            self._fd = self._direct_fd = -1
        finally:
            self._direct_lock.release()
