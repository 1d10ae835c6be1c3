"""The headers that are read for recognising: only the fields that are used, with the names of their specifications.

Each entry is (+offset in bytes, name, type). Sources are named at each structure; where a structure has no public
specification, the offsets were checked against images that `blkid -p` (util-linux 2.38.1) recognises.
"""

from __future__ import annotations

from typing import Any

from construct import Array, Bytes, Int8ub, Int16ub, Int16ul, Int32ub, Int32ul, Int64ub, Int64ul, Padding, Struct


def at(size: int, *entries: tuple[int, str, Any]) -> Any:
    """A Struct of `size` bytes with fields at the given offsets and nothing said about the rest."""
    parts = []
    position = 0
    for offset, name, kind in entries:
        if offset < position:
            raise ValueError(f"{name} at {offset:#x} begins inside the field before it, which ends at {position:#x}")
        if offset > position:
            parts.append(Padding(offset - position))
        parts.append(name / kind)
        position = offset + kind.sizeof()
    if size > position:
        parts.append(Padding(size - position))
    return Struct(*parts)


# --- arrays -----------------------------------------------------------------------------------------------------

# Linux md superblock 0.90 (kernel, include/uapi/linux/raid/md_p.h mdp_super_t); host byte order of its maker.
MD_0_90_LE = at(
    128, (0x00, "md_magic", Int32ul), (0x04, "major_version", Int32ul), (0x08, "minor_version", Int32ul),
    (0x14, "set_uuid0", Int32ul), (0x1C, "level", Int32ul), (0x20, "size", Int32ul),
    (0x34, "set_uuid1", Int32ul), (0x38, "set_uuid2", Int32ul), (0x3C, "set_uuid3", Int32ul),
)  # fmt: skip
MD_0_90_BE = at(
    128, (0x00, "md_magic", Int32ub), (0x04, "major_version", Int32ub), (0x08, "minor_version", Int32ub),
    (0x14, "set_uuid0", Int32ub), (0x1C, "level", Int32ub), (0x20, "size", Int32ub),
    (0x34, "set_uuid1", Int32ub), (0x38, "set_uuid2", Int32ub), (0x3C, "set_uuid3", Int32ub),
)  # fmt: skip

# Linux md superblock 1.x (mdp_superblock_1 in the same header).
MD_1 = at(
    256, (0x00, "magic", Int32ul), (0x04, "major_version", Int32ul), (0x10, "set_uuid", Bytes(16)),
    (0x20, "set_name", Bytes(32)), (0x48, "level", Int32ul), (0x50, "size", Int64ul),
    (0x80, "data_offset", Int64ul),  # 512-byte sectors
    (0x88, "data_size", Int64ul), (0x90, "super_offset", Int64ul),
)  # fmt: skip

# SNIA Common RAID Disk Data Format 2.0, section 5.5 DDF_Header.
DDF = at(512, (0x00, "Signature", Bytes(4)), (0x08, "DDF_Header_GUID", Bytes(24)), (0x20, "DDF_rev", Bytes(8)))

ADAPTEC = at(512, (0x00, "b0idcode", Bytes(4)), (0x100, "smagic", Bytes(4)))

# --- pools, crypto ----------------------------------------------------------------------------------------------

# LVM2 label_header (lvm2, doc of the on-disk label in pvck(8)).
LVM2_LABEL = at(
    512, (0x00, "id", Bytes(8)), (0x08, "sector_xl", Int64ul), (0x10, "crc_xl", Int32ul),
    (0x14, "offset_xl", Int32ul),  # bytes from the label to pv_header
    (0x18, "type", Bytes(8)),
)  # fmt: skip
LVM2_PV = at(40, (0x00, "pv_uuid", Bytes(32)), (0x20, "device_size_xl", Int64ul))

# LUKS1 On-Disk Format 1.2.3, figure 1; LUKS2 On-Disk Format 1.0, 2.1. Big-endian.
LUKS1 = at(208, (0x00, "magic", Bytes(6)), (0x06, "version", Int16ub), (0xA8, "uuid", Bytes(40)))
LUKS2 = at(
    512, (0x00, "magic", Bytes(6)), (0x06, "version", Int16ub), (0x08, "hdr_size", Int64ub),
    (0x18, "label", Bytes(48)), (0xA8, "uuid", Bytes(40)), (0x100, "hdr_offset", Int64ub),
)  # fmt: skip

