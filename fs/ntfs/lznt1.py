"""LZNT1, the compression of NTFS: one compression unit at a time.

Source: [MS-XCA] 2.5 (LZNT1 Algorithm Details). A unit is a row of chunks, each of which gives up to 4096 bytes.
"""

from __future__ import annotations

from formats.base.errors import Corrupt

CHUNK = 4096
STORED, PACKED = 0x3000, 0xB000  # signature 3 in bits 12..14, "compressed" in bit 15
LENGTH_MASK = 0x0FFF


def _splits() -> bytes:
    """For each number of bytes that stand in the chunk already: how many bits of a match are its length."""
    table = bytearray(CHUNK + 1)
    for done in range(CHUNK + 1):
        bits = 12
        while bits > 4 and done > 1 << (16 - bits):
            bits -= 1
        table[done] = bits
    return bytes(table)


LENGTH_BITS = _splits()


def decompress(data: bytes, size: int, name: str, offset: int) -> bytes:
    """The `size` bytes that the chunks in `data` give; what they leave open is zeros.

    `name` and `offset` (bytes on the volume) stand in the error. Raises Corrupt.
    """
    out = bytearray()
    at = 0
    while at + 2 <= len(data) and len(out) < size:
        head = data[at] | data[at + 1] << 8
        if not head:
            break
        if head & 0x7000 != STORED:
            raise Corrupt(name, offset + at, "header of a compressed chunk", expected="signature 3", found=hex(head))
        begin, end = at + 2, at + 3 + (head & LENGTH_MASK)
        if end > len(data):
            raise Corrupt(name, offset + at, f"a compressed chunk of {end - begin} bytes leaves its unit")
        if len(out) % CHUNK:
            out += bytes(-len(out) % CHUNK)  # a chunk that gave less than a page: the rest of the page is zeros
        if head & 0x8000:
            fault = _chunk(data, begin, end, out)
            if fault >= 0:
                raise Corrupt(
                    name, offset + fault, "a compressed chunk refers to bytes before its begin, or is too long"
                )
        else:
            out += data[begin : min(end, begin + CHUNK)]
        at = end
    if len(out) < size:
        out += bytes(size - len(out))
    return bytes(out[:size])


def _chunk(data: bytes, at: int, end: int, out: bytearray) -> int:
    """Append what the chunk data[at:end] gives. Returns -1, or where it is damaged."""
    base = len(out)
    limit = base + CHUNK
    while at < end:
        flags = data[at]
        at += 1
        if not flags:
            out += data[at : min(at + 8, end)]
            at += 8
            continue
        for _ in range(8):
            if at >= end:
                break
            if not flags & 1:
                out.append(data[at])
                at += 1
            else:
                if at + 2 > end:
                    return at
                here = len(out)
                done = here - base
                if not 0 < done < CHUNK:
                    return at
                word = data[at] | data[at + 1] << 8
                bits = LENGTH_BITS[done]
                distance = (word >> bits) + 1
                length = (word & ((1 << bits) - 1)) + 3
                if distance > done:
                    return at
                at += 2
                if distance >= length:
                    out += out[here - distance : here - distance + length]
                else:
                    out += (out[here - distance :] * (length // distance + 1))[:length]
            flags >>= 1
        if len(out) > limit:
            return at
    return -1 if len(out) <= limit else at
