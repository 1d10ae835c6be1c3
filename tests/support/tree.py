"""A tree of 72 files with every awkward size and long Unicode names, the same on every run."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

SIZES = (0, 1, 511, 512, 513, 700, 4095, 4096, 4097, 65535, 65536, 1000003)


def populate(root: Path) -> None:
    """Fill `root` with the tree."""
    rng = random.Random(7)
    (root / "dir" / "sub").mkdir(parents=True)
    (root / "empty").mkdir()
    for i, size in enumerate(SIZES):
        (root / "dir" / f"f{i}_{size}.bin").write_bytes(rng.randbytes(size))
    for i in range(60):
        (root / "dir" / "sub" / f"a long file name number {i:03d} — ünïcödé.txt").write_text("x" * i)


def digest(root: Path) -> dict[str, str]:
    """Relative path to SHA-256 of every regular file below `root`."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