# BitLocker volume header and metadata (libbde, "BitLocker Drive Encryption (BDE) format specification").
BITLOCKER_WIN7 = at(
    512,
    (0x03, "signature", Bytes(8)),
    (0xA0, "identifier", Bytes(16)),
    (0xB0, "information_off", Array(3, Int64ul)),
)
BITLOCKER_TOGO = at(
    512, (0x03, "signature", Bytes(8)), (0x1A8, "identifier", Bytes(16)),
    (0x1B8, "information_off", Array(3, Int64ul)),
)  # fmt: skip
BITLOCKER_BLOCK = at(
    0x70, (0x00, "signature", Bytes(8)), (0x0A, "version", Int16ul),
    (0x40, "dataset_size", Int32ul),  # bytes, from here on
    (0x48, "dataset_header_size", Int32ul), (0x50, "volume_identifier", Bytes(16)),
)  # fmt: skip

# bcache and bcachefs begin alike (kernel, drivers/md/bcache/bcache_ondisk.h; fs/bcachefs/bcachefs_format.h).
BCACHE = at(
    0x70, (0x08, "offset", Int64ul),  # 512-byte sectors
    (0x10, "version", Int64ul), (0x18, "magic", Bytes(16)), (0x28, "uuid", Bytes(16)), (0x48, "label", Bytes(32)),
)  # fmt: skip
BCACHEFS = at(
    0x80, (0x18, "magic", Bytes(16)), (0x28, "uuid", Bytes(16)), (0x38, "user_uuid", Bytes(16)),
    (0x48, "label", Bytes(32)), (0x68, "offset", Int64ul),  # 512-byte sectors
    (0x78, "block_size", Int16ul),  # 512-byte sectors
)  # fmt: skip

# DRBD internal metadata, superblock in the last 4 KiB (drbd-headers, linux/drbd.h; drbdmeta). Big-endian.
DRBD = at(
    64, (0x28, "device_uuid_08", Int64ub), (0x30, "device_uuid_09", Int64ub), (0x3C, "magic", Int32ub)
)  # fmt: skip

VDO = at(64, (0x28, "vdo_uuid", Bytes(16)))
UBI = at(64, (0x04, "version", Int8ub), (0x18, "image_seq", Int32ub))  # kernel, drivers/mtd/ubi/ubi-media.h
VMFS_LVM = at(0x200, (0x00, "magic", Int32ul), (0x82, "uuid", Bytes(16)))
VMFS = at(
    0xA0,
    (0x00, "magic", Int32ul),
    (0x04, "volver", Int32ul),
    (0x09, "uuid", Bytes(16)),
    (0x1D, "label", Bytes(128)),
)
ORACLE_ASM = at(0x48, (0x20, "tag", Bytes(8)), (0x28, "dev_label", Bytes(24)))

# --- file systems of Linux --------------------------------------------------------------------------------------

# XFS Algorithms & Data Structures, 3rd edition, xfs_sb. Big-endian.
XFS = at(
    208, (0x00, "sb_magicnum", Bytes(4)), (0x04, "sb_blocksize", Int32ub), (0x08, "sb_dblocks", Int64ub),
    (0x20, "sb_uuid", Bytes(16)), (0x64, "sb_versionnum", Int16ub), (0x66, "sb_sectsize", Int16ub),
    (0x68, "sb_inodesize", Int16ub), (0x6C, "sb_fname", Bytes(12)),
    (0x78, "sb_blocklog", Int8ub), (0x79, "sb_sectlog", Int8ub), (0x7A, "sb_inodelog", Int8ub),
)  # fmt: skip
XFS_LOG = at(  # xlog_rec_header
    512, (0x00, "h_magicno", Int32ub), (0x08, "h_version", Int32ub), (0x0C, "h_len", Int32ub),
    (0x12C, "h_fmt", Int32ub), (0x130, "h_fs_uuid", Bytes(16)),
)  # fmt: skip

# Btrfs wiki, "On-disk Format", superblock at 64 KiB.
BTRFS = at(
    4096, (0x20, "fsid", Bytes(16)), (0x30, "bytenr", Int64ul), (0x40, "magic", Bytes(8)),
    (0x70, "total_bytes", Int64ul), (0x90, "sectorsize", Int32ul), (0x94, "nodesize", Int32ul),
    (0x12B, "label", Bytes(256)),
)  # fmt: skip

