"""What a partition table says, whichever kind it is. Offsets and sizes are bytes from the start of the disk.

Extents are half-open; `number` is 1-based as Linux counts (sda5 is the first logical partition).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from formats.base.errors import Corrupt
from formats.base.extent import Extent
from formats.base.problem import Problem, Severity

# The values of RawRegion.what. A rebuilt table is made from the regions, so these are part of the stored format.
SECTOR_ZERO = "sector 0"
EBR = "EBR"
PRIMARY_HEADER = "primary GPT header"
PRIMARY_ENTRIES = "primary GPT entries"
BACKUP_ENTRIES = "backup GPT entries"
BACKUP_HEADER = "backup GPT header"

SECTOR_SIZES = (512, 1024, 2048, 4096)


class Scheme(StrEnum):
    """NONE: no table, one volume that fills the disk (or a blank disk)."""

    GPT = "gpt"
    MBR = "mbr"
    NONE = "none"


class Provenance(StrEnum):
    """Which copy of a GPT the partitions come from."""

    PRIMARY = "primary"
    BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition that can hold a volume (an extended partition is none; see PartitionTable.containers).

    `extent` lies inside the disk, cut if need be. `type_code`: ``0x07``, or the type GUID in capitals.
    `unique_id`: partition GUID in capitals, or ``deadbeef-05`` as blkid's PARTUUID ('' when the MBR has no id).
    `attributes`: the GPT's 64 bits; for an MBR its boot indicator (0x80 or 0).
    """

    number: int
    extent: Extent
    type_code: str
    type_name: str
    unique_id: str
    name: str
    attributes: int
    logical: bool


@dataclass(frozen=True, slots=True)
class RawRegion:
    """Whole sectors of the table as found on the disk. `what`: one of the constants above."""

    extent: Extent
    data: bytes
    what: str


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """A table as found.

    `partitions`: ascending by number. `disk_id`: GUID in capitals, or 8 hex digits, or ''. `containers`: extents
    of extended partitions. `hybrid`: a GPT whose sector 0 also lists partitions of its own. `first_usable` and
    `last_usable` (GPT, else 0): bytes; the usable range is [first_usable, last_usable), so `last_usable` is the
    first byte *behind* the last usable sector. Both are cut at the end of the disk.
    """

    scheme: Scheme
    sector_size: int
    disk_size: int
    disk_id: str
    provenance: Provenance
    partitions: tuple[Partition, ...]
    problems: tuple[Problem, ...]
    regions: tuple[RawRegion, ...]
    hybrid: bool = False
    containers: tuple[Extent, ...] = ()
    first_usable: int = 0
    last_usable: int = 0

    def region(self, what: str) -> RawRegion | None:
        """The first region of that kind."""
        return next((r for r in self.regions if r.what == what), None)

    def to_json(self) -> dict[str, object]:
        """Plain JSON types only; the bytes of the regions as base64."""
        return {
            "scheme": self.scheme.value,
            "sector_size": self.sector_size,
            "disk_size": self.disk_size,
            "disk_id": self.disk_id,
            "provenance": self.provenance.value,
            "hybrid": self.hybrid,
            "first_usable": self.first_usable,
            "last_usable": self.last_usable,
            "containers": [list(c) for c in self.containers],
            "partitions": [
                {
                    "number": p.number,
                    "extent": list(p.extent),
                    "type_code": p.type_code,
                    "type_name": p.type_name,
                    "unique_id": p.unique_id,
                    "name": p.name,
                    "attributes": p.attributes,
                    "logical": p.logical,
                }
                for p in self.partitions
            ],
            "problems": [
                {"severity": p.severity.value, "code": p.code, "text": p.text, "offset": p.offset}
                for p in self.problems
            ],
            "regions": [
                {
                    "extent": list(r.extent),
                    "data": base64.b64encode(r.data).decode("ascii"),
                    "what": r.what,
                }
                for r in self.regions
            ],
        }

    @classmethod
    def from_json(cls, record: object) -> PartitionTable:
        """The inverse of to_json. Raises Corrupt, naming the field, when `record` is not of that shape."""
        top = _Record(record, "partition table")
        disk_size = top.count("disk_size")
        sector_size = top.count("sector_size")
        if sector_size not in SECTOR_SIZES:
            raise top.wrong("sector_size", f"one of {SECTOR_SIZES}", sector_size)
        return cls(
            scheme=top.choice("scheme", Scheme),
            sector_size=sector_size,
            disk_size=disk_size,
            disk_id=top.text("disk_id"),
            provenance=top.choice("provenance", Provenance),
            partitions=top.each("partitions", lambda r: _partition(r, disk_size)),
            problems=top.each("problems", _problem),
            regions=top.each("regions", lambda r: _region(r, disk_size)),
            hybrid=top.flag("hybrid"),
            containers=tuple(
                top.extent_of(c, f"containers[{i}]", disk_size) for i, c in enumerate(top.items("containers"))
            ),
            first_usable=top.count("first_usable"),
            last_usable=top.count("last_usable"),
        )


