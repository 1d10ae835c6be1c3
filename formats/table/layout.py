"""On-disk layouts of MBR, EBR and GPT. All integers little-endian; LBAs count logical sectors of the disk.

Sources: UEFI Specification 2.10, section 5.2 (legacy and protective MBR) and 5.3 (GPT); the disk signature at
+0x1B8 is Microsoft's (NT disk signature). Field names are those of the UEFI specification.
"""

from __future__ import annotations

from construct import Array, Bytes, Const, Int8ul, Int16ul, Int32ul, Int64ul, Struct

MBR_ENTRIES_OFFSET = 0x1BE

PartitionRecord = Struct(
    "BootIndicator" / Int8ul,  # +0x00 0x80 active, 0x00 not; nothing else is a partition record
    "StartingCHS" / Bytes(3),  # +0x01 not used here: LBA decides
    "OSType" / Int8ul,  # +0x04 type code
    "EndingCHS" / Bytes(3),  # +0x05 not used here
    "StartingLBA" / Int32ul,  # +0x08 sectors; relative in an EBR
    "SizeInLBA" / Int32ul,  # +0x0C sectors
)

# The first 512 bytes of sector 0, and of every EBR.
MasterBootRecord = Struct(
    "BootCode" / Bytes(440),  # +0x000
    "UniqueMBRDiskSignature" / Int32ul,  # +0x1B8
    "Unknown" / Int16ul,  # +0x1BC 0x5A5A: copy-protected
    "PartitionRecord" / Array(4, PartitionRecord),  # +0x1BE
    "Signature" / Const(b"\x55\xaa"),  # +0x1FE
)

GptHeader = Struct(
    "Signature" / Const(b"EFI PART"),  # +0x00
    "Revision" / Int32ul,  # +0x08 0x00010000
    "HeaderSize" / Int32ul,  # +0x0C bytes, 92..sector
    "HeaderCRC32" / Int32ul,  # +0x10 over HeaderSize bytes with this field zero
    "Reserved" / Bytes(4),  # +0x14
    "MyLBA" / Int64ul,  # +0x18 LBA of this header
    "AlternateLBA" / Int64ul,  # +0x20 LBA of the other header
    "FirstUsableLBA" / Int64ul,  # +0x28
    "LastUsableLBA" / Int64ul,  # +0x30 inclusive
    "DiskGUID" / Bytes(16),  # +0x38 mixed-endian GUID
    "PartitionEntryLBA" / Int64ul,  # +0x48
    "NumberOfPartitionEntries" / Int32ul,  # +0x50
    "SizeOfPartitionEntry" / Int32ul,  # +0x54 bytes, 128 * 2^n
    "PartitionEntryArrayCRC32" / Int32ul,  # +0x58 over number * size bytes
)

GptEntry = Struct(
    "PartitionTypeGUID" / Bytes(16),  # +0x00 all zero: unused
    "UniquePartitionGUID" / Bytes(16),  # +0x10
    "StartingLBA" / Int64ul,  # +0x20
    "EndingLBA" / Int64ul,  # +0x28 inclusive
    "Attributes" / Int64ul,  # +0x30
    "PartitionName" / Bytes(72),  # +0x38 36 code units of UTF-16LE
)
