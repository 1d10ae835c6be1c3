"""Every image that others made: kind, label and UUID as blkid has them.

util-linux's own expectations (`*.expected`, of a newer release than Debian 12's) count before what blkid here says.
"""

from __future__ import annotations

import gzip
import lzma
import re
from pathlib import Path

import pytest

from formats.base.source import FileSource
from fs.registry import Handling, identify_volume
from tests.support.blkid import Said, ask, parse
from tests.support.tools import CORPORA, need, need_corpora, run, sparse_file

LINUX_NAMES = {"fat12": "vfat", "fat16": "vfat", "fat32": "vfat"}
# The label of these lies in a directory or a file, which only their parsers read.
LABEL_NEEDS_PARSER = ("vfat", "exfat", "ntfs")
# Texts of no public specification, which no one needs to know a volume by.
UUID_NOT_READ = ("nss", "ddf_raid_member")
# Partition tables, not volumes.
NO_VOLUME = ("atari-xgm", "dasd-cdl", "sgi")

UTIL_LINUX = CORPORA / "detect" / "util-linux"
IMAGES = sorted(UTIL_LINUX.glob("*.img.xz"))
OTHERS = sorted((CORPORA / "detect").glob("*.gz")) + sorted((CORPORA / "bitlocker").glob("*.gz"))


def unpack(packed: Path, to: Path) -> Path:
    """Decompress into a sparse file."""
    opener = lzma.open if packed.suffix == ".xz" else gzip.open
    sparse_file(to, 0)
    with opener(packed) as reading, to.open("r+b") as writing:
        size = 0
        while piece := reading.read(1 << 16):
            if piece.strip(b"\0"):
                writing.seek(size)
                writing.write(piece)
            size += len(piece)
        writing.truncate(size)
    return to


def check(image: Path, said: Said) -> None:
    with FileSource(image) as source:
        content = identify_volume(source)
        found = content.identity
        assert LINUX_NAMES.get(found.kind, found.kind) == said.kind
        if said.kind not in UUID_NOT_READ:
            assert found.uuid == said.uuid
        if said.kind not in LABEL_NEEDS_PARSER or content.handling is Handling.MAPPED:
            assert found.label == said.label
        if content.handling is Handling.RAW:
            assert content.filesystem is None and content.why_raw.endswith(".")
        else:
            assert content.filesystem is not None and content.why_raw == ""


def test_corpus_is_complete() -> None:
    need_corpora()
    assert len(IMAGES) == 67 and len(OTHERS) == 3


@pytest.mark.parametrize("packed", IMAGES, ids=lambda path: path.name.removesuffix(".img.xz"))
def test_util_linux(packed: Path, tmp_path: Path) -> None:
    name = packed.name.removesuffix(".img.xz")
    image = unpack(packed, tmp_path / name)
    expected = packed.with_name(f"low-probe-{name}.expected")
    if name in NO_VOLUME:
        check(image, Said("", "", ""))
    else:
        check(image, parse(expected.read_text("utf-8", "replace")) if expected.exists() else ask(image))


@pytest.mark.parametrize("packed", OTHERS, ids=lambda path: path.name)
def test_others(packed: Path, tmp_path: Path) -> None:
    image = unpack(packed, tmp_path / "image")
    said = ask(image)
    if said.kind == "BitLocker":  # whose identifiers blkid reads only since 2.41
        need("cryptsetup")
        told = run("cryptsetup", "bitlkDump", image)
        guid, description = (re.search(rf"^{name}: *\t*(.*)$", told, re.M) for name in ("GUID", "Description"))
        assert guid is not None and description is not None
        said = Said("BitLocker", description[1].strip(), guid[1].strip())
    check(image, said)
