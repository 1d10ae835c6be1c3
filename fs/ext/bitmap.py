"""From the block bitmaps to the blocks in use, group by group, and never one step for each block.

Sources: kernel documentation "ext4 Data Structures and Algorithms", Block and inode Bitmaps, Flexible Block Groups
(BLOCK_UNINIT), Bigalloc, Checksums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from formats.base.bitmap import Bitmap, bit_runs
from formats.base.checksum import crc32c_raw
from formats.base.errors import DeviceError, FormatError
from formats.base.extent import ExtentList
from fs.ext.blocks import BitmapColumn, BlockReader
from fs.ext.findings import Findings
from fs.ext.group import GroupState, GroupTable
from fs.ext.superblock import FLEX_BG, Superblock

_COARSE = bytes([0]) + b"\xff" * 255  # eight clusters in use as soon as one of them is


@dataclass(slots=True)
class View:
    """One state of the volume: as it is on disk, or as the replay of the journal will leave it."""

    reader: BlockReader
    groups: GroupTable


def bitmap_complaint(sb: Superblock, stored: int, data: bytes, bits: int) -> str:
    """What is wrong with the checksum of a bitmap of `bits` bits, '' when it is right or there is none."""
    if not sb.metadata_csum:
        return ""
    expected = crc32c_raw(data[: bits // 8], sb.csum_seed)
    if sb.desc_size < 64:
        expected &= 0xFFFF
    return "" if expected == stored else f"checksum: expected {expected:#x}, found {stored:#x}"


class AllocationMap:
    """Blocks in use. `must`: blocks (not bytes) that are in use whatever the bitmaps say.

    `now` is the state on disk when `after`, the state after the replay, differs from it.
    """

    def __init__(self, sb: Superblock, after: View, now: View | None, must: ExtentList, findings: Findings) -> None:
        self.sb, self.after, self.now, self.must, self.findings = sb, after, now, must, findings
        self._column = BitmapColumn(after.reader, after.groups.block_bitmap, self._readable)
        self.lagging_groups = self.lagging_blocks = 0

    def runs(self) -> Iterator[tuple[int, int]]:
        """(first, end) blocks, ascending and disjoint; `must` of groups without a bitmap is left to the caller."""
        sb, groups = self.sb, self.after.groups
        suspect = self._suspect_flex_groups()
        per_flex = sb.groups_per_flex
        for group in range(sb.groups):
            if groups.state[group] == GroupState.GOOD and groups.block_uninit(sb, group):
                if suspect and (not per_flex or group // per_flex in suspect):
                    yield sb.group_first(group), sb.group_end(group)
                elif self.now is not None:
                    yield from self._merged(group, ())
                continue
            yield from self._merged(group, tuple(self._group(group)))
        if self.lagging_groups:
            self.findings.warning(
                "ext.bitmap_lag",
                f"the bitmaps of {self.lagging_groups} groups call {self.lagging_blocks} blocks free that hold the "
                "file system's own structures; these groups are taken as wholly in use",
            )

    def _readable(self, group: int) -> bool:
        groups = self.after.groups
        return groups.state[group] != GroupState.DAMAGED and not groups.block_uninit(self.sb, group)

    def _suspect_flex_groups(self) -> set[int]:
        """Flex groups with a lost descriptor: its bitmaps and table may lie in a group that has no bitmap yet."""
        sb = self.sb
        if not sb.incompat & FLEX_BG:
            return set()
        lost = (g for g in range(sb.groups) if self.after.groups.state[g] == GroupState.DAMAGED)
        return {g // sb.groups_per_flex if sb.groups_per_flex else 0 for g in lost}

    def _whole(self, group: int) -> Iterator[tuple[int, int]]:
        yield self.sb.group_first(group), self.sb.group_end(group)

    def _group(self, group: int) -> Iterator[tuple[int, int]]:
        """Runs of one group that is not BLOCK_UNINIT, in the state after the replay."""
        sb, groups = self.sb, self.after.groups
        place, state = groups.block_bitmap[group], groups.state[group]
        if state == GroupState.DAMAGED or groups.block_uninit(sb, group):
            # The flag in a backup descriptor is old: the group may be in use since, or its bitmap may be garbage.
            yield from self._whole(group)
            return
        try:
            data = self._column.get(group)
        except (FormatError, DeviceError) as error:
            self._damaged(group, place, str(error))
            yield from self._whole(group)
            return
        if state == GroupState.GOOD:
            complaint = bitmap_complaint(sb, groups.block_csum[group], data, sb.clusters_per_group)
            if complaint:
                self._damaged(group, place, complaint)
                yield from self._whole(group)
                return
        first, end = sb.group_first(group), sb.group_end(group)
        ratio = sb.cluster_blocks
        clusters = -(-(end - first) // ratio)
        field = Bitmap(data, clusters)
        if self._lags(group, field, first, end) or self._too_free(group, field, clusters, place):
            yield first, end
            return
        yield from self._block_runs(data, clusters, first, end)

    def _block_runs(self, data: bytes, clusters: int, first: int, end: int) -> Iterator[tuple[int, int]]:
        ratio = self.sb.cluster_blocks
        most = max(1024, clusters // 8)
        runs = list(islice(bit_runs(data, clusters), most + 1))
        if len(runs) > most:  # bounds the time for bitmaps of noise: more is copied, never less
            runs = list(bit_runs(data.translate(_COARSE), clusters))
        for a, b in runs:
            yield first + a * ratio, min(first + b * ratio, end)

    def _lags(self, group: int, field: Bitmap, first: int, end: int) -> bool:
        ratio, missing = self.sb.cluster_blocks, 0
        for a, b in self.must.overlapping(first, end):
            low, high = (a - first) // ratio, -(-(b - first) // ratio)
            if not field.all_set(low, high):
                before = field.count()
                field.set(low, high)
                missing += field.count() - before
        if missing:
            self.lagging_groups += 1
            self.lagging_blocks += missing * ratio
        return bool(missing)

    def _too_free(self, group: int, field: Bitmap, clusters: int, place: int) -> bool:
        """A bitmap without checksum that shows more free clusters than the descriptor may have been wiped."""
        sb, groups = self.sb, self.after.groups
        if sb.metadata_csum or groups.state[group] != GroupState.GOOD:
            return False
        free, said = clusters - field.count(), groups.free_clusters[group]
        if free <= said:
            return False
        self.findings.warning(
            "ext.free_count",
            f"block bitmap of group {group} shows {free} free clusters, its descriptor {said}; "
            "the whole group is taken as in use",
            place * sb.block_size,
        )
        return True

    def _damaged(self, group: int, place: int, detail: str) -> None:
        offset = place * self.sb.block_size
        self.findings.error(
            "ext.group_damaged",
            f"block bitmap of group {group} at offset {offset:#x}: {detail}; the whole group is taken as in use",
            offset,
        )

    def _merged(self, group: int, runs: tuple[tuple[int, int], ...]) -> Iterator[tuple[int, int]]:
        """`runs`, and what the bitmap on disk says where the journal holds a newer one."""
        if self.now is None or not self._replaced(group):
            return iter(runs)
        sb, groups = self.sb, self.now.groups
        if groups.state[group] != GroupState.GOOD or groups.block_uninit(sb, group):
            return iter(runs)
        first, end = sb.group_first(group), sb.group_end(group)
        try:
            data = self.now.reader.read(groups.block_bitmap[group])
        except (FormatError, DeviceError):
            return iter(((first, end),))
        clusters = -(-(end - first) // sb.cluster_blocks)
        older = self._block_runs(data, clusters, first, end)
        return iter(ExtentList([*runs, *older]))

    def _replaced(self, group: int) -> bool:
        """The journal holds a newer bitmap or descriptor of `group`."""
        sb, after = self.sb, self.after
        home = after.groups.home[group // (sb.block_size // sb.desc_size)]
        return after.reader.replaces(home) or after.reader.replaces(after.groups.block_bitmap[group])
