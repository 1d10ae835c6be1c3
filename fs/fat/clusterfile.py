"""The content of a file that lies in clusters: as a chain in the table, or side by side. For FAT and exFAT.

A chain is read as runs, SEGMENT_RUNS at a time; of a file in very many pieces only some segments are kept, and of the
others where they begin. So memory is bounded: about 1 MB for each open file, and for a chain of more than one run
the bitmap of its clusters (fs.clusters.Visited), without which a loop would be read as good data.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from formats.base.errors import DeviceError, FormatError, Inconsistent, Truncated
from formats.base.source import BlockSource
from fs.clusters import FIRST_CLUSTER, BrokenChain, Chains, Visited
from fs.tree import Run, RunKind

SEGMENT_RUNS = 4096
CACHED_SEGMENTS = 8


@dataclass(frozen=True, slots=True)
class Space:
    """The clusters of a volume. `place`: offset of a cluster in bytes."""

    source: BlockSource
    chains: Chains
    place: Callable[[int], int]
    cluster_size: int

    @property
    def size(self) -> int:
        """Bytes of all clusters."""
        return (self.chains.limit - FIRST_CLUSTER) * self.cluster_size

    def exists(self, cluster: int) -> bool:
        return FIRST_CLUSTER <= cluster < self.chains.limit


@dataclass(frozen=True, slots=True)
class Start:
    """Where a file begins. `entry`: offset of its directory entry in bytes, for messages; `what`: its name for them.

    `contiguous`: `count` clusters side by side, without a chain. `count`: clusters that it must have, or, if
    `open_ended`, that it may have at most.
    """

    cluster: int
    count: int
    contiguous: bool
    open_ended: bool
    entry: int
    what: str


@dataclass(slots=True)
class _Segment:
    """Runs: number i is logical clusters [logical[i], logical[i+1]) at clusters from first[i] on.

    `fault`: what is wrong behind the last one. `final`: there are no more.
    """

    logical: array[int]
    first: array[int]
    fault: DeviceError | FormatError | None = None
    final: bool = True


class ClusterMap:
    """The runs of one file."""

    def __init__(self, space: Space, start: Start) -> None:
        self._space, self._start = space, start
        self._marks = array("Q", [0])  # logical cluster at which each known segment begins
        self._clusters = array("I", [start.cluster])
        self._segments: OrderedDict[int, _Segment] = OrderedDict()
        self._final: _Segment | None = None
        self._visited: Visited | None = None
        self._held: tuple[int, int] | None = None  # the first run
        self._last = 0  # cluster of the chain that was seen last

    def runs(self, begin: int) -> Iterator[tuple[int, int, int]]:
        """(logical cluster, cluster, clusters) of the runs from the one that holds logical cluster `begin` on.

        Raises Inconsistent where the chain breaks or leaves the volume, DeviceError where the table cannot be read.
        """
        start, space = self._start, self._space
        if start.count == 0:
            return
        if start.contiguous:
            if not space.exists(start.cluster):
                raise self._error(0, f"cluster {start.cluster} does not exist")
            end = min(start.cluster + start.count, space.chains.limit)
            yield 0, start.cluster, end - start.cluster
            if end < start.cluster + start.count:
                last = start.cluster + start.count - 1
                raise self._error(end - 1, f"its clusters {start.cluster} to {last} leave the volume")
            return
        index = self._index(begin)
        while True:
            segment = self._segment(index)
            at = max(0, bisect_right(segment.logical, begin) - 1)
            for number in range(at, len(segment.first)):
                low = segment.logical[number]
                yield low, segment.first[number], segment.logical[number + 1] - low
            if segment.fault is not None:
                raise segment.fault.with_traceback(None)
            if segment.final:
                return
            index += 1

    def _index(self, logical: int) -> int:
        """The number of the segment with that cluster, as far as there are segments."""
        while self._final is None and logical >= self._marks[-1]:
            self._scan()
        return bisect_right(self._marks, logical) - 1

    def _segment(self, index: int) -> _Segment:
        while self._final is None and index >= len(self._marks) - 1:
            self._scan()
        if self._final is not None and index == len(self._marks) - 1:
            return self._final
        segment = self._segments.get(index)
        if segment is None:
            segment = self._again(index)
            self._keep(index, segment)
        else:
            self._segments.move_to_end(index)
        return segment

    def _keep(self, index: int, segment: _Segment) -> None:
        self._segments[index] = segment
        if len(self._segments) > CACHED_SEGMENTS:
            self._segments.popitem(last=False)

    def _again(self, index: int) -> _Segment:
        """A segment that was known to be sound and is not kept any more."""
        segment = _Segment(array("Q", [self._marks[index]]), array("I"), final=False)
        try:
            for low, high in islice(self._space.chains.follow(self._clusters[index]), SEGMENT_RUNS):
                segment.first.append(low)
                segment.logical.append(segment.logical[-1] + high - low)
        except BrokenChain as broken:  # only if the medium says something else than before
            raise self._error(broken.cluster, f"the chain {broken.detail}") from broken
        return segment

    def _scan(self) -> None:
        """Read the first segment that is not known yet."""
        logical, cluster, count = self._marks[-1], self._clusters[-1], self._start.count
        segment = _Segment(array("Q", [logical]), array("I"))
        try:
            for low, high in self._space.chains.follow(cluster):
                if len(segment.first) == SEGMENT_RUNS:
                    segment.final = False
                    self._keep(len(self._marks) - 1, segment)
                    self._marks.append(logical)
                    self._clusters.append(low)
                    return
                high = min(high, low + count - logical)
                taken = self._claim(low, high)
                end = high if taken is None else taken
                if low < end:
                    segment.first.append(low)
                    logical += end - low
                    segment.logical.append(logical)
                    self._last = end - 1
                if taken is not None:
                    segment.fault = self._error(taken, f"the chain returns to cluster {taken}")
                    break
                if logical >= count:
                    break
            else:
                if not self._start.open_ended:
                    text = f"the chain ends after {logical} of {count} clusters"
                    segment.fault = self._error(self._last, text)
        except BrokenChain as broken:
            where = broken.cluster if self._space.exists(broken.cluster) else self._last
            segment.fault = self._error(where, f"the chain {broken.detail}")
        except (DeviceError, FormatError) as error:
            segment.fault = error
        self._final = segment
        self._visited = None

    def _claim(self, low: int, high: int) -> int | None:
        """The first cluster of [low, high) that the chain has had before. The first run alone needs no bitmap."""
        if self._held is None:
            self._held = (low, high)
            return None
        if self._visited is None:
            self._visited = Visited()
            self._visited.claim(*self._held)
        return self._visited.claim(low, high)

    def _error(self, cluster: int, detail: str) -> Inconsistent:
        """The place is that of `cluster`, or of the directory entry if there is no such cluster."""
        offset = self._space.place(cluster) if self._space.exists(cluster) else self._start.entry
        return Inconsistent(f"clusters of {self._start.what}", offset, detail, source=self._space.source.name)


class ClusterReader:
    """Implements fs.tree.NodeReader. `valid`: bytes that were written; the rest of `size` reads as zeros."""

    def __init__(self, space: Space, start: Start, size: int, valid: int) -> None:
        self._space, self._start, self.size, self._valid = space, start, size, min(valid, size)
        self._map = ClusterMap(space, start)

    def read_at(self, offset: int, length: int) -> bytes:
        """See fs.tree.NodeReader."""
        end = offset + length
        space, start = self._space, self._start
        if offset < 0 or length < 0 or end > self.size:
            raise Truncated(start.what, start.entry, f"{length} bytes from {offset} leave its {self.size} bytes")
        if length == 0:
            return b""
        self._check_room(end)
        stored = min(end, self._valid)
        pieces = []
        at = offset
        if at < stored:
            for logical, cluster, count in self._map.runs(at // space.cluster_size):
                skip = at - logical * space.cluster_size
                size = min(count * space.cluster_size - skip, stored - at)
                pieces.append(space.source.read_at(space.place(cluster) + skip, size))
                at += size
                if at >= stored:
                    break
        if len(pieces) == 1 and at == end:
            return pieces[0]
        return b"".join(pieces) + bytes(end - at)

    def runs(self) -> Iterator[Run]:
        """See fs.tree.FileTree.runs()."""
        step = self._space.cluster_size
        for logical, cluster, count in self._map.runs(0):
            low, high, place = logical * step, min((logical + count) * step, self.size), self._space.place(cluster)
            cut = max(low, min(self._valid, high))
            if low < cut:
                yield Run(low, place, cut - low, RunKind.DATA, cut - low)
            if cut < high:
                yield Run(cut, place + cut - low, high - cut, RunKind.UNWRITTEN, high - cut)

    def _check_room(self, end: int) -> None:
        """A size beyond all clusters of the volume is damage; else its zeros would have no end."""
        start = self._start
        if end > self._space.size:
            raise Inconsistent(
                f"size of {start.what}", start.entry, "the volume is smaller than the file",
                expected=f"up to {self._space.size}", found=self.size, source=self._space.source.name,
            )  # fmt: skip
