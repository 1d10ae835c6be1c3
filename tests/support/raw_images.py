"""Volumes without a map of their used blocks, and swap: made by their own tools, or by hand where none runs here.

Hand-made ones hold just the headers; the tests let `blkid -p` say whether they are right.
GENERATORS: name -> function(path). Each writes a small sparse image; those by tools skip when the tool is missing.
"""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.support.tools import loop_device, need, run, sparse_file

KiB, MiB = 1 << 10, 1 << 20
UUID = bytes.fromhex("6f1c2d3e4a5b4c6d8e9fa0b1c2d3e4f5")
UUID_TEXT = "6f1c2d3e-4a5b-4c6d-8e9f-a0b1c2d3e4f5"


def by_tool(path: Path, size: int, *argv: str, ok: tuple[int, ...] = (0,)) -> None:
    """`argv` with the image as its last argument."""
    need(argv[0])
    sparse_file(path, size)
    path.chmod(0o600)
    run(*argv, path, ok=ok)


def by_hand(path: Path, size: int, *pieces: tuple[int, bytes]) -> None:
    """Zeros with `pieces` at their offsets."""
    sparse_file(path, size)
    with path.open("r+b") as file:
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)


def at(size: int, *fields: tuple[int, bytes]) -> bytes:
    """A structure of `size` bytes with `fields` at their offsets."""
    data = bytearray(size)
    for offset, field in fields:
        data[offset : offset + len(field)] = field
    return bytes(data)


def _luks(path: Path, version: int) -> None:
    need("cryptsetup")
    sparse_file(path, 32 * MiB)
    label = ["--label", "vault", "--pbkdf", "pbkdf2"] if version == 2 else []
    run(
        "cryptsetup", "luksFormat", "-q", "--type", f"luks{version}", *label, "--pbkdf-force-iterations", "1000",
        path, "-", stdin=b"secret",
    )  # fmt: skip


def _lvm2(path: Path) -> None:
    need("pvcreate")
    sparse_file(path, 64 * MiB)
    with loop_device(path) as device:
        run("pvcreate", "--driverloaded", "n", "--devices", device, "-q", "-y", device)


