"""Following the chains of many files, each cluster once: loops and cross-links become problems.

Shared by FAT and exFAT, whose walkers differ in their directories only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from formats.base.errors import DeviceError, FormatError
from formats.base.extent import Extent
from formats.base.problem import Severity
from fs.clusters import FIRST_CLUSTER, BrokenChain, Chains, Visited
from fs.findings import Log

MAX_LOADS = 4_000_000  # reads of the FAT: about ten minutes on a hostile or very fragmented volume
LOOP_RUNS = 100_000  # how far a chain is followed again, to tell a loop from a cross-link
MAX_TURNS = 4  # times that a walk may pass over the whole volume, once Visited is full
MAX_PATH = 260  # characters; longer paths are shortened in front, to bound memory


class LimitReached(Exception):
    """The walk must end to bound its time or memory. Does not leave fs/."""


def join_path(parent: str, name: str) -> str:
    """Path of `name` in the directory `parent`; only the end of a very long one."""
    path = f"{parent}{name}" if parent == "\\" else f"{parent}\\{name}"
    return path if len(path) <= MAX_PATH else "\\…" + path[-MAX_PATH + 2 :]


class ChainWalk:
    """`kind`: prefix of the codes of problems (fat, exfat). `place`: offset of an existing cluster in bytes.

    `sound`: the chain that was followed last, to its end, had no fault.
    """

    def __init__(self, kind: str, chains: Chains, log: Log, place: Callable[[int], int]) -> None:
        self._kind, self._chains, self._log, self._place = kind, chains, log, place
        self._visited = Visited()
        self._left = MAX_TURNS * chains.limit
        self.sound = True

    def error(self, code: str, text: str, cluster: int | None = None) -> None:
        """Log a problem; `cluster` names its place, if there is such a cluster."""
        exists = cluster is not None and FIRST_CLUSTER <= cluster < self._chains.limit
        offset = self._place(cluster) if cluster is not None and exists else None
        self._log.add(Severity.ERROR, f"{self._kind}.{code}", text, offset)

    def _claim(self, low: int, high: int) -> tuple[Extent | None, int | None]:
        """The part of [low, high) that is new, and the first cluster that is not. Raises LimitReached."""
        taken = self._visited.claim(low, high)
        end = high if taken is None else taken
        self._left -= end - low
        if self._left < 0:
            raise LimitReached("the files claim far more clusters than there are; the rest was not looked at")
        return (Extent(self._place(low), self._place(end)) if low < end else None), taken

    def chain(self, first: int, owner: str) -> Iterator[Extent]:
        """The extents of the chain from cluster `first`, as far as it is sound. Raises LimitReached."""
        self.sound = False
        try:
            for low, high in self._chains.follow(first):
                if self._chains.loads > MAX_LOADS:
                    raise LimitReached("the chains are too scattered to follow all; the rest was not looked at")
                extent, taken = self._claim(low, high)
                if extent is not None:
                    yield extent
                if taken is not None:
                    self._report_taken(first, taken, owner)
                    return
            self.sound = True
        except BrokenChain as broken:
            self.error(f"chain_{broken.code}", f"{owner}: the chain {broken.detail}", broken.cluster)
        except (DeviceError, FormatError) as error:
            self.error("table_unreadable", f"{owner}: the FAT cannot be read: {error}")

    def contiguous(self, first: int, count: int, owner: str) -> Iterator[Extent]:
        """`count` clusters from `first` on, as far as they exist and belong to nobody else. Raises LimitReached."""
        self.sound = False
        end = first + count
        if not FIRST_CLUSTER <= first < end <= self._chains.limit:
            last = self._chains.limit - 1
            text = f"{owner}: clusters {first} to {end - 1} lead outside; 2 to {last} exist"
            self.error("chain_range", text, first)
            return
        extent, taken = self._claim(first, end)
        if extent is not None:
            yield extent
        if taken is not None:
            self.error("cross_link", f"{owner}: cluster {taken} belongs to another chain", taken)
            return
        self.sound = True

    def lacks_chain(self, first: int) -> bool:
        """True when the table has nothing at the existing cluster `first`, as for contiguous files of exFAT."""
        try:
            return self._chains.entry(first) == 0
        except (BrokenChain, DeviceError, FormatError):
            return False

    def _report_taken(self, first: int, cluster: int, owner: str) -> None:
        """Say whether the chain from `first` ran into itself or into another one at `cluster`."""
        times = 0
        if not self._log.full(f"{self._kind}.chain_loop") and not self._log.full(f"{self._kind}.cross_link"):
            try:
                # A chain that loops comes to `cluster` twice.
                for low, high in islice(self._chains.follow(first), LOOP_RUNS):
                    times += low <= cluster < high
                    if times == 2:
                        break
            except (BrokenChain, DeviceError, FormatError):
                pass
        if times == 2:
            self.error("chain_loop", f"{owner}: the chain returns to cluster {cluster}", cluster)
        else:
            self.error("cross_link", f"{owner}: cluster {cluster} belongs to another chain", cluster)

    def finish(self) -> None:
        """Say so when the walk could not remember every cluster."""
        if self._visited.full:
            text = "the volume has too many clusters in use to look for all cross-links"
            self._log.add(Severity.WARNING, f"{self._kind}.walk_limit", text)
