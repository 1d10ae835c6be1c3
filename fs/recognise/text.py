"""Labels and identifiers in the spelling of `blkid -p` (seen with util-linux 2.38.1)."""

from __future__ import annotations

import hashlib

# The name space in which HFS and HFS+ identifiers become version 3 UUIDs (Apple TN1150, hfs_util).
HFS_NAME_SPACE = bytes.fromhex("b3e20f39f29211d697a400306543ecac")


def label_text(raw: bytes, encoding: str = "utf-8") -> str:
    """A fixed field up to its first NUL, without white space at either end; odd bytes become U+FFFD."""
    text = raw.decode(encoding, "replace").split("\0", 1)[0]
    return text.strip(" \t\r\n\v\f")


def uuid_text(raw: bytes) -> str:
    """Sixteen bytes as 8-4-4-4-12; '' when all are zero, as that means 'none'."""
    if not any(raw):
        return ""
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def guid_text(raw: bytes) -> str:
    """A Microsoft GUID: the first three parts are little-endian."""
    return uuid_text(raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:])


def serial_text(serial: int) -> str:
    """A 32-bit volume serial number as FAT, exFAT and HPFS show it; '' for 0."""
    return f"{serial >> 16:04X}-{serial & 0xFFFF:04X}" if serial else ""


def hfs_uuid_text(finder_id: bytes) -> str:
    """The UUID of an HFS or HFS+ volume from the eight bytes in its Finder information."""
    if not any(finder_id):
        return ""
    digest = bytearray(hashlib.md5(HFS_NAME_SPACE + finder_id, usedforsecurity=False).digest())
    digest[6] = 0x30 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    return uuid_text(bytes(digest))


def dstring_text(raw: bytes) -> str:
    """A UDF dstring: compression id 8 or 16, characters, and the length in the last byte (ECMA-167 1/7.2.12)."""
    used = min(raw[-1], len(raw) - 1)
    if used < 2:
        return ""
    body = raw[1:used]
    encodings = {8: "latin-1", 16: "utf-16-be"}
    return label_text(body, encodings[raw[0]]) if raw[0] in encodings else ""


def udf_uuid_text(volume_set: str) -> str:
    """Sixteen digits from the volume set identifier, as udftools made the custom.

    Sixteen hexadecimal digits are taken as they are; with eight, the next four bytes follow as digits; otherwise
    the first eight bytes become digits. '' when it has fewer than eight bytes.
    """
    raw = volume_set.encode("utf-8", "replace")[:16]
    if len(raw) < 8:
        return ""
    digits = b"0123456789abcdefABCDEF"
    leading = next((i for i, byte in enumerate(raw) if byte not in digits), len(raw))
    if leading >= 16:
        return raw.decode().lower()
    if leading >= 8:
        return raw[:8].decode().lower() + raw[8:12].hex()
    return raw[:8].hex()
