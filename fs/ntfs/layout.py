"""NTFS structures as they lie on the disk, little-endian. Names as in ntfs-3g's layout.h and [MS-FSCC].

Structures of which there is one per record or index entry are decoded in the hot modules with `struct`; a test
keeps those in step with the declarations here.
"""

from __future__ import annotations

from construct import (
    Bytes,
    Int8sl,
    Int8ul,
    Int16sl,
    Int16ul,
    Int32ul,
    Int64sl,
    Int64ul,
    Padding,
    Struct,
)

OEM_ID = b"NTFS    "

BootSector = Struct(
    "jump" / Bytes(3),  # +0x00
    "oem_id" / Bytes(8),  # +0x03 "NTFS    "
    "bytes_per_sector" / Int16ul,  # +0x0B bytes
    "sectors_per_cluster" / Int8ul,  # +0x0D sectors up to 128; above, 2^(256-n) sectors
    "reserved_sectors" / Int16ul,  # +0x0E 0
    "fats" / Int8ul,  # +0x10 0
    "root_entries" / Int16ul,  # +0x11 0
    "sectors" / Int16ul,  # +0x13 0
    "media_type" / Int8ul,  # +0x15 0xF8
    "sectors_per_fat" / Int16ul,  # +0x16 0
    "sectors_per_track" / Int16ul,  # +0x18
    "heads" / Int16ul,  # +0x1A
    "hidden_sectors" / Int32ul,  # +0x1C sectors before the volume
    "large_sectors" / Int32ul,  # +0x20 0
    "physical_drive" / Int8ul,  # +0x24
    "current_head" / Int8ul,  # +0x25
    "extended_boot_signature" / Int8ul,  # +0x26 0x80
    "reserved2" / Int8ul,  # +0x27
    "number_of_sectors" / Int64ul,  # +0x28 sectors, without the backup boot sector behind them
    "mft_lcn" / Int64ul,  # +0x30 clusters
    "mftmirr_lcn" / Int64ul,  # +0x38 clusters
    "clusters_per_mft_record" / Int8sl,  # +0x40 clusters when positive, 2^-n bytes when negative
    Padding(3),
    "clusters_per_index_record" / Int8sl,  # +0x44 likewise
    Padding(3),
    "volume_serial_number" / Int64ul,  # +0x48
    "checksum" / Int32ul,  # +0x50 unused
    "bootstrap" / Bytes(426),  # +0x54
    "end_of_sector_marker" / Int16ul,  # +0x1FE 0xAA55
)

MftRecord = Struct(
    "magic" / Bytes(4),  # +0x00 "FILE"
    "usa_ofs" / Int16ul,  # +0x04 bytes
    "usa_count" / Int16ul,  # +0x06 words, the update sequence number included
    "lsn" / Int64ul,  # +0x08
    "sequence_number" / Int16ul,  # +0x10
    "link_count" / Int16ul,  # +0x12 $FILE_NAME attributes
    "attrs_offset" / Int16ul,  # +0x14 bytes
    "flags" / Int16ul,  # +0x16 1 in use, 2 directory, 4 in $Extend, 8 view index
    "bytes_in_use" / Int32ul,  # +0x18 bytes
    "bytes_allocated" / Int32ul,  # +0x1C bytes
    "base_mft_record" / Int64ul,  # +0x20 file reference, 0 in a base record
    "next_attr_instance" / Int16ul,  # +0x28
    "reserved" / Int16ul,  # +0x2A
    "mft_record_number" / Int32ul,  # +0x2C since NTFS 3.1
)

AttributeHead = Struct(
    "type" / Int32ul,  # +0x00
    "length" / Int32ul,  # +0x04 bytes, a multiple of 8
    "non_resident" / Int8ul,  # +0x08
    "name_length" / Int8ul,  # +0x09 UTF-16 units
    "name_offset" / Int16ul,  # +0x0A bytes
    "flags" / Int16ul,  # +0x0C 0x00FF compression, 0x4000 encrypted, 0x8000 sparse
    "instance" / Int16ul,  # +0x0E
)

ResidentTail = Struct(
    "value_length" / Int32ul,  # +0x10 bytes
    "value_offset" / Int16ul,  # +0x14 bytes from the attribute's start
    "resident_flags" / Int8ul,  # +0x16
    "reserved" / Int8ul,  # +0x17
)

NonResidentTail = Struct(
    "lowest_vcn" / Int64ul,  # +0x10 clusters
    "highest_vcn" / Int64sl,  # +0x18 clusters, inclusive; -1 when empty
    "mapping_pairs_offset" / Int16ul,  # +0x20 bytes
    "compression_unit" / Int8ul,  # +0x22 log2 of clusters
    Padding(5),
    "allocated_size" / Int64sl,  # +0x28 bytes; these three count only where lowest_vcn is 0
    "data_size" / Int64sl,  # +0x30 bytes
    "initialized_size" / Int64sl,  # +0x38 bytes
)

AttributeListEntry = Struct(
    "type" / Int32ul,  # +0x00
    "length" / Int16ul,  # +0x04 bytes
    "name_length" / Int8ul,  # +0x06 UTF-16 units
    "name_offset" / Int8ul,  # +0x07 bytes
    "lowest_vcn" / Int64ul,  # +0x08 clusters
    "mft_reference" / Int64ul,  # +0x10 48 bit record number, 16 bit sequence number
    "instance" / Int16ul,  # +0x18
)

