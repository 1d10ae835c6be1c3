"""On-disk structures of ext2, ext3 and ext4, and of their journal, as construct declarations.

Source: Linux kernel documentation, "ext4 Data Structures and Algorithms" (Documentation/filesystems/ext4), chapters
Super Block, Group Descriptors, Inode Table, Extent Tree, Directory Entries, Extended Attributes, Journal (jbd2),
Multiple Mount Protection. Field names are those of the specification. ext is little-endian, the journal big-endian.
"""

from __future__ import annotations

from construct import Array, Bytes, Int8ul, Int16ub, Int16ul, Int32ub, Int32ul, Int64ub, Int64ul, Padding, Struct

Superblock = Struct(  # 1024 bytes, at byte 1024 of the volume
    "s_inodes_count" / Int32ul,  # +0x00 inodes
    "s_blocks_count_lo" / Int32ul,  # +0x04 blocks
    "s_r_blocks_count_lo" / Int32ul,  # +0x08 blocks
    "s_free_blocks_count_lo" / Int32ul,  # +0x0C clusters
    "s_free_inodes_count" / Int32ul,  # +0x10 inodes
    "s_first_data_block" / Int32ul,  # +0x14 block number: 1 with 1 KiB blocks, else 0
    "s_log_block_size" / Int32ul,  # +0x18 block size is 1024 << this
    "s_log_cluster_size" / Int32ul,  # +0x1C cluster size is 1024 << this, with bigalloc
    "s_blocks_per_group" / Int32ul,  # +0x20 blocks
    "s_clusters_per_group" / Int32ul,  # +0x24 clusters
    "s_inodes_per_group" / Int32ul,  # +0x28 inodes
    "s_mtime" / Int32ul,  # +0x2C seconds
    "s_wtime" / Int32ul,  # +0x30 seconds
    "s_mnt_count" / Int16ul,  # +0x34
    "s_max_mnt_count" / Int16ul,  # +0x36
    "s_magic" / Int16ul,  # +0x38 0xEF53
    "s_state" / Int16ul,  # +0x3A 1 clean, 2 errors, 4 orphans being recovered
    "s_errors" / Int16ul,  # +0x3C
    "s_minor_rev_level" / Int16ul,  # +0x3E
    "s_lastcheck" / Int32ul,  # +0x40 seconds
    "s_checkinterval" / Int32ul,  # +0x44 seconds
    "s_creator_os" / Int32ul,  # +0x48 0 Linux
    "s_rev_level" / Int32ul,  # +0x4C 0 original, 1 dynamic
    "s_def_resuid" / Int16ul,  # +0x50
    "s_def_resgid" / Int16ul,  # +0x52
    "s_first_ino" / Int32ul,  # +0x54 inode number
    "s_inode_size" / Int16ul,  # +0x58 bytes
    "s_block_group_nr" / Int16ul,  # +0x5A group of this copy, modulo 65536
    "s_feature_compat" / Int32ul,  # +0x5C bits
    "s_feature_incompat" / Int32ul,  # +0x60 bits
    "s_feature_ro_compat" / Int32ul,  # +0x64 bits
    "s_uuid" / Bytes(16),  # +0x68
    "s_volume_name" / Bytes(16),  # +0x78
    "s_last_mounted" / Bytes(64),  # +0x88
    "s_algorithm_usage_bitmap" / Int32ul,  # +0xC8
    "s_prealloc_blocks" / Int8ul,  # +0xCC
    "s_prealloc_dir_blocks" / Int8ul,  # +0xCD
    "s_reserved_gdt_blocks" / Int16ul,  # +0xCE blocks
    "s_journal_uuid" / Bytes(16),  # +0xD0
    "s_journal_inum" / Int32ul,  # +0xE0 inode number
    "s_journal_dev" / Int32ul,  # +0xE4 device number
    "s_last_orphan" / Int32ul,  # +0xE8 inode number
    "s_hash_seed" / Array(4, Int32ul),  # +0xEC
    "s_def_hash_version" / Int8ul,  # +0xFC
    "s_jnl_backup_type" / Int8ul,  # +0xFD
    "s_desc_size" / Int16ul,  # +0xFE bytes, with 64bit
    "s_default_mount_opts" / Int32ul,  # +0x100
    "s_first_meta_bg" / Int32ul,  # +0x104 descriptor block number
    "s_mkfs_time" / Int32ul,  # +0x108 seconds
    "s_jnl_blocks" / Array(17, Int32ul),  # +0x10C
    "s_blocks_count_hi" / Int32ul,  # +0x150 blocks >> 32
    "s_r_blocks_count_hi" / Int32ul,  # +0x154
    "s_free_blocks_count_hi" / Int32ul,  # +0x158
    "s_min_extra_isize" / Int16ul,  # +0x15C bytes
    "s_want_extra_isize" / Int16ul,  # +0x15E bytes
    "s_flags" / Int32ul,  # +0x160
    "s_raid_stride" / Int16ul,  # +0x164
    "s_mmp_interval" / Int16ul,  # +0x166 seconds
    "s_mmp_block" / Int64ul,  # +0x168 block number
    "s_raid_stripe_width" / Int32ul,  # +0x170
    "s_log_groups_per_flex" / Int8ul,  # +0x174
    "s_checksum_type" / Int8ul,  # +0x175 1 is crc32c
    Padding(2),  # +0x176
    "s_kbytes_written" / Int64ul,  # +0x178 KiB
    Padding(20),  # +0x180 snapshots, never in mainline
    "s_error_count" / Int32ul,  # +0x194
    Padding(104),  # +0x198 first and last error
    "s_mount_opts" / Bytes(64),  # +0x200
    "s_usr_quota_inum" / Int32ul,  # +0x240 inode number
    "s_grp_quota_inum" / Int32ul,  # +0x244 inode number
    "s_overhead_blocks" / Int32ul,  # +0x248
    "s_backup_bgs" / Array(2, Int32ul),  # +0x24C groups, with sparse_super2
    Padding(20),  # +0x254 encryption
    "s_lpf_ino" / Int32ul,  # +0x268
    "s_prj_quota_inum" / Int32ul,  # +0x26C inode number
    "s_checksum_seed" / Int32ul,  # +0x270 with csum_seed
    Padding(8),  # +0x274 high bits of times
    "s_encoding" / Int16ul,  # +0x27C
    "s_encoding_flags" / Int16ul,  # +0x27E
    "s_orphan_file_inum" / Int32ul,  # +0x280 inode number
    Padding(376),  # +0x284
    "s_checksum" / Int32ul,  # +0x3FC crc32c of everything before
)