# kernel, include/linux/f2fs_fs.h f2fs_super_block.
F2FS = at(
    0x47C, (0x00, "magic", Int32ul), (0x10, "log_blocksize", Int32ul), (0x24, "block_count", Int64ul),
    (0x6C, "uuid", Bytes(16)), (0x7C, "volume_name", Bytes(1024)),
)  # fmt: skip

# ReiserFS 3.6 superblock (reiserfs_super_block), Reiser4 master superblock, JFS jfs_superblock.
REISERFS = at(
    0x74, (0x00, "s_block_count", Int32ul), (0x2C, "s_blocksize", Int16ul), (0x34, "s_magic", Bytes(10)),
    (0x54, "s_uuid", Bytes(16)), (0x64, "s_label", Bytes(16)),
)  # fmt: skip
REISER4 = at(0x34, (0x12, "blocksize", Int16ul), (0x14, "uuid", Bytes(16)), (0x24, "label", Bytes(16)))
JFS = at(
    0xB8, (0x00, "s_magic", Bytes(4)), (0x08, "s_size", Int64ul), (0x10, "s_bsize", Int32ul),
    (0x14, "s_l2bsize", Int16ul), (0x18, "s_pbsize", Int32ul), (0x1C, "s_l2pbsize", Int16ul),
    (0x88, "s_uuid", Bytes(16)), (0x98, "s_label", Bytes(16)),
)  # fmt: skip

# kernel, include/uapi/linux/nilfs2_ondisk.h nilfs_super_block.
NILFS2 = at(
    1024, (0x06, "s_magic", Int16ul), (0x08, "s_bytes", Int16ul), (0x0C, "s_crc_seed", Int32ul),
    (0x10, "s_sum", Int32ul), (0x14, "s_log_block_size", Int32ul), (0x20, "s_dev_size", Int64ul),
    (0x98, "s_uuid", Bytes(16)), (0xA8, "s_volume_name", Bytes(80)),
)  # fmt: skip

# kernel, fs/ocfs2/ocfs2_fs.h: ocfs2_dinode with ocfs2_super_block at +0xC0.
OCFS2 = at(
    0x200, (0x00, "i_signature", Bytes(8)), (0xF8, "s_blocksize_bits", Int32ul), (0x110, "s_label", Bytes(64)),
    (0x150, "s_uuid", Bytes(16)),
)  # fmt: skip

# kernel, include/uapi/linux/gfs2_ondisk.h gfs2_sb. Big-endian.
GFS2 = at(
    0x110, (0x18, "sb_fs_format", Int32ub), (0x24, "sb_bsize", Int32ub), (0xA0, "sb_locktable", Bytes(64)),
    (0x100, "sb_uuid", Bytes(16)),
)  # fmt: skip

SQUASHFS_LE = at(96, (0x0C, "block_size", Int32ul), (0x1C, "s_major", Int16ul), (0x28, "bytes_used", Int64ul))
SQUASHFS_BE = at(96, (0x1C, "s_major", Int16ub))
EROFS = at(
    128, (0x0C, "blkszbits", Int8ub), (0x24, "blocks", Int32ul), (0x30, "uuid", Bytes(16)),
    (0x40, "volume_name", Bytes(16)),
)  # fmt: skip
CRAMFS = at(64, (0x04, "size", Int32ul), (0x10, "signature", Bytes(16)), (0x30, "name", Bytes(16)))
ROMFS = at(48, (0x08, "full_size", Int32ub), (0x10, "volume_name", Bytes(32)))
ZONEFS = at(128, (0x08, "s_label", Bytes(64)))
MINIX = at(  # kernel, include/uapi/linux/minix_fs.h minix_super_block (versions 1 and 2)
    32, (0x00, "s_ninodes", Int16ul), (0x02, "s_nzones", Int16ul), (0x04, "s_imap_blocks", Int16ul),
    (0x06, "s_zmap_blocks", Int16ul), (0x08, "s_firstdatazone", Int16ul), (0x0A, "s_log_zone_size", Int16ul),
    (0x0C, "s_max_size", Int32ul), (0x10, "s_magic", Int16ul), (0x14, "s_zones", Int32ul),
)  # fmt: skip
MINIX3 = at(
    32, (0x00, "s_ninodes", Int32ul), (0x06, "s_imap_blocks", Int16ul), (0x08, "s_zmap_blocks", Int16ul),
    (0x0A, "s_firstdatazone", Int16ul), (0x0C, "s_log_zone_size", Int16ul), (0x14, "s_zones", Int32ul),
    (0x18, "s_magic", Int16ul), (0x1C, "s_blocksize", Int16ul),
)  # fmt: skip
SCOUTFS = at(0x60, (0x04, "magic", Int32ul), (0x38, "uuid", Bytes(16)))

