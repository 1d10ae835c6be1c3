"""Partition tables: GPT headers and entries, MBR and EBR sectors, whole disks."""

from __future__ import annotations

from collections.abc import Sequence

from formats.base.checksum import crc32
from formats.table.detect import read_table
from formats.table.gpt import decode_name, used_entries
from formats.table.gpt_header import CRC_OFFSET, SIGNATURE, Header
from formats.table.mbr import BootRecord
from tests.fuzz import mutator
from tests.fuzz.mutator import Data
from tests.fuzz.target import Images, Patched, Recorder, Seed, Structure, Target, Volume
from tests.support.table_images import GENERATORS, boot_sector, gpt_header, record
from tests.support.table_questions import survive

NAMES = (
    "gpt", "gpt-4kn", "gpt-many-entries", "gpt-hybrid", "gpt-no-primary", "mbr", "mbr-logicals", "mbr-two-extended",
    "mbr-loop", "fat-bare", "ntfs-bare", "ext4-boot-code",
)  # fmt: skip


def with_crc(sector: bytes) -> bytes:
    """A GPT header with the checksum that its size says."""
    size = min(int.from_bytes(sector[12:16], "little"), len(sector))
    zeroed = sector[:CRC_OFFSET] + bytes(4) + sector[CRC_OFFSET + 4 :]
    return sector[:CRC_OFFSET] + crc32(zeroed[:size]).to_bytes(4, "little") + sector[CRC_OFFSET + 4 :]


def repair(good: Data, patches: dict[int, bytes]) -> None:
    """Checksums of both headers, and in them those of the arrays that they point to."""
    for size in (512, 4096):
        for start in (size, len(good) - size):
            if good[start : start + 8] != SIGNATURE:
                continue
            sector = mutator.absorbed(good, patches, start, start + size) or bytearray(good[start : start + size])
            first = int.from_bytes(sector[72:80], "little") * size
            length = int.from_bytes(sector[80:84], "little") * int.from_bytes(sector[84:88], "little")
            if first + length <= len(good) and length <= 1 << 20:
                array = bytearray(good[first : first + length])
                for at, patch in patches.items():
                    if first <= at and at + len(patch) <= first + length:
                        array[at - first : at - first + len(patch)] = patch
                sector[88:92] = crc32(bytes(array)).to_bytes(4, "little")
            patches[start] = with_crc(bytes(sector))


def header_seeds(_: Images) -> Sequence[Seed]:
    return [Seed("header", gpt_header()), Seed("backup", gpt_header(my=1, alternate=2047, entry_size=256, count=64))]


def check_header(_: Seed, damaged: bytes) -> None:
    header = Header.from_sector(damaged, 1)
    array = bytes(range(1, 255)) * (-(-header.array_bytes // 254))
    for entry in used_entries(header, array[: header.array_bytes]):
        decode_name(entry.raw_name)
        if entry.index > 8:
            break


def mbr_seeds(_: Images) -> Sequence[Seed]:
    full = boot_sector(record(7, 63, 1000, 0x80), record(5, 2000, 5000), record(0x83, 8000, 10), signature=77)
    return [Seed("mbr", full), Seed("protective", boot_sector(record(0xEE, 1, 0xFFFFFFFF)))]


def check_mbr(_: Seed, damaged: bytes) -> None:
    boot = BootRecord.from_sector(damaged, 0, "MBR")
    assert len(boot.records) == 4 and len(boot.used) <= 4
    assert boot.protective is None or boot.indicators_valid
    assert not boot.hybrid or boot.protective


def disk_seeds(images: Images) -> Sequence[Seed]:
    found = []
    for name in NAMES:
        data = images.get(f"table-{name}", GENERATORS[name])
        recorder = Recorder(data)
        read_table(recorder)
        found.append(Seed(name, data, recorder.places()))
    return found


def check_disk(_: Seed, damaged: Patched) -> None:
    survive(damaged.source())


TARGETS: tuple[Target, ...] = (
    Structure("table.gpt", header_seeds, check_header, with_crc, fixed=True),
    Structure("table.mbr", mbr_seeds, check_mbr, fixed=True, cost=2),
    Volume("table.disk", disk_seeds, check_disk, repair, cost=40),
)
