"""Where an archive goes: a file under a temporary name, several parts, or a pipe. Front to back, never back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from formats.base.errors import DeviceError, Refused

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
        for taken in (path, part_path(path, 2)):
            if taken.exists() or taken.is_symlink():
                raise Refused(f"{taken} exists already.", "Choose another name: archives are never overwritten.")
        self.next_part()

    def room(self, size: int) -> bool:
        used = self.position - self._part_start
        return not self._split or used + size < self._split

    def next_part(self) -> None:
        self.part += 1
        self._part_start = self.position
        path = partial_path(part_path(self.path, self.part))
        try:
            # A leftover of a run that was killed carries no claim: it is replaced.
            self._fds.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
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
        self._close()
        for path in self.partial_paths():
            path.unlink(missing_ok=True)

    def _close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())


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

    def partial_paths(self) -> list[Path]:
        return []
