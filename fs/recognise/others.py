"""File systems of other systems: Apple, BSD, Windows (ReFS), OS/2, BeOS, VMware, Solaris."""

from __future__ import annotations

import struct

from formats.base.units import KiB
from fs.recognise import layout
from fs.recognise.model import Family, Found, Signature, anything, fields, fixed, header
from fs.recognise.peek import Peek
from fs.recognise.pools import vmfs_uuid
from fs.recognise.text import hfs_uuid_text, label_text, serial_text

FS = Family.FILESYSTEM
UFS_PLACES = (8 * KiB, 64 * KiB, 0, 256 * KiB)  # UFS1, UFS2, floppies, "piggy" (FreeBSD ffs/fs.h, SBLOCKSEARCH)
LEAF_NODE = 0xFF  # TN1150 kBTLeafNode, -1


def _hfs(peek: Peek, offset: int) -> Found | None:
    head = header(layout.HFS, peek, offset, "HFS master directory block")
    # Two bytes of magic: the size of blocks, their number and the length of the name have to be possible, too.
    if (
        head is None
        or not head.drAlBlkSiz
        or head.drAlBlkSiz % 512
        or not head.drNmAlBlks
        or not 1 <= head.drVN[0] <= 27
    ):
        return None
    if head.drEmbedSigWord in (b"H+", b"HX"):  # HFS+ in an HFS wrapper (TN1150)
        return _hfsplus(peek, head.drAlBlSt * 512 + head.drEmbedStart * head.drAlBlkSiz + 1024)
    return Found(
        label=label_text(head.drVN[1 : 1 + head.drVN[0]], "mac-roman"), uuid=hfs_uuid_text(head.finder_id),
        block_size=head.drAlBlkSiz, size=head.drNmAlBlks * head.drAlBlkSiz,
    )  # fmt: skip


def _hfsplus(peek: Peek, offset: int) -> Found | None:
    head = header(layout.HFSPLUS, peek, offset, "HFS+ volume header")
    if head is None or head.signature not in (b"H+", b"HX") or head.version not in (4, 5) or head.blockSize < 512:
        return None
    return Found(
        kind="hfsplus", label=_hfsplus_label(peek, offset - 1024, head.blockSize, head.catalog_extents),
        uuid=hfs_uuid_text(head.finder_id), block_size=head.blockSize, size=head.totalBlocks * head.blockSize,
    )  # fmt: skip


def _hfsplus_label(peek: Peek, start: int, block_size: int, extents: list[int]) -> str:
    """The volume is named by the first record of the catalog: the thread of the root folder's parent, 1."""
    first = header(layout.HFSPLUS_HEADER_NODE, peek, start + extents[0] * block_size, "HFS+ catalog header node")
    if first is None or not 512 <= first.nodeSize <= 32 * KiB:
        return ""
    at = first.firstLeafNode * first.nodeSize  # in the catalog file
    for block, count in zip(extents[::2], extents[1::2], strict=True):
        if at < count * block_size:
            node = peek.get(start + block * block_size + at, first.nodeSize)
            if not node or node[8] != LEAF_NODE or int.from_bytes(node[16:20], "big") != 1:
                return ""
            length = int.from_bytes(node[20:22], "big")
            return label_text(node[22 : 22 + 2 * min(length, 255)], "utf-16-be")
        at -= count * block_size
    return ""


def _ufs(peek: Peek, offset: int) -> Found | None:
    little = peek.get(offset + 0x55C, 4) in (b"\x54\x19\x01\x00", b"\x19\x01\x54\x19")
    head = header(layout.UFS_LE if little else layout.UFS_BE, peek, offset, "UFS superblock")
    if head is None or not 512 <= head.fs_fsize <= head.fs_bsize <= 64 * KiB:
        return None
    label = label_text(head.fs_volname) if head.fs_magic == 0x19540119 else ""
    uuid = f"{head.fs_id[0]:08x}{head.fs_id[1]:08x}" if any(head.fs_id) else ""
    return Found(label=label, uuid=uuid, block_size=head.fs_bsize)


