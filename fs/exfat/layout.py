"""exFAT on disk, with the field names of Microsoft's "exFAT file system specification" (revision 1.00, as published
on learn.microsoft.com, 2019). Little-endian. Offsets in hexadecimal, units in the comment.
"""

from __future__ import annotations

import construct as c

# Section 3.1, table 4: the first 512 bytes of the main or backup boot sector.
BootSector = c.Struct(
    "JumpBoot" / c.Bytes(3),  # +0x00 EB 76 90
    "FileSystemName" / c.Bytes(8),  # +0x03 "EXFAT   "
    "MustBeZero" / c.Bytes(53),  # +0x0b where FAT has its BPB
    "PartitionOffset" / c.Int64ul,  # +0x40 sectors; 0: not known
    "VolumeLength" / c.Int64ul,  # +0x48 sectors
    "FatOffset" / c.Int32ul,  # +0x50 sectors from the start of the volume
    "FatLength" / c.Int32ul,  # +0x54 sectors of one FAT
    "ClusterHeapOffset" / c.Int32ul,  # +0x58 sectors
    "ClusterCount" / c.Int32ul,  # +0x5c clusters
    "FirstClusterOfRootDirectory" / c.Int32ul,  # +0x60 cluster
    "VolumeSerialNumber" / c.Int32ul,  # +0x64
    "FileSystemRevision" / c.Int16ul,  # +0x68 high byte: major
    "VolumeFlags" / c.Int16ul,  # +0x6a bit 0: active FAT, 1: dirty, 2: media failure; not in the checksum
    "BytesPerSectorShift" / c.Int8ul,  # +0x6c 9 to 12
    "SectorsPerClusterShift" / c.Int8ul,  # +0x6d
    "NumberOfFats" / c.Int8ul,  # +0x6e 1, or 2 with TexFAT
    "DriveSelect" / c.Int8ul,  # +0x6f
    "PercentInUse" / c.Int8ul,  # +0x70 not in the checksum
    "Reserved" / c.Bytes(7),  # +0x71
    "BootCode" / c.Bytes(390),  # +0x78
    "BootSignature" / c.Int16ul,  # +0x1fe 0xAA55
)
FILE_SYSTEM_NAME = b"EXFAT   "
BOOT_SIGNATURE = 0xAA55

# Sections 7.1 to 7.7. directory.py reads these with struct; a test keeps the two equal.
BitmapEntry = c.Struct(
    "EntryType" / c.Int8ul,  # +0x00 0x81
    "BitmapFlags" / c.Int8ul,  # +0x01 bit 0: belongs to the second FAT
    "Reserved" / c.Bytes(18),  # +0x02
    "FirstCluster" / c.Int32ul,  # +0x14 cluster
    "DataLength" / c.Int64ul,  # +0x18 bytes
)
UpcaseEntry = c.Struct(
    "EntryType" / c.Int8ul,  # +0x00 0x82
    "Reserved1" / c.Bytes(3),  # +0x01
    "TableChecksum" / c.Int32ul,  # +0x04
    "Reserved2" / c.Bytes(12),  # +0x08
    "FirstCluster" / c.Int32ul,  # +0x14 cluster
    "DataLength" / c.Int64ul,  # +0x18 bytes
)
LabelEntry = c.Struct(
    "EntryType" / c.Int8ul,  # +0x00 0x83
    "CharacterCount" / c.Int8ul,  # +0x01 UTF-16 units, up to 11
    "VolumeLabel" / c.Bytes(22),  # +0x02
    "Reserved" / c.Bytes(8),  # +0x18
)
FileEntry = c.Struct(
    "EntryType" / c.Int8ul,  # +0x00 0x85
    "SecondaryCount" / c.Int8ul,  # +0x01 entries that follow, 2 to 18
    "SetChecksum" / c.Int16ul,  # +0x02 over the whole set, without this field
    "FileAttributes" / c.Int16ul,  # +0x04 bit 4: directory
    "Reserved1" / c.Int16ul,  # +0x06
    "CreateTimestamp" / c.Int32ul,  # +0x08
    "LastModifiedTimestamp" / c.Int32ul,  # +0x0c
    "LastAccessedTimestamp" / c.Int32ul,  # +0x10
    "Times" / c.Bytes(5),  # +0x14 10 ms increments and time zones
    "Reserved2" / c.Bytes(7),  # +0x19
)
StreamEntry = c.Struct(
    "EntryType" / c.Int8ul,  # +0x00 0xC0
    "GeneralSecondaryFlags" / c.Int8ul,  # +0x01 bit 0: allocation possible, bit 1: NoFatChain
    "Reserved1" / c.Int8ul,  # +0x02
    "NameLength" / c.Int8ul,  # +0x03 UTF-16 units
    "NameHash" / c.Int16ul,  # +0x04
    "Reserved2" / c.Int16ul,  # +0x06
    "ValidDataLength" / c.Int64ul,  # +0x08 bytes
    "Reserved3" / c.Int32ul,  # +0x10
    "FirstCluster" / c.Int32ul,  # +0x14 cluster
    "DataLength" / c.Int64ul,  # +0x18 bytes
)
NameEntry = c.Struct(
    "EntryType" / c.Int8ul,  # +0x00 0xC1
    "GeneralSecondaryFlags" / c.Int8ul,  # +0x01
    "FileName" / c.Bytes(30),  # +0x02 15 UTF-16 units
)
# Section 7.9, table 36: Vendor Allocation; its last two fields lie where those of a stream entry do.
VendorAllocationEntry = c.Struct(
    "EntryType" / c.Int8ul,  # +0x00 0xE1
    "GeneralSecondaryFlags" / c.Int8ul,  # +0x01
    "VendorGuid" / c.Bytes(16),  # +0x02
    "VendorDefined" / c.Bytes(2),  # +0x12
    "FirstCluster" / c.Int32ul,  # +0x14 cluster
    "DataLength" / c.Int64ul,  # +0x18 bytes
)
