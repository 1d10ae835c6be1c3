"""Putting volumes on a target: unused space first, data, a read-back, and the first block of each volume last.

The first block (boot sector, superblock) makes a volume what it is; until it is written, an interrupted job leaves
something that looks blank, not something that looks whole.
"""

from __future__ import annotations

import errno
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import NamedTuple

from blake3 import blake3

from formats.base.errors import Corrupt, DeviceError, FormatError
from formats.base.extent import ExtentList
from formats.base.target import BlockTarget
from formats.base.units import MiB, align_down
from formats.base.zeros import is_zero
from recovery.engine.cancel import CancelToken
from recovery.engine.events import StepProgress
from recovery.engine.plan import Placement, Unused

_LEDGER = struct.Struct("<QQ16s")
_LEDGER_MEMORY = 16 * MiB
_JOIN = 4 * MiB
MAX_SECTOR = 4096  # bytes; around a bad place areas are read in pieces of this size, and then of 512


class Piece(NamedTuple):
    """Bytes of a volume from `start`: `data`, or `length` zeros (data None). `lost`: zeros in place of what is gone.

    `digest`: BLAKE3 of `data` where it is known already, else b"". `written`: it is on the target (data None then).
    """

    start: int
    length: int
    data: bytes | None
    lost: bool = False
    digest: bytes = b""
    written: bool = False


class Imprinter:
    """Writes pieces and keeps a ledger of what was written, with digests, for the read-back.

    The ledger is a temporary file beyond 16 MiB, so memory stays bounded.
    """

    def __init__(self, target: BlockTarget, *, fresh: bool, keep_ledger: bool) -> None:
        """`fresh`: everything on the target reads as zeros now (a file that was just made)."""
        self._target, self._fresh, self._keep = target, fresh, keep_ledger
        self._ledger = tempfile.SpooledTemporaryFile(max_size=_LEDGER_MEMORY)  # noqa: SIM115 - closed in close()
        self._deferred: list[tuple[int, Piece]] = []
        self._zero_from = self._zero_to = 0
        self._entries = 0
        # Two writers of one file would meet in the kernel, where the second one burns its time in a spin lock.
        self._one_writer = Lock()
        self.written = 0

    def close(self) -> None:
        self._ledger.close()

    def prepare(self, placement: Placement, unused: Unused) -> None:
        """Deal with the space that the image does not use, before any data: the data are written over it."""
        if self._fresh:
            return
        if unused is Unused.DISCARD:
            self._target.discard(placement.offset, placement.room)
        elif unused is Unused.ZERO:
            self._target.zero(placement.offset, placement.room)

    def write_ahead(self, placement: Placement, pieces: Sequence[Piece]) -> list[Piece]:
        """Write the data of pieces now, from any thread; put() has to follow, in order, with what is returned.

        Where the data were made they are still in the processor's cache. The volume's first piece has to wait.
        """
        out: list[Piece] = []
        run: list[bytes] = []  # data that lie one behind another and end where `end` says: one request
        end = 0
        for piece in pieces:
            if piece.data is None or piece.start == 0:
                out.append(piece)
                continue
            if run and piece.start != end:
                self._write_run(placement.offset + end, run)
                run = []
            run.append(piece.data)
            end = piece.start + piece.length
            digest = piece.digest if piece.digest or not self._keep else blake3(piece.data).digest(16)
            out.append(Piece(piece.start, piece.length, None, digest=digest, written=True))
        if run:
            self._write_run(placement.offset + end, run)
        return out

    def _write_run(self, end: int, run: list[bytes]) -> None:
        with self._one_writer:
            self._target.write_at(end - sum(map(len, run)), *run)

    def put(self, placement: Placement, piece: Piece) -> None:
        """Write a piece, unless that was done; the volume's first one is kept for settle()."""
        if piece.start == 0:
            self._deferred.append((placement.offset, piece))
            return
        self._write(placement.offset + piece.start, piece)

    def _write(self, offset: int, piece: Piece) -> None:
        data, digest = piece.data, piece.digest[:16]
        if data is not None:
            self._target.write_at(offset, data)
            if self._keep and not digest:
                digest = blake3(data).digest(16)
        elif not piece.written:
            self._zero(offset, piece.length)
            digest = bytes(16)
        if data is not None or piece.written:
            self.written += piece.length
        if self._keep:
            self._ledger.write(_LEDGER.pack(offset, piece.length, digest))
            self._entries += 1

    def _zero(self, offset: int, length: int) -> None:
        """Neighbours become one request."""
        if offset != self._zero_to or self._zero_to - self._zero_from >= 64 * _JOIN:
            self._flush_zero()
            self._zero_from = offset
        self._zero_to = offset + length

    def _flush_zero(self) -> None:
        if self._zero_to > self._zero_from and not self._fresh:
            self._target.zero(self._zero_from, self._zero_to - self._zero_from)
        self._zero_from = self._zero_to = 0

    def flush(self) -> None:
        """Everything so far is on the medium."""
        self._flush_zero()
        self._target.flush()

    def settle(self) -> None:
        """Write the first blocks, after everything else is on the medium."""
        self.flush()
        for offset, piece in self._deferred:
            self._write(offset, piece)
        self._deferred.clear()
        self.flush()

    @property
    def count(self) -> int:
        """How many entries the ledger has."""
        return self._entries

    def entries(self, since: int = 0) -> Iterator[tuple[int, int, bytes]]:
        """(offset, length, digest or 16 zero bytes for zeros) of what was written, in order, from entry `since`."""
        self._ledger.seek(since * _LEDGER.size)
        while True:
            data = self._ledger.read(_LEDGER.size * 4096)
            if not data:
                return
            yield from _LEDGER.iter_unpack(data)

    def check(self, progress: StepProgress, cancel: CancelToken, *, since: int = 0) -> None:
        """Read everything back from the medium, or what the ledger has from entry `since`.

        Raises Corrupt at the first place that differs, DeviceError.
        """
        nothing = bytes(16)
        for offset, length, digest in self.entries(since):
            cancel.check()
            step = _JOIN if digest == nothing else length  # data pieces are a batch at most
            for start in range(offset, offset + length, step):
                size = min(step, offset + length - start)
                data = self._target.read_at(start, size)
                if not (is_zero(data) if digest == nothing else blake3(data).digest(16) == digest):
                    raise Corrupt(
                        "target",
                        start,
                        "what was written cannot be read back",
                        source=self._target.name,
                        advice="The target's medium or cable is not reliable. Use another one.",
                    )
                progress.advance(size)


