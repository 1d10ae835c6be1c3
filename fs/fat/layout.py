"""FAT12, FAT16 and FAT32 on disk, with the field names of Microsoft's "FAT: General Overview of On-Disk Format",
version 1.03 ("fatgen103"). Little-endian. Offsets in hexadecimal, units in the comment.
"""

from __future__ import annotations

import construct as c

# Sections "Boot Sector and BPB Structure" and "FAT12 and FAT16 / FAT32 Structure Starting at Offset 36".
BpbCommon = c.Struct(
    "BS_jmpBoot" / c.Bytes(3),  # +0x00 EB xx 90 or E9 xx xx
    "BS_OEMName" / c.Bytes(8),  # +0x03
    "BPB_BytsPerSec" / c.Int16ul,  # +0x0b bytes
    "BPB_SecPerClus" / c.Int8ul,  # +0x0d sectors
    "BPB_RsvdSecCnt" / c.Int16ul,  # +0x0e sectors, with the boot sector
    "BPB_NumFATs" / c.Int8ul,  # +0x10
    "BPB_RootEntCnt" / c.Int16ul,  # +0x11 entries of 32 bytes; 0 on FAT32
    "BPB_TotSec16" / c.Int16ul,  # +0x13 sectors; 0: see BPB_TotSec32
    "BPB_Media" / c.Int8ul,  # +0x15 0xF0 or 0xF8 to 0xFF
    "BPB_FATSz16" / c.Int16ul,  # +0x16 sectors of one FAT; 0 on FAT32
    "BPB_SecPerTrk" / c.Int16ul,  # +0x18
    "BPB_NumHeads" / c.Int16ul,  # +0x1a
    "BPB_HiddSec" / c.Int32ul,  # +0x1c sectors before the partition
    "BPB_TotSec32" / c.Int32ul,  # +0x20 sectors
)

BpbFat16 = c.Struct(
    "BS_DrvNum" / c.Int8ul,  # +0x24
    "BS_Reserved1" / c.Int8ul,  # +0x25 bit 0: dirty, bit 1: surface scan wanted (Windows, dosfstools)
    "BS_BootSig" / c.Int8ul,  # +0x26 0x29: the next three are there; 0x28: only the first
    "BS_VolID" / c.Bytes(4),  # +0x27
    "BS_VolLab" / c.Bytes(11),  # +0x2b
    "BS_FilSysType" / c.Bytes(8),  # +0x36 "FAT12   ", "FAT16   ", "FAT     "; not to be relied on
)

BpbFat32 = c.Struct(
    "BPB_FATSz32" / c.Int32ul,  # +0x24 sectors of one FAT
    "BPB_ExtFlags" / c.Int16ul,  # +0x28 bit 7: only one FAT is active, bits 0-3: which (0-based)
    "BPB_FSVer" / c.Int16ul,  # +0x2a must be 0
    "BPB_RootClus" / c.Int32ul,  # +0x2c cluster
    "BPB_FSInfo" / c.Int16ul,  # +0x30 sector
    "BPB_BkBootSec" / c.Int16ul,  # +0x32 sector
    "BPB_Reserved" / c.Bytes(12),  # +0x34
    "BS_DrvNum" / c.Int8ul,  # +0x40
    "BS_Reserved1" / c.Int8ul,  # +0x41 as above
    "BS_BootSig" / c.Int8ul,  # +0x42
    "BS_VolID" / c.Bytes(4),  # +0x43
    "BS_VolLab" / c.Bytes(11),  # +0x47
    "BS_FilSysType" / c.Bytes(8),  # +0x52 "FAT32   "
)

BPB16_SIZE = 0x3E
BPB32_SIZE = 0x5A

# Section "FAT32 FSInfo Sector Structure and Backup Boot Sector".
FsInfo = c.Struct(
    "FSI_LeadSig" / c.Int32ul,  # +0x000 0x41615252
    "FSI_Reserved1" / c.Bytes(480),  # +0x004
    "FSI_StrucSig" / c.Int32ul,  # +0x1e4 0x61417272
    "FSI_Free_Count" / c.Int32ul,  # +0x1e8 clusters; 0xFFFFFFFF: not known
    "FSI_Nxt_Free" / c.Int32ul,  # +0x1ec cluster
    "FSI_Reserved2" / c.Bytes(12),  # +0x1f0
    "FSI_TrailSig" / c.Int32ul,  # +0x1fc 0xAA550000
)
FSI_LEAD, FSI_STRUC, FSI_TRAIL = 0x41615252, 0x61417272, 0xAA550000

# Section "FAT Directory Structure". directory.py reads these with struct; a test keeps the two equal.
DirEntry = c.Struct(
    "DIR_Name" / c.Bytes(11),  # +0x00 8 + 3, padded with blanks
    "DIR_Attr" / c.Int8ul,  # +0x0b
    "DIR_NTRes" / c.Int8ul,  # +0x0c bit 3: base in lower case, bit 4: extension (seen with Windows NT and mtools)
    "DIR_CrtTimeTenth" / c.Int8ul,  # +0x0d
    "DIR_CrtTime" / c.Int16ul,  # +0x0e
    "DIR_CrtDate" / c.Int16ul,  # +0x10
    "DIR_LstAccDate" / c.Int16ul,  # +0x12
    "DIR_FstClusHI" / c.Int16ul,  # +0x14 high word of the cluster, FAT32 only
    "DIR_WrtTime" / c.Int16ul,  # +0x16
    "DIR_WrtDate" / c.Int16ul,  # +0x18
    "DIR_FstClusLO" / c.Int16ul,  # +0x1a low word of the cluster
    "DIR_FileSize" / c.Int32ul,  # +0x1c bytes
)

# Section "FAT Long Directory Entries".
LongEntry = c.Struct(
    "LDIR_Ord" / c.Int8ul,  # +0x00 1-based, 0x40 marks the last, which comes first
    "LDIR_Name1" / c.Bytes(10),  # +0x01 UTF-16, characters 1-5
    "LDIR_Attr" / c.Int8ul,  # +0x0b 0x0F
    "LDIR_Type" / c.Int8ul,  # +0x0c 0
    "LDIR_Chksum" / c.Int8ul,  # +0x0d of the short name
    "LDIR_Name2" / c.Bytes(12),  # +0x0e characters 6-11
    "LDIR_FstClusLO" / c.Int16ul,  # +0x1a 0
    "LDIR_Name3" / c.Bytes(4),  # +0x1c characters 12-13
)
