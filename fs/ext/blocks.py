"""Reading blocks by number: as they are on disk, or as they will be once the journal has been replayed."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping

from formats.base.errors import FormatError, RecoveryError
from formats.base.source import BlockSource

AHEAD_BYTES = 1 << 20  # how much of adjacent bitmaps is read at once
JOURNAL_MAGIC = (0xC03B3998).to_bytes(4, "big")


class BlockReader:
    """Blocks of one volume.

    `copies`: target block -> (block in the journal that holds the newer copy, whether its first four bytes were
    escaped). With it, reads see the volume as the replay will leave it.
    """

    def __init__(
        self, source: BlockSource, block_size: int, copies: Mapping[int, tuple[int, bool]] | None = None
    ) -> None:
        self.source, self.block_size = source, block_size
        self._copies = copies or {}
        self._targets = array("Q", sorted(self._copies))

    def replaces(self, block: int) -> bool:
        """True when the journal holds a newer copy of `block`."""
        return block in self._copies

    def read(self, first: int, count: int = 1) -> bytes:
        """`count` blocks from `first`. Raises Truncated or DeviceError."""
        size = self.block_size
        data = self.source.read_at(first * size, count * size)
        i = bisect_left(self._targets, first)
        if i == len(self._targets) or self._targets[i] >= first + count:
            return data
        patched = bytearray(data)
        while i < len(self._targets) and self._targets[i] < first + count:
            target = self._targets[i]
            place, escaped = self._copies[target]
            at = (target - first) * size
            patched[at : at + size] = self.source.read_at(place * size, size)
            if escaped:
                patched[at : at + 4] = JOURNAL_MAGIC
            i += 1
        return bytes(patched)


class BitmapColumn:
    """One bitmap block for each group, asked for in ascending order; adjacent ones are read together.

    mke2fs puts the bitmaps of a flex group side by side: one read fetches all of them.
    """

    def __init__(self, reader: BlockReader, places: array[int], wanted: Callable[[int], bool]) -> None:
        self._reader, self._places, self._wanted = reader, places, wanted
        self._most = max(1, AHEAD_BYTES // reader.block_size)
        self._slab = b""
        self._first = self._end = 0  # groups that the slab covers
        self._single_until = 0  # after a failed read: groups below this are read one by one

    def get(self, group: int) -> bytes:
        """The bitmap block of `group`. Raises Truncated or DeviceError."""
        size = self._reader.block_size
        if not self._first <= group < self._end:
            count = 1 if group < self._single_until else self._adjacent(group)
            try:
                slab = self._reader.read(self._places[group], count)
            except RecoveryError:
                if count == 1:
                    raise
                self._single_until = group + count
                return self._reader.read(self._places[group])
            self._slab, self._first, self._end = slab, group, group + count
        at = (group - self._first) * size
        return self._slab[at : at + size]

    def _adjacent(self, group: int) -> int:
        places, wanted = self._places, self._wanted
        count = 1
        while (
            count < self._most
            and group + count < len(places)
            and places[group + count] == places[group] + count
            and wanted(group + count)
        ):
            count += 1
        return count


class WalkExhausted(FormatError):
    """The metadata refer to more than the volume can hold: a loop, or many structures that share blocks."""


class Budget:
    """Ends every walk: each block read and each extent found costs one."""

    def __init__(self, amount: int) -> None:
        self._amount = self._left = amount

    def spend(self, amount: int = 1) -> None:
        """Raises WalkExhausted when nothing is left."""
        self._left -= amount
        if self._left < 0:
            raise WalkExhausted("ext metadata", 0, f"they refer to more than {self._amount} blocks and extents in all")