def copy_areas(
    read: Callable[[int, int], bytes], areas: ExtentList, imprinter: Imprinter, whole: Placement
) -> ExtentList:
    """Bytes of the disk outside of its partitions, from `read(offset, length)`, to the same places.

    Returns what could not be read: those bytes become zeros. Raises DeviceError (ENODEV) when the source is gone.
    """
    lost: list[tuple[int, int]] = []
    for start, end in areas:
        for at in range(start, end, MiB):
            data = _read_around(read, at, min(MiB, end - at), lost)
            imprinter.put(whole, Piece(at, len(data), None if is_zero(data) else data))
    return ExtentList(lost)


def _read_around(read: Callable[[int, int], bytes], start: int, size: int, lost: list[tuple[int, int]]) -> bytes:
    """In smaller and smaller pieces that end at multiples of their size: what is lost takes no neighbour with it."""
    try:
        return read(start, size)
    except (FormatError, DeviceError) as error:
        if isinstance(error, DeviceError) and error.errno == errno.ENODEV:
            raise
    step = MAX_SECTOR if size > MAX_SECTOR else 512
    if size <= 512:
        lost.append((start, start + size))
        return bytes(size)
    pieces = []
    at, end = start, start + size
    while at < end:
        stop = min(end, align_down(at, step) + step)
        pieces.append(_read_around(read, at, stop - at, lost))
        at = stop
    return b"".join(pieces)
