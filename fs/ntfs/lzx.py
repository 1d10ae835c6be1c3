"""LZX as WIM and WOF use it: chunks of 32 KiB that do not depend on one another.

Source: "Microsoft LZX Data Compression Format" (part of the Microsoft Cabinet SDK), and [MS-PATCH] 2 for the trees;
the WIM variant differs in three ways: no header for the E8 translation, whose file size is always 12000000; one bit in
front of a block size, set when the block has 32768 bytes; and all state begins anew with each chunk.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise

from formats.base.errors import Corrupt
from fs.ntfs.huffman import code_table

CHUNK = 32 << 10
E8_FILE_SIZE = 12_000_000
VERBATIM, ALIGNED, UNCOMPRESSED = 1, 2, 3
CHARACTERS = 256
SLOTS = 30  # of offsets, for a window of 32 KiB
MAIN_SYMBOLS = CHARACTERS + 8 * SLOTS
LENGTH_SYMBOLS = 249
EXTRA_BITS = [max(slot // 2 - 1, 0) for slot in range(SLOTS)]
BASES = [sum(1 << bits for bits in EXTRA_BITS[:slot]) for slot in range(SLOTS)]
CALL = 0xE8
TAIL = 10  # bytes at the end of a chunk where no call begins


def decompress(data: bytes, size: int, name: str, offset: int) -> bytes:
    """Exactly `size` bytes (at most CHUNK) from one compressed chunk.

    `name` and `offset` (bytes of the compressed stream) stand in the error. Raises Corrupt.
    """
    chunk = _Chunk(data, size, lambda detail: Corrupt(name, offset, f"a compressed chunk: {detail}"))
    while len(chunk.out) < size:
        chunk.block()
    return untranslate(chunk.out)


def untranslate(data: bytearray) -> bytes:
    """Undo what the compressor did to x86 calls: their absolute targets become relative again."""
    stop = len(data) - TAIL
    at = data.find(CALL, 0, max(stop, 0))
    while at >= 0:
        (target,) = struct.unpack_from("<i", data, at + 1)
        if 0 <= target < E8_FILE_SIZE:
            struct.pack_into("<i", data, at + 1, target - at)
        elif -at <= target < 0:
            struct.pack_into("<i", data, at + 1, target + E8_FILE_SIZE)
        at = data.find(CALL, at + 5, stop)
    return bytes(data)


class _Chunk:
    """The state of one chunk. `_at` counts bits from its begin; `_words` holds 32 bits from each 16-bit word on."""

    def __init__(self, data: bytes, size: int, bad: Callable[[str], Corrupt]) -> None:
        self._data, self._size, self._bad = data, size, bad
        self._load(0)
        self._at = 0
        self._limit = len(data) * 8
        self._recent = [1, 1, 1]
        self._main = [0] * MAIN_SYMBOLS
        self._lengths = [0] * LENGTH_SYMBOLS
        self.out = bytearray()

    def _load(self, begin: int) -> None:
        data = self._data[begin:]
        data += bytes(6 - len(data) % 2)
        words = struct.unpack(f"<{len(data) // 2}H", data)
        self._words: list[int] = [a << 16 | b for a, b in pairwise(words)]

    def _bits(self, count: int) -> int:
        """The next `count` bits, at most 16."""
        at = self._at
        if at + count > self._limit + 16:
            raise self._bad("it ends early")
        self._at = at + count
        return self._words[at >> 4] >> (32 - count - (at & 15)) & ((1 << count) - 1)

    def _table(self, lengths: list[int]) -> tuple[list[int], int]:
        built = code_table(lengths)
        if built is None:
            raise self._bad("a code table has too many codes")
        return built

    def _symbol(self, table: list[int], bits: int) -> int:
        at = self._at
        if at > self._limit:
            raise self._bad("it ends early")
        entry = table[self._words[at >> 4] >> (32 - bits - (at & 15)) & ((1 << bits) - 1)]
        if not entry:
            raise self._bad("it holds a code that its table does not have")
        self._at = at + (entry & 31)
        return entry >> 5

    def block(self) -> None:
        """Decode the next block."""
        kind = self._bits(3)
        length = CHUNK if self._bits(1) else self._bits(16)
        end = len(self.out) + length
        if not length or end > self._size:
            raise self._bad(f"a block of {length} bytes at {len(self.out)} leaves its {self._size} bytes")
        if kind == UNCOMPRESSED:
            self._uncompressed(length)
            return
        if kind not in (VERBATIM, ALIGNED):
            raise self._bad(f"a block of the unknown kind {kind}")
        aligned = self._table([self._bits(3) for _ in range(8)]) if kind == ALIGNED else ([0], 0)
        self._delta(self._main, 0, CHARACTERS)
        self._delta(self._main, CHARACTERS, MAIN_SYMBOLS)
        self._delta(self._lengths, 0, LENGTH_SYMBOLS)
        self._matches(end, aligned if kind == ALIGNED else None)

    def _delta(self, lengths: list[int], first: int, stop: int) -> None:
        """Code lengths, stored as differences (modulo 17) to those of the block before, with a code of their own."""
        table, bits = self._table([self._bits(4) for _ in range(20)])
        at = first
        while at < stop:
            symbol = self._symbol(table, bits)
            if symbol < 17:
                lengths[at] = (lengths[at] - symbol) % 17
                at += 1
                continue
            if symbol == 17:
                count, value = 4 + self._bits(4), 0
            elif symbol == 18:
                count, value = 20 + self._bits(5), 0
            else:
                count = 4 + self._bits(1)
                symbol = self._symbol(table, bits)
                if symbol > 16:
                    raise self._bad("a run of code lengths within a run")
                value = (lengths[at] - symbol) % 17
            count = min(count, stop - at)
            lengths[at : at + count] = [value] * count
            at += count

    def _uncompressed(self, length: int) -> None:
        # Up to the next word; a whole word when the block begins on one.
        begin = (self._at // 16 + 1) * 2
        stop = begin + 12 + length
        if stop > len(self._data):
            raise self._bad("an uncompressed block leaves it")
        self._recent = list(struct.unpack_from("<III", self._data, begin))
        self.out += self._data[begin + 12 : stop]
        self._at = (stop + (length & 1)) * 8

    def _matches(self, end: int, aligned: tuple[list[int], int] | None) -> None:
        """Literals and matches until `end` bytes are there."""
        main, main_bits = self._table(self._main)
        longer, longer_bits = self._table(self._lengths)
        main_mask, main_shift = (1 << main_bits) - 1, 32 - main_bits
        words, limit, out = self._words, self._limit, self.out
        first, second, third = self._recent
        at = self._at
        while len(out) < end:
            if at > limit:
                raise self._bad("it ends early")
            entry = main[words[at >> 4] >> (main_shift - (at & 15)) & main_mask]
            if not entry:
                raise self._bad("it holds a code that its table does not have")
            at += entry & 31
            symbol = entry >> 5
            if symbol < CHARACTERS:
                out.append(symbol)
                continue
            slot, length = symbol - CHARACTERS >> 3, (symbol & 7) + 2
            self._at = at
            if length == 9:
                length += self._symbol(longer, longer_bits)
            if slot == 0:
                distance = first
            elif slot == 1:
                distance = second
                first, second = second, first
            elif slot == 2:
                distance = third
                first, third = third, first
            else:
                extra = EXTRA_BITS[slot]
                distance = BASES[slot] - 2
                if aligned is not None and extra >= 3:
                    distance += self._bits(extra - 3) << 3 if extra > 3 else 0
                    distance += self._symbol(*aligned)
                elif extra:
                    distance += self._bits(extra)
                first, second, third = distance, first, second
            at = self._at
            here = len(out)
            if not 0 < distance <= here or here + length > end:
                raise self._bad(f"a match of {length} bytes {distance} back at {here} leaves it")
            if distance >= length:
                out += out[here - distance : here - distance + length]
            else:
                out += (out[here - distance :] * (length // distance + 1))[:length]
        self._at = at
        self._recent = [first, second, third]
