"""The content of files: stored as it is, compressed by NTFS (LZNT1), or compressed by WOF in a stream beside it.

Readers implement fs.tree.NodeReader. They keep the chunk that was decoded last, for small sequential reads.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from formats.base.errors import Corrupt, Inconsistent, Truncated, Unsupported
from formats.base.units import KiB, MiB
from fs.ntfs import lznt1, lzx, xpress
from fs.ntfs.attribute import COMPRESSED
from fs.ntfs.stream import Stream

LZNT1 = 1
MAX_UNIT = 4 * MiB  # Windows makes units of 16 clusters up to 4 KiB, and of 64 KiB at most
BATCH = 256 * KiB  # how much of a WOF file is decoded for one read of the stored chunks
MAX_U32 = 0xFFFFFFFF


class EmptyReader:
    """The content of what has none."""

    size = 0

    def read_at(self, offset: int, length: int) -> bytes:
        if offset or length:
            raise Truncated("content", offset, f"{length} bytes leave a file of 0 bytes")
        return b""


class UnitReader:
    """Data compressed in units: of each unit as many clusters are stored as its compressed bytes need."""

    def __init__(self, stream: Stream, cluster_size: int) -> None:
        """Raises Corrupt or Unsupported when the units are not of a kind that is known."""
        method = stream.flags & COMPRESSED
        if method != LZNT1:
            raise Unsupported(stream.name, f"compression method {method}")
        shift = stream.compression_unit
        if not shift:
            raise Corrupt(stream.name, max(stream.locate(0), 0), "it is compressed and has no compression unit")
        if shift > 16 or cluster_size << shift > MAX_UNIT:
            raise Unsupported(stream.name, f"a compression unit of 2^{shift} clusters")
        self._stream, self.unit = stream, cluster_size << shift  # bytes
        self._held: tuple[int, bytes] = (-1, b"")

    @property
    def size(self) -> int:
        return self._stream.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises Truncated, Corrupt, DeviceError."""
        stream, unit = self._stream, self.unit
        if offset < 0 or length < 0 or offset + length > stream.size:
            raise Truncated(stream.name, offset, f"{length} bytes leave the attribute of {stream.size} bytes")
        stop = min(offset + length, stream.initialized)
        out = bytearray()
        at = offset
        while at < stop:
            number = at // unit
            end = min((number + 1) * unit, stop)
            data = self._decoded(number)
            out += data[at - number * unit : end - number * unit]
            at = end
        if len(out) < length:
            out += bytes(length - len(out))
        return bytes(out)

    def _decoded(self, number: int) -> bytes:
        """Unit `number`, whole."""
        if self._held[0] == number:
            return self._held[1]
        stream, unit = self._stream, self.unit
        stored = stored_pieces(stream, number * unit, (number + 1) * unit)
        total = sum(end - start for start, end in stored)
        if not stored:
            data = bytes(unit)
        else:
            data = b"".join(stream.stored_at(start, end - start) for start, end in stored)
            if total < unit:
                data = lznt1.decompress(data, unit, stream.name, max(stored[0][0], 0))
        self._held = (number, data)
        return data


def stored_pieces(stream: Stream, start: int, stop: int) -> list[tuple[int, int]]:
    """Where the clusters of one unit, bytes [start, stop) of the attribute, lie on the volume: up to its first hole."""
    found = []
    for low, high, place in stream.pieces(start, stop):
        if place < 0:
            break
        found.append((place, place + high - low))
    return found


class Wof(NamedTuple):
    """How WOF compressed a file. `chunk`: bytes of the file in each chunk."""

    name: str
    chunk: int
    decompress: Callable[[bytes, int, str, int], bytes]


# Source: FILE_PROVIDER_EXTERNAL_INFO_V1 of the Windows SDK (ntifs.h, wofapi.h).
WOF_KINDS = {
    0: Wof("XPRESS4K", 4 * KiB, xpress.decompress),
    1: Wof("LZX", lzx.CHUNK, lzx.decompress),
    2: Wof("XPRESS8K", 8 * KiB, xpress.decompress),
    3: Wof("XPRESS16K", 16 * KiB, xpress.decompress),
}


class WofReader:
    """A file of `size` bytes that WOF compressed into the stream `stored`.

    The stream begins with the offset of each chunk but the first, counted from the end of these offsets: 32 bits
    each, 64 for files of 4 GiB and more. A chunk that is as long as its content is that content.
    """

    def __init__(self, stored: Stream, size: int, kind: Wof) -> None:
        """Raises Inconsistent when the offsets do not fit in the stream."""
        self._stored, self._size, self._kind = stored, size, kind
        self._count = -(-size // kind.chunk)
        self._width = 4 if size <= MAX_U32 else 8
        self.data_begin = max(self._count - 1, 0) * self._width
        if self.data_begin > stored.size or (size and stored.size == self.data_begin):
            text = f"it is too short for the {self._count} chunks of a file of {size} bytes"
            raise Inconsistent(stored.name, max(stored.locate(0), 0), text, found=stored.size)
        self._held: tuple[int, bytes] = (-1, b"")

    @property
    def size(self) -> int:
        return self._size

    @property
    def chunk(self) -> int:
        return self._kind.chunk

    @property
    def count(self) -> int:
        return self._count

    def bounds(self, first: int, stop: int) -> list[int]:
        """Where the chunks `first` to `stop` begin in the stream, the last one being the end of the one before.

        Raises Corrupt when they do not follow one another or a chunk is longer than its content.
        """
        width, low = self._width, max(first, 1)
        high = min(stop, self._count - 1)
        found = [self.data_begin] if first == 0 else []
        if high >= low:
            table = self._stored.read_at((low - 1) * width, (high - low + 1) * width)
            code = "I" if width == 4 else "Q"
            found += [self.data_begin + at for at in struct.unpack(f"<{high - low + 1}{code}", table)]
        if stop == self._count:
            found.append(self._stored.size)
        for i in range(len(found) - 1):
            length = found[i + 1] - found[i]
            most = min(self._kind.chunk, self._size - (first + i) * self._kind.chunk)
            if not 0 < length <= most or found[i + 1] > self._stored.size:
                text = f"chunk {first + i} has {length} bytes, from {found[i]} on"
                raise Corrupt(self._stored.name, max(self._stored.locate(0), 0), text, expected=f"1 to {most}")
        return found

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises Truncated, Corrupt, DeviceError."""
        if offset < 0 or length < 0 or offset + length > self._size:
            raise Truncated(self._stored.name, offset, f"{length} bytes leave a file of {self._size} bytes")
        if not length:
            return b""
        size = self._kind.chunk
        first, stop = offset // size, -(-(offset + length) // size)
        step = BATCH // size
        out = bytearray()
        for at in range(first, stop, step):
            for piece in self._chunks(at, min(at + step, stop)):
                out += piece
        skip = offset - first * size
        return bytes(out[skip : skip + length])

    def _chunks(self, first: int, stop: int) -> list[bytes]:
        if stop == first + 1 and self._held[0] == first:
            return [self._held[1]]
        size, stored = self._kind.chunk, self._stored
        bounds = self.bounds(first, stop)
        raw = stored.read_at(bounds[0], bounds[-1] - bounds[0])
        found = []
        for i in range(stop - first):
            begin, end = bounds[i] - bounds[0], bounds[i + 1] - bounds[0]
            wanted = min(size, self._size - (first + i) * size)
            piece = raw[begin:end]
            if len(piece) < wanted:
                piece = self._kind.decompress(piece, wanted, f"chunk {first + i} of {stored.name}", bounds[i])
            found.append(piece)
        self._held = (stop - 1, found[-1])
        return found