# --- file systems that a parser of ours knows in full -----------------------------------------------------------

# ext4 disk layout (kernel, Documentation/filesystems/ext4), super block at 1024.
EXT = at(
    1024, (0x04, "s_blocks_count_lo", Int32ul),
    (0x18, "s_log_block_size", Int32ul), (0x20, "s_blocks_per_group", Int32ul),
    (0x38, "s_magic", Int16ul), (0x5C, "s_feature_compat", Int32ul),
    (0x60, "s_feature_incompat", Int32ul), (0x64, "s_feature_ro_compat", Int32ul), (0x68, "s_uuid", Bytes(16)),
    (0x78, "s_volume_name", Bytes(16)), (0x150, "s_blocks_count_hi", Int32ul),
)  # fmt: skip
NTFS = at(
    512, (0x03, "oem_id", Bytes(8)), (0x0B, "bytes_per_sector", Int16ul), (0x0D, "sectors_per_cluster", Int8ub),
    (0x28, "number_of_sectors", Int64ul), (0x48, "volume_serial_number", Int64ul),
)  # fmt: skip
# exFAT file system specification (Microsoft), 3.1 Main Boot Sector.
EXFAT = at(
    512, (0x03, "FileSystemName", Bytes(8)), (0x48, "VolumeLength", Int64ul), (0x64, "VolumeSerialNumber", Int32ul),
    (0x6C, "BytesPerSectorShift", Int8ub), (0x6D, "SectorsPerClusterShift", Int8ub),
    (0x1FE, "BootSignature", Int16ul),
)  # fmt: skip
# Microsoft FAT specification (2005), section 3.
FAT = at(
    512, (0x03, "BS_OEMName", Bytes(8)), (0x0B, "BPB_BytsPerSec", Int16ul), (0x0D, "BPB_SecPerClus", Int8ub),
    (0x0E, "BPB_RsvdSecCnt", Int16ul), (0x10, "BPB_NumFATs", Int8ub), (0x11, "BPB_RootEntCnt", Int16ul),
    (0x13, "BPB_TotSec16", Int16ul), (0x15, "BPB_Media", Int8ub), (0x16, "BPB_FATSz16", Int16ul),
    (0x20, "BPB_TotSec32", Int32ul), (0x24, "BPB_FATSz32", Int32ul), (0x43, "BS_VolID", Int32ul),
    (0x1FE, "Signature_word", Int16ul),
)  # fmt: skip
FAT16 = at(64, (0x27, "BS_VolID", Int32ul))  # FAT12 and FAT16: where FAT32 has its FATSz32

# --- others -----------------------------------------------------------------------------------------------------

# Inside Macintosh: Files, 2-60 (master directory block); Apple TN1150 (HFS Plus volume header). Big-endian.
HFS = at(
    162, (0x00, "drSigWord", Bytes(2)), (0x12, "drNmAlBlks", Int16ub), (0x14, "drAlBlkSiz", Int32ub),
    (0x1C, "drAlBlSt", Int16ub), (0x24, "drVN", Bytes(28)), (0x74, "finder_id", Bytes(8)),
    (0x7C, "drEmbedSigWord", Bytes(2)), (0x7E, "drEmbedStart", Int16ub), (0x80, "drEmbedCount", Int16ub),
)  # fmt: skip
HFSPLUS = at(
    512, (0x00, "signature", Bytes(2)), (0x02, "version", Int16ub), (0x28, "blockSize", Int32ub),
    (0x2C, "totalBlocks", Int32ub), (0x68, "finder_id", Bytes(8)), (0x120, "catalog_extents", Array(16, Int32ub)),
)  # fmt: skip
HFSPLUS_HEADER_NODE = at(48, (0x08, "kind", Int8ub), (0x18, "firstLeafNode", Int32ub), (0x20, "nodeSize", Int16ub))
# Apple File System Reference, nx_superblock_t.
APFS = at(
    96, (0x18, "o_type", Int32ul), (0x20, "nx_magic", Bytes(4)), (0x24, "nx_block_size", Int32ul),
    (0x28, "nx_block_count", Int64ul), (0x48, "nx_uuid", Bytes(16)),
)  # fmt: skip

