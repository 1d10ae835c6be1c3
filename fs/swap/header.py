"""Reading the header of a swap area.

The mark lies in the last ten bytes of the first page, so its place tells the page size of the machine that made it.
Facts: kernel, include/linux/swap.h and mm/swapfile.c (read_swap_header); the marks of suspended sessions: kernel,
kernel/power/swap.c (S1SUSPEND), uswsusp (ULSUSPEND, LINHIB0001); the
place of TuxOnIce's was seen with blkid 2.38.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from formats.base.decode import decode
from formats.base.errors import Corrupt, Inconsistent, NotThisFormat
from formats.base.source import BlockSource
from formats.base.units import KiB
from fs.swap.layout import HEADER_BE, HEADER_LE

PAGE_SIZES = tuple(KiB << i for i in range(2, 7))  # 4K (x86) ... 64K (arm64, ppc64)
MARK_LENGTH = 10
VERSION_0, VERSION_1 = b"SWAP-SPACE", b"SWAPSPACE2"
SUSPENDED = (b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001")
TUXONICE = b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c"  # at the very start; the mark at the end may stay that of idle swap
BAD_PAGES_AT = 1536


@dataclass(frozen=True, slots=True)
class SwapHeader:
    """`page_size` bytes; `size` bytes that the area claims; `session`: the mark of a suspended session or ''."""

    page_size: int
    version: int
    label: str
    uuid: str
    size: int
    bad_pages: int
    session: str


def read_header(source: BlockSource) -> SwapHeader:
    """The header of the swap area in `source`.

    Raises NotThisFormat without a mark or with a mark that something else was written over, Corrupt when the
    header contradicts itself or the size of the volume (the kernel refuses such an area too), DeviceError.
    """
    if source.size < PAGE_SIZES[0]:
        raise NotThisFormat("swap header", 0, "the volume is smaller than a page", source=source.name)
    tuxonice = source.read_at(0, len(TUXONICE)) == TUXONICE
    for page_size in PAGE_SIZES:
        if source.size < page_size:
            break
        mark = source.read_at(page_size - MARK_LENGTH, MARK_LENGTH)
        session = next((begin.decode() for begin in SUSPENDED if mark.startswith(begin)), "")
        if tuxonice and (session or mark in (VERSION_0, VERSION_1)):
            session = "TuxOnIce"
        if mark == VERSION_1 or session:
            return _version_1(source, page_size, session)
        if mark == VERSION_0:
            return _version_0(source, page_size)
    if tuxonice:
        return _version_1(source, PAGE_SIZES[0], "TuxOnIce")
    raise NotThisFormat("swap header", 0, "there is no mark at the end of a page", source=source.name)


def _version_1(source: BlockSource, page_size: int, session: str) -> SwapHeader:
    data = source.read_at(0, HEADER_LE.sizeof())
    head = decode(HEADER_LE, data, "swap header", 0, source.name)
    if head.version != 1:
        head = decode(HEADER_BE, data, "swap header", 0, source.name)
    if head.version != 1:
        # A file system that was made later keeps its superblock at 1024, where this header would be.
        raise NotThisFormat(
            "swap header", 0x400, "something else was written over it", expected=1, found=head.version,
            source=source.name,
        )  # fmt: skip
    pages = source.size // page_size
    if not 0 < head.last_page < pages:
        raise Inconsistent(
            "swap header", 0x404, "last_page is not inside the volume", expected=f"1 to {pages - 1}",
            found=head.last_page, source=source.name,
        )  # fmt: skip
    most = (page_size - MARK_LENGTH - BAD_PAGES_AT) // 4
    if head.nr_badpages > most:
        raise Corrupt(
            "swap header", 0x408, "more bad pages than the page has room for", expected=f"at most {most}",
            found=head.nr_badpages, source=source.name,
        )  # fmt: skip
    digits = head.sws_uuid.hex() if any(head.sws_uuid) else ""
    uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])) if digits else ""
    label = head.sws_volume.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
    return SwapHeader(page_size, 1, label, uuid, (head.last_page + 1) * page_size, head.nr_badpages, session)


def _version_0(source: BlockSource, page_size: int) -> SwapHeader:
    """The old kind has no header: the page is a bitmap of the usable pages, without page 0.

    As its mark alone would be thin proof for leaving out a whole volume, the bitmap has to fit the volume.
    """
    field = source.read_at(0, page_size - MARK_LENGTH)
    usable = int.from_bytes(field, "little")
    if not usable or usable & 1 or usable.bit_length() > source.size // page_size:
        raise NotThisFormat(
            "swap bitmap", 0, f"no bitmap of the pages of a volume of {source.size} bytes", source=source.name
        )
    return SwapHeader(page_size, 0, "", "", usable.bit_length() * page_size, 0, "")