def _hpfs(peek: Peek, offset: int) -> Found | None:
    if peek.get(offset + 512, 4) != b"\x49\x18\x91\xf9":  # the spare block behind the super block
        return None
    boot = header(layout.HPFS_BOOT, peek, 0, "HPFS boot block")
    if boot is None or boot.magic != 0xAA55 or boot.sig_28h != 0x28 or boot.sig_hpfs[:4] != b"HPFS":
        return Found(block_size=512)
    return Found(label=label_text(boot.vol_label), uuid=serial_text(boot.vol_serno), block_size=512)


def _befs(peek: Peek, offset: int) -> Found | None:
    little = peek.get(offset + 0x20, 4) == b"1SFB"
    head = header(layout.BEFS_LE if little else layout.BEFS_BE, peek, offset, "BFS super block")
    if head is None or head.magic2 != 0xDD121031 or head.magic3 != 0x15B6830E:
        return None
    if head.block_size != 1 << min(head.block_shift, 16) or not 1 << 10 <= head.block_size <= 1 << 13:
        return None
    root = ((head.root_group << min(head.ag_shift, 32)) + head.root_start) * head.block_size
    inode = peek.get(root, head.inode_size) if head.inode_size == head.block_size else b""
    return Found(
        label=label_text(head.name), uuid=_befs_volume_id(inode, "<" if little else ">"),
        block_size=head.block_size, size=head.num_blocks * head.block_size,
    )  # fmt: skip


def _befs_volume_id(inode: bytes, order: str) -> str:
    """The small attribute be:volume_id of the root directory (bfs_inode: small_data from +232)."""
    at = 232
    while at + 8 <= len(inode):
        kind, name_size, data_size = struct.unpack_from(order + "IHH", inode, at)
        if not kind and not name_size:
            break
        name = inode[at + 8 : at + 8 + name_size]
        data = inode[at + 8 + name_size + 3 :][:data_size]  # three zero bytes between name and data
        if name == b"be:volume_id" and len(data) == 8:
            return f"{int.from_bytes(data, 'little' if order == '<' else 'big'):016x}"
        at += 8 + name_size + 3 + data_size + 1
    return ""


def _vmfs(peek: Peek, offset: int) -> Found | None:
    head = header(layout.VMFS, peek, offset, "VMFS header")
    return None if head is None else Found(label=label_text(head.label), uuid=vmfs_uuid(head.uuid))


def _vxfs(peek: Peek, offset: int) -> Found | None:
    little = peek.get(offset, 4) == b"\xf5\xfc\x01\xa5"
    head = header(layout.VXFS_LE if little else layout.VXFS_BE, peek, offset, "VxFS superblock")
    return Found(block_size=head.vs_bsize) if head is not None and 1 <= head.vs_version <= 10 else None


SIGNATURES = (
    Signature("ReFS", "ReFS", FS, fixed(0), 0, (b"\0\0\0ReFS\0",), anything),
    Signature("hfs", "HFS", FS, fixed(1024), 0, (b"BD",), _hfs),
    Signature("hfsplus", "HFS+", FS, fixed(1024), 0, (b"H+", b"HX"), _hfsplus),
    Signature(
        "apfs", "APFS", FS, fixed(0), 32, (b"NXSB",),
        fields(
            layout.APFS, uuid="nx_uuid",
            check=lambda h: 4096 <= h.nx_block_size <= 65536 and h.o_type & 0xFFFF == 1,
            block_size=lambda h: h.nx_block_size, size=lambda h: h.nx_block_count * h.nx_block_size,
        ),
    ),
    Signature(
        "ufs", "UFS", FS, fixed(*UFS_PLACES), 0x55C,
        (b"\x54\x19\x01\x00", b"\x00\x01\x19\x54", b"\x19\x01\x54\x19", b"\x19\x54\x01\x19"), _ufs,
    ),
    Signature("hpfs", "HPFS", FS, fixed(8 * KiB), 0, (b"\x49\xe8\x95\xf9",), _hpfs),
    Signature("befs", "BFS", FS, fixed(512, 0), 0x20, (b"1SFB", b"BFS1"), _befs),
    Signature("VMFS", "VMFS", FS, fixed(0x200000), 0, (b"\x5e\xf1\xab\x2f",), _vmfs),
    Signature("vxfs", "VxFS", FS, fixed(1024, 8192), 0, (b"\xf5\xfc\x01\xa5", b"\xa5\x01\xfc\xf5"), _vxfs),
    Signature("nss", "Novell NSS", FS, fixed(4096), 0, (b"SPB5",), anything),
)  # fmt: skip
