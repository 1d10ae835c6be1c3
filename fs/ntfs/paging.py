"""Paging files in the root directory: which clusters hold nothing that outlives a restart."""

from __future__ import annotations

from itertools import pairwise

from formats.base.errors import RecoveryError
from formats.base.extent import Extent, ExtentList
from formats.base.problem import Severity
from formats.base.units import GiB
from fs.api import PagingFile
from fs.ntfs.attribute import DATA, FILE_NAME, REPARSE_POINT, parse_file_name
from fs.ntfs.findings import Findings
from fs.ntfs.index import I30, Index
from fs.ntfs.mft import ROOT, Budget, Mft
from fs.ntfs.record import DIRECTORY
from fs.ntfs.stream import Stream, select

HIBERNATION = "hiberfil.sys"
NAMES = ("pagefile.sys", "swapfile.sys", HIBERNATION)
# First bytes of a hiberfil.sys that holds a session (ntfs-3g volume.c; facts on Windows 8 and later). After "wake"
# the session was resumed from it; it is kept all the same, for that costs space only.
SESSION = (b"HIBR", b"WAKE", b"RSTR")
MAX_ROOT = GiB // 4  # bytes of root directory that are searched; 100 bytes a name


def find(mft: Mft, findings: Findings) -> list[tuple[str, Stream]]:
    """The paging files that stand in the root directory: (name, content). Never raises for a damaged directory."""
    wanted: dict[str, tuple[int, int]] = {}
    faults: list[RecoveryError] = []
    try:
        index = Index(mft, ROOT, mft.attributes(ROOT), I30)
        for entry in index.names(Budget(MAX_ROOT), faults):
            name = entry.file_name.name
            if len(name) == 12 and name.isascii() and name.lower() in NAMES:
                wanted.setdefault(name.lower(), (entry.record, entry.sequence))
    except RecoveryError as error:
        faults.append(error)
    if faults:
        text = (
            f"The root directory is damaged ({faults[0]}); paging files that cannot be found are stored like "
            "any other file."
        )
        findings.add(Severity.ERROR, "ntfs.root_directory", text, mft.record_offset(ROOT))
    result = []
    for name in NAMES:
        if name in wanted:
            try:
                stream = _plain_file(mft, *wanted[name], name)
            except RecoveryError as error:
                text = f"{name} is damaged and is stored like any other file: {error}."
                findings.add(Severity.ERROR, "ntfs.paging_file", text, mft.record_offset(wanted[name][0]))
                continue
            if stream is not None:
                result.append((name, stream))
    return result


def _plain_file(mft: Mft, number: int, sequence: int, name: str) -> Stream | None:
    """The content of a regular file that has this one name, in the root directory; None when it is not such."""
    data, header = mft.record(number)
    if not header.in_use or header.flags & DIRECTORY or header.base or header.sequence != sequence:
        return None
    found = mft.gather(number, mft.own_attributes(number, data, header))
    names = [
        parse_file_name(part.value, f"MFT record {number}", mft.record_offset(number))
        for part in select(found, FILE_NAME)
        if part.value is not None
    ]
    if header.links != 1 or len(names) != 1 or names[0].parent != ROOT or names[0].name.lower() != name:
        return None
    if select(found, REPARSE_POINT):
        return None
    stream = mft.open(found, DATA, number)
    return stream if stream is not None and stream.as_stored else None


def is_session(stream: Stream) -> bool:
    """True when the first bytes of a hiberfil.sys say that it holds a session. Raises DeviceError, Truncated."""
    return stream.size >= 4 and stream.read_at(0, 4).upper() in SESSION


def paging_files(mft: Mft, found: list[tuple[str, Stream]], findings: Findings) -> tuple[PagingFile, ...]:
    """What may be left out, from what find() found. A file that claims the volume's own structures is not."""
    size = mft.geometry.cluster_size
    mirror = min(mft.geometry.mirror_lcn, mft.geometry.clusters) * size
    system = ExtentList([(0, 8192), (mirror, mirror + size), *mft.stream.extents()])
    result = []
    for name, stream in found:
        extents = sorted(stream.extents())
        if not extents:
            continue
        sound = all(a.end <= b.start for a, b in pairwise(extents))
        if not sound or any(system.touches(*extent) for extent in extents):
            text = f"{name} claims clusters of the volume's own structures or one twice; it is stored as it is."
            findings.add(Severity.ERROR, "ntfs.paging_file", text, extents[0].start)
            continue
        active = False
        if name == HIBERNATION:
            try:
                active = is_session(stream)
            except RecoveryError:
                active = True  # it cannot be told, so it is kept
        result.append(PagingFile(name, tuple(_joined(extents)), active))
    return tuple(result)


def _joined(extents: list[Extent]) -> list[Extent]:
    return list(ExtentList(extents))
