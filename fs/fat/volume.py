"""A FAT12, FAT16 or FAT32 volume: identity, what is in use, and what its directories refer to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from formats.base.decode import decode
from formats.base.errors import Corrupt, DeviceError, FormatError, NotThisFormat
from formats.base.extent import Extent, ExtentBuilder, ExtentList
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from fs.api import Identity, PagingFile, Reference
from fs.bootsector import sector_owner, volume_owner
from fs.clusters import BrokenChain
from fs.fat.bpb import BOOT_BYTES, FAT12_LIMIT, MEDIA, Bpb, parse_bpb
from fs.fat.directory import ENTRY_SIZE, MAX_ENTRIES, DirectoryParser
from fs.fat.layout import FSI_LEAD, FSI_STRUC, FSI_TRAIL, FsInfo
from fs.fat.names import label_text
from fs.fat.table import FatTable, borders
from fs.fat.walk import Walk
from fs.findings import Findings, Log

BACKUP_SECTOR = 6  # fatgen103: "No value other than 6 is recommended"
NO_NAME = "NO NAME"  # what a boot sector says when there is no label (fatgen103, BS_VolLab)
MAX_BAD_RUNS = 1_000_000  # more are counted but not listed
_READ_STEP = 64 << 10


def open_volume(source: BlockSource) -> FatVolume:
    """Recognise a FAT volume that begins at byte 0 of `source`.

    Raises NotThisFormat when it is none, Truncated when it is larger than `source`, Corrupt, Inconsistent or
    Unsupported when it is one that cannot be understood, DeviceError when it cannot be read.
    """
    findings = Findings()
    log = findings.start("open")
    bpb = _read_bpb(source, log)
    table = FatTable(source, bpb, log)
    _check_fat_head(table, bpb, log, source.name)
    return FatVolume(source, bpb, table, findings, log)


def _read_bpb(source: BlockSource, log: Log) -> Bpb:
    """The BPB of sector 0, or of the backup when sector 0 is damaged and belongs to no other format."""
    if source.size < BOOT_BYTES:
        raise NotThisFormat("FAT boot sector", 0, f"the source has only {source.size} bytes", source=source.name)
    sector: bytes | None = None
    trouble: DeviceError | NotThisFormat
    try:
        sector = source.read_at(0, BOOT_BYTES)
        return parse_bpb(sector, 0, source.size, source.name)
    except (DeviceError, NotThisFormat) as error:
        trouble = error
    backup = None
    if sector is None or sector_owner(sector) is None:
        backup = _find_backup(source)
    if backup is None:
        raise trouble
    at = BACKUP_SECTOR * backup.sector_size
    text = f"the boot sector is damaged ({trouble}); its backup in sector {BACKUP_SECTOR} was used"
    log.add(Severity.WARNING, "fat.backup_boot_sector", text, at)
    return backup


def _find_backup(source: BlockSource) -> Bpb | None:
    """A backup boot sector of FAT32 that the rest of the volume bears out; None when there is no such thing.

    Borne out: it calls itself sector 6, the FAT begins where it says, the root directory is in use, and no other
    format has left its mark on the volume.
    """
    for size in (512, 1024, 2048, 4096):
        at = BACKUP_SECTOR * size
        try:
            bpb = parse_bpb(source.read_at(at, BOOT_BYTES), at, source.size, source.name)
            if bpb.bits != 32 or bpb.sector_size != size or bpb.backup_sector != BACKUP_SECTOR:
                continue
            table = FatTable(source, bpb, Log())
            media, state = table.head(bpb.active_fat)
            if media != 0x0FFFFF00 | bpb.media or state < 0x03FFFFFF or not table.chains().entry(bpb.root_cluster):
                continue
        except (DeviceError, FormatError, BrokenChain):
            continue
        return None if volume_owner(source) else bpb
    return None


def _check_fat_head(table: FatTable, bpb: Bpb, log: Log, source: str) -> None:
    """Entry 0 holds the media byte below ones (fatgen103): the nearest thing to a magic. Then the state bits.

    Raises NotThisFormat when no FAT begins like that, Corrupt when the active one does not.
    """
    ones = {12: 0xF00, 16: 0xFF00, 32: 0x0FFFFF00}[bpb.bits]
    heads: dict[int, tuple[int, int]] = {}
    trouble: DeviceError | None = None
    for copy in range(bpb.fat_count):
        try:
            heads[copy] = table.head(copy)
        except DeviceError as error:
            trouble = trouble or error
    if not heads and trouble is not None:
        raise trouble
    good = [i for i, (first, _) in heads.items() if first & ~0xFF == ones and first & 0xFF in MEDIA]
    at = bpb.fat_start(bpb.active_fat)
    found = ", ".join(hex(first) for first, _ in heads.values())
    if not good:
        raise NotThisFormat(
            "first entry of the FAT", at, "no media byte", source=source,
            expected=hex(ones | bpb.media), found=found,
        )  # fmt: skip
    if bpb.active_fat in heads and bpb.active_fat not in good:
        raise Corrupt(
            "first entry of the active FAT", at, "no media byte", source=source,
            expected=hex(ones | bpb.media), found=found,
        )  # fmt: skip
    first, state = heads.get(bpb.active_fat, heads[good[0]])
    if first & 0xFF != bpb.media:
        text = f"the FAT has media byte {first & 0xFF:#x}, the boot sector {bpb.media:#x}"
        log.add(Severity.INFO, "fat.media_differs", text, at)
    _check_state(bpb, state, log, at)


def _check_state(bpb: Bpb, state: int, log: Log, at: int) -> None:
    """The "clean" and "no error" bits of FAT[1] (fatgen103) and their counterparts in the boot sector."""
    clean, sound = {12: (0, 0), 16: (0x8000, 0x4000), 32: (0x08000000, 0x04000000)}[bpb.bits]
    if state & clean != clean or bpb.state & 1:
        where = "FAT[1]" if state & clean != clean else "the boot sector"
        text = f"the volume was not unmounted cleanly, says {where}; files may be incomplete"
        log.add(Severity.WARNING, "fat.dirty", text, at)
    if state & sound != sound or bpb.state & 2:
        where = "FAT[1]" if state & sound != sound else "the boot sector"
        log.add(Severity.WARNING, "fat.io_errors", f"the system met disk errors on this volume, says {where}", at)


class FatVolume:
    """Implements fs.api.FileSystem. Made by open_volume()."""

    map_follows_references = True

    def __init__(self, source: BlockSource, bpb: Bpb, table: FatTable, findings: Findings, log: Log) -> None:
        self._source, self._bpb, self._table, self._findings = source, bpb, table, findings
        self._bad: ExtentList | None = None
        self._note_geometry(log)
        label = self._root_label(log)
        if label is None:
            label = label_text(bpb.label)
            label = "" if label == NO_NAME else label
        self._identity = Identity(
            kind=f"fat{bpb.bits}",
            label=label,
            uuid=_uuid(bpb.serial),
            block_size=bpb.cluster_size,
            size=bpb.end,
        )

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def bpb(self) -> Bpb:
        return self._bpb

    @property
    def table(self) -> FatTable:
        return self._table

    @property
    def problems(self) -> Sequence[Problem]:
        return self._findings.problems()

    def paging_files(self) -> Sequence[PagingFile]:
        """None: Windows keeps its paging files on NTFS, and older ones cannot be told safely."""
        return ()

    def _note_geometry(self, log: Log) -> None:
        bpb = self._bpb
        if bpb.small_fat32:
            would_be = 12 if bpb.claimed_clusters < FAT12_LIMIT else 16
            text = (
                f"FAT32 by its fields, though its {bpb.claimed_clusters} clusters would make it FAT{would_be}"
                f" by Microsoft's rule; read as FAT32"
            )
            log.add(Severity.INFO, "fat.small_fat32", text, 0)
        if bpb.clusters < bpb.claimed_clusters:
            text = (
                f"the FAT has entries for {bpb.clusters} of {bpb.claimed_clusters} clusters;"
                f" the others are imaged as they are"
            )
            log.add(Severity.WARNING, "fat.table_short", text, bpb.fat_offset)
        if not bpb.mirrored:
            text = f"only FAT {bpb.active_fat + 1} of {bpb.fat_count} is kept up to date; it is the one that is read"
            log.add(Severity.INFO, "fat.not_mirrored", text, bpb.fat_start(bpb.active_fat))

    def _root_blocks(self) -> Iterator[tuple[int, int]]:
        """The extents of the root directory, as far as they can be found."""
        bpb = self._bpb
        if bpb.bits != 32:
            yield bpb.root_offset, bpb.root_offset + bpb.root_entries * ENTRY_SIZE
            return
        try:
            for low, high in self._table.chains().follow(bpb.root_cluster):
                yield bpb.cluster_offset(low), bpb.cluster_offset(high)
        except BrokenChain:
            return  # references() reports it

    def _root_label(self, log: Log) -> str | None:
        """The volume label entry of the root directory, which outranks the boot sector; None without one."""
        parser = DirectoryParser(wide=self._bpb.bits == 32)
        left = MAX_ENTRIES * ENTRY_SIZE
        try:
            for start, end in self._root_blocks():
                for at in range(start, min(end, start + left), _READ_STEP):
                    size = min(_READ_STEP, end - at, left)
                    left -= size
                    for entry in parser.feed(self._source.read_at(at, size)):
                        if entry.is_label and entry.cluster == 0:
                            return label_text(entry.raw_name)
                    if parser.ended or left <= 0:
                        return None
        except (DeviceError, FormatError) as error:
            log.add(Severity.WARNING, "fat.label_unreadable", f"the root directory cannot be read: {error}")
        return None

    def allocated(self) -> Iterator[Extent]:
        """See fs.api. In use: all before the data area, all clusters whose entry is neither free nor bad, and what
        lies behind the last cluster up to the size in the boot sector.

        Compares the FATs and FSInfo on the way. Raises DeviceError when no FAT can be read.
        """
        bpb = self._bpb
        log = self._table.log = self._findings.start("allocated")
        bad = ExtentBuilder(limit=0)  # never coarsened: that would call good clusters bad
        bad_runs = 0
        start, end = 0, bpb.data_offset
        used_clusters = bad_clusters = 0
        for slab in self._table.slabs():
            used_clusters += slab.used.count(1)
            base = bpb.cluster_offset(slab.first)
            if slab.bad is not None:
                only_bad = int.from_bytes(slab.bad, "little") & ~int.from_bytes(slab.used, "little")
                spans = borders(only_bad.to_bytes(len(slab.bad), "little"), base, bpb.cluster_size)
                for low, high in zip(spans[0::2], spans[1::2], strict=True):
                    bad_runs += 1
                    if bad_runs <= MAX_BAD_RUNS:
                        bad.add(low, high)
                    bad_clusters += (high - low) // bpb.cluster_size
            spans = borders(slab.used, base, bpb.cluster_size)
            if not spans:
                continue
            if spans[0] == end:
                end = spans[1]
                del spans[:2]
                if not spans:
                    continue
            yield Extent(start, end)
            start, end = spans[-2:]
            yield from map(Extent, spans[0:-2:2], spans[1:-2:2])
        tail = bpb.cluster_offset(bpb.limit)
        if end == tail:
            end = bpb.end
        yield Extent(start, end)
        if end < tail < bpb.end:
            yield Extent(tail, bpb.end)
        self._bad = bad.build()
        if bad_clusters:
            text = f"{bad_clusters} clusters are marked bad and left out"
            log.add(Severity.INFO, "fat.bad_clusters", text, next(iter(self._bad)).start)
        self._check_fsinfo(bpb.clusters - used_clusters - bad_clusters, log)

    def _check_fsinfo(self, free: int, log: Log) -> None:
        """FSInfo holds hints only (fatgen103): a difference is worth a word, no more."""
        bpb = self._bpb
        at = bpb.fsinfo_sector * bpb.sector_size
        if not 0 < bpb.fsinfo_sector < 0xFFFF or at + 512 > bpb.fat_offset:
            return
        try:
            info = decode(FsInfo, self._source.read_at(at, 512), "FSInfo sector", at, self._source.name)
        except (DeviceError, FormatError) as error:
            log.add(Severity.INFO, "fat.fsinfo_unreadable", f"FSInfo cannot be read: {error}", at)
            return
        if (info.FSI_LeadSig, info.FSI_StrucSig, info.FSI_TrailSig) != (FSI_LEAD, FSI_STRUC, FSI_TRAIL):
            log.add(Severity.INFO, "fat.fsinfo_signature", "FSInfo has no valid signatures", at)
        elif info.FSI_Free_Count not in (free, 0xFFFFFFFF):
            text = f"FSInfo says {info.FSI_Free_Count} clusters are free, the FAT says {free}"
            log.add(Severity.INFO, "fat.fsinfo_differs", text, at + 0x1E8)

    def bad_clusters(self) -> ExtentList:
        """The clusters that the FAT marks bad, in bytes, at most a million runs of them.

        Reads the FAT unless allocated() has run to its end. Raises DeviceError when no FAT can be read.
        """
        if self._bad is None:
            for _ in self.allocated():
                pass
        return self._bad if self._bad is not None else ExtentList()

    def references(self) -> Iterator[Reference]:
        """See fs.api. Walks all directories; `owner` is the path. Limits: see fs.fat.walk."""
        log = self._table.log = self._findings.start("references")
        yield from Walk(self._source, self._bpb, self._table, log).references()


def _uuid(serial: bytes) -> str:
    """The volume id as blkid(8) prints it."""
    if not any(serial):
        return ""
    digits = serial[::-1].hex().upper()
    return f"{digits[:4]}-{digits[4:]}"
