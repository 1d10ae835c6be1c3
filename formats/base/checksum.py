"""Checksums by name, with polynomial and seed said."""

from __future__ import annotations

import zlib

import google_crc32c


def crc32(data: bytes, seed: int = 0) -> int:
    """CRC-32 as in zlib and GPT: reflected 0xEDB88320, initial and final inversion."""
    return zlib.crc32(data, seed) & 0xFFFFFFFF


def crc32c(data: bytes, seed: int = 0) -> int:
    """CRC-32C (Castagnoli, reflected 0x82F63B78) with initial and final inversion."""
    return int(google_crc32c.extend(seed, data))


def crc32c_raw(data: bytes, seed: int = 0xFFFFFFFF) -> int:
    """CRC-32C without the final inversion and with an explicit register, as ext4 uses it."""
    return int(google_crc32c.extend(seed ^ 0xFFFFFFFF, data)) ^ 0xFFFFFFFF
