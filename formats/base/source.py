"""BlockSource: everything that can be read at an offset. Stateless, exact, safe to share between threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from formats.base.closing import Closing
from formats.base.errors import DeviceError, Truncated
from formats.base.extent import Extent, ExtentList


class BlockSource(Protocol):
    """A range of bytes from 0 to `size`. `sector_size` is the logical sector, in bytes."""

    @property
    def name(self) -> str:
        """What to call it in a message."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    @property
    def sector_size(self) -> int:
        """Logical sector size in bytes (512 or 4096)."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`.

        Raises Truncated when the range leaves the source, DeviceError when the medium fails.
        """

    def extents_known(self) -> ExtentList | None:
        """The parts that hold data, if the source knows its own holes; None when it does not."""


def check_range(source: BlockSource, offset: int, length: int) -> None:
    """Raise Truncated unless [offset, offset+length) lies inside `source`."""
    if offset < 0 or length < 0 or offset + length > source.size:
        raise Truncated("read", offset, f"{length} bytes leave the source, which has {source.size}", source=source.name)


class FileSource(Closing):
    """A regular file or block device, opened read-only. Use as a context manager or call close()."""

    def __init__(self, path: str | Path, sector_size: int = 512) -> None:
        self.path = Path(path)
        self.name = str(path)
        self.sector_size = sector_size
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            raise DeviceError(self.name, "open", 0, 0, error.errno or 0) from error

    def fileno(self) -> int:
        return self._fd

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        try:
            data = os.pread(self._fd, length, offset)
            if len(data) == length:
                return data
            pieces = [data]
            done = len(data)
            while done < length:
                piece = os.pread(self._fd, length - done, offset + done)
                if not piece:
                    raise Truncated("read", offset + done, "the file became shorter", source=self.name)
                pieces.append(piece)
                done += len(piece)
            return b"".join(pieces)
        except OSError as error:
            raise DeviceError(self.name, "read", offset, length, error.errno or 0) from error

    def extents_known(self) -> ExtentList | None:
        return None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class MemorySource:
    """Bytes in memory."""

    def __init__(self, data: bytes, sector_size: int = 512, name: str = "memory") -> None:
        self._data = bytes(data)
        self.name, self.sector_size = name, sector_size

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        return self._data[offset : offset + length]

    def extents_known(self) -> ExtentList | None:
        return None


class Window:
    """A part of another source, such as a partition of a disk. Offsets count from the start of the window."""

    def __init__(self, source: BlockSource, extent: Extent, name: str = "") -> None:
        if extent.start < 0 or extent.end > source.size or extent.end < extent.start:
            raise Truncated(
                "window",
                extent.start,
                f"[{extent.start}, {extent.end}) leaves the source",
                source=source.name,
            )
        self._source, self.extent = source, extent
        self.name = name or f"{source.name}[{extent.start}..{extent.end})"
        self.size = extent.end - extent.start
        self.sector_size = source.sector_size

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        return self._source.read_at(self.extent.start + offset, length)

    def extents_known(self) -> ExtentList | None:
        known = self._source.extents_known()
        return None if known is None else known.clip(self.extent.start, self.extent.end).shift(-self.extent.start)


class ConcatSource:
    """Several sources one behind the other, such as the parts of a split archive."""

    def __init__(self, parts: Sequence[BlockSource], name: str = "") -> None:
        self._parts = tuple(parts)
        self._starts = [0]
        for part in self._parts:
            self._starts.append(self._starts[-1] + part.size)
        self.name = name or (self._parts[0].name if self._parts else "nothing")
        self.size = self._starts[-1]
        self.sector_size = self._parts[0].sector_size if self._parts else 512

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        pieces = []
        for part, start in zip(self._parts, self._starts, strict=False):
            low, high = max(offset, start), min(offset + length, start + part.size)
            if low < high:
                pieces.append(part.read_at(low - start, high - low))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def extents_known(self) -> ExtentList | None:
        return None
