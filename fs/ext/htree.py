"""Hash tree directories: the hashes of names, and finding the leaf blocks that may hold a name.

Source: kernel documentation "ext4 Data Structures and Algorithms", Hash Tree Directories; the hashes are those of
the documentation of e2fsprogs ("dx_hash" of debugfs 1.47.0 gives the same): MD4 cut to half its rounds (RFC 1320),
the Tiny Encryption Algorithm with 16 cycles, and the one of the first version.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from formats.base.errors import Corrupt, Unsupported
from fs.ext.data import MappedReader
from fs.ext.directory import check_checksum
from fs.ext.inode import Inode
from fs.ext.superblock import LARGE_DIR, Superblock

LEGACY, HALF_MD4, TEA = 0, 1, 2
NAMES = {LEGACY: "legacy", HALF_MD4: "half_md4", TEA: "tea", 6: "siphash"}
UNSIGNED_BYTES = 2  # hash_flags
FAST_ROOT = Struct("<IBBBB")
_ENTRY = Struct("<II")  # hash, block
_MASK = 0xFFFFFFFF
_END = 0xFFFFFFFE  # as a hash it would mean the end of a directory to readers over NFS
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_ROUNDS = (  # constant, order of the words, shifts
    (0, (0, 1, 2, 3, 4, 5, 6, 7), (3, 7, 11, 19)),
    (0x5A827999, (1, 3, 5, 7, 0, 2, 4, 6), (3, 5, 9, 13)),
    (0x6ED9EBA1, (3, 7, 2, 6, 1, 5, 0, 4), (3, 9, 11, 15)),
)


def name_hash(name: bytes, version: int, seed: tuple[int, int, int, int], unsigned: bool) -> tuple[int, int]:
    """(hash, minor hash) of a name. Raises Unsupported for versions other than LEGACY, HALF_MD4 and TEA."""
    minor = 0
    if version == LEGACY:
        major = _legacy(name, unsigned)
    elif version == HALF_MD4:
        state = list(seed if any(seed) else _START)
        for at in range(0, len(name), 32):
            _half_md4(state, _words(name[at:], 8, unsigned))
        major, minor = state[1], state[2]
    elif version == TEA:
        state = list(seed if any(seed) else _START)
        for at in range(0, len(name), 16):
            _tea(state, _words(name[at:], 4, unsigned))
        major, minor = state[0], state[1]
    else:
        raise Unsupported("hash tree directory", f"hash {NAMES.get(version, version)}")
    major &= ~1
    return (major if major != _END else _END - 2), minor


def _legacy(name: bytes, unsigned: bool) -> int:
    now, before = 0x12A3FE2D, 0x37ABE8F9
    for byte in name:
        value = byte if unsigned or byte < 128 else byte - 256
        new = (before + (now ^ (value * 7152373 & _MASK))) & _MASK
        if new & 0x80000000:
            new = (new - 0x7FFFFFFF) & _MASK
        before, now = now, new
    return now << 1 & _MASK


def _words(rest: bytes, count: int, unsigned: bool) -> list[int]:
    """The next `count` words of a name; what it does not fill is filled with its remaining length."""
    length = len(rest) & _MASK
    pad = (length | length << 8) & _MASK
    pad = (pad | pad << 16) & _MASK
    words, value = [], pad
    for i, byte in enumerate(rest[: count * 4]):
        value = ((byte if unsigned or byte < 128 else byte - 256) + (value << 8)) & _MASK
        if i & 3 == 3:
            words.append(value)
            value = pad
    if len(words) < count:
        words.append(value)
    return words + [pad] * (count - len(words))


def _half_md4(state: list[int], words: list[int]) -> None:
    turn = list(state)
    for round_, (constant, order, shifts) in enumerate(_ROUNDS):
        for i, word in enumerate(order):
            a, b, c, d = turn
            if round_ == 0:
                mixed = d ^ (b & (c ^ d))
            elif round_ == 1:
                mixed = (b & c) + ((b ^ c) & d)
            else:
                mixed = b ^ c ^ d
            value = (a + mixed + words[word] + constant) & _MASK
            shift = shifts[i & 3]
            turn = [d, (value << shift | value >> (32 - shift)) & _MASK, b, c]
    for i in range(4):
        state[i] = (state[i] + turn[i]) & _MASK


def _tea(state: list[int], words: list[int]) -> None:
    a, b, c, d = words
    x, y, total = state[0], state[1], 0
    for _ in range(16):
        total = (total + 0x9E3779B9) & _MASK
        x = (x + ((((y << 4) + a) & _MASK) ^ ((y + total) & _MASK) ^ ((y >> 5) + b & _MASK))) & _MASK
        y = (y + ((((x << 4) + c) & _MASK) ^ ((x + total) & _MASK) ^ ((x >> 5) + d & _MASK))) & _MASK
    state[0] = (state[0] + x) & _MASK
    state[1] = (state[1] + y) & _MASK


def leaf_blocks(sb: Superblock, inode: Inode, reader: MappedReader, name: bytes) -> Iterator[tuple[int, bytes]]:
    """(block within the directory, content) of the leaves that may hold `name`; usually one.

    Raises Unsupported for hashes that need a key, Corrupt when the tree cannot be followed, and what reading
    raises; the caller then looks through all blocks.
    """
    root = _checked(sb, inode, reader, 0)
    _, version, info_length, levels, _ = FAST_ROOT.unpack_from(root, 24)
    deepest = 2 if sb.incompat & LARGE_DIR else 1
    if info_length != 8 or levels > deepest:
        raise Corrupt(
            f"inode {inode.number} hash tree root", inode.offset, "info_length and indirect_levels",
            expected=f"8, 0 to {deepest}", found=f"{info_length}, {levels}",
        )  # fmt: skip
    wanted, _ = name_hash(name, version, sb.hash_seed, bool(sb.hash_flags & UNSIGNED_BYTES))
    for block in _descend(sb, inode, reader, root, 32, levels, wanted):
        yield block, _checked(sb, inode, reader, block)


def _checked(sb: Superblock, inode: Inode, reader: MappedReader, block: int) -> bytes:
    data = reader.read_at(block * sb.block_size, sb.block_size)
    check_checksum(sb, inode, data, block * sb.block_size)
    return data


def _descend(
    sb: Superblock, inode: Inode, reader: MappedReader, node: bytes, at: int, levels: int, wanted: int
) -> Iterator[int]:
    """Leaves under `node`, whose entries begin at `at`, that may hold the hash. At most four levels deep."""
    limit, count = int.from_bytes(node[at : at + 2], "little"), int.from_bytes(node[at + 2 : at + 4], "little")
    if not 0 < count <= limit or at + limit * 8 > sb.block_size:
        raise Corrupt(f"inode {inode.number} hash tree", inode.offset, "limit and count", found=f"{limit}, {count}")
    low, high = 1, count  # entry 0 has no hash: it is lower than all others
    while low < high:
        middle = (low + high) // 2
        if _ENTRY.unpack_from(node, at + middle * 8)[0] <= wanted:
            low = middle + 1
        else:
            high = middle
    for i in range(low - 1, count):
        stored, block = _ENTRY.unpack_from(node, at + i * 8)
        if i >= low and stored & ~1 != wanted:
            return  # the next leaf goes on with the same hash only when it says so
        block &= 0x0FFFFFFF
        if levels:
            child = _checked(sb, inode, reader, block)
            yield from _descend(sb, inode, reader, child, 8, levels - 1, wanted)
        else:
            yield block
