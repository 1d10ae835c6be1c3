"""The manifest: what the archive says about itself. JSON on disk, checked here once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from formats.archive.layout import FORMAT_VERSION, MAX_BLOCK, MAX_VOLUMES, MIN_BLOCK
from formats.base.errors import Corrupt, Unsupported
from formats.base.units import is_power_of_two

Json = dict[str, Any]
MAX_VOLUME_SIZE = 1 << 62


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """One address space. `size`, `disk_offset`: bytes. `details`: all further members of the JSON object."""

    size: int
    sector_size: int
    disk: int
    disk_offset: int
    role: str  # "partition", "whole" (no table on the disk) or "areas" (what belongs to no partition)
    number: int  # of the partition, 1-based; 0 for areas
    details: Json = field(default_factory=dict)

    def to_json(self, index: int) -> Json:
        return {
            "index": index,
            "disk": self.disk,
            "role": self.role,
            "number": self.number,
            "size": self.size,
            "sector_size": self.sector_size,
            "disk_offset": self.disk_offset,
            **self.details,
        }


@dataclass(frozen=True, slots=True)
class Manifest:
    """`details`: everything that this layer only carries (machine, tool, times, outcome)."""

    archive_id: bytes
    block_size: int
    disks: tuple[Json, ...]
    volumes: tuple[VolumeRecord, ...]
    details: Json = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        body = {
            "format": "jurymast",
            "version": FORMAT_VERSION,
            "archive_id": self.archive_id.hex(),
            "block_size": self.block_size,
            "disks": list(self.disks),
            "volumes": [volume.to_json(i) for i, volume in enumerate(self.volumes)],
            **self.details,
        }
        return json.dumps(body, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass")

    @classmethod
    def from_bytes(cls, data: bytes, offset: int) -> Manifest:
        """Parse and check. `offset`: archive offset for messages. Raises Corrupt or Unsupported."""
        try:
            body = json.loads(data.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError) as error:
            raise Corrupt("manifest", offset, f"is not JSON: {error}") from error
        if not isinstance(body, dict) or body.pop("format", None) != "jurymast":
            raise Corrupt("manifest", offset, "does not say that it is of this format")
        version = body.pop("version", None)
        if version != FORMAT_VERSION:
            raise Unsupported("archive", f"format version {version}", "Use a newer version of Jurymast.")
        try:
            archive_id = bytes.fromhex(body.pop("archive_id"))
            block_size = body.pop("block_size")
            disks = tuple(dict(d) for d in body.pop("disks"))
            volumes = tuple(_volume(dict(v), offset) for v in body.pop("volumes"))
        except (KeyError, TypeError, ValueError) as error:
            raise Corrupt("manifest", offset, f"a member is missing or of the wrong type: {error!r}") from error
        if (
            len(archive_id) != 16
            or not isinstance(block_size, int)
            or not is_power_of_two(block_size)
            or not MIN_BLOCK <= block_size <= MAX_BLOCK
        ):
            raise Corrupt("manifest", offset, "archive_id or block_size", found=block_size)
        if not 0 < len(volumes) <= MAX_VOLUMES:
            raise Corrupt("manifest", offset, "number of volumes", found=len(volumes))
        if any(not 0 <= v.disk < len(disks) for v in volumes):
            raise Corrupt("manifest", offset, "a volume names a disk that is not there")
        return cls(archive_id, block_size, disks, volumes, body)


def _volume(body: Json, offset: int) -> VolumeRecord:
    body.pop("index", None)
    names = ("size", "sector_size", "disk", "disk_offset", "number")
    numbers = {name: body.pop(name) for name in names}
    if not all(isinstance(value, int) and 0 <= value <= MAX_VOLUME_SIZE for value in numbers.values()):
        raise Corrupt("manifest", offset, "a number of a volume is out of range", found=numbers)
    if not 0 < numbers["sector_size"] <= 65536:
        raise Corrupt("manifest", offset, "sector size of a volume", found=numbers["sector_size"])
    return VolumeRecord(role=str(body.pop("role")), details=body, **numbers)
