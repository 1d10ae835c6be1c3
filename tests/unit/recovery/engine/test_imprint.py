"""Writing: first blocks last, zeros where they must be, and a read-back that finds what the medium changed."""

from __future__ import annotations

import random

import pytest
from blake3 import blake3

from formats.base.errors import Corrupt
from formats.base.units import MiB
from recovery.engine.cancel import CancelToken
from recovery.engine.events import StepProgress
from recovery.engine.imprint import Imprinter, Piece
from recovery.engine.plan import Placement, Unused


class Target:
    """A BlockTarget in memory that remembers the order of writes."""

    name, sector_size = "target", 512

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = bytearray(b"\xee" * size)
        self.log: list[tuple[str, int, int]] = []

    def write_at(self, offset: int, *pieces: bytes) -> None:
        data = b"".join(pieces)
        self.log.append(("write", offset, len(data)))
        self.data[offset : offset + len(data)] = data

    def zero(self, offset: int, length: int) -> None:
        self.log.append(("zero", offset, length))
        self.data[offset : offset + length] = bytes(length)

    def discard(self, offset: int, length: int) -> bool:
        self.log.append(("discard", offset, length))
        self.data[offset : offset + length] = b"\xdd" * length
        return True

    def flush(self) -> None:
        self.log.append(("flush", 0, 0))

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])


PLACE = Placement(0, 1, MiB, 4 * MiB, 6 * MiB, 4 * MiB, "volume")


def run(target: Target, unused: Unused) -> tuple[Imprinter, bytes]:
    rng = random.Random(1)
    first, second = rng.randbytes(4096), rng.randbytes(8192)
    imprinter = Imprinter(target, fresh=False, keep_ledger=True)
    imprinter.prepare(PLACE, unused)
    imprinter.put(PLACE, Piece(0, 4096, first))
    imprinter.put(PLACE, Piece(4096, 4096, None))
    imprinter.put(PLACE, Piece(8192, 4096, None))
    imprinter.put(PLACE, Piece(2 * MiB, 8192, second))
    imprinter.settle()
    want = first + bytes(8192)
    assert target.data[MiB : MiB + len(want)] == want
    assert target.data[3 * MiB : 3 * MiB + 8192] == second
    return imprinter, want


def test_the_first_block_is_written_after_everything_else_is_on_the_medium() -> None:
    target = Target(16 * MiB)
    run(target, Unused.LEAVE)
    first = target.log.index(("write", MiB, 4096))
    assert ("flush", 0, 0) in target.log[:first]
    assert all(entry[0] == "flush" for entry in target.log[first + 1 :])


def test_neighbouring_zeros_are_one_request() -> None:
    target = Target(16 * MiB)
    run(target, Unused.LEAVE)
    assert [e for e in target.log if e[0] == "zero"] == [("zero", MiB + 4096, 8192)]


def test_unused_space() -> None:
    for unused, rest in ((Unused.LEAVE, b"\xee"), (Unused.ZERO, b"\0"), (Unused.DISCARD, b"\xdd")):
        target = Target(16 * MiB)
        run(target, unused)
        assert target.data[4 * MiB : 4 * MiB + 10] == rest * 10
        assert target.data[:MiB] == b"\xee" * MiB, "nothing outside of the room is touched"
        assert target.data[7 * MiB :] == b"\xee" * (9 * MiB)


@pytest.mark.parametrize("place", [MiB, MiB + 4095, MiB + 5000, 3 * MiB + 8191])
def test_a_medium_that_changed_one_byte_is_found(place: int) -> None:
    target = Target(16 * MiB)
    imprinter, _ = run(target, Unused.LEAVE)
    progress = StepProgress(lambda event: None, 0)
    imprinter.check(progress, CancelToken())
    assert progress.done == 4096 * 3 + 8192
    target.data[place] ^= 1
    with pytest.raises(Corrupt):
        imprinter.check(progress, CancelToken())
    imprinter.close()


def test_neighbours_are_written_ahead_in_one_request() -> None:
    target = Target(16 * MiB)
    imprinter = Imprinter(target, fresh=False, keep_ledger=True)
    pieces = [
        Piece(0, 4096, b"\x01" * 4096),
        Piece(4096, 4096, b"\x02" * 4096),
        Piece(8192, 4096, b"\x03" * 4096),
        Piece(12288, 4096, None),
        Piece(16384, 4096, b"\x04" * 4096),
        Piece(20480, 100, b"\x05" * 100),
    ]
    for piece in imprinter.write_ahead(PLACE, pieces):
        imprinter.put(PLACE, piece)
    at = PLACE.offset
    assert [e for e in target.log if e[0] == "write"] == [("write", at + 4096, 8192), ("write", at + 16384, 4196)]
    imprinter.settle()
    assert target.data[at : at + 20580] == b"".join(p.data or bytes(p.length) for p in pieces)
    imprinter.check(StepProgress(lambda event: None, 0), CancelToken())


@pytest.mark.parametrize("digest", [b"", blake3(b"\x07" * 4096).digest()])
def test_what_is_written_ahead_is_written_once_and_read_back(digest: bytes) -> None:
    target = Target(16 * MiB)
    imprinter = Imprinter(target, fresh=False, keep_ledger=True)
    pieces = [
        Piece(0, 4096, b"\x01" * 4096),
        Piece(MiB, 4096, b"\x07" * 4096, digest=digest),
        Piece(2 * MiB, 512, None),
    ]
    ahead = [imprinter.write_ahead(PLACE, [piece])[0] for piece in reversed(pieces)]
    assert [e for e in target.log if e[0] == "write"] == [("write", 2 * MiB, 4096)], "the first piece has to wait"
    for piece in reversed(ahead):
        imprinter.put(PLACE, piece)
    imprinter.settle()
    assert [e for e in target.log if e[0] == "write"] == [("write", 2 * MiB, 4096), ("write", MiB, 4096)]
    assert imprinter.written == 8192
    imprinter.check(StepProgress(lambda event: None, 0), CancelToken())
    target.data[2 * MiB + 5] ^= 1
    with pytest.raises(Corrupt) as caught:
        imprinter.check(StepProgress(lambda event: None, 0), CancelToken())
    assert caught.value.offset == 2 * MiB
