"""The superblock: checked values, features by name, and the search for a backup copy when the first is damaged.

Sources: kernel documentation "ext4 Data Structures and Algorithms", Super Block; the limits are those that the
kernel enforces at mount time; names of features as in ext4(5). What is ext2, ext3 or ext4 follows libblkid of
util-linux 2.38.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from formats.base.checksum import crc32c_raw
from formats.base.decode import decode
from formats.base.errors import ChecksumMismatch, Corrupt, DeviceError, FormatError, NotThisFormat, Unsupported
from formats.base.source import BlockSource
from formats.base.units import is_power_of_two
from fs.ext import layout

SUPERBLOCK_OFFSET = 1024  # bytes
SUPERBLOCK_SIZE = 1024  # bytes
MAGIC = 0xEF53
MAX_GROUPS = 1 << 22  # 512 TiB with 4 KiB blocks; keeps the columns of GroupTable below 200 MB

HAS_JOURNAL, DIR_INDEX, SPARSE_SUPER2, FAST_COMMIT = 0x4, 0x20, 0x200, 0x400
FILETYPE, RECOVER, JOURNAL_DEV, META_BG, SIXTY_FOUR_BIT = 0x2, 0x4, 0x8, 0x10, 0x80
MMP, FLEX_BG, CSUM_SEED, LARGE_DIR = 0x100, 0x200, 0x2000, 0x4000
SPARSE_SUPER, UNINIT_BG, BIGALLOC, METADATA_CSUM, SHARED_BLOCKS = 0x1, 0x10, 0x200, 0x400, 0x4000

INCOMPAT_KNOWN = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
INCOMPAT_NAMES = {0x1: "compression", 0x1000: "dirdata"}
# An unknown read-only-compatible bit may change what the bitmaps count, as bigalloc did: it is refused here too.
RO_COMPAT_KNOWN = (
    0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000
)
RO_COMPAT_NAMES = {0x80: "has_snapshot", 0x800: "replica"}
EXT3_INCOMPAT = 0x2 | 0x4 | 0x10  # filetype, needs_recovery, meta_bg
EXT3_RO_COMPAT = 0x1 | 0x2 | 0x4  # sparse_super, large_file, btree_dir

BACKUP_GROUPS = (1, 3, 5, 7, 9, 25, 27, 49)


@dataclass(frozen=True, slots=True)
class Superblock:
    """Checked values. Blocks are file-system blocks, numbered from 0 at the start of the volume."""

    block_size: int  # bytes
    cluster_blocks: int  # blocks that one bit of a block bitmap stands for; 1 without bigalloc
    blocks_count: int
    first_data_block: int
    blocks_per_group: int
    clusters_per_group: int
    inodes_per_group: int
    inodes_count: int
    inode_size: int  # bytes
    desc_size: int  # bytes
    groups: int
    reserved_gdt_blocks: int
    first_meta_bg: int  # descriptor blocks before this one stand behind the superblock
    backup_groups: tuple[int, int]  # with sparse_super2
    groups_per_flex: int  # 0: cannot be told
    compat: int
    incompat: int
    ro_compat: int
    state: int
    creator_os: int
    journal_inode: int
    external_journal: bool
    mmp_block: int
    csum_seed: int
    first_inode: int  # the first that is not special
    hash_seed: tuple[int, int, int, int]  # of hash tree directories, four words
    hash_version: int  # of new hash tree directories
    hash_flags: int  # 1: names are hashed as signed bytes, 2: as unsigned ones
    uuid: bytes
    label: str

    @property
    def size(self) -> int:
        """Bytes that the file system claims."""
        return self.blocks_count * self.block_size

    @property
    def kind(self) -> str:
        if self.incompat & ~EXT3_INCOMPAT or self.ro_compat & ~EXT3_RO_COMPAT:
            return "ext4"
        return "ext3" if self.compat & HAS_JOURNAL else "ext2"

    @property
    def uuid_text(self) -> str:
        return str(uuid.UUID(bytes=self.uuid)) if any(self.uuid) else ""

    @property
    def metadata_csum(self) -> bool:
        return bool(self.ro_compat & METADATA_CSUM)

    @property
    def descriptor_checksums(self) -> bool:
        """Only with these do the UNINIT flags of group descriptors count."""
        return bool(self.ro_compat & (METADATA_CSUM | UNINIT_BG))

    @property
    def needs_recovery(self) -> bool:
        return bool(self.compat & HAS_JOURNAL and self.incompat & RECOVER)

    @property
    def itable_blocks(self) -> int:
        """Blocks of one inode table."""
        return -(-self.inodes_per_group * self.inode_size // self.block_size)

    @property
    def superblock_block(self) -> int:
        """The block that holds byte 1024."""
        return 1 if self.block_size == 1024 else 0

    def group_first(self, group: int) -> int:
        """First block of `group`."""
        return self.first_data_block + group * self.blocks_per_group

    def group_end(self, group: int) -> int:
        """First block behind `group`; the last group may be short."""
        return min(self.group_first(group) + self.blocks_per_group, self.blocks_count)

    def geometry(self) -> tuple[object, ...]:
        """What must not change when the journal is replayed."""
        return (
            self.block_size, self.cluster_blocks, self.blocks_count, self.first_data_block, self.blocks_per_group,
            self.inodes_per_group, self.inode_size, self.desc_size, self.first_meta_bg, self.csum_seed,
            self.ro_compat & (METADATA_CSUM | UNINIT_BG | SPARSE_SUPER), self.incompat & ~RECOVER,
        )  # fmt: skip


def parse(data: bytes, offset: int, source: str = "") -> Superblock:
    """Decode and check one superblock that stands at `offset` bytes.

    Raises NotThisFormat without the magic, Unsupported for features, Corrupt for impossible values.
    """
    raw = decode(layout.Superblock, data, "ext superblock", offset, source)
    if raw.s_magic != MAGIC:
        raise NotThisFormat(
            "ext superblock", offset + 56, "magic", expected=hex(MAGIC), found=hex(raw.s_magic), source=source
        )
    if raw.s_rev_level > 1:
        raise Unsupported("ext superblock", f"revision {raw.s_rev_level}")
    dynamic = raw.s_rev_level == 1
    # Linux honours feature bits in revision 0 too, with a warning.
    incompat, ro_compat = raw.s_feature_incompat, raw.s_feature_ro_compat
    if ro_compat & METADATA_CSUM:
        expected = crc32c_raw(data[:0x3FC])
        if expected != raw.s_checksum:
            raise ChecksumMismatch(
                "ext superblock", offset + 0x3FC, "checksum", expected=hex(expected), found=hex(raw.s_checksum),
                source=source,
            )  # fmt: skip
    _check_features(incompat, ro_compat, raw)
    return _checked(raw, incompat, ro_compat, dynamic, offset, source)


def _check_features(incompat: int, ro_compat: int, raw: Any) -> None:
    if incompat & JOURNAL_DEV:
        raise Unsupported(
            "ext superblock",
            "journal_dev (the device holds no files, but the external journal of another ext file system)",
            "Store the whole device, together with the file system whose journal it is.",
        )
    for bits, known, names, word in (
        (incompat, INCOMPAT_KNOWN, INCOMPAT_NAMES, "incompat"),
        (ro_compat, RO_COMPAT_KNOWN, RO_COMPAT_NAMES, "ro_compat"),
    ):
        unknown = bits & ~known
        if unknown:
            found = [names.get(1 << i, f"{word} bit {1 << i:#x}") for i in range(32) if unknown >> i & 1]
            raise Unsupported("ext superblock", "feature " + ", ".join(found))
    if ro_compat & METADATA_CSUM and raw.s_checksum_type != 1:
        raise Unsupported("ext superblock", f"checksum type {raw.s_checksum_type}")


def _checked(raw: Any, incompat: int, ro_compat: int, dynamic: bool, offset: int, source: str) -> Superblock:
    def require(condition: bool, at: int, what: str, expected: object, found: object) -> None:
        if not condition:
            raise Corrupt("ext superblock", offset + at, what, expected=expected, found=found, source=source)

    require(raw.s_log_block_size <= 6, 0x18, "s_log_block_size", "0 to 6", raw.s_log_block_size)
    block_size = 1024 << raw.s_log_block_size
    cluster_blocks, clusters_per_group = 1, raw.s_blocks_per_group
    if ro_compat & BIGALLOC:
        low = raw.s_log_block_size
        require(low <= raw.s_log_cluster_size <= 20, 0x1C, "s_log_cluster_size", f"{low} to 20", raw.s_log_cluster_size)
        cluster_blocks = 1 << (raw.s_log_cluster_size - low)
        clusters_per_group = raw.s_clusters_per_group
        expected = clusters_per_group * cluster_blocks
        require(raw.s_blocks_per_group == expected, 0x20, "s_blocks_per_group", expected, raw.s_blocks_per_group)
    bits = 8 * block_size
    require(8 <= clusters_per_group <= bits, 0x20, "blocks or clusters per group", f"8 to {bits}", clusters_per_group)
    first = raw.s_first_data_block
    allowed = (0, 1) if block_size == 1024 and cluster_blocks > 1 else (int(block_size == 1024),)
    require(first in allowed, 0x14, "s_first_data_block", allowed[-1], first)
    wide = bool(incompat & SIXTY_FOUR_BIT)
    blocks = raw.s_blocks_count_lo | (raw.s_blocks_count_hi << 32 if wide else 0)
    require(first < blocks < 1 << 48, 0x04, "s_blocks_count", f"{first + 1} to 2^48", blocks)
    per_group = raw.s_inodes_per_group
    require(0 < per_group <= bits, 0x28, "s_inodes_per_group", f"1 to {bits}", per_group)
    inode_size = raw.s_inode_size if dynamic else 128
    good = is_power_of_two(inode_size) and 128 <= inode_size <= block_size
    require(good, 0x58, "s_inode_size", f"power of two, 128 to {block_size}", inode_size)
    desc_size = raw.s_desc_size if wide else 32
    good = desc_size == 32 or (is_power_of_two(desc_size) and 64 <= desc_size <= 1024)
    require(good and (not wide or desc_size > 32), 0xFE, "s_desc_size", "power of two, 64 to 1024", desc_size)
    reserved = raw.s_reserved_gdt_blocks
    require(reserved <= block_size // 4, 0xCE, "s_reserved_gdt_blocks", f"0 to {block_size // 4}", reserved)
    groups = -(-(blocks - first) // raw.s_blocks_per_group)
    if groups > MAX_GROUPS:
        raise Unsupported("ext superblock", f"{groups} block groups (more than {MAX_GROUPS})")
    require(raw.s_inodes_count == groups * per_group, 0, "s_inodes_count", groups * per_group, raw.s_inodes_count)
    descriptor_blocks = -(-groups * desc_size // block_size)
    if incompat & META_BG:
        require(raw.s_first_meta_bg <= descriptor_blocks, 0x104, "s_first_meta_bg", f"0 to {descriptor_blocks}",
                raw.s_first_meta_bg)  # fmt: skip
    journal = bool(raw.s_feature_compat & HAS_JOURNAL)
    first_inode = raw.s_first_ino
    seed = raw.s_checksum_seed if incompat & CSUM_SEED else crc32c_raw(raw.s_uuid)
    return Superblock(
        block_size=block_size, cluster_blocks=cluster_blocks, blocks_count=blocks, first_data_block=first,
        blocks_per_group=raw.s_blocks_per_group, clusters_per_group=clusters_per_group,
        inodes_per_group=per_group, inodes_count=raw.s_inodes_count, inode_size=inode_size, desc_size=desc_size,
        groups=groups, reserved_gdt_blocks=reserved,
        first_meta_bg=raw.s_first_meta_bg if incompat & META_BG else descriptor_blocks,
        backup_groups=(raw.s_backup_bgs[0], raw.s_backup_bgs[1]),
        groups_per_flex=1 << raw.s_log_groups_per_flex if 0 < raw.s_log_groups_per_flex < 32 else 0,
        compat=raw.s_feature_compat, incompat=incompat, ro_compat=ro_compat, state=raw.s_state,
        creator_os=raw.s_creator_os, journal_inode=raw.s_journal_inum if journal else 0,
        external_journal=journal and not raw.s_journal_inum and bool(raw.s_journal_dev or any(raw.s_journal_uuid)),
        mmp_block=raw.s_mmp_block if incompat & MMP else 0, csum_seed=seed, uuid=raw.s_uuid,
        first_inode=first_inode if dynamic and 11 <= first_inode <= raw.s_inodes_count else 11,
        hash_seed=tuple(raw.s_hash_seed),
        hash_version=raw.s_def_hash_version, hash_flags=raw.s_flags & 3,
        label=raw.s_volume_name.split(b"\0")[0].decode("utf-8", "replace").rstrip(" \t\n\r\f\v"),
    )  # fmt: skip


def find_superblock(source: BlockSource) -> tuple[Superblock, FormatError | DeviceError | None, int]:
    """The superblock, what is wrong with the first copy (None when it is good), and the group of the copy taken.

    A backup is looked for only when the magic stands at its place. Raises NotThisFormat, Unsupported, or the
    error of the first copy when no backup is good.
    """
    if source.size < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE:
        raise NotThisFormat("ext superblock", SUPERBLOCK_OFFSET, f"the volume has {source.size} bytes")
    data = source.read_at(SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE)
    try:
        return parse(data, SUPERBLOCK_OFFSET, source.name), None, 0
    except NotThisFormat:
        raise
    except FormatError as error:
        first_error = error
    for block_size, per_group, group in _backup_places(data):
        first = (1 if block_size == 1024 else 0) + group * per_group
        offset = first * block_size
        if offset + SUPERBLOCK_SIZE > source.size:
            continue
        try:
            found = parse(source.read_at(offset, SUPERBLOCK_SIZE), offset, source.name)
        except (FormatError, Unsupported, DeviceError):
            continue
        if (found.block_size, found.blocks_per_group) == (block_size, per_group) and found.size <= source.size:
            return found, first_error, group
    raise first_error


def _backup_places(primary: bytes) -> Iterator[tuple[int, int, int]]:
    """(block size in bytes, blocks per group, group): what the damaged copy says first, then the usual sizes."""
    log = int.from_bytes(primary[0x18:0x1C], "little")
    said = int.from_bytes(primary[0x20:0x24], "little")
    places = [(1024 << i, 8 * (1024 << i)) for i in (2, 0, 1, 6, 5, 4, 3)]
    if log <= 6 and 0 < said <= 1 << 31:
        places.insert(0, (1024 << log, said))
    for block_size, per_group in dict.fromkeys(places):
        for group in BACKUP_GROUPS:
            yield block_size, per_group, group
