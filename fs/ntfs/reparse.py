"""Reparse points: files and directories that are something else, or lie elsewhere.

Source: [MS-FSCC] 2.1.2 (reparse data buffers, tags); Windows SDK ntifs.h for WOF; tags of the Windows Subsystem for
Linux seen in its public kernel headers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from formats.base.errors import Corrupt
from fs.ntfs.attribute import utf16
from fs.ntfs.data import WOF_KINDS, Wof
from fs.tree import NodeKind

MOUNT_POINT, SYMLINK, WOF, DEDUP = 0xA0000003, 0xA000000C, 0x80000017, 0x80000013
LX_SYMLINK, NFS = 0xA000001D, 0x80000014
CLOUD, CLOUD_MASK = 0x9000001A, 0xFFFF0FFF
LX_KINDS = {
    0x80000023: NodeKind.SOCKET,
    0x80000024: NodeKind.FIFO,
    0x80000025: NodeKind.CHARACTER_DEVICE,
    0x80000026: NodeKind.BLOCK_DEVICE,
}
NFS_TYPES = {
    0x00000000014B4E4C: NodeKind.SYMLINK,
    0x0000000000524843: NodeKind.CHARACTER_DEVICE,
    0x00000000004B4C42: NodeKind.BLOCK_DEVICE,
    0x000000004F464946: NodeKind.FIFO,
    0x000000004B434F53: NodeKind.SOCKET,
}
OFFLINE, RECALL_ON_OPEN, RECALL_ON_ACCESS = 0x1000, 0x40000, 0x400000
AWAY = OFFLINE | RECALL_ON_OPEN | RECALL_ON_ACCESS
NOTES = {
    DEDUP: "deduplicated by Windows Server: its content lies in the chunk store of the volume",
    0xC0000004: "moved to other storage (hierarchical storage management)",
    0x80000006: "moved to other storage (hierarchical storage management)",
    0x80000007: "stored once for several files (single instance storage)",
    0x80000008: "its content lies in a WIM archive",
    0x8000000A: "a link of the distributed file system",
    0x80000012: "a link of the distributed file system",
    0x8000001B: "an alias of an installed app, without content of its own",
    0x80000018: "its content lies in the image of a Windows container",
    0x90001018: "its content lies in the image of a Windows container",
    0x9000001C: "projected by another program, its content is not here",
    0x80000021: "in the cloud",
}
HEADER = struct.Struct("<IHH")  # ReparseTag, ReparseDataLength, Reserved
PATHS = struct.Struct("<HHHH")  # SubstituteNameOffset, Length, PrintNameOffset, Length
GUID_BYTES = 16  # behind the header of tags that Microsoft did not assign
WOF_INFO = struct.Struct("<IIII")  # version, provider, version, algorithm


@dataclass(frozen=True, slots=True)
class Reparse:
    """What a reparse point makes of its file. `kind` None: what it would be without. `target`: of a symlink.

    `note` says why the content cannot be read. `wof`: how it is compressed.
    """

    tag: int
    kind: NodeKind | None = None
    target: str = ""
    note: str = ""
    wof: Wof | None = None
    device: tuple[int, int] | None = None


def parse_reparse(value: bytes, attributes: int, name: str, offset: int) -> Reparse:
    """Decode the value of a $REPARSE_POINT; `attributes` are those of its file.

    `name` and `offset` (bytes on the volume) stand in the error. Raises Corrupt.
    """
    if len(value) < HEADER.size:
        raise Corrupt(name, offset, f"a reparse point of {len(value)} bytes has no header")
    tag, length, _ = HEADER.unpack_from(value)
    data = value[HEADER.size : HEADER.size + length]
    if tag in (MOUNT_POINT, SYMLINK):
        return Reparse(tag, NodeKind.SYMLINK, _link(data, PATHS.size + (4 if tag == SYMLINK else 0), name, offset))
    if tag == LX_SYMLINK:
        return Reparse(tag, NodeKind.SYMLINK, data[4:].decode("utf-8", "surrogateescape"))
    if tag in LX_KINDS:
        return Reparse(tag, LX_KINDS[tag])
    if tag == NFS:
        return _nfs(data, name, offset)
    if tag == WOF:
        return _wof(data, name, offset)
    if tag & CLOUD_MASK == CLOUD:
        return Reparse(tag, note="in the cloud: not all of its content is on this disk" if attributes & AWAY else "")
    return Reparse(tag, note=NOTES.get(tag, f"handled by a driver of its own (reparse tag {tag:#010x})"))


def _link(data: bytes, begin: int, name: str, offset: int) -> str:
    """The print name or, when there is none, the substitute name; their places count from `begin`."""
    if len(data) < begin:
        raise Corrupt(name, offset, f"a link of {len(data)} bytes is too short")
    substitute, substitute_length, shown, shown_length = PATHS.unpack_from(data)
    for at, length in ((shown, shown_length), (substitute, substitute_length)):
        if begin + at + length > len(data) or length & 1:
            raise Corrupt(name, offset, f"a name of {length} bytes at {at} leaves the link")
        if length:
            return utf16(data[begin + at : begin + at + length])
    raise Corrupt(name, offset, "a link leads nowhere")


def _nfs(data: bytes, name: str, offset: int) -> Reparse:
    """Source: [MS-FSCC] 2.1.2.6 (Network File System reparse data buffer)."""
    if len(data) < 8:
        raise Corrupt(name, offset, f"an NFS reparse point of {len(data)} bytes is too short")
    kind = NFS_TYPES.get(int.from_bytes(data[:8], "little"))
    if kind is None:
        return Reparse(NFS, note="a special file of the NFS server, of an unknown kind")
    if kind is NodeKind.SYMLINK:
        body = data[8:]
        return Reparse(NFS, kind, utf16(body[: len(body) & ~1]))
    if kind in (NodeKind.CHARACTER_DEVICE, NodeKind.BLOCK_DEVICE) and len(data) >= 16:
        major, minor = struct.unpack_from("<II", data, 8)
        return Reparse(NFS, kind, device=(major, minor))
    return Reparse(NFS, kind)


def _wof(data: bytes, name: str, offset: int) -> Reparse:
    if len(data) < WOF_INFO.size:
        raise Corrupt(name, offset, f"a WOF reparse point of {len(data)} bytes is too short")
    version, provider, inner, algorithm = WOF_INFO.unpack_from(data)
    if provider == 1:
        return Reparse(WOF, note="its content lies in a WIM archive")
    kind = WOF_KINDS.get(algorithm)
    if version != 1 or provider != 2 or inner != 1 or kind is None:
        return Reparse(WOF, note=f"compressed by Windows in an unknown way (provider {provider}, method {algorithm})")
    return Reparse(WOF, wof=kind)
