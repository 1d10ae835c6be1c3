"""What is on a disk: table, volumes, file systems, used bytes. What `inspect` shows and every planner reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from formats.base.errors import DeviceError
from formats.base.extent import Extent, ExtentList
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource, Window
from formats.base.units import MiB
from formats.table.detect import read_table
from formats.table.model import Partition, PartitionTable, Provenance, Scheme
from fs.registry import Content, identify_volume
from recovery.engine.usedmap import VolumeMap, volume_map

GAP_WHOLE = 16 * MiB  # a gap between partitions up to this size is stored in full (zeros cost nothing)
GAP_EDGE = 1 * MiB  # of a larger one: its edges, where boot loaders, LDM and RAID metadata live


@dataclass(frozen=True, slots=True)
class VolumeReport:
    """`number`: of the partition, 1-based. `extent`: bytes of the disk. `partition` None: the bare disk."""

    number: int
    extent: Extent
    partition: Partition | None
    content: Content
    map: VolumeMap | None

    @property
    def title(self) -> str:
        """Its name for people."""
        identity = self.content.identity
        name = f"partition {self.number}" if self.partition else "whole disk"
        kind = identity.kind or "unknown contents"
        return f"{name} ({kind}{', ' + identity.label if identity.label else ''})"

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.content.problems if self.map is None else self.map.problems

    def to_json(self) -> dict[str, Any]:
        identity = self.content.identity
        part = self.partition
        return {
            "number": self.number,
            "start": self.extent.start,
            "size": self.extent.length,
            "type": part.type_code if part else "",
            "type_name": part.type_name if part else "",
            "name": part.name if part else "",
            "partition_uuid": part.unique_id if part else "",
            "file_system": identity.kind,
            "label": identity.label,
            "uuid": identity.uuid,
            "block_size": identity.block_size,
            "used_bytes": self.map.used.total if self.map else None,
            "image_bytes": self.map.extents.total if self.map else None,
            "handling": (self.map.handling if self.map else self.content.handling).value,
            "why_raw": self.map.why_raw if self.map else self.content.why_raw,
            "left_out": [
                {"path": p.path, "bytes": sum(e.length for e in p.extents)}
                for p in (self.map.excluded if self.map else ())
            ],
            "problems": [p.to_json() for p in self.problems],
        }


@dataclass(frozen=True, slots=True)
class DiskReport:
    """`areas`: bytes of the disk that belong to no partition and are imaged with it: table, boot code, gaps."""

    name: str
    size: int
    sector_size: int
    table: PartitionTable
    volumes: tuple[VolumeReport, ...]
    areas: ExtentList

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "size": self.size,
            "sector_size": self.sector_size,
            "table": self.table.scheme.value,
            "disk_id": self.table.disk_id,
            "table_copy": self.table.provenance.value,
            "problems": [p.to_json() for p in self.table.problems],
            "partitions": [v.to_json() for v in self.volumes],
        }


def inspect_source(
    source: BlockSource,
    *,
    numbers: frozenset[int] | None = None,
    include_paging: bool = False,
    with_map: bool = True,
    follow: bool = True,
    on_volume: Callable[[str], None] = lambda text: None,
    check: Callable[[], None] = lambda: None,
) -> DiskReport:
    """Look at a disk or volume. `numbers`: only these partitions are looked into (all are listed in the table).

    `follow`: see usedmap.volume_map(). `on_volume` is told what is looked at, `check` may raise Cancelled. What is
    damaged or cannot be read becomes Problems. Raises Unsupported for sector sizes that no table has.
    """
    table = _without_empty_mbr(_table(source))
    volumes = []
    if table.scheme is Scheme.NONE:
        volumes.append(
            _volume(source, 1, Extent(0, source.size), None, include_paging, with_map, follow, on_volume, check)
        )
        areas = ExtentList()
    else:
        volumes += [
            _volume(source, part.number, part.extent, part, include_paging, with_map, follow, on_volume, check)
            for part in table.partitions
            if numbers is None or part.number in numbers
        ]
        areas = disk_areas(table)
    return DiskReport(source.name, source.size, table.sector_size, table, tuple(volumes), areas)


def _table(source: BlockSource) -> PartitionTable:
    try:
        return read_table(source)
    except DeviceError as error:
        # The first sector of a disk that is going to be saved is no reason to give up all others.
        text = f"It cannot be told how this disk is divided: its table cannot be read ({error}). All of it is stored."
        problem = Problem(Severity.ERROR, "table.unreadable", text, error.offset)
        return PartitionTable(
            Scheme.NONE, source.sector_size, source.size, "", Provenance.PRIMARY, (), (problem,), ()
        )  # fmt: skip


def _without_empty_mbr(table: PartitionTable) -> PartitionTable:
    """An MBR that lists nothing says nothing about the disk either.

    Boot code in front of a file system that our table reader does not know looks the same, and of a large gap only
    the edges are imaged; so such a disk is one volume, and whatever it holds is stored.
    """
    if table.scheme is not Scheme.MBR or table.partitions or table.containers:
        return table
    text = "the MBR lists no partitions: the disk is taken as one volume"
    problem = Problem(Severity.INFO, "mbr.empty", text, 446)
    return replace(table, scheme=Scheme.NONE, disk_id="", regions=(), problems=(*table.problems, problem))


def _volume(
    source: BlockSource,
    number: int,
    extent: Extent,
    partition: Partition | None,
    include_paging: bool,
    with_map: bool,
    follow: bool,
    on_volume: Callable[[str], None],
    check: Callable[[], None],
) -> VolumeReport:
    check()
    on_volume(f"partition {number} of {source.name}" if partition else source.name)
    window = Window(source, extent, f"{source.name} partition {number}" if partition else source.name)
    content = identify_volume(window)
    found = volume_map(content, window, include_paging=include_paging, follow=follow, check=check) if with_map else None
    return VolumeReport(number, extent, partition, content, found)


def disk_areas(table: PartitionTable) -> ExtentList:
    """What is imaged of the space between partitions: the table itself, small gaps whole, edges of large ones."""
    inside = ExtentList(p.extent for p in table.partitions)
    found: list[tuple[int, int]] = []
    for start, end in inside.complement(table.disk_size):
        if end - start <= GAP_WHOLE:
            found.append((start, end))
        else:
            found += [(start, start + GAP_EDGE), (end - GAP_EDGE, end)]
    own = ExtentList(region.extent for region in table.regions).subtract(inside)
    return ExtentList(found).union(own)
