"""A source with some bytes changed and some ranges that cannot be read."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from formats.base.errors import DeviceError
from formats.base.extent import ExtentList
from formats.base.source import BlockSource, check_range


class Overlay:
    """`patches`: offset to bytes. `failing`: (start, end) in bytes. `size`: cut there. The base stays as it is."""

    def __init__(
        self,
        base: BlockSource,
        patches: Mapping[int, bytes] | None = None,
        failing: Sequence[tuple[int, int]] = (),
        size: int | None = None,
    ) -> None:
        self._base, self._patches, self._failing = base, dict(patches or {}), tuple(failing)
        self.name, self.sector_size = base.name, base.sector_size
        self.size = base.size if size is None else size

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        for start, end in self._failing:
            if start < offset + length and offset < end:
                raise DeviceError(self.name, "read", offset, length, errno.EIO)
        data = self._base.read_at(offset, length)
        for at, patch in self._patches.items():
            low, high = max(at, offset), min(at + len(patch), offset + length)
            if low < high:
                data = data[: low - offset] + patch[low - at : high - at] + data[high - offset :]
        return data

    def extents_known(self) -> ExtentList | None:
        return None
