"""Where an archive goes: a file under a temporary name, several parts, or a pipe. Front to back, never back."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from formats.base.errors import DeviceError, Refused

if sys.platform != "win32":
    import fcntl

PARTIAL = ".partial"
_FULL = "Free some space, choose another destination, or use --split to spread over several media."


def part_path(path: Path, part: int) -> Path:
    """Name of part `part` (1-based) of the archive `path`."""
    return path if part == 1 else path.with_name(f"{path.name}.{part:03d}")


def partial_path(path: Path) -> Path:
    """Name that a file has until the commit."""
    return path.with_name(path.name + PARTIAL)


class Sink(Protocol):
    """A front-to-back output. `position`: archive offset in bytes of the next write. `part`: 1-based."""

    name: str
    position: int
    part: int
    readable: bool

    def room(self, size: int) -> bool:
        """False when `size` more bytes do not fit the current part."""

    def next_part(self) -> None:
        """Close the current part and begin another."""

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append all pieces. Raises DeviceError, with advice when the medium is full."""

    def sync(self) -> None:
        """Return when everything written is on the medium."""

    def commit(self) -> None:
        """Give everything its final name."""

    def abort(self) -> None:
        """Remove what was written."""

    def keep(self) -> None:
        """End without a commit, and leave what was written under its temporary name."""

    def partial_paths(self) -> list[Path]:
        """The files as they are named before the commit."""


def _write_all(fd: int, pieces: Sequence[bytes], name: str, position: int) -> None:
    try:
        total = sum(map(len, pieces))
        done = os.writev(fd, pieces)
        if done < total:
            rest = memoryview(b"".join(pieces))[done:]
            while rest:
                rest = rest[os.write(fd, rest) :]
    except OSError as error:
        advice = _FULL if error.errno in (28, 27, 122) else ""  # ENOSPC, EFBIG, EDQUOT
        raise DeviceError(name, "write", position, sum(map(len, pieces)), error.errno or 0, advice) from error


class FileSink:
    """One file or, with `split` > 0, parts that are each smaller than `split` bytes."""

    readable = True

    def __init__(self, path: Path, split: int = 0) -> None:
        """Raises Refused when something has the final or temporary name already, DeviceError otherwise."""
        self.path, self.name, self._split = path, str(path), split
        self.position = 0
        self.part = 0
        self._part_start = 0
        self._synced = 0
        self._fds: list[int] = []
        _refuse_taken(path)
        self.next_part()

    def room(self, size: int) -> bool:
        used = self.position - self._part_start
        return not self._split or used + size < self._split

    def next_part(self) -> None:
        self.part += 1
        self._part_start = self.position
        path = partial_path(part_path(self.path, self.part))
        try:
            self._fds.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        except OSError as error:
            self.part -= 1
            raise DeviceError(str(path), "create", 0, 0, error.errno or 0) from error
        if not _lock(self._fds[-1]):
            os.close(self._fds.pop())
            self.part -= 1  # it is not ours: abort() must leave it alone
            raise Refused(f"{path} is being written by another backup.", "Choose another name, or wait for its end.")
        try:
            # A leftover of a run that was killed carries no claim: it is replaced.
            os.ftruncate(self._fds[-1], 0)
        except OSError as error:
            raise DeviceError(str(path), "create", 0, 0, error.errno or 0) from error

    def write(self, pieces: Sequence[bytes]) -> None:
        _write_all(self._fds[-1], pieces, self.name, self.position)
        self.position += sum(map(len, pieces))

    def sync(self) -> None:
        try:
            for fd in self._fds[-2:]:
                os.fdatasync(fd)
                # Read-back must come from the medium, and a backup must not push everything else out of memory.
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise DeviceError(self.name, "sync", self.position, 0, error.errno or 0, _FULL) from error

    def partial_paths(self) -> list[Path]:
        return [partial_path(part_path(self.path, n)) for n in range(1, self.part + 1)]

    def commit(self) -> None:
        try:
            for fd in self._fds:
                os.fsync(fd)
            for number in range(self.part, 0, -1):
                final = part_path(self.path, number)
                # link() refuses an existing name, rename() would replace it. Not every file system has links.
                try:
                    os.link(partial_path(final), final)
                    partial_path(final).unlink()
                except FileExistsError:
                    raise Refused(f"{final} appeared while the archive was written.", "Nothing was replaced.") from None
                except OSError:
                    partial_path(final).rename(final)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise DeviceError(self.name, "commit", self.position, 0, error.errno or 0) from error
        self._close()

    def abort(self) -> None:
        # Removed before the locks go with the descriptors, else it could be the next run's. A destination that is
        # gone keeps what it has; the error that brought us here is the one to tell.
        for path in self.partial_paths():
            with suppress(OSError):
                path.unlink()
        self._close()

    def keep(self) -> None:
        with suppress(DeviceError):
            self.sync()
        self._close()

    def _close(self) -> None:
        while self._fds:
            with suppress(OSError):  # some network file systems tell a failed write here: it was synced before
                os.close(self._fds.pop())


def _refuse_taken(path: Path) -> None:
    """Refused when the archive, or any part of one of that name, is there."""
    if path.exists() or path.is_symlink():
        raise Refused(f"{path} exists already.", "Choose another name: archives are never overwritten.")
    pattern = re.compile(re.escape(path.name) + r"\.\d{3,5}$")
    try:
        parts = sorted(entry for entry in path.parent.iterdir() if pattern.match(entry.name))
    except OSError:
        return  # making the file will tell
    if parts:
        # They would be taken for parts of the new archive.
        raise Refused(
            f"{parts[0]} exists already: a part of an archive of this name whose first part is missing, or of a run "
            "that was killed while it gave its parts their names.",
            "Choose another name, or remove what is left over.",
        )


def _lock(fd: int) -> bool:
    """False when another process writes this file. Where locks are unknown (some network shares): True."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


class PipeSink:
    """Standard output, an SSH stream, anything that only takes bytes. There is nothing to rename or read back."""

    readable = False

    def __init__(self, fd: int, name: str = "-") -> None:
        self._fd, self.name = fd, name
        self.position = 0
        self.part = 1

    def room(self, size: int) -> bool:
        return True

    def next_part(self) -> None:
        raise Refused("A pipe cannot be split into parts.", "Leave --split out, or pipe through split(1).")

    def write(self, pieces: Sequence[bytes]) -> None:
        _write_all(self._fd, pieces, self.name, self.position)
        self.position += sum(map(len, pieces))

    def sync(self) -> None:
        """A pipe has no medium of its own."""

    def commit(self) -> None:
        """The footer was the commit."""

    def abort(self) -> None:
        """A reader sees that the footer is missing."""

    def keep(self) -> None:
        """What was sent was sent."""

    def partial_paths(self) -> list[Path]:
        return []
