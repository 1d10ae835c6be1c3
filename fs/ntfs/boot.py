"""The boot sector: from bytes to a checked geometry.

Source: ntfs-3g 2022.10.3 libntfs-3g/bootsect.c and layout.h for the fields; cluster sizes above 64 KiB and 4Kn
media seen with mkntfs 2022.10.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from formats.base.decode import decode
from formats.base.errors import Corrupt, DeviceError, Inconsistent, NotThisFormat, RecoveryError, Unsupported
from formats.base.problem import Severity
from formats.base.source import BlockSource
from formats.base.units import MiB, is_power_of_two
from fs.ntfs.findings import Findings
from fs.ntfs.layout import OEM_ID, BootSector

NAME = "NTFS boot sector"
SECTOR_SIZES = (512, 1024, 2048, 4096)
BPB_END = 0x54  # behind it comes boot code, which may differ harmlessly
BOOT_BYTES = 512  # what is decoded of a boot sector, whatever the sector size
MAX_CLUSTER = 2 * MiB  # the largest that Windows and mkntfs make
MAX_RECORD = 64 << 10  # 1 or 4 KiB are seen; refuses absurd allocations
MAX_CLUSTERS = 1 << 42  # 1024 times what Windows can address; keeps every product inside 64 bits


@dataclass(frozen=True, slots=True)
class Geometry:
    """The boot sector, checked: nothing is zero, everything lies inside the volume.

    All sizes are bytes; `total_sectors` counts `sector_size` and leaves out the backup boot sector behind it;
    `clusters` is what $Bitmap covers; `mft_lcn` and `mirror_lcn` are cluster numbers; `offset` is where the boot
    sector was read, in bytes on the source.
    """

    sector_size: int
    cluster_size: int
    total_sectors: int
    clusters: int
    mft_lcn: int
    mirror_lcn: int
    record_size: int
    index_size: int
    serial: int
    offset: int

    @property
    def sectors_end(self) -> int:
        """First byte behind the volume's sectors: there the backup boot sector lies."""
        return self.total_sectors * self.sector_size


def parse_boot(data: bytes, offset: int, source: str) -> Geometry:
    """Decode the boot sector at byte `offset`. Raises NotThisFormat, Corrupt, Inconsistent or Unsupported."""
    if data[3:11] != OEM_ID:
        raise NotThisFormat(NAME, offset + 3, "no OEM id", expected=OEM_ID, found=bytes(data[3:11]), source=source)
    raw = decode(BootSector, data[:BOOT_BYTES], NAME, offset, source)
    sector = int(raw.bytes_per_sector)
    if sector not in SECTOR_SIZES:
        expected = "512, 1024, 2048 or 4096"
        raise Corrupt(NAME, offset + 0x0B, "bytes per sector", expected=expected, found=sector, source=source)
    code = int(raw.sectors_per_cluster)
    per_cluster = code if code <= 128 else 1 << (256 - code)
    if not is_power_of_two(per_cluster):
        expected = "a power of two"
        raise Corrupt(NAME, offset + 0x0D, "sectors a cluster", expected=expected, found=code, source=source)
    cluster = sector * per_cluster
    if cluster > MAX_CLUSTER:
        raise Unsupported(NAME, f"a cluster size of {cluster} bytes")
    total = int(raw.number_of_sectors)
    clusters = total // per_cluster
    if not 0 < clusters <= MAX_CLUSTERS:
        expected = f"1 to {MAX_CLUSTERS}"
        raise Corrupt(NAME, offset + 0x28, "clusters", expected=expected, found=clusters, source=source)
    mft = int(raw.mft_lcn)
    if mft >= clusters:
        text, expected = "$MFT begins behind the last cluster", f"below {clusters}"
        raise Inconsistent(NAME, offset + 0x30, text, expected=expected, found=mft, source=source)
    sizes = []
    for at, code in ((0x40, int(raw.clusters_per_mft_record)), (0x44, int(raw.clusters_per_index_record))):
        size = code * cluster if code > 0 else 1 << -code
        if not (is_power_of_two(size) and 512 <= size <= MAX_RECORD):
            expected = f"a power of two from 512 to {MAX_RECORD} bytes"
            raise Corrupt(NAME, offset + at, "size of a record", expected=expected, found=size, source=source)
        sizes.append(size)
    return Geometry(
        sector_size=sector,
        cluster_size=cluster,
        total_sectors=total,
        clusters=clusters,
        mft_lcn=mft,
        mirror_lcn=int(raw.mftmirr_lcn),
        record_size=sizes[0],
        index_size=sizes[1],
        serial=int(raw.volume_serial_number),
        offset=offset,
    )


def find_boot(source: BlockSource, findings: Findings) -> Geometry:
    """The geometry from sector 0 or, when that is damaged, from the backup in the last sector.

    Raises NotThisFormat when neither carries the OEM id, and what is wrong with sector 0 when no good one is left.
    """
    first: RecoveryError | None = None
    try:
        data = _read(source, 0)
        geometry = parse_boot(data, 0, source.name)
    except RecoveryError as error:
        first = error
    else:
        _compare_backup(source, geometry, data, findings)
        return geometry
    second: RecoveryError | None = None
    for sector in SECTOR_SIZES:
        try:
            geometry = parse_boot(_read(source, source.size - sector), source.size - sector, source.name)
        except NotThisFormat:
            continue
        except RecoveryError as error:
            second = error
            continue
        if geometry.sector_size == sector:
            text = (
                "The first sector of the volume is damaged; its copy in the last sector was used instead. "
                f"Windows cannot mount the volume as it is: {first}."
            )
            findings.add(Severity.ERROR, "ntfs.primary_boot", text, 0)
            return geometry
    if isinstance(first, NotThisFormat) and second is not None:
        raise second
    raise first


def backup_places(source: BlockSource, geometry: Geometry) -> list[int]:
    """Where boot sector copies lie behind the clusters, ascending, in bytes: every one that the source still has.

    The sector behind the last one is always named, for it belongs to the file system even when damaged; the last
    sector of the source only when it carries a boot sector.
    """
    size, places = geometry.sector_size, []
    behind, last = geometry.sectors_end, source.size - geometry.sector_size
    if behind + size <= source.size:
        places.append(behind)
    if last > behind:
        try:
            if _read(source, last)[3:11] == OEM_ID:
                places.append(last)
        except DeviceError:
            places.append(last)
    return places


def _read(source: BlockSource, offset: int) -> bytes:
    if offset < 0 or offset + BOOT_BYTES > source.size:
        raise NotThisFormat(NAME, max(offset, 0), "the source is too short", source=source.name)
    return source.read_at(offset, BOOT_BYTES)


def _compare_backup(source: BlockSource, geometry: Geometry, data: bytes, findings: Findings) -> None:
    """Report a backup boot sector that is missing or describes another volume."""
    different = None
    for place in backup_places(source, geometry):
        try:
            copy = _read(source, place)
        except DeviceError:
            continue
        if copy[:BPB_END] == data[:BPB_END]:
            return
        if copy[3:11] == OEM_ID:
            different = place
    if different is not None:
        text = (
            "The copy of the boot sector at the end of the volume describes the volume otherwise than the first "
            "sector does. Windows works without it, but repair tools could take the wrong one."
        )
        findings.add(Severity.WARNING, "ntfs.backup_boot", text, different)
        return
    text = (
        "There is no copy of the boot sector at the end of the volume. Windows works without it, "
        "but if the first sector fails, the volume cannot be repaired from the copy."
    )
    findings.add(Severity.WARNING, "ntfs.backup_boot", text, geometry.sectors_end)
