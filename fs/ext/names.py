"""Names as people see them: text, names of encrypted directories, and names without regard to case.

Sources: Linux kernel documentation, filesystems/fscrypt.rst ("No-key names") and filesystems/ext4, Case-insensitive
file name lookups. Seen with Linux 6.18: a no-key name is base64url without padding over the hash of the name in the
directory (two words), up to 149 bytes of the encrypted name, and SHA-256 of the rest.
"""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from struct import Struct

from formats.base.errors import Unsupported
from fs.ext.htree import UNSIGNED_BYTES, name_hash
from fs.ext.inode import CASEFOLD_FLAG, INDEX_FLAG, INLINE_DATA_FLAG, Inode
from fs.ext.superblock import DIR_INDEX, Superblock

REPLACEMENT = "\ufffd"
_SHOWN = 149  # bytes of an encrypted name
_HASHES = Struct("<II")


def shown_name(name: bytes) -> str:
    """As text; what cannot stand in a name of a file becomes U+FFFD."""
    text = name.decode("utf-8", "surrogateescape")
    return text.replace("/", REPLACEMENT).replace("\0", REPLACEMENT)


def no_key_name(sb: Superblock, directory: Inode, name: bytes) -> str:
    """What Linux shows for an encrypted name when the key is not there."""
    hashes = (0, 0)
    indexed = directory.flags & (INDEX_FLAG | INLINE_DATA_FLAG) or directory.size == sb.block_size
    if sb.compat & DIR_INDEX and indexed and not directory.flags & CASEFOLD_FLAG:
        try:
            hashes = name_hash(name, sb.hash_version, sb.hash_seed, bool(sb.hash_flags & UNSIGNED_BYTES))
        except Unsupported:
            pass
    data = _HASHES.pack(*hashes) + name[:_SHOWN]
    if len(name) > _SHOWN:
        data += hashlib.sha256(name[_SHOWN:]).digest()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def folded(name: str) -> str:
    """Equal for names that differ only in case or in the composition of characters."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
