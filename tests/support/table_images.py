"""Disk images with every kind of partition table, small and sparse, made by sfdisk, sgdisk, fdisk and mkfs.

GENERATORS: name -> function(path). Every image is the same on every run, except for random file-system ids. Sizes
are multiples of 4096. Images whose name ends in ``-4kn`` count sectors of 4096 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from formats.base.checksum import crc32
from formats.base.source import check_range
from formats.base.units import KiB, MiB
from tests.support.tools import need, run, sparse_file

DISK_GUID = "11111111-2222-3333-4444-555555555555"
BOOT_CODE = bytes(i * 7 & 0xFF for i in range(440))


def poke(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def peek(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def record(kind: int, start: int, sectors: int, indicator: int = 0) -> bytes:
    """A partition record of an MBR."""
    return struct.pack("<B3sB3sII", indicator, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", start, sectors)


def boot_sector(*records: bytes, code: bytes = b"", signature: int = 0) -> bytes:
    """512 bytes: an MBR or EBR."""
    table = b"".join(records).ljust(64, b"\0")
    return code.ljust(440, b"\0") + struct.pack("<IH", signature, 0) + table + b"\x55\xaa"


def gpt_header(**fields: int) -> bytes:
    """A sector with a GPT header for a disk of 2048 sectors: the given fields, a sound checksum."""
    values = {
        "revision": 0x10000, "size": 92, "crc": 0, "reserved": 0, "my": 1, "alternate": 2047, "first": 34,
        "last": 2014, "entries": 2, "count": 128, "entry_size": 128, "array_crc": 0, **fields,
    }  # fmt: skip
    v = values
    raw = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", v["revision"], v["size"], 0, v["reserved"], v["my"],
                      v["alternate"], v["first"], v["last"], b"G" * 16, v["entries"], v["count"], v["entry_size"],
                      v["array_crc"])  # fmt: skip
    sector = raw.ljust(512, b"\0")
    crc = crc32(sector[: min(v["size"], 512)])
    return sector[:16] + struct.pack("<I", crc) + sector[20:]


@cache
def _gpt_ends() -> tuple[bytes, bytes]:
    """First and last 64 KiB of the `gpt` image; sgdisk waits a second at each call, so it is asked once."""
    need("sgdisk")
    with TemporaryDirectory() as folder:
        path = sparse_file(Path(folder) / "gpt", 64 * MiB)
        run(
            "sgdisk", "-o", "-U", DISK_GUID,
            "-n1:2048:+8M", "-t1:ef02", "-u1:AAAAAAAA-0000-4000-8000-000000000001",
            "-n2:0:+8M", "-t2:ef00", "-c2:EFI system partition", "-u2:AAAAAAAA-0000-4000-8000-000000000002",
            "-n3:0:+8M", "-t3:0700", "-c3:Ünï name 木", "-A3:set:63", "-A3:set:2",
            "-u3:AAAAAAAA-0000-4000-8000-000000000003",
            "-n7:0:+4M", "-t7:8300", "-u7:AAAAAAAA-0000-4000-8000-000000000007", path,
        )  # fmt: skip
        poke(path, 0, BOOT_CODE)
        return peek(path, 0, 64 * KiB), peek(path, 64 * MiB - 64 * KiB, 64 * KiB)


def gpt(path: Path) -> None:
    """Four partitions of four kinds, one nameless, one with a name beyond ASCII and attributes; boot code."""
    head, tail = _gpt_ends()
    sparse_file(path, 64 * MiB)
    poke(path, 0, head)
    poke(path, 64 * MiB - len(tail), tail)


def gpt_4kn(path: Path) -> None:
    """Made by fdisk, which can be told the sector size without a device that has it."""
    need("fdisk")
    sparse_file(path, 64 * MiB)
    script = f"g\nx\ni\n{DISK_GUID}\nr\nn\n1\n256\n+16M\nn\n2\n\n+32M\nt\n1\n1\nw\n"
    run("fdisk", "-b", "4096", path, stdin=script.encode())


def gpt_empty(path: Path) -> None:
    need("sgdisk")
    run("sgdisk", "-o", "-U", DISK_GUID, sparse_file(path, 4 * MiB))


def gpt_many_entries(path: Path) -> None:
    """256 entries, and the primary array at sector 60, as boards do whose loader sits in between."""
    need("sgdisk")
    sparse_file(path, 32 * MiB)
    run("sgdisk", "-o", "-U", DISK_GUID, "-S", "256", "-j", "60", "-n200:0:+1M", "-n3:0:+2M", path)


def gpt_no_primary(path: Path) -> None:
    gpt(path)
    poke(path, 512, bytes(33 * 512))


def gpt_bad_entries(path: Path) -> None:
    """The primary's header is sound, an entry is not."""
    gpt(path)
    poke(path, 1024 + 60, b"\xff")


