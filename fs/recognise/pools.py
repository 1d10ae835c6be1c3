"""Volume managers, caches, replicas and encryption: what lies in such a volume belongs to another layer."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

from fs.recognise import layout
from fs.recognise.model import Family, Found, Signature, anything, fields, fixed, header
from fs.recognise.peek import Peek
from fs.recognise.text import guid_text, label_text, uuid_text

LVM2_CRC_SEED = 0xF597A6CF  # lvm2, lib/misc/crc.h: INITIAL_CRC
BITLOCKER = b"-FVE-FS-"
# 4967d63b-2e29-4ad8-8399-f6a339e3d001 (BitLocker) and 92a84d3b-dd80-4d0e-9e4e-b1e3284eaed8 (used space only)
BITLOCKER_GUIDS = (
    bytes.fromhex("3bd66749292ed84a8399f6a339e3d001"),
    bytes.fromhex("3b4da89280dd0e4d9e4eb1e3284eaed8"),
)
BCACHE_MAGIC = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
BCACHEFS_MAGIC = bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef")
SECOND_LUKS2 = tuple(0x4000 << i for i in range(9))  # LUKS2 On-Disk Format 1.0, 2.2: the places of the copy
FVE_ENTRY_DESCRIPTION, FVE_VALUE_UNICODE = 7, 2


def _lvm2(peek: Peek, offset: int) -> Found | None:
    head = header(layout.LVM2_LABEL, peek, offset, "LVM2 label")
    if head is None or head.type != b"LVM2 001" or head.sector_xl != offset // 512:
        return None
    data = peek.get(offset, 512)
    if zlib.crc32(data[0x14:], LVM2_CRC_SEED ^ 0xFFFFFFFF) ^ 0xFFFFFFFF != head.crc_xl:
        return None
    pv = header(layout.LVM2_PV, peek, offset + head.offset_xl, "LVM2 pv_header") if head.offset_xl <= 472 else None
    if pv is None:
        return None
    letters = label_text(pv.pv_uuid, "ascii")
    cuts = (0, 6, 10, 14, 18, 22, 26, 32)
    return Found(uuid="-".join(letters[a:b] for a, b in pairwise(cuts)), size=pv.device_size_xl)


def _luks(peek: Peek, offset: int) -> Found | None:
    head = header(layout.LUKS1, peek, offset, "LUKS header")
    if head is None or head.version not in (1, 2):
        return None
    if head.version == 1:
        return Found(uuid=label_text(head.uuid)) if offset == 0 else None
    second = header(layout.LUKS2, peek, offset, "LUKS2 header")
    # hdr_offset ties the header to its place. A copy without the first header is what is left when something was
    # written over the beginning: it decides only if nothing else is found.
    if second is None or second.hdr_offset != offset:
        return None
    return Found(label=label_text(second.label), uuid=label_text(second.uuid), strong=offset == 0)


def _bitlocker(peek: Peek, offset: int) -> Found | None:
    windows7 = header(layout.BITLOCKER_WIN7, peek, offset, "BitLocker header")
    to_go = header(layout.BITLOCKER_TOGO, peek, offset, "BitLocker To Go header")
    if windows7 is None or to_go is None:
        return None
    if windows7.signature == BITLOCKER:
        places = list(windows7.information_off) if windows7.identifier in BITLOCKER_GUIDS else []
    elif to_go.identifier in BITLOCKER_GUIDS:
        places = list(to_go.information_off)
    else:
        return None
    for place in places:
        found = _bitlocker_metadata(peek, place)
        if found is not None:
            return found
    return Found()


def _bitlocker_metadata(peek: Peek, offset: int) -> Found | None:
    """Volume identifier and description ("HOST C: 25/07/2024") from one of the three metadata blocks."""
    block = header(layout.BITLOCKER_BLOCK, peek, offset, "BitLocker metadata")
    if block is None or block.signature != BITLOCKER or not 0x30 <= block.dataset_header_size <= block.dataset_size:
        return None
    label = ""
    entries = peek.get(offset + 0x40, min(block.dataset_size, 64 * 1024))
    at = block.dataset_header_size
    while at + 8 <= len(entries):
        size, entry_type, value_type = struct.unpack_from("<HHH", entries, at)
        if size < 8:
            break
        if entry_type == FVE_ENTRY_DESCRIPTION and value_type == FVE_VALUE_UNICODE:
            label = label_text(entries[at + 8 : at + size], "utf-16-le")
        at += size
    return Found(label=label, uuid=guid_text(block.volume_identifier))


def _bcache(peek: Peek, offset: int) -> Found | None:
    head = header(layout.BCACHE, peek, offset, "bcache superblock")
    if head is None or head.offset != offset // 512 or head.version > 6:
        return None
    return Found(label=label_text(head.label), uuid=uuid_text(head.uuid))


def _bcachefs(peek: Peek, offset: int) -> Found | None:
    """Before its first release bcachefs had the magic of bcache; bcache's own version stays below 7."""
    head = header(layout.BCACHEFS, peek, offset, "bcachefs superblock")
    old = header(layout.BCACHE, peek, offset, "bcache superblock")
    if head is None or old is None or head.offset != offset // 512:
        return None
    if head.magic == BCACHE_MAGIC and old.version <= 6:
        return None
    return Found(label=label_text(head.label), uuid=uuid_text(head.user_uuid), block_size=head.block_size * 512)


