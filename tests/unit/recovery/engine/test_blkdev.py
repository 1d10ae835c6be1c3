"""The numbers of the control requests against the kernel's own headers, and who may open for writing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recovery.engine import blkdev

ROOT = Path(__file__).resolve().parents[4]
HEADERS = Path("/usr/include/linux")


@pytest.mark.parametrize(
    "name",
    ["BLKROGET", "BLKRRPART", "BLKFLSBUF", "BLKSSZGET", "BLKPG", "BLKDISCARD", "BLKPBSZGET", "BLKZEROOUT"],
)
def test_plain_requests(name: str) -> None:
    if not HEADERS.is_dir():
        pytest.skip("no kernel headers here")
    text = "".join((HEADERS / header).read_text() for header in ("fs.h", "blkpg.h"))
    found = re.search(rf"#define {name}\s+_IO\(0x12,\s*(\d+)\)", text)
    assert found is not None and getattr(blkdev, name) == 0x12 << 8 | int(found[1])


def test_requests_with_sizes() -> None:
    # _IOR: direction 2 in the two highest bits, the size of the type in 14 bits below.
    assert blkdev.BLKGETSIZE64 in (0x80081272, 0x80041272)
    assert blkdev.BLKGETDISKSEQ == 2 << 30 | 8 << 16 | 0x12 << 8 | 128
    # struct blkpg_partition: two long long, an int, two names of 64, padded; struct loop_info64 starts as said.
    assert blkdev._BLKPG_PARTITION.size == 152
    assert blkdev._LOOP_INFO.size == 56


def test_only_one_module_opens_devices_for_writing() -> None:
    """The import contracts keep subprocess, ctypes and fcntl in their places; this one is about os.open."""
    found = {
        str(path.relative_to(ROOT))
        for room in ("formats", "fs", "recovery")
        for path in (ROOT / room).rglob("*.py")
        if "O_RDWR" in path.read_text()
    }
    assert found == {"recovery/engine/device.py"}
