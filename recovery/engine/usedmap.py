"""Which bytes of a volume an image must hold: what its file system says, or everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from formats.base.errors import DeviceError, FormatError, Inconsistent, Unsupported
from formats.base.extent import ExtentBuilder, ExtentList
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from fs.api import FileSystem, PagingFile
from fs.registry import Content, Handling

_STRAYS_JOINED = 1_000_000  # 100 MB of tuples at the most; a volume with more is stored whole


@dataclass(frozen=True, slots=True)
class VolumeMap:
    """`used`: what the file system uses. `extents`: what is imaged of it. `excluded`: what is left out, and why.

    All in bytes of the volume. `why_raw`: a sentence when everything is stored, else ''.
    """

    handling: Handling
    why_raw: str
    used: ExtentList
    extents: ExtentList
    excluded: tuple[PagingFile, ...]
    problems: tuple[Problem, ...]


def volume_map(
    content: Content,
    source: BlockSource,
    *,
    include_paging: bool = False,
    follow: bool = True,
    check: Callable[[], None] = lambda: None,
) -> VolumeMap:
    """Ask the file system; store everything when it cannot tell for certain, and say so.

    `follow`: also walk the metadata of a file system whose map is its bitmap alone, and add what it refers to. It
    takes as long as the proof. `check` is called now and then and may raise Cancelled.
    """
    whole = ExtentList([(0, source.size)])
    file_system = content.filesystem
    if content.handling is not Handling.MAPPED or file_system is None:
        return VolumeMap(Handling.RAW, content.why_raw, whole, whole, (), content.problems)
    strays = ExtentList()
    try:
        builder = ExtentBuilder()
        for count, (start, end) in enumerate(file_system.allocated()):
            if count % 4096 == 0:
                check()
            builder.add(start, min(end, source.size))
        used = builder.build()
        if follow and not file_system.map_follows_references:
            strays = _strays(file_system, used, source.size, check)
        paging = tuple(file_system.paging_files())
    except (FormatError, Unsupported, DeviceError, ValueError) as error:
        why = f"The used blocks of this {content.identity.kind} volume cannot be told: the whole of it is stored."
        problem = Problem(Severity.ERROR, "volume.map_failed", f"{why} {error}")
        return VolumeMap(Handling.RAW, why, whole, whole, (), (*_all_problems(content), problem))
    excluded = tuple(p for p in paging if not p.active and p.extents) if not include_paging else ()
    problems = list(_all_problems(content))
    if builder.grain:
        text = f"It is so fragmented that gaps below {builder.grain} bytes are stored too."
        problems.append(Problem(Severity.INFO, "volume.coarse_map", text))
    if len(strays):
        used = used.union(strays)
        text = f"{strays.total} bytes are in use although the bitmap calls them free; they are imaged too."
        problems.append(Problem(Severity.WARNING, "volume.bitmap_lag", text, next(iter(strays)).start))
    left_out = ExtentList(extent for paging_file in excluded for extent in paging_file.extents)
    return VolumeMap(Handling.MAPPED, "", used, used.subtract(left_out), excluded, tuple(problems))


def _strays(file_system: FileSystem, used: ExtentList, size: int, check: Callable[[], None]) -> ExtentList:
    """What the metadata refer to outside of `used`."""
    found: list[tuple[int, int]] = []
    for count, reference in enumerate(file_system.references()):
        if count % 4096 == 0:
            check()
        start, end = reference.extent
        if not used.covers(start, end):
            found.append((start, min(end, size)))
            if len(found) >= _STRAYS_JOINED:
                found = [(e.start, e.end) for e in ExtentList(found)]
                if len(found) > _STRAYS_JOINED // 2:
                    raise Inconsistent("references", start, "too many extents lie outside of the bitmap")
    return ExtentList(found).subtract(used)


def _all_problems(content: Content) -> tuple[Problem, ...]:
    """Those of the recognition and those that the parser found while it worked."""
    found = list(content.problems)
    if content.filesystem is not None:
        found += [p for p in content.filesystem.problems if p not in found]
    return tuple(found)
