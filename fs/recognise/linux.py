"""File systems of Linux that have no parser here."""

from __future__ import annotations

import zlib

from formats.base.units import KiB, align_down
from fs.recognise import layout
from fs.recognise.model import Family, Found, Reader, Signature, anything, fields, fixed, header, sector_from_end
from fs.recognise.peek import Peek
from fs.recognise.text import label_text, uuid_text

FS = Family.FILESYSTEM
XFS_LOG_SEARCH = 256 * KiB  # blkid looks as far for the first record of an external log


def _sane_shift(shift: int, low: int, high: int) -> bool:
    return low <= shift <= high


def _squashfs(peek: Peek, offset: int) -> Found | None:
    little = peek.get(offset, 4) == b"hsqs"
    if little:
        head = header(layout.SQUASHFS_LE, peek, offset, "squashfs superblock")
        if head is not None and head.s_major >= 4:
            return Found(block_size=head.block_size, size=head.bytes_used)
    else:
        head = header(layout.SQUASHFS_BE, peek, offset, "squashfs superblock")
    return None if head is None else Found(kind="squashfs" if head.s_major >= 4 else "squashfs3")


def _xfs_log(peek: Peek, _offset: int) -> Found | None:
    """The head record of an external log in one of the first sectors."""
    data = peek.get(0, min(XFS_LOG_SEARCH, align_down(peek.size, 512)))
    at = data.find(b"\xfe\xed\xba\xbe")
    while at >= 0:
        if at % 512 == 0:
            head = header(layout.XFS_LOG, peek, at, "XFS log record")
            if head is not None and head.h_version in (1, 2) and head.h_len > 0 and 1 <= head.h_fmt <= 3:
                return Found(strong=False)
        at = data.find(b"\xfe\xed\xba\xbe", at + 1)
    return None


def _jfs(peek: Peek, offset: int) -> Found | None:
    head = header(layout.JFS, peek, offset, "JFS superblock")
    if head is None or head.s_l2bsize > 16 or head.s_l2pbsize > 16:
        return None
    if 1 << head.s_l2bsize != head.s_bsize or 1 << head.s_l2pbsize != head.s_pbsize:
        return None
    return Found(
        label=label_text(head.s_label), uuid=uuid_text(head.s_uuid), block_size=head.s_bsize,
        size=head.s_size * head.s_pbsize,
    )  # fmt: skip


def _nilfs2(peek: Peek, offset: int) -> Found | None:
    """The magic has two bytes only: the checksum decides. The copy at the end counts when the first is gone."""
    head = header(layout.NILFS2, peek, offset, "NILFS2 superblock")
    if head is None or not 0x14 <= head.s_bytes <= 1024:
        return None
    data = peek.get(offset, head.s_bytes)
    data = data[:0x10] + bytes(4) + data[0x14:]
    if zlib.crc32(data, head.s_crc_seed ^ 0xFFFFFFFF) ^ 0xFFFFFFFF != head.s_sum or head.s_log_block_size > 6:
        return None
    return Found(
        label=label_text(head.s_volume_name), uuid=uuid_text(head.s_uuid),
        block_size=1024 << head.s_log_block_size, size=head.s_dev_size, strong=offset == 1024,
    )  # fmt: skip


