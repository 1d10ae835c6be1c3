"""An ext2, ext3 or ext4 volume as the engine sees it: identity, what a copy must hold, who refers to what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from struct import Struct

from formats.base.errors import DeviceError, FormatError, RecoveryError, Unsupported
from formats.base.extent import Extent, ExtentList, merge
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from fs.api import Identity, PagingFile, Reference
from fs.ext.bitmap import AllocationMap, View
from fs.ext.blocks import BlockReader, Budget, WalkExhausted
from fs.ext.filemap import file_runs, read_inode
from fs.ext.findings import Findings
from fs.ext.group import load, metadata_blocks
from fs.ext.inode import Context, MapRun
from fs.ext.journal import Replay, read_replay
from fs.ext.superblock import SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock, find_superblock, parse
from fs.ext.walk import MetadataWalk

STATE_CLEAN, STATE_ERRORS = 0x1, 0x2
JOURNAL_RUNS = 1 << 18  # a journal in more pieces than this is not followed
MMP_MAGIC, MMP_CLEAN = 0x004D4D50, 0xFF4D4D50
_MMP = Struct("<II")


def open_volume(source: BlockSource) -> ExtVolume:
    """Recognise an ext volume by 0xEF53 at byte 1080.

    Raises NotThisFormat, Unsupported (features, journal devices), Corrupt without a usable superblock, DeviceError.
    """
    sb, damage, group = find_superblock(source)
    return ExtVolume(source, sb, damage, group)


@dataclass(slots=True)
class _Layout:
    """What must be known before the bitmaps and the inodes can be read."""

    after: View  # as the replay of the journal will leave the volume
    now: View | None  # as it is on disk, when the journal changes something
    findings: Findings
    journal: list[MapRun] = field(default_factory=list)
    uncertain: str = ""  # why it cannot be told what the replay would do


class ExtVolume:
    """Implements fs.api.FileSystem. Reads lazily; results are kept, so a second `allocated` costs nothing."""

    map_follows_references = False

    def __init__(
        self, source: BlockSource, sb: Superblock, damage: FormatError | DeviceError | None = None, group: int = 0
    ) -> None:
        """`damage`: what is wrong with the first superblock when `sb` comes from the copy in `group`."""
        self.source, self.superblock = source, sb
        self._from_backup = damage is not None
        self._limit = min(sb.size, source.size)
        self._layout: _Layout | None = None
        self._allocated: ExtentList | None = None
        self._opening, self._mapping, self._walking = Findings(), Findings(), Findings()
        self._look_at_state(damage, group)

    @property
    def identity(self) -> Identity:
        sb = self.superblock
        return Identity(sb.kind, sb.label, sb.uuid_text, sb.block_size, sb.size)

    @property
    def problems(self) -> Sequence[Problem]:
        middle = self._layout.findings.problems() if self._layout else []
        return [*self._opening.problems(), *middle, *self._mapping.problems(), *self._walking.problems()]

    def paging_files(self) -> Sequence[PagingFile]:
        """None: a swap file cannot be told from another file without reading it, and Linux never requires one."""
        return ()

    def allocated(self) -> Iterator[Extent]:
        """See fs.api. When the journal cannot be followed with certainty, all of the file system."""
        if self._allocated is None:
            self._allocated = self._map()
        return iter(self._allocated)

    def view(self) -> tuple[View, str]:
        """The volume as the replay of its journal will leave it, and ''.

        When it cannot be told what a needed replay would do: as it is on disk, and why. Raises FormatError,
        DeviceError.
        """
        prepared = self._prepare()
        return prepared.after, prepared.uncertain

    def view_on_disk(self) -> View:
        """The volume without the replay of its journal. Raises FormatError, DeviceError."""
        prepared = self._prepare()
        return prepared.now or prepared.after

    def references(self) -> Iterator[Reference]:
        """See fs.api. The metadata are read as the replay of the journal will leave them."""
        prepared = self._prepare()
        self._walking = findings = Findings()
        severity = Severity.WARNING if prepared.uncertain else Severity.ERROR

        def report(error: RecoveryError) -> None:
            offset = error.offset if isinstance(error, FormatError | DeviceError) else None
            findings.add(severity, "ext.damaged", str(error), offset)

        walk = MetadataWalk(self.superblock, prepared.after, self._limit, report)
        try:
            yield from walk.references()
        except WalkExhausted as error:
            findings.error("ext.walk_stopped", f"the walk over the metadata was stopped: {error}")
        if walk.bad_blocks:
            findings.add(
                Severity.INFO, "ext.bad_blocks",
                f"{walk.bad_blocks} blocks are listed as bad (inode 1); their content is not needed",
            )  # fmt: skip

    def _look_at_state(self, damage: FormatError | DeviceError | None, group: int) -> None:
        sb, add = self.superblock, self._opening
        if damage is not None:
            add.error(
                "ext.superblock_damaged",
                f"the first superblock is damaged ({damage}); the copy in group {group} is used",
                SUPERBLOCK_OFFSET,
            )
        elif sb.state & STATE_ERRORS:
            add.warning(
                "ext.errors", "the file system is marked as having errors; run e2fsck", SUPERBLOCK_OFFSET + 0x3A
            )
        elif not sb.state & STATE_CLEAN:
            add.warning("ext.not_clean", "the file system was not unmounted cleanly", SUPERBLOCK_OFFSET + 0x3A)
        if sb.needs_recovery:
            add.warning(
                "ext.needs_recovery",
                "the journal holds changes that are not yet in their places; the copy holds both, and mounting the "
                "restored volume will complete them",
                SUPERBLOCK_OFFSET + 0x60,
            )
        if sb.external_journal:
            add.warning(
                "ext.external_journal",
                "the journal of this file system is on another device; store that one too, or the copy cannot "
                "be mounted without e2fsck",
                SUPERBLOCK_OFFSET + 0xD0,
            )
        if sb.size > self.source.size:
            add.error(
                "ext.truncated",
                f"the file system claims {sb.size} bytes, but the volume has {self.source.size}; the rest is lost",
            )
        if sb.mmp_block:
            self._look_at_mmp()

    def _look_at_mmp(self) -> None:
        sb, add = self.superblock, self._opening
        offset = sb.mmp_block * sb.block_size
        if not sb.first_data_block < sb.mmp_block < sb.blocks_count:
            add.warning(
                "ext.mmp",
                f"multiple mount protection block {sb.mmp_block} leads outside",
                SUPERBLOCK_OFFSET + 0x168,
            )
            return
        try:
            magic, sequence = _MMP.unpack_from(self.source.read_at(offset, sb.block_size))
        except (FormatError, DeviceError) as error:
            add.warning("ext.mmp", f"multiple mount protection block cannot be read: {error}", offset)
            return
        if magic != MMP_MAGIC:
            add.warning(
                "ext.mmp", f"multiple mount protection magic: expected {MMP_MAGIC:#x}, found {magic:#x}", offset
            )
        elif sequence != MMP_CLEAN:
            add.warning(
                "ext.mmp_in_use", "the file system may be mounted on another machine (or was not unmounted)", offset
            )

    def _prepare(self) -> _Layout:
        if self._layout is None:
            self._layout = self._read_layout()
        return self._layout

    def _read_layout(self) -> _Layout:
        sb = self.superblock
        reader, findings = BlockReader(self.source, sb.block_size), Findings()
        on_disk = View(reader, load(reader, sb, findings))
        result = _Layout(on_disk, None, findings)
        wanted = sb.needs_recovery or self._from_backup
        try:
            self._find_journal(result)
            if not wanted or not result.journal:
                if wanted and sb.external_journal and not self._from_backup:
                    raise Unsupported("journal", "replaying a journal on another device")
                return result
            replay = read_replay(sb, reader, result.journal)
            if replay.copies:
                self._apply(result, on_disk, replay)
        except (FormatError, DeviceError, Unsupported) as error:
            result.after, result.now, result.findings = on_disk, None, findings
            if wanted:
                result.uncertain = str(error)
                findings.warning(
                    "ext.journal",
                    f"the journal cannot be followed ({error}), so all of the file system is taken as in use",
                )
            else:
                findings.warning("ext.journal", f"the journal is damaged, though it is not needed now: {error}")
        return result

    def _find_journal(self, result: _Layout) -> None:
        """Fill in the blocks of the journal inode. Raises FormatError or DeviceError."""
        sb = self.superblock
        if not sb.journal_inode:
            return

        def fail(error: RecoveryError) -> None:
            raise error

        ctx = Context(result.after.reader, sb, Budget(JOURNAL_RUNS), fail)
        runs: list[MapRun] = []
        try:
            runs.extend(file_runs(ctx, read_inode(ctx, result.after.groups, sb.journal_inode)))
        finally:
            result.journal = runs

    def _apply(self, result: _Layout, on_disk: View, replay: Replay) -> None:
        """The view after the replay. Raises FormatError when the replay changes the shape of the volume."""
        sb = self.superblock
        reader = BlockReader(self.source, sb.block_size, replay.copies)
        if reader.replaces(sb.superblock_block):
            at = SUPERBLOCK_OFFSET - sb.superblock_block * sb.block_size
            data = reader.read(sb.superblock_block)[at : at + SUPERBLOCK_SIZE]
            if parse(data, SUPERBLOCK_OFFSET, "journal").geometry() != sb.geometry():
                raise Unsupported("journal", "replaying a change of the size or shape of the file system")
        findings = Findings()
        result.after = View(reader, load(reader, sb, findings))
        result.now, result.findings = on_disk, findings

    def _map(self) -> ExtentList:
        prepared = self._prepare()
        sb, size = self.superblock, self.superblock.block_size
        if prepared.uncertain:
            return ExtentList([(0, self._limit)])
        more = [(run.physical, run.physical + run.length) for run in prepared.journal]
        if sb.first_data_block < sb.mmp_block < sb.blocks_count:
            more.append((sb.mmp_block, sb.mmp_block + 1))
        must = metadata_blocks(sb, prepared.after.groups, sorted(more))
        self._mapping = Findings()
        runs = AllocationMap(sb, prepared.after, prepared.now, must, self._mapping).runs()
        found = merge(
            ((first * size, end * size) for first, end in runs),
            ((first * size, end * size) for first, end in must),
        )
        return found.clip(0, self._limit)