def md_1(size: int, offset: int) -> bytes:
    """An md superblock 1.x for a RAID 1 member whose superblock lies at `offset` bytes."""
    data_offset = 0 if offset > size // 2 else 2048
    head = at(
        256, (0, struct.pack("<II", 0xA92B4EFC, 1)), (0x10, UUID), (0x20, b"host:home"),
        (0x48, struct.pack("<II", 1, 0)),
        (0x50, struct.pack("<QII", 2048, 0, 2)), (0x80, struct.pack("<QQQ", data_offset, 2048, offset // 512)),
    )  # fmt: skip
    total = sum(struct.unpack("<64I", head))
    return head[:0xD8] + struct.pack("<I", (total & 0xFFFFFFFF) + (total >> 32)) + head[0xDC:]


def _md_1(path: Path, minor: int) -> None:
    size = 16 * MiB
    offset = {0: (size // 512 - 16 & ~7) * 512, 1: 0, 2: 4096}[minor]
    by_hand(path, size, (offset, md_1(size, offset)))


def _md_0_90(path: Path, order: str) -> None:
    words = [0] * 1024
    words[0:8] = [0xA92B4EFC, 0, 90, 0, 0, 0x11223344, 0, 1]
    words[8:12] = [8192, 2, 2, 0]
    words[13:16] = [0x55667788, 0x99AABBCC, 0xDDEEFF00]
    words[38] = 0
    words[38] = sum(words) & 0xFFFFFFFF  # sb_csum
    by_hand(path, 16 * MiB, (16 * MiB - 64 * KiB, struct.pack(f"{order}1024I", *words)))


def zfs_label(name: str, guid: int) -> bytes:
    """A label of 256 KiB with a short name/value list and four uberblocks."""

    def pair(key: bytes, kind: int, value: bytes) -> bytes:
        body = struct.pack(">I", len(key)) + key + bytes(-len(key) % 4) + struct.pack(">II", kind, 1) + value
        return struct.pack(">II", len(body) + 8, len(body) + 8) + body

    def string(text: bytes) -> bytes:
        return struct.pack(">I", len(text)) + text + bytes(-len(text) % 4)

    pairs = (
        pair(b"version", 8, struct.pack(">Q", 5000))
        + pair(b"name", 9, string(name.encode()))
        + pair(b"pool_guid", 8, struct.pack(">Q", guid))
        + pair(b"guid", 8, struct.pack(">Q", 77))
    )
    uberblock = struct.pack("<QQQQ", 0x00BAB10C, 5000, 4, 0)
    ring = b"".join(uberblock + bytes(KiB - len(uberblock)) for _ in range(8))
    return at(256 * KiB, (16 * KiB, b"\x01\x01\0\0" + struct.pack(">II", 0, 1) + pairs), (128 * KiB, ring))


def _zfs(path: Path) -> None:
    label = zfs_label("tank", 1234567890123456789)
    size = 64 * MiB
    by_hand(path, size, *((place, label) for place in (0, 256 * KiB, size - 512 * KiB, size - 256 * KiB)))


def _hfsplus(path: Path) -> None:
    """A volume header, and a catalog of a header node and one leaf with the name of the volume."""
    name = "Macintosh HD ü".encode("utf-16-be")
    volume = at(
        512, (0, b"H+\0\x04"), (0x28, struct.pack(">II", 4096, 2048)), (0x68, bytes(range(1, 9))),
        (0x110, struct.pack(">QII", 8192, 0, 2)), (0x120, struct.pack(">II", 16, 2)),
    )  # fmt: skip
    header = at(
        4096, (0, struct.pack(">IIbBHH", 1, 0, 1, 0, 3, 0)),
        (14, struct.pack(">HIIIIH", 1, 1, 1, 1, 1, 4096)),
    )  # fmt: skip
    leaf = at(
        4096, (0, struct.pack(">IIbBHH", 0, 0, -1, 1, 1, 0)),
        (14, struct.pack(">HIH", 6 + len(name), 1, len(name) // 2) + name),
    )  # fmt: skip
    by_hand(path, 8 * MiB, (1024, volume), (16 * 4096, header), (17 * 4096, leaf))


def _apfs(path: Path) -> None:
    head = at(
        4096, (0x08, struct.pack("<Q", 1)), (0x18, struct.pack("<I", 0x80000001)), (0x20, b"NXSB"),
        (0x24, struct.pack("<IQ", 4096, 2048)), (0x48, UUID),
    )  # fmt: skip
    by_hand(path, 8 * MiB, (0, head))


def _ufs2(path: Path, order: str) -> None:
    head = at(
        1376, (0x30, struct.pack(order + "2I", 32768, 4096)),
        (0x90, struct.pack(order + "2I", 0x5F3C1A2B, 0xC4D5E6F7)),
        (0x2A8, b"bsdroot"), (0x55C, struct.pack(order + "I", 0x19540119)),
    )  # fmt: skip
    by_hand(path, 8 * MiB, (64 * KiB, head))


def _bitlocker_to_go(path: Path) -> None:
    """The cover volume is FAT32 to anyone who does not know the identifier at +0x1A8."""
    by_tool(path, 64 * MiB, "mkfs.fat", "-F32", "-s1")
    with path.open("r+b") as file:
        file.seek(3)
        file.write(b"MSWIN4.1")
        file.seek(0x1A8)
        file.write(bytes.fromhex("3bd66749292ed84a8399f6a339e3d001"))


def _swap(path: Path, page_size: int = 4096, mark: bytes = b"", size: int = 8 * MiB) -> None:
    """mkswap's, full of swapped-out pages; `mark` replaces the mark at the end of the first page."""
    by_hand(path, size, (page_size, random.Random(3).randbytes(64 * KiB)))
    path.chmod(0o600)
    need("mkswap")
    run("mkswap", "-p", str(page_size), "-L", "page file", "-U", UUID_TEXT, path)
    if mark:
        with path.open("r+b") as file:
            file.seek(page_size - 10)
            file.write(mark.ljust(10, b"\0"))


def _swap_tuxonice(path: Path, mark: bytes = b"") -> None:
    _swap(path, mark=mark)
    with path.open("r+b") as file:
        file.write(b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c")


def _swap_big_endian(path: Path) -> None:
    """What mkswap makes on a big-endian machine."""
    _swap(path)
    with path.open("r+b") as file:
        file.seek(1024)
        words = struct.unpack("<3I", file.read(12))
        file.seek(1024)
        file.write(struct.pack(">3I", *words))


def _swap_version_0(path: Path) -> None:
    """A bitmap of 2047 usable pages, and no header."""
    by_hand(
        path, 8 * MiB, (0, b"\xfe" + b"\xff" * 255), (4086, b"SWAP-SPACE"),
        (4096, random.Random(3).randbytes(64 * KiB)),
    )  # fmt: skip


def _of_folder(*argv: str) -> Callable[[Path], None]:
    """An image that a tool makes of a folder: "IMAGE" and "FOLDER" stand for the two paths."""

    def make(path: Path) -> None:
        need(argv[0])
        folder = path.with_name(path.name + ".folder")
        folder.mkdir()
        try:
            (folder / "hello").write_text("hello")
            names = {"IMAGE": str(path), "FOLDER": str(folder)}
            run(*(names.get(a, a) for a in argv))
        finally:
            shutil.rmtree(folder)

    return make


def _empty(path: Path) -> None:
    sparse_file(path, 4 * MiB)


def _noise(path: Path) -> None:
    path.write_bytes(random.Random(11).randbytes(2 * MiB))


def _refs(path: Path) -> None:
    by_hand(path, 8 * MiB, (0, b"\0\0\0ReFS\0\0\0\0\0FSRS"), (0x1FE, b"\x55\xaa"))


def _storage_spaces(path: Path) -> None:
    by_hand(path, 8 * MiB, (4096, b"SPACEDB "))


def _tool(size: int, *argv: str) -> Callable[[Path], None]:
    return lambda path: by_tool(path, size, *argv)


GENERATORS: dict[str, Callable[[Path], None]] = {
    "xfs": _tool(300 * MiB, "mkfs.xfs", "-q", "-L", "data xfs"),
    "btrfs": _tool(128 * MiB, "mkfs.btrfs", "-q", "-L", "data btrfs"),
    "f2fs": _tool(64 * MiB, "mkfs.f2fs", "-q", "-l", "flash ö"),
    "jfs": _tool(32 * MiB, "mkfs.jfs", "-q", "-L", "jfs"),
    "nilfs2": _tool(160 * MiB, "mkfs.nilfs2", "-q", "-f", "-L", "log"),
    "udf": _tool(32 * MiB, "mkudffs", "-l", "usb disk"),
    "minix": _tool(8 * MiB, "mkfs.minix", "-1"),
    "minix3": _tool(8 * MiB, "mkfs.minix", "-3"),
    "bcache": _tool(32 * MiB, "make-bcache", "-B"),
    "squashfs": _of_folder("mksquashfs", "FOLDER", "IMAGE", "-quiet", "-noappend"),
    "erofs": _of_folder("mkfs.erofs", "-U", UUID_TEXT, "IMAGE", "FOLDER"),
    "iso9660": _of_folder("genisoimage", "-quiet", "-J", "-R", "-V", "Holiday 2020", "-o", "IMAGE", "FOLDER"),
    "iso9660_udf": _of_folder("genisoimage", "-quiet", "-udf", "-V", "Holiday 2020", "-o", "IMAGE", "FOLDER"),
    "luks1": partial(_luks, version=1),
    "luks2": partial(_luks, version=2),
    "lvm2": _lvm2,
    "bitlocker_to_go": _bitlocker_to_go,
    "md_0_90": partial(_md_0_90, order="<"),
    "md_0_90_big_endian": partial(_md_0_90, order=">"),
    "md_1_0": partial(_md_1, minor=0),
    "md_1_1": partial(_md_1, minor=1),
    "md_1_2": partial(_md_1, minor=2),
    "zfs": _zfs,
    "hfsplus": _hfsplus,
    "apfs": _apfs,
    "ufs2": partial(_ufs2, order="<"),
    "ufs2_big_endian": partial(_ufs2, order=">"),
    "refs": _refs,
    "storage_spaces": _storage_spaces,
    "swap_4k": _swap,
    "swap_16k": partial(_swap, page_size=16 * KiB),
    "swap_64k": partial(_swap, page_size=64 * KiB),
    "swap_big_endian": _swap_big_endian,
    "swap_version_0": _swap_version_0,
    "suspended_kernel": partial(_swap, mark=b"S1SUSPEND"),
    "suspended_kernel_2": partial(_swap, mark=b"S2SUSPEND"),
    "suspended_uswsusp": partial(_swap, mark=b"ULSUSPEND"),
    "suspended_uswsusp_2": partial(_swap, mark=b"LINHIB0001"),
    "suspended_tuxonice": _swap_tuxonice,
    "suspended_tuxonice_without_mark": partial(_swap_tuxonice, mark=b"\0"),
    "empty": _empty,
    "noise": _noise,
}