def _ocfs2(peek: Peek, offset: int) -> Found | None:
    """The superblock is block 2, so its place tells the block size."""
    head = header(layout.OCFS2, peek, offset, "OCFS2 superblock")
    if head is None:
        return None
    return Found(label=label_text(head.s_label), uuid=uuid_text(head.s_uuid), block_size=offset // 2)


def _gfs2(peek: Peek, offset: int) -> Found | None:
    head = header(layout.GFS2, peek, offset, "GFS2 superblock")
    if head is None:
        return None
    old = head.sb_fs_format == 1309
    if not old and not 1801 <= head.sb_fs_format <= 1899:
        return None
    return Found(
        label=label_text(head.sb_locktable), uuid="" if old else uuid_text(head.sb_uuid),
        block_size=head.sb_bsize, kind="gfs" if old else "gfs2",
    )  # fmt: skip


def _minix(peek: Peek, offset: int) -> Found | None:
    """Two bytes of magic are weak: counts of inodes, zones and bitmap blocks must fit one another."""
    head = header(layout.MINIX, peek, offset, "minix superblock")
    if head is None or head.s_log_zone_size:
        return None
    zones = head.s_nzones if head.s_magic in (0x137F, 0x138F) else head.s_zones
    fits = head.s_imap_blocks * 8192 >= head.s_ninodes + 1 and head.s_zmap_blocks * 8192 >= zones - head.s_firstdatazone
    return Found(block_size=1024, size=zones * 1024) if head.s_ninodes and zones and fits else None


def _minix3(peek: Peek, offset: int) -> Found | None:
    head = header(layout.MINIX3, peek, offset, "minix 3 superblock")
    if head is None or head.s_log_zone_size or not head.s_ninodes or not head.s_zones:
        return None
    return Found(block_size=head.s_blocksize, size=head.s_zones * head.s_blocksize)


def _cramfs() -> Reader:
    return fields(
        layout.CRAMFS, label="name", check=lambda h: h.signature == b"Compressed ROMFS", size=lambda h: h.size
    )


SIGNATURES = (
    Signature(
        "xfs", "XFS", FS, fixed(0), 0, (b"XFSB",),
        fields(
            layout.XFS, label="sb_fname", uuid="sb_uuid", block_size=lambda h: h.sb_blocksize,
            size=lambda h: h.sb_dblocks * h.sb_blocksize,
            check=lambda h: _sane_shift(h.sb_sectlog, 9, 15) and _sane_shift(h.sb_blocklog, 9, 16)
            and h.sb_blocksize == 1 << h.sb_blocklog and h.sb_sectsize == 1 << h.sb_sectlog and h.sb_dblocks > 0,
        ),
    ),
    Signature("xfs_external_log", "external XFS log", Family.OTHER, fixed(0), 0, (), _xfs_log),
    Signature(
        "btrfs", "Btrfs", FS, fixed(64 * KiB), 0x40, (b"_BHRfS_M",),
        fields(
            layout.BTRFS, label="label", uuid="fsid", block_size=lambda h: h.sectorsize,
            size=lambda h: h.total_bytes, check=lambda h: h.bytenr == 64 * KiB,
        ),
    ),
    Signature(
        "f2fs", "F2FS", FS, fixed(1024), 0, (b"\x10\x20\xf5\xf2",),
        fields(
            layout.F2FS, label="volume_name", uuid="uuid", encoding="utf-16-le",
            check=lambda h: 9 <= h.log_blocksize <= 16, block_size=lambda h: 1 << h.log_blocksize,
            size=lambda h: h.block_count << h.log_blocksize,
        ),
    ),
    Signature(
        "reiserfs", "ReiserFS", FS, fixed(64 * KiB, 8 * KiB), 0x34, (b"ReIsErFs", b"ReIsEr2Fs", b"ReIsEr3Fs"),
        fields(
            layout.REISERFS, label="s_label", uuid="s_uuid", block_size=lambda h: h.s_blocksize,
            size=lambda h: h.s_block_count * h.s_blocksize,
        ),
    ),
    Signature(
        "reiser4", "Reiser4", FS, fixed(64 * KiB), 0, (b"ReIsEr4",),
        fields(layout.REISER4, label="label", uuid="uuid", block_size=lambda h: h.blocksize),
    ),
    Signature("jfs", "JFS", FS, fixed(32 * KiB), 0, (b"JFS1",), _jfs),
    Signature(
        "nilfs2", "NILFS2", FS, lambda size: (1024, *sector_from_end(8)(size)), 6, (b"\x34\x34",), _nilfs2,
    ),
    Signature("ocfs2", "OCFS2", FS, fixed(1024, 2048, 4096, 8192), 0, (b"OCFSV2",), _ocfs2),
    Signature("gfs2", "GFS2", FS, fixed(64 * KiB), 0, (b"\x01\x16\x19\x70",), _gfs2),
    Signature("squashfs", "squashfs", FS, fixed(0), 0, (b"hsqs", b"sqsh"), _squashfs),
    Signature(
        "erofs", "EROFS", FS, fixed(1024), 0, (b"\xe2\xe1\xf5\xe0",),
        fields(
            layout.EROFS, label="volume_name", uuid="uuid", check=lambda h: 9 <= h.blkszbits <= 16,
            block_size=lambda h: 1 << h.blkszbits, size=lambda h: h.blocks << h.blkszbits,
        ),
    ),
    Signature("cramfs", "cramfs", FS, fixed(0), 0, (b"\x45\x3d\xcd\x28",), _cramfs()),
    Signature(
        "romfs", "romfs", FS, fixed(0), 0, (b"-rom1fs-",),
        fields(layout.ROMFS, label="volume_name", size=lambda h: h.full_size),
    ),
    Signature("zonefs", "zonefs", FS, fixed(0), 0, (b"SFOZ",), fields(layout.ZONEFS, label="s_label")),
    Signature(
        "scoutfs_meta", "ScoutFS", FS, fixed(64 * KiB), 4, (b"\x8b\x42\x3c\x10",),
        fields(layout.SCOUTFS, uuid="uuid"),
    ),
    Signature(
        "minix", "Minix", FS, fixed(1024), 0x10, (b"\x7f\x13", b"\x8f\x13", b"\x68\x24", b"\x78\x24"), _minix,
        strong=False,
    ),
    Signature("minix", "Minix", FS, fixed(1024), 0x18, (b"\x5a\x4d",), _minix3, strong=False),
    Signature("ubifs", "UBIFS", FS, fixed(0), 0, (b"\x31\x18\x10\x06",), anything),
)  # fmt: skip
