"""What state the volume was left in: dirty, hibernated, with an open journal, with a mirror that differs."""

from __future__ import annotations

from typing import NamedTuple

from formats.base.decode import decode
from formats.base.errors import DeviceError, RecoveryError
from formats.base.problem import Severity
from fs.ntfs.attribute import DATA, VOLUME_INFORMATION, VOLUME_NAME, printable, utf16
from fs.ntfs.findings import Findings
from fs.ntfs.layout import RestartArea, RestartPageHeader, VolumeInformation
from fs.ntfs.mft import LOG, MIRRORED, VOLUME, Mft
from fs.ntfs.paging import HIBERNATION, is_session
from fs.ntfs.record import FILE, RSTR, apply_fixups
from fs.ntfs.stream import Stream, select

DIRTY = 0x0001
NO_CLIENT = 0xFFFF
CLOSED_CLEANLY = 0x0002
PAGE_SIZES = (4096, 512, 1024, 2048, 8192, 16384, 32768, 65536)
RESTART_HEADER = 0x1E
RESTART_AREA = 0x10


def volume_label(mft: Mft, findings: Findings) -> str:
    """The label from $Volume, after reporting the dirty flag beside it. '' when $Volume is damaged."""
    where = mft.record_offset(VOLUME)
    try:
        found = mft.attributes(VOLUME)
        information = select(found, VOLUME_INFORMATION)
        if information and information[0].value is not None:
            raw = decode(VolumeInformation, information[0].value, "$VOLUME_INFORMATION", where)
            if int(raw.flags) & DIRTY:
                text = (
                    "The volume is marked as dirty: Windows wants to check it at the next start (chkdsk). It is "
                    "copied as it is, errors included, and the copy will be checked likewise."
                )
                findings.add(Severity.WARNING, "ntfs.dirty", text, where)
        names = select(found, VOLUME_NAME)
        value = names[0].value if names else None
        return printable(utf16(value[: len(value) & ~1])) if value else ""
    except RecoveryError as error:
        text = f"The description of the volume (label, state) is damaged: {error}."
        findings.add(Severity.ERROR, "ntfs.volume_record", text, where)
        return ""


def check_mirror(mft: Mft, findings: Findings) -> None:
    """Compare $MFTMirr with the first four records of $MFT."""
    geometry = mft.geometry
    size, where = geometry.record_size, geometry.mirror_lcn * geometry.cluster_size
    if geometry.mirror_lcn >= geometry.clusters:
        text = (
            f"The boot sector places the safety copy of the file table ($MFTMirr) at {geometry.mirror_lcn}, "
            f"behind the {geometry.clusters} clusters of the volume. Windows works without it; chkdsk repairs it."
        )
        findings.add(Severity.WARNING, "ntfs.mft_mirror", text, geometry.offset + 0x38)
        return
    count = min(MIRRORED, mft.count)
    wrong: list[int] = []
    for number in range(count):
        try:
            own = mft.stream.read_at(number * size, size)
        except RecoveryError:
            continue  # reported by whoever needs the record
        try:
            copy = mft.source.read_at(where + number * size, size)
        except RecoveryError:
            wrong.append(number)
            continue
        if own != copy and _content(own) != _content(copy):
            wrong.append(number)
    if wrong:
        text = (
            f"The safety copy of the file table ($MFTMirr) differs in record {', '.join(map(str, wrong))}. Windows "
            "works without it; chkdsk repairs it."
        )
        findings.add(Severity.WARNING, "ntfs.mft_mirror", text, where)


def _content(data: bytes) -> bytes:
    """A record without its update sequence, which differs after every write; the raw bytes when damaged."""
    record = bytearray(data)
    try:
        apply_fixups(record, 0, len(record), FILE, "MFT record", 0)
    except RecoveryError:
        return data
    usa = int.from_bytes(record[4:6], "little")
    record[usa : usa + 2] = b"\0\0"
    return bytes(record)


class Restart(NamedTuple):
    """The state that one restart page of $LogFile describes."""

    lsn: int
    clean: bool


def check_log(mft: Mft, findings: Findings) -> None:
    """Report a journal that Windows has still to replay."""
    where = mft.record_offset(LOG)
    try:
        stream = mft.open(mft.attributes(LOG), DATA, LOG)
        if stream is None:
            return
        pages = [page for page in _restart_pages(stream) if page is not None]
    except RecoveryError as error:
        text = f"The journal of the volume ($LogFile) cannot be read: {error}."
        findings.add(Severity.WARNING, "ntfs.log_file", text, where)
        return
    if pages and not max(pages).clean:
        text = (
            "The volume was not closed properly: its journal ($LogFile) holds changes that are not finished yet. "
            "Windows finishes them by itself at the next start, from the copy just as from the original."
        )
        findings.add(Severity.WARNING, "ntfs.log_dirty", text, max(stream.locate(0), 0))


def _restart_pages(stream: Stream) -> list[Restart | None]:
    """The first page and its twin, which lies one page further on."""
    first = _restart(stream, 0)
    if first is None:
        return [_restart(stream, size) for size in PAGE_SIZES[:1]]
    size = int.from_bytes(stream.read_at(0x10, 4), "little")
    return [first, _restart(stream, size)] if size in PAGE_SIZES else [first]


def _restart(stream: Stream, at: int) -> Restart | None:
    """The restart page at byte `at` of $LogFile; None when there is none or it is damaged."""
    if at + 4096 > stream.size:
        return None
    head = stream.read_at(at, 4096)
    if head[:4] != RSTR:
        return None
    where = max(stream.locate(at), 0)
    page = decode(RestartPageHeader, head, "restart page of $LogFile", where)
    size = int(page.system_page_size)
    if size not in PAGE_SIZES or size < 512 or at + size > stream.size:
        return None
    data = bytearray(stream.read_at(at, size))
    try:
        apply_fixups(data, 0, size, RSTR, "restart page of $LogFile", where)
    except RecoveryError:
        return None
    area = int(page.restart_area_offset)
    if area < RESTART_HEADER or area + RESTART_AREA > size:
        return None
    raw = decode(RestartArea, bytes(data[area : area + RESTART_AREA]), "restart area of $LogFile", where + area)
    clean = int(raw.client_in_use_list) == NO_CLIENT or bool(int(raw.flags) & CLOSED_CLEANLY)
    return Restart(int(raw.current_lsn), clean)


def check_hibernation(found: list[tuple[str, Stream]], findings: Findings) -> None:
    """Report a hiberfil.sys that holds a session."""
    for name, stream in found:
        try:
            if name == HIBERNATION and is_session(stream):
                text = (
                    "Windows is hibernated, or was shut down with fast startup: hiberfil.sys holds a session, "
                    "and parts of the newest changes may be only there. It is copied with the volume. For a copy "
                    "that stands by itself, shut Windows down fully first (shutdown /s /f /t 0)."
                )
                findings.add(Severity.WARNING, "ntfs.hibernated", text, max(stream.locate(0), 0))
        except DeviceError as error:
            text = f"hiberfil.sys cannot be read, so it is kept: {error}."
            findings.add(Severity.WARNING, "ntfs.paging_file", text)
        except RecoveryError as error:
            findings.add(Severity.ERROR, "ntfs.paging_file", f"hiberfil.sys is damaged, so it is kept: {error}.")