T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class _Record:
    """A JSON object whose fields are checked as they are taken."""

    def __init__(self, record: object, where: str) -> None:
        self._where = where
        if not isinstance(record, dict):
            raise Corrupt(where, 0, "not a JSON object", expected="object", found=type(record).__name__)
        self._fields = record

    def wrong(self, field: str, expected: object, found: object) -> Corrupt:
        return Corrupt(f"{self._where} {field}", 0, "wrong value in JSON", expected=expected, found=repr(found)[:80])

    def _get(self, field: str) -> object:
        if field not in self._fields:
            raise self.wrong(field, "a value", None)
        value: object = self._fields[field]
        return value

    def count(self, field: str) -> int:
        value = self._get(field)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
            raise self.wrong(field, "an integer of 0..2^64-1", value)
        return value

    def optional_count(self, field: str) -> int | None:
        return None if self._get(field) is None else self.count(field)

    def text(self, field: str) -> str:
        value = self._get(field)
        if not isinstance(value, str):
            raise self.wrong(field, "text", value)
        return value

    def flag(self, field: str) -> bool:
        value = self._get(field)
        if not isinstance(value, bool):
            raise self.wrong(field, "true or false", value)
        return value

    def choice(self, field: str, kind: type[E]) -> E:
        value = self.text(field)
        try:
            return kind(value)
        except ValueError as error:
            raise self.wrong(field, [str(k) for k in kind], value) from error

    def each(self, field: str, build: Callable[[_Record], T]) -> tuple[T, ...]:
        return tuple(build(_Record(r, f"{self._where} {field}[{i}]")) for i, r in enumerate(self.items(field)))

    def extent(self, field: str, size: int) -> Extent:
        return self.extent_of(self._get(field), field, size)

    def items(self, field: str) -> list[object]:
        value = self._get(field)
        if not isinstance(value, list):
            raise self.wrong(field, "a list", value)
        return value

    def extent_of(self, value: object, field: str, size: int) -> Extent:
        ends = value if isinstance(value, list) else []
        if len(ends) != 2 or any(not isinstance(e, int) or isinstance(e, bool) for e in ends):
            raise self.wrong(field, "[start, end]", value)
        if not 0 <= ends[0] <= ends[1] <= size:
            raise self.wrong(field, f"0 <= start <= end <= {size}", value)
        return Extent(ends[0], ends[1])


def _partition(record: _Record, disk_size: int) -> Partition:
    number = record.count("number")
    if number < 1:
        raise record.wrong("number", "1 or more", number)
    return Partition(
        number=number,
        extent=record.extent("extent", disk_size),
        type_code=record.text("type_code"),
        type_name=record.text("type_name"),
        unique_id=record.text("unique_id"),
        name=record.text("name"),
        attributes=record.count("attributes"),
        logical=record.flag("logical"),
    )


def _problem(record: _Record) -> Problem:
    return Problem(
        severity=record.choice("severity", Severity),
        code=record.text("code"),
        text=record.text("text"),
        offset=record.optional_count("offset"),
    )


def _region(record: _Record, disk_size: int) -> RawRegion:
    extent = record.extent("extent", disk_size)
    try:
        data = base64.b64decode(record.text("data"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise record.wrong("data", "base64", "other text") from error
    if len(data) != extent.length:
        raise record.wrong("data", f"{extent.length} bytes", f"{len(data)} bytes")
    return RawRegion(extent, data, record.text("what"))
