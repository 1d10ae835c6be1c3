"""A volume that stays open while somebody looks into it: listing, searching and reading at once, from several threads.

Every thread gets a tree of its own, for a read that hangs in a dead disk must not hold up the others. The source is
closed when it is not wanted any more and the last reader is done; one that hangs keeps it open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock

from formats.base.errors import DeviceError, FormatError, PathNotFound, Refused, Unsupported
from fs.tree import FileTree
from fs.walk import resolve
from recovery.engine.browse import Place, VolumeInfo, open_place
from recovery.engine.filefacts import missing_bytes
from recovery.engine.held import HeldVolume

_TREES_KEPT = 3


class Look:
    """SOURCE:N opened. Raises RecoveryError when that, or its file system, cannot be opened. Thread-safe."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._lock = Lock()
        self._users = 0
        self._wanted = True
        with ExitStack() as stack:
            place, selector = stack.enter_context(open_place(address))
            self.place: Place = place
            self.info: VolumeInfo = place.pick(selector)
            self._free: list[FileTree] = [place.tree(self.info)]
            self.left_out = place.left_out(self.info)
            raw = place.raw(self.info)
            self.held = raw if isinstance(raw, HeldVolume) else None  # of an archive, which knows what it misses
            self._open = stack.pop_all()

    @contextmanager
    def tree(self) -> Iterator[FileTree]:
        """Its files, for one thread. Raises Refused after close(), else what opening them raises."""
        with self._lock:
            if not self._wanted:
                raise Refused(f"{self.address} is closed.")
            self._users += 1
            found = self._free.pop() if self._free else None
        try:
            if found is None:
                found = self.place.tree(self.info)
            yield found
        finally:
            with self._lock:
                if found is not None and len(self._free) < _TREES_KEPT:
                    self._free.append(found)
                self._users -= 1
            self._close_if_done()

    def missing(self, paths: Sequence[str]) -> dict[str, int]:
        """Of each file the bytes that the archive says it does not have; 0 for what cannot be found out."""
        found = dict.fromkeys(paths, 0)
        with self.tree() as tree:
            for path in paths:
                with suppress(FormatError, DeviceError, Unsupported, PathNotFound):
                    found[path] = missing_bytes(tree, resolve(tree, path), self.held)
        return found

    def close(self) -> None:
        """Not wanted any more. At once when nobody reads, else when the last reader is done."""
        self._wanted = False
        self._close_if_done()

    def _close_if_done(self) -> None:
        with self._lock:
            done = None if self._wanted or self._users else self._open.pop_all()
        if done is not None:
            done.close()
