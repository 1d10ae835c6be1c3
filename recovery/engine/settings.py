"""How the engine works, built once by a face and passed down."""

from __future__ import annotations

import os
from dataclasses import dataclass

from formats.archive.layout import DEFAULT_BLOCK
from formats.base.units import MiB


@dataclass(frozen=True, slots=True)
class Settings:
    """`level`: zstd. `block_size`, `batch`: bytes. `retries`: further tries for a sector that cannot be read.

    `bandwidth`: bytes a second that are read from a source, at most; 0: no limit.
    """

    level: int = 1
    block_size: int = DEFAULT_BLOCK
    batch: int = 1 * MiB
    workers: int = max(2, min(8, os.cpu_count() or 2))
    retries: int = 2
    stall_seconds: float = 5.0
    bandwidth: int = 0
