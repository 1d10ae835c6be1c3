"""The images beside the checkout that others made, unpacked with holes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from tests.support.tools import CORPORA, need, run

_STEP = 1 << 20
_OPENERS: dict[str, Callable[[Path], AbstractContextManager[IO[bytes]]]] = {
    ".gz": lambda path: gzip.open(path),  # noqa: SIM115
    ".bz2": lambda path: bz2.open(path),  # noqa: SIM115
    ".xz": lambda path: lzma.open(path),  # noqa: SIM115
}
READABLE = (
    "tables/*", "ntfs/*", "fat/*", "exfat/*", "ext/*.ext4", "detect/util-linux/*.img.xz", "bitlocker/*",
)  # fmt: skip
HEAD_OF_A_DISK = "tables/gpt_hybrid.bin"  # its table speaks of more than there is
BROKEN = ("ext/e2fsprogs/*/image.gz", "fat/dosfstools/*", "exfat/exfatprogs/*")


def names(patterns: tuple[str, ...]) -> list[str]:
    """Files below the corpora that match; empty when there are no corpora."""
    return sorted({str(p.relative_to(CORPORA)) for pattern in patterns for p in CORPORA.glob(pattern) if p.is_file()})


def unpack(name: str, target: Path) -> Path:
    """The image in file `name` of the corpora, at `target`."""
    packed = CORPORA / name
    if packed.suffix in (".xxd", ".fsck"):
        need("xxd")
        target.unlink(missing_ok=True)  # xxd patches what is there
        run("xxd", "-r", packed, target)
    elif name.endswith((".tgz", ".tar.xz")):
        with tarfile.open(packed) as archive:
            member = next(m for m in archive.getmembers() if m.isfile())
            file = archive.extractfile(member)
            assert file is not None
            with file:
                _with_holes(file, target)
    elif packed.suffix in _OPENERS:
        with _OPENERS[packed.suffix](packed) as stream:
            _with_holes(stream, target)
    else:
        shutil.copyfile(packed, target)
    return target


def _with_holes(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        while piece := source.read(_STEP):
            if piece.strip(b"\0"):
                file.write(piece)
            else:
                file.seek(len(piece), 1)
        file.truncate(file.tell())