FileName = Struct(
    "parent_directory" / Int64ul,  # +0x00 file reference
    "creation_time" / Int64ul,  # +0x08 100 ns since 1601
    "last_data_change_time" / Int64ul,  # +0x10
    "last_mft_change_time" / Int64ul,  # +0x18
    "last_access_time" / Int64ul,  # +0x20
    "allocated_size" / Int64sl,  # +0x28 bytes
    "data_size" / Int64sl,  # +0x30 bytes
    "file_attributes" / Int32ul,  # +0x38
    "ea_or_reparse" / Int32ul,  # +0x3C
    "file_name_length" / Int8ul,  # +0x40 UTF-16 units
    "file_name_type" / Int8ul,  # +0x41 0 POSIX, 1 Win32, 2 DOS, 3 Win32 and DOS
)

VolumeInformation = Struct(
    "reserved" / Int64ul,  # +0x00
    "major_ver" / Int8ul,  # +0x08
    "minor_ver" / Int8ul,  # +0x09
    "flags" / Int16ul,  # +0x0A 1 dirty, 2 resize $LogFile, 4 upgrade on mount, 0x8000 modified by chkdsk
)

IndexRoot = Struct(
    "type" / Int32ul,  # +0x00 of the indexed attribute, 0 in a view index
    "collation_rule" / Int32ul,  # +0x04
    "index_block_size" / Int32ul,  # +0x08 bytes
    "clusters_per_index_block" / Int8sl,  # +0x0C
    Padding(3),
)

IndexHeader = Struct(
    "entries_offset" / Int32ul,  # +0x00 bytes from this header
    "index_length" / Int32ul,  # +0x04 bytes from this header
    "allocated_size" / Int32ul,  # +0x08 bytes from this header
    "ih_flags" / Int8ul,  # +0x0C 1: has sub-nodes
    Padding(3),
)

IndexBlock = Struct(
    "magic" / Bytes(4),  # +0x00 "INDX"
    "usa_ofs" / Int16ul,  # +0x04 bytes
    "usa_count" / Int16ul,  # +0x06 words
    "lsn" / Int64ul,  # +0x08
    "index_block_vcn" / Int64ul,  # +0x10 clusters, or 512-byte units where a cluster is larger than a block
    "index" / IndexHeader,  # +0x18
)

IndexEntry = Struct(
    "indexed_file" / Int64ul,  # +0x00 file reference
    "length" / Int16ul,  # +0x08 bytes
    "key_length" / Int16ul,  # +0x0A bytes
    "ie_flags" / Int16ul,  # +0x0C 1 has a sub-node, 2 last
    "reserved" / Int16ul,  # +0x0E
)

RestartPageHeader = Struct(
    "magic" / Bytes(4),  # +0x00 "RSTR", "CHKD" after chkdsk
    "usa_ofs" / Int16ul,  # +0x04 bytes
    "usa_count" / Int16ul,  # +0x06 words
    "chkdsk_lsn" / Int64ul,  # +0x08
    "system_page_size" / Int32ul,  # +0x10 bytes
    "log_page_size" / Int32ul,  # +0x14 bytes
    "restart_area_offset" / Int16ul,  # +0x18 bytes
    "minor_ver" / Int16sl,  # +0x1A
    "major_ver" / Int16sl,  # +0x1C
)

RestartArea = Struct(
    "current_lsn" / Int64ul,  # +0x00
    "log_clients" / Int16ul,  # +0x08
    "client_free_list" / Int16ul,  # +0x0A
    "client_in_use_list" / Int16ul,  # +0x0C 0xFFFF: none
    "flags" / Int16ul,  # +0x0E 2: the volume was closed cleanly
)

StandardInformation = Struct(
    "creation_time" / Int64sl,  # +0x00 100 ns since 1601
    "last_data_change_time" / Int64sl,  # +0x08
    "last_mft_change_time" / Int64sl,  # +0x10
    "last_access_time" / Int64sl,  # +0x18
    "file_attributes" / Int32ul,  # +0x20
)  # since NTFS 3.0 the security_id follows at +0x34

SecurityDescriptorHeader = Struct(
    "hash" / Int32ul,  # +0x00
    "security_id" / Int32ul,  # +0x04
    "offset" / Int64ul,  # +0x08 bytes in $SDS
    "length" / Int32ul,  # +0x10 bytes, with this header
)

ExtendedAttribute = Struct(
    "next_entry_offset" / Int32ul,  # +0x00 bytes; 0 or the end of the data behind the last
    "flags" / Int8ul,  # +0x04 0x80: needed
    "ea_name_length" / Int8ul,  # +0x05 bytes, without the zero behind the name
    "ea_value_length" / Int16ul,  # +0x06 bytes
)

ReparsePoint = Struct(
    "reparse_tag" / Int32ul,  # +0x00
    "reparse_data_length" / Int16ul,  # +0x04 bytes behind this header
    "reserved" / Int16ul,  # +0x06
)

LinkPaths = Struct(
    "substitute_name_offset" / Int16ul,  # +0x08 bytes from the begin of the names
    "substitute_name_length" / Int16ul,  # +0x0A bytes
    "print_name_offset" / Int16ul,  # +0x0C
    "print_name_length" / Int16ul,  # +0x0E
)  # in a symbolic link four bytes of flags stand between these and the names

WofFile = Struct(
    "wof_version" / Int32ul,  # +0x08 1
    "provider" / Int32ul,  # +0x0C 1 a WIM archive, 2 a stream of the file
    "file_version" / Int32ul,  # +0x10 1
    "algorithm" / Int32ul,  # +0x14 0 XPRESS4K, 1 LZX, 2 XPRESS8K, 3 XPRESS16K
)
