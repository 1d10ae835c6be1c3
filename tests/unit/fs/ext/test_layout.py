"""The fast decoders must not drift from the declared layouts."""

from __future__ import annotations

from random import Random
from struct import Struct
from typing import Any

import pytest

from formats.base.checksum import crc32c
from formats.base.source import FileSource
from fs.ext import directory, extents, group, htree, inode, journal, layout, volume, walk, xattr
from fs.ext.inode import decode_inode
from fs.ext.superblock import parse
from tests.support.tools import need, run
from tests.unit.fs.ext.conftest import ImageMaker


@pytest.mark.parametrize(
    ("fast", "declared"),
    [
        (group.FAST_64, layout.GroupDescriptor),
        (inode.FAST_INODE, layout.Inode),
        (inode.FAST_EXTRA, layout.InodeExtra),
        (extents.FAST_HEADER, layout.ExtentHeader),
        (extents.FAST_INDEX, layout.ExtentIndex),
        (extents.FAST_LEAF, layout.ExtentLeaf),
        (directory.FAST_ENTRY, layout.DirEntryHead),
        (walk.FAST_XATTR, layout.XattrHeader),
        (inode.FAST_TIMES, layout.InodeTimes),
        (xattr.FAST_HEADER, layout.XattrHeader),
        (xattr.FAST_ENTRY, layout.XattrEntry),
        (xattr.FAST_ACL, layout.AclEntry),
        (htree.FAST_ROOT, layout.DxRootInfo),
        (journal.FAST_HEADER, layout.JournalHeader),
        (journal._TAG3, layout.JournalTag3),
    ],
)
def test_fast_decoder_agrees(fast: Struct, declared: Any) -> None:
    data = Random(5).randbytes(fast.size)
    assert declared.sizeof() == fast.size
    slow = [value for name, value in declared.parse(data).items() if not name.startswith("_")]
    assert slow == list(fast.unpack(data))


def test_prefixes_agree() -> None:
    data = Random(6).randbytes(112)
    wide = layout.GroupDescriptor.parse(data)
    assert group.FAST_32.size == 32
    assert group.FAST_32.unpack(data[:32]) == group.FAST_64.unpack(data[:64])[:12]
    assert group.FAST_32.unpack(data[:32])[11] == wide.bg_checksum
    tag = layout.JournalTag.parse(data)
    assert journal._TAG.unpack_from(data) == (tag.t_blocknr, tag.t_checksum, tag.t_flags)
    mmp = layout.MmpBlock.parse(data)
    assert volume._MMP.unpack_from(data) == (mmp.mmp_magic, mmp.mmp_seq)


def test_sizes_of_the_specification() -> None:
    sizes = {
        "Superblock": 1024, "GroupDescriptor": 64, "Inode": 128, "ExtentHeader": 12, "ExtentIndex": 12,
        "ExtentLeaf": 12, "DirEntryHead": 8, "JournalHeader": 12, "JournalSuperblock": 1024, "JournalTag": 12,
        "JournalTag3": 16, "JournalCommit": 60, "MmpBlock": 112,
    }  # fmt: skip
    assert {name: getattr(layout, name).sizeof() for name in sizes} == sizes


def test_crc16() -> None:
    """The check value of CRC-16/MODBUS, which has the same polynomial and start."""
    assert group.crc16(b"1234567890") == _crc16_bitwise(b"1234567890")
    assert _crc16_bitwise(b"123456789") == 0x4B37
    assert crc32c(b"123456789") == 0xE3069283


def _crc16_bitwise(data: bytes) -> int:
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register


@pytest.mark.parametrize("name", ["ext2-1k", "ext4-4k", "ext4-bigalloc", "ext4-metabg"])
def test_superblock_values_are_those_of_dumpe2fs(name: str, image: ImageMaker) -> None:
    need("dumpe2fs")
    head = dict(line.split(":", 1) for line in run("dumpe2fs", "-h", image(name)).splitlines() if ":" in line)
    with FileSource(image(name)) as source:
        sb = parse(source.read_at(1024, 1024), 1024)
    for key, value in {
        "Block count": sb.blocks_count, "Block size": sb.block_size, "Blocks per group": sb.blocks_per_group,
        "Inodes per group": sb.inodes_per_group, "Inode size": sb.inode_size, "Inode count": sb.inodes_count,
        "First block": sb.first_data_block, "Inode blocks per group": sb.itable_blocks,
    }.items():  # fmt: skip
        assert int(head[key]) == value, key


def test_inode_values_are_those_of_debugfs(image: ImageMaker) -> None:
    path = image("ext4-1k")
    need("debugfs")
    place = run("debugfs", "-R", "imap <8>", path)
    block, offset = (int(word.rstrip(","), 0) for word in place.split()[-3::2])
    with FileSource(path) as source:
        sb = parse(source.read_at(1024, 1024), 1024)
        at = block * sb.block_size + offset
        raw = source.read_at(at, sb.inode_size)
    assert inode.checksum_complaint(sb, 8, raw) == ""
    assert inode.checksum_complaint(sb, 9, raw) != ""
    found = decode_inode(sb, 8, raw, at)
    stat = run("debugfs", "-R", "stat <8>", path)
    assert f"Size: {found.size}\n" in stat
    assert f"Links: {found.links}   Blockcount: {found.sectors}\n" in stat
    assert f"Flags: {found.flags:#x}\n" in stat
