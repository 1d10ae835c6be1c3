"""Extended attributes: in the inode, in a block of their own, with values in other inodes; and inline data.

Sources: kernel documentation "ext4 Data Structures and Algorithms", Extended Attributes, Inline Data; acl(5) and
linux/posix_acl_xattr.h for the form of access control lists that getxattr gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from formats.base.checksum import crc32c_raw
from formats.base.errors import ChecksumMismatch, Corrupt, DeviceError, FormatError, Inconsistent, Unsupported
from fs.ext.access import Access
from fs.ext.data import MappedReader
from fs.ext.inode import EA_INODE_FLAG, Inode, checksum_complaint, decode_inode
from fs.ext.node import extra_size
from fs.ext.superblock import Superblock

MAGIC = 0xEA020000
FAST_HEADER = Struct("<IIIII")
FAST_ENTRY = Struct("<BBHIII")
FAST_ACL = Struct("<HHI")
_ACL_SHORT = Struct("<HH")
PREFIXES = {
    1: "user.", 2: "system.posix_acl_access", 3: "system.posix_acl_default", 4: "trusted.", 6: "security.",
    7: "system.", 8: "system.richacl",
}  # fmt: skip
HIDDEN = {5, 9, 10}  # lustre, encryption contexts, Hurd: Linux shows none of them
ACCESS_ACL, DEFAULT_ACL, SYSTEM = 2, 3, 7
INLINE_NAME = b"data"
ACL_ON_DISK, ACL_IN_LINUX = 1, 2  # versions
ACL_NAMED = (0x02, 0x08)  # tags of named users and groups
ACL_UNNAMED = (0x01, 0x04, 0x10, 0x20)
NO_ID = 0xFFFFFFFF
VALUE_LIMIT = 64 << 10  # bytes: more cannot be had through getxattr
TOTAL_LIMIT = 16 << 20  # bytes of all values of one inode


class Attribute(NamedTuple):
    """`value`: None when it is in inode `value_inode`, `size` bytes. `offset`: of the entry, bytes."""

    prefix: int
    name: bytes
    value: bytes | None
    value_inode: int
    size: int
    offset: int


def inode_attributes(sb: Superblock, inode: Inode, raw: bytes) -> Iterator[Attribute]:
    """Those in the inode itself, of which `raw` is all. Raises Corrupt at the first damaged one."""
    extra = extra_size(raw, sb.inode_size)
    start = 128 + extra
    if not extra or start + 8 > len(raw) or int.from_bytes(raw[start : start + 4], "little") != MAGIC:
        return iter(())
    return _entries(inode, raw[start + 4 :], 0, inode.offset + start + 4)


def block_attributes(access: Access, inode: Inode) -> Iterator[Attribute]:
    """Those in the block. Raises Corrupt, Truncated, DeviceError."""
    sb, block = access.sb, inode.acl_block
    name, offset = f"inode {inode.number} attribute block", block * sb.block_size
    if not sb.first_data_block < block < sb.blocks_count:
        raise Inconsistent(
            name, inode.offset + 0x68, "leads outside", expected=f"{sb.first_data_block + 1} to {sb.blocks_count - 1}",
            found=block,
        )  # fmt: skip
    data = access.view.reader.read(block)
    magic, _, blocks, _, found = FAST_HEADER.unpack_from(data)
    if magic != MAGIC or blocks != 1:
        raise Corrupt(name, offset, "magic and h_blocks", expected=f"{MAGIC:#x}, 1", found=f"{magic:#x}, {blocks}")
    if sb.metadata_csum:
        cleared = block.to_bytes(8, "little") + data[:0x10] + bytes(4) + data[0x14:]
        expected = crc32c_raw(cleared, sb.csum_seed)
        if expected != found:
            access.tell(
                "ext.xattr",
                ChecksumMismatch(name, offset + 0x10, "checksum", expected=hex(expected), found=hex(found)),
            )
    yield from _entries(inode, data, 32, offset)


def _entries(inode: Inode, data: bytes, at: int, offset: int) -> Iterator[Attribute]:
    """Entries from `at` in `data`, which stands at `offset` bytes; places of values count from the start of `data`."""
    structure = f"inode {inode.number} attribute"
    while data[at : at + 4] != b"\0\0\0\0":
        if at + 16 > len(data):
            raise Corrupt(structure, offset + at, "the entries have no end")
        length, index, place, value_inode, size, _ = FAST_ENTRY.unpack_from(data, at)
        name = data[at + 16 : at + 16 + length]
        if len(name) < length:
            raise Corrupt(structure, offset + at, "the name leaves the entries", found=length)
        value = None
        if not value_inode:
            if place + size > len(data):
                raise Corrupt(
                    structure, offset + at + 2, "place and size of the value", expected=f"within {len(data)} bytes",
                    found=f"{place}, {size}",
                )  # fmt: skip
            value = data[place : place + size]
        yield Attribute(index, name, value, value_inode, size, offset + at)
        at += (16 + length + 3) & ~3


def inline_data(access: Access, inode: Inode) -> tuple[bytes, int]:
    """What stands behind the 60 bytes of i_block, and its offset. Raises Corrupt, Truncated, DeviceError."""
    raw, offset = access.raw_inode(inode.number)
    for attribute in inode_attributes(access.sb, inode, raw):
        if attribute.prefix == SYSTEM and attribute.name == INLINE_NAME:
            return attribute.value or b"", offset
    return b"", offset


def all_attributes(access: Access, inode: Inode) -> dict[str, bytes]:
    """Full Linux names to the values that getxattr gives. What is damaged is told and left out."""
    found: dict[str, bytes] = {}
    total = 0
    for attribute in _everywhere(access, inode):
        if (attribute.prefix == SYSTEM and attribute.name == INLINE_NAME) or attribute.prefix in HIDDEN:
            continue
        try:
            name = _linux_name(inode, attribute)
            if name in found:
                continue
            total += attribute.size
            if total > TOTAL_LIMIT:
                raise Unsupported(f"inode {inode.number} attributes", f"more than {TOTAL_LIMIT} bytes of values")
            value = _value(access, inode, attribute)
            found[name] = linux_acl(value, inode, attribute.offset) if attribute.prefix in (2, 3) else value
        except (FormatError, DeviceError, Unsupported) as error:
            access.tell("ext.xattr", error)
    return found


def _everywhere(access: Access, inode: Inode) -> Iterator[Attribute]:
    try:
        raw, _ = access.raw_inode(inode.number)
        yield from inode_attributes(access.sb, inode, raw)
    except (FormatError, DeviceError) as error:
        access.tell("ext.xattr", error)
    if inode.acl_block:
        try:
            yield from block_attributes(access, inode)
        except (FormatError, DeviceError) as error:
            access.tell("ext.xattr", error)


def _linux_name(inode: Inode, attribute: Attribute) -> str:
    prefix = PREFIXES.get(attribute.prefix)
    if prefix is None:
        raise Corrupt(f"inode {inode.number} attribute", attribute.offset + 1, "unknown prefix", found=attribute.prefix)
    return prefix if not prefix.endswith(".") else prefix + attribute.name.decode("utf-8", "surrogateescape")


def _value(access: Access, inode: Inode, attribute: Attribute) -> bytes:
    if attribute.value is not None:
        return attribute.value
    structure = f"inode {inode.number} attribute"
    if attribute.size > VALUE_LIMIT:
        raise Corrupt(
            structure, attribute.offset + 8, "size of the value", expected=f"0 to {VALUE_LIMIT}", found=attribute.size
        )
    raw, offset = access.raw_inode(attribute.value_inode)
    complaint = checksum_complaint(access.sb, attribute.value_inode, raw)
    if complaint:
        raise ChecksumMismatch(f"inode {attribute.value_inode}", offset, complaint)
    holder = decode_inode(access.sb, attribute.value_inode, raw, offset)
    if not holder.flags & EA_INODE_FLAG or holder.size != attribute.size:
        raise Inconsistent(
            structure, attribute.offset + 4, f"inode {holder.number} does not hold its value",
            expected=f"{attribute.size} bytes", found=f"{holder.size} bytes, flags {holder.flags:#x}",
        )  # fmt: skip
    return MappedReader(access, holder, holder.size).read_at(0, holder.size)


def linux_acl(data: bytes, inode: Inode, offset: int) -> bytes:
    """An access control list as ext keeps it, in the form that getxattr gives. Raises Corrupt."""
    structure = f"inode {inode.number} access control list"
    if int.from_bytes(data[:4], "little") != ACL_ON_DISK or len(data) < 4:
        raise Corrupt(structure, offset, "version", expected=ACL_ON_DISK, found=data[:4].hex())
    found = [ACL_IN_LINUX.to_bytes(4, "little")]
    at = 4
    while at < len(data):
        tag, permissions = _ACL_SHORT.unpack_from(data, at) if at + 4 <= len(data) else (0, 0)
        if tag in ACL_NAMED and at + 8 <= len(data):
            found.append(data[at : at + 8])
            at += 8
        elif tag in ACL_UNNAMED:
            found.append(FAST_ACL.pack(tag, permissions, NO_ID))
            at += 4
        else:
            raise Corrupt(structure, offset, "entry", found=data[at : at + 8].hex())
    return b"".join(found)
