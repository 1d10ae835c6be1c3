"""Members of RAID arrays: Linux md and the metadata that firmware ("fake RAID") leaves at the end of a disk.

Places and magics: kernel, include/uapi/linux/raid/md_p.h; SNIA DDF 2.0; for the others, images that `blkid -p`
recognises (util-linux 2.38.1).
"""

from __future__ import annotations

from formats.base.units import KiB, align_down
from fs.recognise import layout
from fs.recognise.model import Family, Found, Places, Reader, Signature, anything, fixed, header, sector_from_end
from fs.recognise.peek import Peek
from fs.recognise.text import label_text, uuid_text

MD = "Linux software RAID"
MD_MAGIC_LE, MD_MAGIC_BE = b"\xfc\x4e\x2b\xa9", b"\xa9\x2b\x4e\xfc"


def _md_0_90_places(size: int) -> tuple[int, ...]:
    return (align_down(size, 64 * KiB) - 64 * KiB,)


def _md_1_0_places(size: int) -> tuple[int, ...]:
    """Between 8 and 12 KiB from the end, on 4 KiB. (1.1 lies at the start, 1.2 at 4 KiB.)"""
    return (align_down(size // 512 - 16, 8) * 512,)


def _md_0_90(peek: Peek, offset: int) -> Found | None:
    little = peek.get(offset, 4) == MD_MAGIC_LE
    head = header(layout.MD_0_90_LE if little else layout.MD_0_90_BE, peek, offset, "md superblock 0.90")
    if head is None or (head.major_version, head.minor_version) != (0, 90):
        return None
    words = (head.set_uuid0, head.set_uuid1, head.set_uuid2, head.set_uuid3)
    return Found(uuid=uuid_text(b"".join(word.to_bytes(4, "big") for word in words)))


def _md_1(peek: Peek, offset: int) -> Found | None:
    head = header(layout.MD_1, peek, offset, "md superblock 1.x")
    # super_offset tells where the superblock was written: a copy that moved (an image of a whole disk, a grown
    # partition) is no superblock.
    if head is None or head.major_version != 1 or head.super_offset != offset // 512:
        return None
    return Found(label=label_text(head.set_name), uuid=uuid_text(head.set_uuid))


def _ddf_places(size: int) -> tuple[int, ...]:
    return sector_from_end(1, 257)(size)


def _ddf(peek: Peek, offset: int) -> Found | None:
    head = header(layout.DDF, peek, offset, "DDF anchor")
    if head is None or not head.DDF_rev[:2].isdigit():
        return None
    # The identifier is vendor text with binary parts; what blkid prints of it is no text, so none is given.
    return Found()


def _adaptec(peek: Peek, offset: int) -> Found | None:
    head = header(layout.ADAPTEC, peek, offset, "Adaptec metadata")
    return Found() if head is not None and head.smagic == b"DPTM" else None


def _jmicron(peek: Peek, offset: int) -> Found | None:
    """The 128 bytes add up to zero as 16-bit words, 'checksum' included; ones are accepted as well."""
    data = peek.get(offset, 128)
    total = sum(int.from_bytes(data[i : i + 2], "little") for i in range(0, 128, 2)) & 0xFFFF
    return Found() if len(data) == 128 and total in (0, 1, 0xFFFF) and any(data[4:]) else None


def _firmware(
    kind: str, title: str, places: Places, magic_at: int, *magics: bytes, read: Reader = anything
) -> Signature:
    return Signature(kind, title, Family.ARRAY, places, magic_at, magics, read, shows_content=True)


SIGNATURES = (
    Signature("linux_raid_member", MD, Family.ARRAY, fixed(0, 4 * KiB), 0, (MD_MAGIC_LE,), _md_1),
    Signature("linux_raid_member", MD, Family.ARRAY, _md_1_0_places, 0, (MD_MAGIC_LE,), _md_1, shows_content=True),
    Signature(
        "linux_raid_member", MD, Family.ARRAY, _md_0_90_places, 0, (MD_MAGIC_LE, MD_MAGIC_BE),
        _md_0_90, shows_content=True,
    ),
    _firmware("isw_raid_member", "Intel Matrix RAID", sector_from_end(2), 0, b"Intel Raid ISM Cfg Sig. "),
    _firmware("ddf_raid_member", "DDF RAID", _ddf_places, 0, b"\xde\x11\xde\x11", b"\x11\xde\x11\xde", read=_ddf),
    _firmware("lsi_mega_raid_member", "LSI MegaRAID", sector_from_end(1), 0, b"$XIDE$"),
    _firmware("nvidia_raid_member", "NVIDIA RAID", sector_from_end(2), 0, b"NVIDIA  "),
    _firmware(
        "promise_fasttrack_raid_member", "Promise FastTrak RAID", sector_from_end(63, 255, 256, 16, 399), 0,
        b"Promise Technology, Inc.",
    ),
    _firmware(
        "hpt45x_raid_member", "HighPoint RAID", sector_from_end(11), 0, b"\xf3\x16\x78\x5a", b"\xfd\x16\x78\x5a"
    ),
    Signature(
        "hpt37x_raid_member", "HighPoint RAID", Family.ARRAY, lambda _size: (9 * 512,), 32,
        (b"\xf0\x16\x78\x5a", b"\xfd\x16\x78\x5a"), anything,
    ),
    _firmware("adaptec_raid_member", "Adaptec RAID", sector_from_end(1), 0, b"\x37\xfc\x4d\x1e", read=_adaptec),
    _firmware("jmicron_raid_member", "JMicron RAID", sector_from_end(1), 0, b"JM", read=_jmicron),
)  # fmt: skip
