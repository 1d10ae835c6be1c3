"""An NTFS volume: who it is, which bytes a copy must hold, and who refers to them.

What a copy must hold is the union of $Bitmap and of all run lists, for clusters in use that $Bitmap does not know
are common, and of the backup boot sector, which lies behind the last cluster.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from formats.base.errors import RecoveryError
from formats.base.extent import Extent, ExtentList
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from fs.api import Identity, PagingFile, Reference
from fs.ntfs.attribute import DATA
from fs.ntfs.bitmap import Claims, ClusterMap
from fs.ntfs.boot import backup_places, find_boot
from fs.ntfs.findings import Findings
from fs.ntfs.mft import BAD_CLUSTERS, Mft
from fs.ntfs.paging import find, paging_files
from fs.ntfs.runlist import HOLE
from fs.ntfs.state import check_hibernation, check_log, check_mirror, volume_label
from fs.ntfs.stream import select
from fs.ntfs.walk import RunScan, references

BAD_STREAM = "$Bad"


class NtfsVolume:
    """Implements fs.api.FileSystem. Made by open_volume()."""

    map_follows_references = True

    def __init__(self, source: BlockSource) -> None:
        self._source = source
        self._findings = Findings()
        self.geometry = find_boot(source, self._findings)
        geometry = self.geometry
        end = geometry.clusters * geometry.cluster_size
        # Clusters of which the source holds at least the beginning.
        self._clusters = min(geometry.clusters, -(-source.size // geometry.cluster_size))
        if end > source.size:
            text = (
                f"The volume ends at byte {end}, but only {source.size} bytes are there: the end of the volume is "
                "missing."
            )
            self._findings.add(Severity.ERROR, "ntfs.truncated", text, source.size)
        self.mft = Mft(source, geometry, self._findings)
        self._map = ClusterMap(self.mft, self._clusters, self._findings)
        label = volume_label(self.mft, self._findings)
        size = geometry.sectors_end + geometry.sector_size
        self._identity = Identity("ntfs", label, f"{geometry.serial:016X}", geometry.cluster_size, size)
        check_mirror(self.mft, self._findings)
        check_log(self.mft, self._findings)
        paging = find(self.mft, self._findings)
        check_hibernation(paging, self._findings)
        self._paging = paging_files(self.mft, paging, self._findings)
        self._missing: ExtentList | None = None

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def problems(self) -> Sequence[Problem]:
        return self._findings.problems

    def allocated(self) -> Iterator[Extent]:
        """See fs.api. Reads the whole file table first, then $Bitmap slab by slab.

        Raises DeviceError or Corrupt when $Bitmap cannot be read.
        """
        if self._missing is None:
            self._missing = self._find_missing()
        limit, cluster = self._source.size, self.geometry.cluster_size
        sector = self.geometry.sector_size
        places = [(place, place + sector) for place in backup_places(self._source, self.geometry)]
        begin, stop = -1, -1
        clusters = heapq.merge(self._map.extents(), self._missing)
        inside = ((first * cluster, min(end * cluster, limit)) for first, end in clusters)
        for start, end in heapq.merge(inside, places):
            if start <= stop:
                stop = max(stop, end)
                continue
            if begin >= 0:
                yield Extent(begin, stop)
            begin, stop = start, end
        if begin >= 0:
            yield Extent(begin, stop)

    def paging_files(self) -> Sequence[PagingFile]:
        """pagefile.sys, swapfile.sys and hiberfil.sys of the root directory; see fs.api."""
        return self._paging

    def references(self) -> Iterator[Reference]:
        """See fs.api."""
        return references(self.mft, self._findings, self._source.size)

    def bad_clusters(self) -> ExtentList:
        """The clusters that the volume knows to be bad ($BadClus:$Bad), in bytes. They are part of allocated()."""
        cluster = self.geometry.cluster_size
        try:
            found = select(self.mft.attributes(BAD_CLUSTERS), DATA, BAD_STREAM)
        except RecoveryError as error:
            text = f"The list of bad clusters is damaged: {error}."
            where = self.mft.record_offset(BAD_CLUSTERS)
            self._findings.add(Severity.WARNING, "ntfs.bad_clusters", text, where)
            return ExtentList()
        runs = (run for part in found for run in part.runs if run[1] != HOLE)
        return ExtentList((lcn * cluster, (lcn + count) * cluster) for _, lcn, count in runs).clip(0, self._source.size)

    def _find_missing(self) -> ExtentList:
        """Clusters that records use and $Bitmap does not know, as cluster numbers."""
        scan = RunScan(self.mft, self._findings)
        claims = Claims(self._map)
        for item, places in scan.items():
            for here in places:
                for _, lcn, length in scan.runs(item, here):
                    if lcn != HOLE:
                        claims.add(lcn, lcn + length)
        claims.flush()
        scan.close()
        if claims.missing.total:
            text = (
                f"{claims.missing.total} clusters belong to files, but the volume's own map ($Bitmap) calls them "
                "free. They are copied too. This is common and harmless for the copy; chkdsk corrects the map."
            )
            offset = next(iter(claims.missing)).start * self.geometry.cluster_size
            self._findings.add(Severity.WARNING, "ntfs.bitmap_lag", text, offset)
        return claims.missing


def open_volume(source: BlockSource) -> NtfsVolume:
    """Open the NTFS volume that fills `source`.

    Raises NotThisFormat when neither sector 0 nor the last sector carries the OEM id; Corrupt, Unsupported or
    DeviceError when its boot sectors, $MFT or $Bitmap cannot be understood or read.
    """
    return NtfsVolume(source)