def _drbd(peek: Peek, offset: int) -> Found | None:
    head = header(layout.DRBD, peek, offset, "DRBD metadata")
    if head is None:
        return None
    uuid = head.device_uuid_09 if head.magic == 0x8374026D else head.device_uuid_08
    return Found(uuid=f"{uuid:x}" if uuid else "")


def _ubi(peek: Peek, offset: int) -> Found | None:
    head = header(layout.UBI, peek, offset, "UBI EC header")
    return Found(uuid=str(head.image_seq)) if head is not None and head.version == 1 else None


def vmfs_uuid(raw: bytes) -> str:
    """The UUID of VMFS: two little-endian words, a little-endian half word and six bytes."""
    return "-".join((raw[3::-1].hex(), raw[7:3:-1].hex(), raw[9:7:-1].hex(), raw[10:].hex()))


def _vmfs_volume(peek: Peek, offset: int) -> Found | None:
    head = header(layout.VMFS_LVM, peek, offset, "VMFS volume header")
    return None if head is None else Found(uuid=vmfs_uuid(head.uuid))


SIGNATURES = (
    Signature(
        "BitLocker", "BitLocker", Family.CRYPTO, fixed(0), 3, (BITLOCKER, b"MSWIN4.1"), _bitlocker,
        shows_content=True,
    ),
    Signature(
        "crypto_LUKS", "LUKS", Family.CRYPTO, fixed(0, *SECOND_LUKS2), 0, (b"LUKS\xba\xbe", b"SKUL\xba\xbe"), _luks
    ),
    Signature(
        "LVM2_member", "LVM physical volume", Family.POOL, fixed(0, 512, 1024, 1536), 0, (b"LABELONE",), _lvm2
    ),
    Signature("bcache", "bcache", Family.POOL, fixed(4096), 0x18, (BCACHE_MAGIC,), _bcache),
    Signature(
        "bcachefs", "bcachefs", Family.FILESYSTEM, fixed(4096), 0x18, (BCACHEFS_MAGIC, BCACHE_MAGIC), _bcachefs
    ),
    Signature(
        "drbd", "DRBD", Family.POOL, lambda size: (size - 4096,), 0x3C,
        (b"\x83\x74\x02\x6b", b"\x83\x74\x02\x6c", b"\x83\x74\x02\x6d"), _drbd, shows_content=True,
    ),
    Signature("vdo", "VDO", Family.POOL, fixed(0), 0, (b"dmvdo001",), fields(layout.VDO, uuid="vdo_uuid")),
    Signature("stratis", "Stratis", Family.POOL, fixed(512, 4608), 4, (b"!Stra0tis\x86\xff\x02^\x41rh",), anything),
    Signature("ubi", "UBI", Family.POOL, fixed(0), 0, (b"UBI#",), _ubi),
    Signature(
        "VMFS_volume_member", "VMFS volume", Family.POOL, fixed(0x100000), 0, (b"\x0d\xd0\x01\xc0",), _vmfs_volume
    ),
    Signature("storage_spaces", "Storage Spaces", Family.POOL, fixed(0, 4096), 0, (b"SPACEDB ",), anything),
    Signature(
        "oracleasm", "Oracle ASM", Family.POOL, fixed(0), 0x20, (b"ORCLDISK",),
        fields(layout.ORACLE_ASM, label="dev_label"),
    ),
    Signature("ceph_bluestore", "Ceph BlueStore", Family.POOL, fixed(0), 0, (b"bluestore block device",), anything),
    Signature("DM_integrity", "dm-integrity", Family.POOL, fixed(0), 0, (b"integrt\0",), anything),
    Signature("DM_verity_hash", "dm-verity", Family.POOL, fixed(0), 0, (b"verity\0\0",), anything),
    Signature("DM_snapshot_cow", "an LVM snapshot", Family.POOL, fixed(0), 0, (b"SnAp",), anything, strong=False),
)  # fmt: skip