GroupDescriptor = Struct(  # the first 64 bytes; the first 32 without the 64bit feature
    "bg_block_bitmap_lo" / Int32ul,  # +0x00 block number
    "bg_inode_bitmap_lo" / Int32ul,  # +0x04 block number
    "bg_inode_table_lo" / Int32ul,  # +0x08 block number
    "bg_free_blocks_count_lo" / Int16ul,  # +0x0C clusters
    "bg_free_inodes_count_lo" / Int16ul,  # +0x0E inodes
    "bg_used_dirs_count_lo" / Int16ul,  # +0x10
    "bg_flags" / Int16ul,  # +0x12 1 INODE_UNINIT, 2 BLOCK_UNINIT, 4 INODE_ZEROED
    "bg_exclude_bitmap_lo" / Int32ul,  # +0x14
    "bg_block_bitmap_csum_lo" / Int16ul,  # +0x18
    "bg_inode_bitmap_csum_lo" / Int16ul,  # +0x1A
    "bg_itable_unused_lo" / Int16ul,  # +0x1C inodes at the end of the table
    "bg_checksum" / Int16ul,  # +0x1E
    "bg_block_bitmap_hi" / Int32ul,  # +0x20
    "bg_inode_bitmap_hi" / Int32ul,  # +0x24
    "bg_inode_table_hi" / Int32ul,  # +0x28
    "bg_free_blocks_count_hi" / Int16ul,  # +0x2C
    "bg_free_inodes_count_hi" / Int16ul,  # +0x2E
    "bg_used_dirs_count_hi" / Int16ul,  # +0x30
    "bg_itable_unused_hi" / Int16ul,  # +0x32
    "bg_exclude_bitmap_hi" / Int32ul,  # +0x34
    "bg_block_bitmap_csum_hi" / Int16ul,  # +0x38
    "bg_inode_bitmap_csum_hi" / Int16ul,  # +0x3A
    "bg_reserved" / Int32ul,  # +0x3C
)