def gpt_bad_header(path: Path) -> None:
    gpt(path)
    poke(path, 512 + 0x30, b"\x01")


def gpt_no_backup(path: Path) -> None:
    gpt(path)
    poke(path, 64 * MiB - 33 * 512, bytes(33 * 512))


def gpt_bad_backup(path: Path) -> None:
    gpt(path)
    poke(path, 64 * MiB - 512 + 0x38, b"\xff")


def gpt_grown(path: Path) -> None:
    gpt(path)
    with path.open("r+b") as file:
        file.truncate(96 * MiB)


def gpt_grown_no_primary(path: Path) -> None:
    """Only the protective MBR tells where the backup is."""
    gpt_grown(path)
    poke(path, 512, bytes(33 * 512))


def gpt_no_pmbr(path: Path) -> None:
    gpt(path)
    poke(path, 0, bytes(512))


def gpt_hybrid(path: Path) -> None:
    gpt(path)
    run("sgdisk", "-h", "2:3", path)  # replaces the boot code
    poke(path, 0, BOOT_CODE)


def mbr(path: Path) -> None:
    """Three primaries, one of them to boot, and boot code that speaks of FAT32."""
    need("sfdisk")
    sparse_file(path, 64 * MiB)
    script = (
        "label: dos\nlabel-id: 0xdeadbeef\nstart=2048, size=16384, type=7, bootable\n"
        "start=18432, size=16384, type=c\nstart=40960, size=32768, type=83\n"
    )
    run("sfdisk", path, stdin=script.encode())
    poke(path, 0, BOOT_CODE)
    poke(path, 82, b"FAT32   ")


def mbr_logicals(path: Path) -> None:
    """Twelve logical partitions and a swap space behind them."""
    need("sfdisk")
    sparse_file(path, 64 * MiB)
    lines = [
        "label: dos",
        "label-id: 0x0badcafe",
        "start=2048, size=8192, type=83",
        "start=12288, size=110592, type=f",
    ]
    lines += [f"start={14336 + i * 8192}, size={6144 - i * 8}, type={'82' if i == 11 else '7'}" for i in range(12)]
    run("sfdisk", path, stdin="\n".join(lines).encode())


def mbr_unordered(path: Path) -> None:
    """The chain of EBRs goes forth and back on the disk; Linux numbers along the chain."""
    need("sfdisk")
    sparse_file(path, 64 * MiB)
    lines = ["label: dos", "label-id: 0x0badcafe", "start=8192, size=122880, type=5"]
    lines += [f"start={start}, size=2048, type=83" for start in (40960, 20480, 90112, 30720)]
    run("sfdisk", path, stdin="\n".join(lines).encode())


def mbr_loop(path: Path) -> None:
    """The last link of the chain leads back to the second EBR."""
    mbr_logicals(path)
    first, at = 12288, 12288
    links = []
    while True:
        start, sectors = struct.unpack_from("<II", peek(path, at * 512 + 446 + 16, 16), 8)
        if not sectors:
            break
        links.append(start)
        at = first + start
    poke(path, at * 512 + 446 + 16, record(0x05, links[0], 6144))


