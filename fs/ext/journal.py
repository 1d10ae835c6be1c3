"""The journal, as far as imaging needs it: which blocks a replay would write, and where their newer copies are.

Source: kernel documentation "ext4 Data Structures and Algorithms", Journal (jbd2); the order of steps (scan,
revoke, replay) is the one described there. Whatever cannot be followed with certainty raises, and the caller then
takes the whole file system.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from formats.base.checksum import crc32c_raw
from formats.base.decode import decode
from formats.base.errors import ChecksumMismatch, Corrupt, Inconsistent, Unsupported
from fs.ext import layout
from fs.ext.blocks import BlockReader
from fs.ext.inode import MapRun, RunKind
from fs.ext.superblock import Superblock

MAGIC = 0xC03B3998
DESCRIPTOR, COMMIT, SUPERBLOCK_V1, SUPERBLOCK_V2, REVOKE = 1, 2, 3, 4, 5
COMPAT_CHECKSUM = 0x1
INCOMPAT_64BIT, INCOMPAT_ASYNC, INCOMPAT_CSUM_V2, INCOMPAT_CSUM_V3, INCOMPAT_FAST_COMMIT = 0x2, 0x4, 0x8, 0x10, 0x20
INCOMPAT_KNOWN = 0x3F
ESCAPED, SAME_UUID, LAST_TAG = 0x1, 0x2, 0x8
DEFAULT_FAST_COMMIT_BLOCKS = 256
MAX_BLOCKS = 1 << 23  # 32 GiB with 4 KiB blocks; mke2fs stops at 1 GiB unless asked
FAST_COMMIT_HEAD = 0x0009  # tag of the first record of a fast commit, little-endian as all of them
FAST_HEADER = Struct(">III")
_TAG = Struct(">IHH")
_TAG3 = Struct(">IIII")
_FAST_COMMIT = Struct("<HHII")  # tag, length, features, transaction


@dataclass(slots=True)
class Replay:
    """What a replay would do. `copies`: target block -> (block of the volume with the newer content, escaped)."""

    transactions: int = 0
    copies: dict[int, tuple[int, bool]] = field(default_factory=dict)


class _Log:
    """Blocks of the journal by their number within it."""

    def __init__(self, reader: BlockReader, runs: Sequence[MapRun]) -> None:
        data = [run for run in runs if run.kind != RunKind.MAP]
        self._reader = reader
        self._starts = [run.logical for run in data]
        self._runs = data

    def place(self, index: int) -> int:
        """The block of the volume. Raises Inconsistent."""
        i = bisect_right(self._starts, index) - 1
        if i < 0 or index >= self._starts[i] + self._runs[i].length:
            raise Inconsistent("journal", 0, f"block {index} of the journal has no place on the volume")
        return self._runs[i].physical + index - self._starts[i]

    def offset(self, index: int) -> int:
        """Bytes from the start of the volume."""
        return self.place(index) * self._reader.block_size

    def read(self, index: int) -> bytes:
        return self._reader.read(self.place(index))


def read_replay(sb: Superblock, reader: BlockReader, runs: Sequence[MapRun]) -> Replay:
    """Follow the log in the journal file whose blocks are `runs`.

    Raises FormatError, Unsupported or DeviceError when it cannot be told for certain what a replay would write.
    """
    log = _Log(reader, runs)
    return _Scan(
        sb, log, decode(layout.JournalSuperblock, log.read(0)[:1024], "journal superblock", log.offset(0))
    ).run()


class _Scan:
    def __init__(self, sb: Superblock, log: _Log, raw: Any) -> None:
        self.sb, self.log = sb, log
        offset = log.offset(0)
        if raw.s_header.h_magic != MAGIC:
            raise Corrupt("journal superblock", offset, "magic", expected=hex(MAGIC), found=hex(raw.s_header.h_magic))
        kind = raw.s_header.h_blocktype
        if kind not in (SUPERBLOCK_V1, SUPERBLOCK_V2):
            raise Corrupt("journal superblock", offset + 4, "type", expected="3 or 4", found=kind)
        self.features = raw.s_feature_incompat if kind == SUPERBLOCK_V2 else 0
        compat = raw.s_feature_compat if kind == SUPERBLOCK_V2 else 0
        if self.features & ~INCOMPAT_KNOWN:
            raise Unsupported("journal superblock", f"incompat bits {self.features & ~INCOMPAT_KNOWN:#x}")
        self.checksums = bool(self.features & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3))
        if compat & COMPAT_CHECKSUM or (self.features & INCOMPAT_ASYNC and not self.checksums):
            raise Unsupported("journal superblock", "a log with checksums of the first version or asynchronous commits")
        if raw.s_blocksize != sb.block_size:
            raise Corrupt(
                "journal superblock", offset + 12, "block size", expected=sb.block_size, found=raw.s_blocksize
            )
        if self.checksums:
            data = bytearray(log.read(0)[:1024])
            data[0xFC:0x100] = bytes(4)
            expected = crc32c_raw(bytes(data))
            if raw.s_checksum_type != 4 or expected != raw.s_checksum:
                raise ChecksumMismatch(
                    "journal superblock",
                    offset + 0xFC,
                    "checksum",
                    expected=hex(expected),
                    found=hex(raw.s_checksum),
                )
        self.seed = crc32c_raw(raw.s_uuid)
        self.fast_commits = 0
        if self.features & INCOMPAT_FAST_COMMIT:
            self.fast_commits = max(2, raw.s_num_fc_blks or DEFAULT_FAST_COMMIT_BLOCKS)
        self.first: int = raw.s_first
        self.end: int = raw.s_maxlen - self.fast_commits
        self.start: int = raw.s_start
        self.sequence: int = raw.s_sequence
        if not (0 < self.first < self.end and raw.s_maxlen <= MAX_BLOCKS):
            raise Corrupt(
                "journal superblock", offset + 0x10, "s_first and s_maxlen", found=f"{self.first}, {raw.s_maxlen}"
            )
        if self.start and not self.first <= self.start < self.end:
            raise Corrupt(
                "journal superblock",
                offset + 0x1C,
                "s_start",
                expected=f"{self.first} to {self.end - 1}",
                found=self.start,
            )
        self.tag_size = 16 if self.features & INCOMPAT_CSUM_V3 else (
            8 + 2 * bool(self.features & INCOMPAT_CSUM_V2) + 4 * bool(self.features & INCOMPAT_64BIT)
        )  # fmt: skip

    def run(self) -> Replay:
        result = Replay()
        if not self.start:
            return result
        latest: dict[int, tuple[int, int, bool]] = {}  # target -> age of the transaction, index in the log, escaped
        revoked: dict[int, int] = {}  # target -> age of the last transaction that revokes it
        pending: dict[int, tuple[int, int, bool]] = {}
        pending_revokes: list[int] = []
        index, age, walked = self.start, 0, 0
        while walked < self.end - self.first:
            data = self.log.read(index)
            magic, kind, sequence = FAST_HEADER.unpack_from(data)
            if magic != MAGIC or sequence != (self.sequence + age) & 0xFFFFFFFF:
                break  # the end of the log
            steps = 1
            if kind == DESCRIPTOR:
                self._check_tail(data, index)
                for target, flags, checksum in self._tags(data, index):
                    place = self._step(index, steps)
                    self._check_copy(place, sequence, checksum)
                    pending[target] = (age, place, bool(flags & ESCAPED))
                    steps += 1
            elif kind == COMMIT:
                self._check_commit(data, index)
                latest.update(pending)
                revoked.update((target, age) for target in pending_revokes)
                pending, pending_revokes = {}, []
                age += 1
            elif kind == REVOKE:
                self._check_tail(data, index)
                pending_revokes.extend(self._revokes(data, index))
            else:
                break
            walked += steps
            index = self._step(index, steps)
        if walked > self.end - self.first:
            raise Inconsistent("journal", self.log.offset(self.start), "the log is longer than the journal")
        self._check_fast_commits()
        result.transactions = age
        result.copies = {
            target: (self.log.place(place), escaped)
            for target, (when, place, escaped) in latest.items()
            if revoked.get(target, -1) < when
        }
        return result

    def _step(self, index: int, by: int) -> int:
        """The block `by` behind `index` in the ring."""
        return self.first + (index - self.first + by) % (self.end - self.first)

    def _tags(self, data: bytes, index: int) -> Iterator[tuple[int, int, int]]:
        """(target block, flags, checksum) of a descriptor block."""
        at, end = 12, len(data) - (4 if self.checksums else 0)
        while at + self.tag_size <= end:
            if self.tag_size == 16:
                block, flags, high, checksum = _TAG3.unpack_from(data, at)
            else:
                block, checksum, flags = _TAG.unpack_from(data, at)
                high = int.from_bytes(data[at + 8 : at + 12], "big") if self.features & INCOMPAT_64BIT else 0
            if self.features & INCOMPAT_64BIT:
                block |= high << 32
            if block >= self.sb.blocks_count:
                raise Inconsistent(
                    "journal tag", self.log.offset(index) + at, "target block",
                    expected=f"0 to {self.sb.blocks_count - 1}", found=block,
                )  # fmt: skip
            yield block, flags, checksum
            at += self.tag_size + (0 if flags & SAME_UUID else 16)
            if flags & LAST_TAG:
                return

    def _revokes(self, data: bytes, index: int) -> list[int]:
        width = 8 if self.features & INCOMPAT_64BIT else 4
        used = int.from_bytes(data[12:16], "big")
        if not 16 <= used <= len(data) - (4 if self.checksums else 0) or (used - 16) % width:
            raise Corrupt("journal revoke block", self.log.offset(index) + 12, "r_count", found=used)
        return [int.from_bytes(data[at : at + width], "big") for at in range(16, used, width)]

    def _check_tail(self, data: bytes, index: int) -> None:
        if self.checksums:
            self._compare("journal descriptor or revoke block", data[:-4] + bytes(4), data[-4:], index)

    def _check_commit(self, data: bytes, index: int) -> None:
        if self.checksums:
            self._compare("journal commit block", data[:16] + bytes(4) + data[20:], data[16:20], index)

    def _compare(self, name: str, cleared: bytes, stored: bytes, index: int) -> None:
        expected, found = crc32c_raw(cleared, self.seed), int.from_bytes(stored, "big")
        if expected != found:
            raise ChecksumMismatch(name, self.log.offset(index), "checksum", expected=hex(expected), found=hex(found))

    def _check_copy(self, place: int, sequence: int, checksum: int) -> None:
        if not self.checksums:
            return
        register = crc32c_raw(sequence.to_bytes(4, "big"), self.seed)
        expected = crc32c_raw(self.log.read(place), register)
        if not self.features & INCOMPAT_CSUM_V3:
            expected &= 0xFFFF
        if expected != checksum:
            raise ChecksumMismatch(
                f"journal block {place}",
                self.log.offset(place),
                "checksum",
                expected=hex(expected),
                found=hex(checksum),
            )

    def _check_fast_commits(self) -> None:
        """Raises Unsupported when the fast commit area holds something that belongs to this log.

        Its first block is the one behind s_maxlen - s_num_fc_blks (seen with Linux 6.18 and e2fsprogs 1.47.0).
        """
        if not self.fast_commits:
            return
        tag, _, _, transaction = _FAST_COMMIT.unpack_from(self.log.read(self.end + 1))
        distance = (transaction - self.sequence) & 0xFFFFFFFF
        if tag == FAST_COMMIT_HEAD and distance < 1 << 31:
            raise Unsupported("journal", f"replaying fast commits (of transaction {transaction})")