Inode = Struct(  # the first 128 bytes
    "i_mode" / Int16ul,  # +0x00
    "i_uid" / Int16ul,  # +0x02
    "i_size_lo" / Int32ul,  # +0x04 bytes
    "i_atime" / Int32ul,  # +0x08 seconds
    "i_ctime" / Int32ul,  # +0x0C seconds
    "i_mtime" / Int32ul,  # +0x10 seconds
    "i_dtime" / Int32ul,  # +0x14 seconds, or the next orphan
    "i_gid" / Int16ul,  # +0x18
    "i_links_count" / Int16ul,  # +0x1A
    "i_blocks_lo" / Int32ul,  # +0x1C 512-byte units, or blocks with HUGE_FILE_FL
    "i_flags" / Int32ul,  # +0x20
    "i_osd1" / Int32ul,  # +0x24
    "i_block" / Bytes(60),  # +0x28 block map, extent tree, inline data or link target
    "i_generation" / Int32ul,  # +0x64
    "i_file_acl_lo" / Int32ul,  # +0x68 block number
    "i_size_high" / Int32ul,  # +0x6C
    "i_obso_faddr" / Int32ul,  # +0x70
    "l_i_blocks_high" / Int16ul,  # +0x74
    "l_i_file_acl_high" / Int16ul,  # +0x76
    "l_i_uid_high" / Int16ul,  # +0x78
    "l_i_gid_high" / Int16ul,  # +0x7A
    "l_i_checksum_lo" / Int16ul,  # +0x7C
    "l_i_reserved" / Int16ul,  # +0x7E
)

InodeExtra = Struct(  # at +0x80 of inodes larger than 128 bytes
    "i_extra_isize" / Int16ul,  # +0x80 bytes from here
    "i_checksum_hi" / Int16ul,  # +0x82
)

InodeTimes = Struct(  # at +0x84 of inodes larger than 128 bytes, as far as i_extra_isize reaches
    "i_ctime_extra" / Int32ul,  # +0x84 bits 0-1: epochs of 2^32 seconds, the rest: nanoseconds
    "i_mtime_extra" / Int32ul,  # +0x88
    "i_atime_extra" / Int32ul,  # +0x8C
    "i_crtime" / Int32ul,  # +0x90 seconds
    "i_crtime_extra" / Int32ul,  # +0x94
    "i_version_hi" / Int32ul,  # +0x98
    "i_projid" / Int32ul,  # +0x9C
)

ExtentHeader = Struct(
    "eh_magic" / Int16ul,  # +0x00 0xF30A
    "eh_entries" / Int16ul,  # +0x02
    "eh_max" / Int16ul,  # +0x04
    "eh_depth" / Int16ul,  # +0x06 0: leaves follow
    "eh_generation" / Int32ul,  # +0x08
)

ExtentIndex = Struct(
    "ei_block" / Int32ul,  # +0x00 logical block
    "ei_leaf_lo" / Int32ul,  # +0x04 block number
    "ei_leaf_hi" / Int16ul,  # +0x08
    "ei_unused" / Int16ul,  # +0x0A
)

ExtentLeaf = Struct(
    "ee_block" / Int32ul,  # +0x00 logical block
    "ee_len" / Int16ul,  # +0x04 blocks; above 32768: unwritten, less 32768
    "ee_start_hi" / Int16ul,  # +0x06
    "ee_start_lo" / Int32ul,  # +0x08 block number
)

DirEntryHead = Struct(  # ext4_dir_entry_2; the name follows
    "inode" / Int32ul,  # +0x00 inode number, 0: unused
    "rec_len" / Int16ul,  # +0x04 bytes to the next entry
    "name_len" / Int8ul,  # +0x06 bytes
    "file_type" / Int8ul,  # +0x07
)

DxRootInfo = Struct(  # behind the entries '.' and '..' of the first block of a hash tree directory
    "reserved_zero" / Int32ul,  # +0x00
    "hash_version" / Int8ul,  # +0x04 0 legacy, 1 half MD4, 2 TEA, 6 SipHash
    "info_length" / Int8ul,  # +0x05 always 8
    "indirect_levels" / Int8ul,  # +0x06
    "unused_flags" / Int8ul,  # +0x07
)

