"""Several partitions of one backup at once: which, and for each into which partition of the target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from formats.base.errors import Refused
from formats.base.units import in_words
from recovery.engine.browse import VolumeInfo, open_place
from recovery.engine.inspection import DiskReport
from recovery.engine.planners.pairing import Part, propose
from recovery.engine.prepare import inspect_path
from recovery.tui.screens.pick import Menu, PickOne, PickSome
from recovery.tui.texts import places as words
from recovery.words import disk_map, volume_line

if TYPE_CHECKING:
    from recovery.tui.app import JurymastApp

Pairs = tuple[tuple[int, int | None], ...]
SEVERAL = "several"  # in the place of a partition's number
_WIDTH = 70  # of the map


class Several:
    """`disk`: of the archive, 0-based."""

    def __init__(self, app: JurymastApp, archive: str, disk: int) -> None:
        self._app, self._archive, self._disk = app, archive, disk
        self._volumes: list[VolumeInfo] = []
        self._chosen: list[VolumeInfo] = []
        self._report: DiskReport | None = None

    def ask_which(self, done: Callable[[], None]) -> None:
        """The tick list."""

        def menu() -> Menu:
            with open_place(self._archive) as (place, _):
                self._volumes = [volume for volume in place.volumes if volume.disk == self._disk + 1]
            line = "{number:>3}  {size:>10}  {title}"
            return Menu(
                [(str(v.number), line.format(number=v.number, size=in_words(v.size), title=v.title))
                 for v in self._volumes]
            )  # fmt: skip

        def ticked(numbers: frozenset[str] | None) -> None:
            self._chosen = [v for v in self._volumes if numbers is None or str(v.number) in numbers]
            done()

        self._app.push_screen(
            PickSome(words.SEVERAL_WHICH, words.SEVERAL_WHICH_TEXT, self._archive, menu, ticked)
        )  # fmt: skip

    def ask_where(self, target: str, done: Callable[[Pairs], None]) -> None:
        """For each that was ticked, one after the other; the proposal is highlighted."""
        self._report = None
        self._ask(target, 0, (), done)

    def _ask(self, target: str, at: int, pairs: Pairs, done: Callable[[Pairs], None]) -> None:
        if at == len(self._chosen):
            done(pairs)
            return
        volume = self._chosen[at]
        heading = words.SEVERAL_WHERE.format(at=at + 1, of=len(self._chosen), title=volume.title)
        text = words.SEVERAL_WHERE_TEXT.format(title=volume.title, size=in_words(volume.size), target=target)
        self._app.push_screen(
            PickOne(
                heading, text, target, lambda: self._menu(target, volume, pairs),
                lambda value: self._ask(target, at + 1, (*pairs, (volume.number, int(value))), done),
            )
        )  # fmt: skip

    def _menu(self, target: str, volume: VolumeInfo, pairs: Pairs) -> Menu:
        """What is still free on the target. Raises Refused when nothing of it is large enough."""
        self._app.machine.allow(target)
        if self._report is None and Path(target).exists():
            self._report = inspect_path(target)
        volumes = self._report.volumes if self._report else ()
        taken = {to for _, to in pairs}
        there = [v for v in volumes if v.partition and v.number not in taken]
        parts = [Part(v.number, v.extent.length, v.content.identity.kind) for v in there]
        left = [v for v in self._chosen if v.number not in {number for number, _ in pairs}]
        proposal = propose([Part(v.number, v.size, v.kind) for v in left], parts).get(volume.number)
        fitting = [v for v in there if v.extent.length >= volume.size]
        if not fitting:
            largest = max((v.extent.length for v in there), default=0)
            raise Refused(
                words.SEVERAL_NOWHERE.format(
                    target=target, title=volume.title, size=in_words(volume.size),
                    largest=words.SEVERAL_LARGEST.format(size=in_words(largest)) if largest else words.SEVERAL_NONE,
                ),
                words.SEVERAL_NOWHERE_ADVICE,
            )  # fmt: skip
        # The proposal stands first: Enter takes it.
        fitting.sort(key=lambda v: (v.number != proposal, v.number))
        entries = [
            (str(v.number), volume_line(v) + (words.SEVERAL_PROPOSED if v.number == proposal else "")) for v in fitting
        ]
        return Menu(entries, disk_map(self._report, _WIDTH) if self._report else "")