def mbr_two_extended(path: Path) -> None:
    """Two extended partitions (types 85 and 05), one after a primary in slot 2, as no tool makes them."""
    sparse_file(path, 16 * MiB)
    poke(path, 0, boot_sector(record(0x85, 2048, 8192), record(0x83, 30000, 2000), record(0x05, 12288, 8192),
                              signature=0x12345678))  # fmt: skip
    poke(path, 2048 * 512, boot_sector(record(0x83, 63, 1000), record(0x05, 4096, 4096)))
    poke(path, 6144 * 512, boot_sector(record(0x07, 63, 1000)))
    poke(path, 12288 * 512, boot_sector(record(0x82, 63, 1000)))


def mbr_empty(path: Path) -> None:
    need("sfdisk")
    run("sfdisk", sparse_file(path, 4 * MiB), stdin=b"label: dos\nlabel-id: 0x00c0ffee\n")


def blank(path: Path) -> None:
    sparse_file(path, 4 * MiB)


def fat_bare(path: Path) -> None:
    need("mkfs.fat")
    run("mkfs.fat", "-i", "1234abcd", sparse_file(path, 64 * MiB))


def fat_bare_fake_mbr(path: Path) -> None:
    """mkfs.fat's own fake table: one partition that starts at sector 0."""
    need("mkfs.fat")
    run("mkfs.fat", "--mbr=y", "-F32", sparse_file(path, 64 * MiB))


def ntfs_bare(path: Path) -> None:
    need("mkntfs")
    run("mkntfs", "-F", "-Q", "-q", sparse_file(path, 16 * MiB))


def exfat_bare(path: Path) -> None:
    need("mkfs.exfat")
    run("mkfs.exfat", sparse_file(path, 16 * MiB))


def ext4_bare(path: Path) -> None:
    need("mkfs.ext4")
    run("mkfs.ext4", "-q", "-F", sparse_file(path, 16 * MiB))


def ext4_boot_code(path: Path) -> None:
    """ext4 on the bare disk with a boot sector as GRUB puts it there: code, no partitions, 55AA."""
    ext4_bare(path)
    poke(path, 0, boot_sector(code=b"\xeb\x63\x90" + BOOT_CODE[3:]))


Generator = Callable[[Path], None]
GPT_GENERATORS: Sequence[Generator] = (
    gpt, gpt_4kn, gpt_empty, gpt_many_entries, gpt_no_primary, gpt_bad_entries, gpt_bad_header, gpt_no_backup,
    gpt_bad_backup, gpt_grown, gpt_grown_no_primary, gpt_no_pmbr, gpt_hybrid,
)  # fmt: skip
MBR_GENERATORS: Sequence[Generator] = (
    mbr, mbr_logicals, mbr_unordered, mbr_loop, mbr_two_extended, mbr_empty,
)  # fmt: skip
BARE_GENERATORS: Sequence[Generator] = (
    blank, fat_bare, fat_bare_fake_mbr, ntfs_bare, exfat_bare, ext4_bare, ext4_boot_code,
)  # fmt: skip
GENERATORS: dict[str, Generator] = {
    g.__name__.replace("_", "-"): g for g in (*GPT_GENERATORS, *MBR_GENERATORS, *BARE_GENERATORS)
}


class Sparse:
    """A BlockSource of any size from a few pieces, zero elsewhere."""

    def __init__(self, size: int, pieces: dict[int, bytes], sector_size: int = 512) -> None:
        self.size, self.sector_size, self.name = size, sector_size, "sparse"
        self._pieces = pieces

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        out = bytearray(length)
        for start, data in self._pieces.items():
            low, high = max(start, offset), min(start + len(data), offset + length)
            if low < high:
                out[low - offset : high - offset] = data[low - start : high - start]
        return bytes(out)

    def extents_known(self) -> None:
        return None


def small_disk(path: Path, ends: int = 64 * KiB) -> dict[int, bytes]:
    """The first and last `ends` bytes of an image, for `Sparse`."""
    size = path.stat().st_size
    return {0: peek(path, 0, ends), size - ends: peek(path, size - ends, ends)}