XattrHeader = Struct(
    "h_magic" / Int32ul,  # +0x00 0xEA020000
    "h_refcount" / Int32ul,  # +0x04 inodes that share the block
    "h_blocks" / Int32ul,  # +0x08 always 1
    "h_hash" / Int32ul,  # +0x0C
    "h_checksum" / Int32ul,  # +0x10
)

XattrEntry = Struct(  # the name follows; the next entry begins at a multiple of 4
    "e_name_len" / Int8ul,  # +0x00 bytes
    "e_name_index" / Int8ul,  # +0x01 prefix of the name
    "e_value_offs" / Int16ul,  # +0x02 bytes from the block, or from the first entry in an inode
    "e_value_inum" / Int32ul,  # +0x04 inode that holds the value, 0: it is here
    "e_value_size" / Int32ul,  # +0x08 bytes
    "e_hash" / Int32ul,  # +0x0C
)

AclEntry = Struct(  # ext4_acl_entry; e_id only for named users and groups
    "e_tag" / Int16ul,  # +0x00
    "e_perm" / Int16ul,  # +0x02
    "e_id" / Int32ul,  # +0x04
)

MmpBlock = Struct(
    "mmp_magic" / Int32ul,  # +0x00 0x004D4D50
    "mmp_seq" / Int32ul,  # +0x04
    "mmp_time" / Int64ul,  # +0x08 seconds
    "mmp_nodename" / Bytes(64),  # +0x10
    "mmp_bdevname" / Bytes(32),  # +0x50
)

JournalHeader = Struct(
    "h_magic" / Int32ub,  # +0x00 0xC03B3998
    "h_blocktype" / Int32ub,  # +0x04
    "h_sequence" / Int32ub,  # +0x08 transaction
)

JournalSuperblock = Struct(
    "s_header" / JournalHeader,  # +0x00
    "s_blocksize" / Int32ub,  # +0x0C bytes
    "s_maxlen" / Int32ub,  # +0x10 blocks
    "s_first" / Int32ub,  # +0x14 first block of the log
    "s_sequence" / Int32ub,  # +0x18 first transaction expected
    "s_start" / Int32ub,  # +0x1C block of the first transaction, 0: nothing to replay
    "s_errno" / Int32ub,  # +0x20
    "s_feature_compat" / Int32ub,  # +0x24
    "s_feature_incompat" / Int32ub,  # +0x28
    "s_feature_ro_compat" / Int32ub,  # +0x2C
    "s_uuid" / Bytes(16),  # +0x30
    "s_nr_users" / Int32ub,  # +0x40
    "s_dynsuper" / Int32ub,  # +0x44
    "s_max_transaction" / Int32ub,  # +0x48
    "s_max_trans_data" / Int32ub,  # +0x4C
    "s_checksum_type" / Int8ul,  # +0x50 4 is crc32c
    Padding(3),  # +0x51
    "s_num_fc_blks" / Int32ub,  # +0x54 blocks, 0 means 256
    "s_head" / Int32ub,  # +0x58
    Padding(160),  # +0x5C
    "s_checksum" / Int32ub,  # +0xFC crc32c of the 1024 bytes with this field zero
    "s_users" / Bytes(768),  # +0x100
)

JournalTag = Struct(  # 8 bytes without the last field unless 64BIT; 2 bytes more with CSUM_V2
    "t_blocknr" / Int32ub,  # +0x00 block number
    "t_checksum" / Int16ub,  # +0x04
    "t_flags" / Int16ub,  # +0x06 1 escaped, 2 same uuid, 4 deleted, 8 last
    "t_blocknr_high" / Int32ub,  # +0x08
)

JournalTag3 = Struct(  # with CSUM_V3
    "t_blocknr" / Int32ub,  # +0x00 block number
    "t_flags" / Int32ub,  # +0x04
    "t_blocknr_high" / Int32ub,  # +0x08
    "t_checksum" / Int32ub,  # +0x0C
)

JournalCommit = Struct(
    "h_header" / JournalHeader,  # +0x00
    "h_chksum_type" / Int8ul,  # +0x0C
    "h_chksum_size" / Int8ul,  # +0x0D
    Padding(2),  # +0x0E
    "h_chksum" / Array(8, Int32ub),  # +0x10
    "h_commit_sec" / Int64ub,  # +0x30 seconds
    "h_commit_nsec" / Int32ub,  # +0x38
)
