"""What is marked in a volume, and how much that is. No screen, no disk: the sizes come from whoever looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recovery.engine.listing import Weight


class Marks:
    """Paths from the root of the volume. A folder stands for all that is in it; what lies below a mark is none."""

    def __init__(self) -> None:
        self._weights: dict[str, Weight | None] = {}
        self._unweighed: dict[str, None] = {}
        self._total = Weight()

    def __len__(self) -> int:
        return len(self._weights)

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def copy(self) -> Marks:
        other = Marks()
        other._weights, other._unweighed = dict(self._weights), dict(self._unweighed)
        other._total = self._total
        return other

    def above(self, path: str) -> str:
        """The marked folder that `path` lies in; '' when there is none."""
        at = path.rfind("/")
        while at > 0:
            if path[:at] in self._weights:
                return path[:at]
            at = path.rfind("/", 0, at)
        return ""

    def holds(self, path: str) -> bool:
        """Whether `path` is marked, itself or with a folder above it."""
        return bool(self._weights) and (path in self._weights or bool(self.above(path)))

    def is_mark(self, path: str) -> bool:
        return path in self._weights

    def add(self, path: str, weight: Weight | None) -> None:
        """`weight`: None for a folder, when it has to be found out; marks below it become part of it."""
        if self.above(path) or path in self._weights:
            return
        if weight is None:
            self.clear_below(path)
            self._unweighed[path] = None
        else:
            self._count(weight, 1)
        self._weights[path] = weight

    def add_folder(self, folder: str, entries: Iterable[tuple[str, Weight | None]]) -> None:
        """Everything that `folder` holds: names with their weights, None for folders."""
        if self.holds(folder):
            return
        self.clear_below(folder)
        prefix = folder.rstrip("/") + "/"
        files = size = 0
        for name, weight in entries:
            if weight is None:
                self._unweighed[prefix + name] = None
            else:
                files += weight.files
                size += weight.bytes
            self._weights[prefix + name] = weight
        self._count(Weight(files, 0, size), 1)

    def clear_below(self, folder: str) -> None:
        """Remove all marks in `folder`, at any depth."""
        prefix = folder.rstrip("/") + "/"
        gone = [path for path in self._weights if path.startswith(prefix)]
        if len(gone) == len(self._weights):
            self._weights, self._unweighed, self._total = {}, {}, Weight()
            return
        for path in gone:
            self.remove(path)

    def remove(self, path: str) -> None:
        weight = self._weights.pop(path, None)
        self._unweighed.pop(path, None)
        if weight is not None:
            self._count(weight, -1)

    def weigh(self, path: str, weight: Weight) -> None:
        """What was found out, if it is still wanted."""
        if path in self._unweighed:
            del self._unweighed[path]
            self._weights[path] = weight
            self._count(weight, 1)

    def unweighed(self) -> str:
        """A mark whose weight is not known yet; '' when all are."""
        return next(iter(self._unweighed), "")

    @property
    def total(self) -> Weight:
        """Of those that are known."""
        return self._total

    def _count(self, weight: Weight, sign: int) -> None:
        old = self._total
        self._total = Weight(
            old.files + sign * weight.files,
            old.folders + sign * weight.folders,
            old.bytes + sign * weight.bytes,
            old.faults + sign * weight.faults,
        )
