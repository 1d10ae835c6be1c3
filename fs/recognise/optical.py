"""ISO 9660 and UDF, the file systems of optical discs; UDF is found on USB disks too."""

from __future__ import annotations

from formats.base.units import KiB
from fs.recognise import layout
from fs.recognise.model import Family, Found, Signature, fixed, header
from fs.recognise.peek import Peek
from fs.recognise.text import dstring_text, label_text, udf_uuid_text

DESCRIPTORS_AT = 32 * KiB
MOST_DESCRIPTORS = 64  # both standards set no limit; real discs have fewer than ten
JOLIET = (b"%/@", b"%/C", b"%/E")
BLOCK_SIZES = (512, 1024, 2048, 4096)
TAG_PRIMARY, TAG_ANCHOR, TAG_LOGICAL, TAG_TERMINATING = 1, 2, 6, 8


def _iso9660(peek: Peek, _offset: int) -> Found | None:
    label, uuid, block_size, size = "", "", 0, 0
    joliet = ""
    primary = False
    for i in range(MOST_DESCRIPTORS):
        head = header(layout.ISO9660, peek, DESCRIPTORS_AT + i * 2048, "ISO 9660 descriptor")
        if head is None or head.id != b"CD001" or head.type == 255:
            break
        if head.type == 1 and not primary:
            primary = True
            label = label_text(head.volume_id)
            uuid = _iso_date(head.modification_date) or _iso_date(head.creation_date)
            block_size, size = head.logical_block_size, head.space_size * head.logical_block_size
        elif head.type == 2 and head.escape_sequences[:3] in JOLIET:
            joliet = label_text(head.volume_id, "utf-16-be")
    if not primary:
        return None
    # Joliet has room for any character, but for 16 only: where it is the beginning of the plain label, that wins.
    if joliet and not label.lower().startswith(joliet.lower()):
        label = joliet
    return Found(label=label, uuid=uuid, block_size=block_size, size=size)


def _iso_date(field: bytes) -> str:
    """YYYYMMDDHHMMSScc as blkid makes a UUID of it; '' when unset."""
    digits = field[:16]
    if not digits.isdigit() or not any(digits.strip(b"0")):
        return ""
    text = digits.decode("ascii")
    return "-".join((text[:4], *(text[i : i + 2] for i in range(4, 16, 2))))


def _recognition_sequence(peek: Peek, step: int) -> bool:
    """True when NSR02 or NSR03 stands among the volume structure descriptors (ECMA-167, 2/9.1 and 3/9.1)."""
    for i in range(MOST_DESCRIPTORS):
        ident = peek.get(DESCRIPTORS_AT + i * step + 1, 5)
        if ident in (b"NSR02", b"NSR03"):
            return True
        if ident not in (b"BEA01", b"BOOT2", b"CD001", b"CDW02", b"TEA01"):
            break
    return False


def _udf(peek: Peek, _offset: int) -> Found | None:
    # A volume structure descriptor takes 2 KiB, or a block when blocks are larger.
    candidates = [block for block in BLOCK_SIZES if _recognition_sequence(peek, max(2048, block))]
    for block in candidates:
        last = peek.size // block
        for location in (256, last - 257, last - 1, 512):
            anchor = header(layout.UDF_ANCHOR, peek, location * block, "UDF anchor")
            if anchor is None or anchor.tag_ident != TAG_ANCHOR or anchor.tag_location != location:
                continue
            found = _udf_descriptors(peek, anchor.main_location, anchor.main_length // block, block)
            if found is not None:
                return found
    return Found() if candidates else None


def _udf_descriptors(peek: Peek, first: int, count: int, block: int) -> Found | None:
    """Names from the main volume descriptor sequence; `first` and `count` in blocks of `block` bytes."""
    volume = logical = uuid = ""
    block_size = block
    seen = False
    for location in range(first, first + min(count, MOST_DESCRIPTORS)):
        head = header(layout.UDF_PRIMARY, peek, location * block, "UDF descriptor")
        if head is None or head.tag_location != location or head.tag_ident == TAG_TERMINATING:
            break
        if head.tag_ident == TAG_PRIMARY:
            seen = True
            volume, uuid = dstring_text(head.volume_ident), udf_uuid_text(dstring_text(head.volume_set_ident))
        elif head.tag_ident == TAG_LOGICAL:
            seen = True
            other = header(layout.UDF_LOGICAL, peek, location * block, "UDF logical volume descriptor")
            if other is not None:
                logical, block_size = dstring_text(other.logical_volume_ident), other.logical_block_size
    return Found(label=logical or volume, uuid=uuid, block_size=block_size) if seen else None


SIGNATURES = (
    Signature("udf", "UDF", Family.FILESYSTEM, fixed(0), 0, (), _udf),
    Signature("iso9660", "ISO 9660", Family.FILESYSTEM, fixed(DESCRIPTORS_AT), 1, (b"CD001",), _iso9660),
)