# FreeBSD sys/ufs/ffs/fs.h, struct fs, both byte orders.
UFS_LE = at(
    0x560, (0x30, "fs_bsize", Int32ul), (0x34, "fs_fsize", Int32ul), (0x90, "fs_id", Array(2, Int32ul)),
    (0x2A8, "fs_volname", Bytes(32)), (0x55C, "fs_magic", Int32ul),
)  # fmt: skip
UFS_BE = at(
    0x560, (0x30, "fs_bsize", Int32ub), (0x34, "fs_fsize", Int32ub), (0x90, "fs_id", Array(2, Int32ub)),
    (0x2A8, "fs_volname", Bytes(32)), (0x55C, "fs_magic", Int32ub),
)  # fmt: skip

# Practical File System Design with the Be File System, 4.7 (super block); Haiku, kernel add-on bfs.
BEFS_LE = at(
    132, (0x00, "name", Bytes(32)), (0x20, "magic1", Bytes(4)), (0x28, "block_size", Int32ul),
    (0x2C, "block_shift", Int32ul), (0x30, "num_blocks", Int64ul), (0x40, "inode_size", Int32ul),
    (0x44, "magic2", Int32ul), (0x4C, "ag_shift", Int32ul), (0x70, "magic3", Int32ul),
    (0x74, "root_group", Int32ul), (0x78, "root_start", Int16ul),
)  # fmt: skip
BEFS_BE = at(
    132, (0x00, "name", Bytes(32)), (0x20, "magic1", Bytes(4)), (0x28, "block_size", Int32ub),
    (0x2C, "block_shift", Int32ub), (0x30, "num_blocks", Int64ub), (0x40, "inode_size", Int32ub),
    (0x44, "magic2", Int32ub), (0x4C, "ag_shift", Int32ub), (0x70, "magic3", Int32ub),
    (0x74, "root_group", Int32ub), (0x78, "root_start", Int16ub),
)  # fmt: skip

HPFS_BOOT = at(
    512, (0x26, "sig_28h", Int8ub), (0x27, "vol_serno", Int32ul), (0x2B, "vol_label", Bytes(11)),
    (0x36, "sig_hpfs", Bytes(8)), (0x1FE, "magic", Int16ul),
)  # fmt: skip

# ECMA-119, 8.4 and 8.5 (primary and supplementary volume descriptor).
ISO9660 = at(
    2048, (0x00, "type", Int8ub), (0x01, "id", Bytes(5)), (0x28, "volume_id", Bytes(32)),
    (0x50, "space_size", Int32ul), (0x58, "escape_sequences", Bytes(32)), (0x80, "logical_block_size", Int16ul),
    (0x32D, "creation_date", Bytes(17)), (0x33E, "modification_date", Bytes(17)),
)  # fmt: skip

# ECMA-167, 3/7.2 (tag), 3/10.2 (anchor), 3/10.1 (primary), 3/10.6 (logical volume).
UDF_ANCHOR = at(
    32, (0x00, "tag_ident", Int16ul), (0x0C, "tag_location", Int32ul), (0x10, "main_length", Int32ul),
    (0x14, "main_location", Int32ul),
)  # fmt: skip
UDF_PRIMARY = at(
    512, (0x00, "tag_ident", Int16ul), (0x0C, "tag_location", Int32ul), (0x18, "volume_ident", Bytes(32)),
    (0x48, "volume_set_ident", Bytes(128)),
)  # fmt: skip
UDF_LOGICAL = at(512, (0x54, "logical_volume_ident", Bytes(128)), (0xD4, "logical_block_size", Int32ul))

VXFS_LE = at(64, (0x04, "vs_version", Int32ul), (0x20, "vs_bsize", Int32ul))
VXFS_BE = at(64, (0x04, "vs_version", Int32ub), (0x20, "vs_bsize", Int32ub))

# ZFS On-Disk Specification (draft of 2006), 1.2: XDR name/value list in a label; 1.3: uberblock.
ZFS_NVLIST = at(12, (0x00, "encoding", Int8ub), (0x01, "endian", Int8ub), (0x04, "version", Int32ub))
