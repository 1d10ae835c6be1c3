"""From the attributes of a file to a reader of its content."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from formats.base.errors import Corrupt, Inconsistent, Unsupported
from fs.ntfs.attribute import DATA, STANDARD_INFORMATION, Attribute, printable, utf16
from fs.ntfs.data import EmptyReader, UnitReader, WofReader
from fs.ntfs.inode import MAX_SPECIAL, STANDARD, Facts, reparse_value
from fs.ntfs.mft import Mft
from fs.ntfs.reparse import Reparse, parse_reparse
from fs.ntfs.stream import Stream
from fs.tree import NodeKind, NodeReader, StreamInfo

WOF_STREAM = "WofCompressedData"
ENCRYPTED_NOTE = "encrypted by Windows (EFS): it takes the key of its user to read it"
# Interix and ntfs-3g: small files with the attribute "system" that stand for links and devices.
LINK, CHARACTER, BLOCK = b"IntxLNK\x01", b"IntxCHR\x00", b"IntxBLK\x00"


@dataclass(frozen=True, slots=True)
class Content:
    """`stream` is what is stored, `units` or `wof` how it is decoded, `reader` what the file holds."""

    reader: NodeReader
    stream: Stream | None = None
    units: UnitReader | None = None
    wof: WofReader | None = None


def content(mft: Mft, number: int, found: list[Attribute], name: str, *, decode: bool = True) -> Content:
    """The data stream `name` of file `number`, whose attributes are `found`.

    Raises Inconsistent when there is no such stream, Unsupported when it is encrypted or lies elsewhere (unless
    `decode` is False: then what is stored is opened), Corrupt when its runs or sizes are damaged.
    """
    stream = mft.open(found, DATA, number, name)
    label = f"MFT record {number}"
    if not name:
        reparse = reparse_of(mft, number, found)
        if reparse is not None and reparse.note and decode:
            raise Unsupported(label, reparse.note)
        if reparse is not None and reparse.wof is not None:
            size = stream.size if stream is not None else 0
            stored = mft.open(found, DATA, number, WOF_STREAM)
            if stored is None:
                text = f"it is compressed ({reparse.wof.name}) and has no stream {WOF_STREAM}"
                raise Corrupt(label, mft.record_offset(number), text)
            if not stored.as_stored:
                raise Unsupported(stored.name, "compressing or encrypting it a second time")
            wof = WofReader(stored, size, reparse.wof)
            return Content(wof, stored, wof=wof)
    if stream is None:
        if name:
            text = f"it has no data stream {printable(name)!r}"
            raise Inconsistent(label, mft.record_offset(number), text)
        return Content(EmptyReader())
    if stream.encrypted and decode:
        raise Unsupported(stream.name, ENCRYPTED_NOTE)
    if stream.compressed and not stream.resident and not stream.encrypted:
        units = UnitReader(stream, mft.geometry.cluster_size)
        return Content(units, stream, units=units)
    return Content(stream, stream)


def reparse_of(mft: Mft, number: int, found: list[Attribute]) -> Reparse | None:
    """The reparse point of file `number`. Raises Corrupt, Truncated or DeviceError when it is damaged."""
    value = reparse_value(mft, number, found)
    if value is None:
        return None
    attributes = 0
    for part in found:
        if part.type == STANDARD_INFORMATION and part.value is not None and len(part.value) >= STANDARD.size:
            attributes = int.from_bytes(part.value[0x20:0x24], "little")
    return parse_reparse(value, attributes, f"MFT record {number}", mft.record_offset(number))


def stream_infos(found: list[Attribute], hide: str = "") -> list[StreamInfo]:
    """The named data streams among `found`, but not `hide`."""
    return [
        StreamInfo(part.name, max(part.data_size, 0))
        for part in found
        if part.type == DATA and part.name and part.lowest_vcn == 0 and part.name != hide
    ]


def special(
    mft: Mft, number: int, facts: Facts, found: list[Attribute] | None
) -> tuple[NodeKind | None, str, tuple[int, int] | None]:
    """(kind, link target, device) of a small system file that stands for something else; kind None when it does not.

    `found` is needed when the content lies in clusters.
    """
    data = facts.head
    if data == b"?":
        stream = mft.open(found or [], DATA, number)
        if stream is None or not stream.as_stored or stream.size > MAX_SPECIAL:
            return None, "", None
        data = stream.read_at(0, stream.size)
    if data.startswith(LINK) and len(data) > len(LINK):
        body = data[len(LINK) :]
        return NodeKind.SYMLINK, utf16(body[: len(body) & ~1]), None
    for magic, kind in ((CHARACTER, NodeKind.CHARACTER_DEVICE), (BLOCK, NodeKind.BLOCK_DEVICE)):
        if data.startswith(magic) and len(data) == len(magic) + 16:
            major, minor = struct.unpack_from("<QQ", data, len(magic))
            return kind, "", (major, minor)
    return None, "", None
