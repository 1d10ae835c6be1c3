"""What the questions of the tasks have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formats.base.units import in_words
from recovery.engine.inventory import Disk, disk_of
from recovery.engine.plan import Plan, Unused
from recovery.engine.prepare import inspect_path
from recovery.engine.settings import Settings
from recovery.tui import texts
from recovery.tui.screens.home import disk_lines
from recovery.tui.screens.options import Answers, OneOf, Tick
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.pick import Menu, PickOne
from recovery.tui.screens.review import Prepare, Review
from recovery.tui.texts import more
from recovery.words import disk_map, volume_line

if TYPE_CHECKING:
    from recovery.tui.app import JurymastApp

_FILE = "\0file"  # the entry of a list of disks that is none of them: no path holds a NUL
ALL = "all"
MAP_COLUMNS = 70  # of the maps in lists
THEN_OFF = "poweroff"  # the key of a tick


class Flow:
    """What the tasks ask alike."""

    def __init__(self, app: JurymastApp) -> None:
        self.app, self.machine = app, app.machine

    def begin(self) -> None:
        """Show the first screen."""
        raise NotImplementedError

    def ask_disk(
        self, heading: str, text: str, done: Callable[[str], None], *, target: bool = False, not_this: str = ""
    ) -> None:
        """A disk of the machine, or an image file. `target`: the file may be a new one."""

        def disks() -> Menu:
            found = [(s.path, disk_lines(s)) for s in self.machine.disks(MAP_COLUMNS) if s.path != not_this]
            return Menu([*found, (_FILE, texts.NEW_FILE if target else texts.ANOTHER_FILE)])

        def chosen(value: str) -> None:
            if value == _FILE:
                about = texts.TARGET_FILE_TEXT if target else texts.IMAGE_FILE_TEXT
                name = "disk.img" if target else ""
                self.app.push_screen(PickPath(texts.IMAGE_FILE, about, str(Path.cwd()), done, name=name))
            else:
                done(value)

        self.app.push_screen(PickOne(heading, text, texts.LOOKING.rstrip(". "), disks, chosen))

    def look_at(self, path: str) -> Disk:
        """A disk that may be worked on. Raises Refused when it is only described."""
        self.machine.allow(path)
        return disk_of(path)

    def partitions_of(self, path: str, *, everything: bool) -> Menu:
        """The partitions of a disk as a list; looks at the disk."""
        self.machine.allow(path)
        report = inspect_path(path)
        parts = [(str(v.number), volume_line(v)) for v in report.volumes if v.partition]
        if everything:
            parts.insert(0, (ALL, texts.EVERYTHING.format(name=path, size=in_words(report.size))))
        return Menu(parts, disk_map(report, MAP_COLUMNS))

    def ask_target_partition(self, heading: str, path: str, wanted: int, done: Callable[[int | None], None]) -> None:
        """Which partition of `path` takes partition `wanted`; a target without partitions takes it as a whole."""

        def menu() -> Menu:
            if not Path(path).exists():
                return Menu([(ALL, path)])
            found = self.partitions_of(path, everything=False)
            return found if found.entries else Menu([(ALL, path)], found.head)

        self.app.push_screen(
            PickOne(
                heading, f"{texts.TARGET_PART.format(path=path)} {texts.TARGET_PART_TEXT}", path, menu,
                lambda value: done(None if value == ALL else int(value)),
            )
        )  # fmt: skip

    def power_fields(self) -> list[Tick | OneOf]:
        """Shut down afterwards? Only where that is possible."""
        return [Tick(THEN_OFF, more.OPT_OFF, False)] if self.app.may_power_off else []

    def review(
        self, paths: Sequence[str], prepare: Prepare, settings: Settings, start: str, answers: Answers | None = None
    ) -> None:
        """The last question. `paths`: the disks and files that the job is about. `answers`: may have power_fields."""

        def checked(token: Any, look: Callable[[str], None]) -> Plan[Any]:
            for path in paths:
                self.machine.allow(path)
            return prepare(token, look)

        then_off = answers is not None and answers.ticks.get(THEN_OFF, False)
        self.app.push_screen(Review(checked, settings, start, then_off=then_off))


def write_fields() -> list[Tick | OneOf]:
    return [
        Tick("verify", texts.OPT_VERIFY_TARGET, True),
        OneOf("unused", texts.OPT_UNUSED, texts.OPT_UNUSEDS, Unused.DISCARD.value),
    ]
