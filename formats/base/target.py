"""BlockTarget: everything that can be written at an offset. Parsers must never import this module."""

from __future__ import annotations

from typing import Protocol


class BlockTarget(Protocol):
    """A range of bytes from 0 to `size` that may be written. Offsets and lengths are bytes."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def sector_size(self) -> int: ...

    def write_at(self, offset: int, *data: bytes) -> None:
        """Write all of `data`, one behind the other. Raises DeviceError when the medium fails or is full."""

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros, as cheaply as the medium can."""

    def discard(self, offset: int, length: int) -> bool:
        """Tell the medium that the range is not needed; False when it cannot. What it then reads is undefined."""

    def flush(self) -> None:
        """Return only when everything written is on the medium."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Read back exactly what the medium holds now, for checking after a write."""
