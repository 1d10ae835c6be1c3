"""XPRESS with Huffman codes (LZ77+Huffman), one chunk at a time.

Source: [MS-XCA] 2.2 (LZ77+Huffman Decompression Algorithm Details). Chunks of WOF files hold at most 64 KiB, so
there is one code table in each.
"""

from __future__ import annotations

from formats.base.errors import Corrupt
from fs.ntfs.huffman import code_table

SYMBOLS = 512
TABLE_BYTES = SYMBOLS // 2


def decompress(data: bytes, size: int, name: str, offset: int) -> bytes:
    """Exactly `size` bytes from one compressed chunk.

    `name` and `offset` (bytes of the compressed stream) stand in the error. Raises Corrupt.
    """
    if len(data) < TABLE_BYTES + 4:
        raise Corrupt(name, offset, f"a compressed chunk of {len(data)} bytes is too short for its code table")
    lengths = [nibble for byte in data[:TABLE_BYTES] for nibble in (byte & 15, byte >> 4)]
    built = code_table(lengths)
    if built is None:
        raise Corrupt(name, offset, "the code table of a compressed chunk has too many codes")
    table, bits = built
    if not bits:
        raise Corrupt(name, offset, "the code table of a compressed chunk is empty")
    stop = len(data)
    # Words may be fetched one or two ahead of the last symbol.
    data = data + b"\0\0\0\0\0\0\0\0"
    at = TABLE_BYTES + 4
    buffer = int.from_bytes(data[at - 4 : at - 2], "little") << 16 | int.from_bytes(data[at - 2 : at], "little")
    have = 32  # bits in the buffer: 16 to 32 whenever a symbol is decoded
    out = bytearray()
    while len(out) < size:
        entry = table[buffer >> (have - bits)]
        used = entry & 31
        if not used:
            raise Corrupt(name, offset + at, "a compressed chunk holds a code that its table does not have")
        have -= used
        buffer &= (1 << have) - 1
        if have < 16:
            buffer = buffer << 16 | data[at] | data[at + 1] << 8
            at += 2
            have += 16
        symbol = entry >> 5
        if symbol < 256:
            out.append(symbol)
        else:
            length = symbol & 15
            if length == 15:
                length = data[at]
                at += 1
                if length == 255:
                    length = data[at] | data[at + 1] << 8
                    at += 2
                    if not length:
                        length = int.from_bytes(data[at : at + 4], "little")
                        at += 4
                    if length < 15:
                        raise Corrupt(name, offset + at, "the length of a match in a compressed chunk")
                else:
                    length += 15
            length += 3
            wide = symbol >> 4 & 15
            here = len(out)
            have -= wide
            distance = (1 << wide) + (buffer >> have)
            buffer &= (1 << have) - 1
            if distance > here or here + length > size:
                raise Corrupt(name, offset + at, f"a match of {length} bytes {distance} back leaves the chunk")
            if distance >= length:
                out += out[here - distance : here - distance + length]
            else:
                out += (out[here - distance :] * (length // distance + 1))[:length]
            if have < 16:
                if at > stop + 4:
                    raise Corrupt(name, offset + stop, "a compressed chunk ends early")
                buffer = buffer << 16 | data[at] | data[at + 1] << 8
                at += 2
                have += 16
        if at > stop + 4:
            raise Corrupt(name, offset + stop, "a compressed chunk ends early")
    return bytes(out)
