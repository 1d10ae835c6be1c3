"""The questions of each task, one screen after the other, to the request that the engine plans from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formats.base.units import in_words
from recovery.engine.browse import open_place
from recovery.engine.inventory import Disk, disk_of
from recovery.engine.plan import Plan, Unused
from recovery.engine.planners.backup import BackupRequest
from recovery.engine.planners.clone import CloneRequest
from recovery.engine.planners.restore import RestoreRequest
from recovery.engine.prepare import inspect_path, plan_verify, prepare_backup, prepare_clone, prepare_restore
from recovery.engine.settings import Settings
from recovery.tui import texts
from recovery.tui.screens.home import disk_lines
from recovery.tui.screens.options import Answers, OneOf, Options, Tick
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.pick import Menu, PickOne, PickSome
from recovery.tui.screens.review import Prepare, Review
from recovery.words import disk_map, volume_line

if TYPE_CHECKING:
    from recovery.tui.app import JurymastApp

_FILE = "\0file"  # the entry of a list of disks that is none of them: no path holds a NUL
_ALL = "all"
_WIDTH = 70  # of the maps in lists


class _Flow:
    """What the tasks ask alike."""

    def __init__(self, app: JurymastApp) -> None:
        self.app, self.machine = app, app.machine

    def ask_disk(
        self, heading: str, text: str, done: Callable[[str], None], *, target: bool = False, not_this: str = ""
    ) -> None:
        """A disk of the machine, or an image file. `target`: the file may be a new one."""

        def disks() -> Menu:
            found = [(s.path, disk_lines(s)) for s in self.machine.disks(_WIDTH) if s.path != not_this]
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
            parts.insert(0, (_ALL, texts.EVERYTHING.format(name=path, size=in_words(report.size))))
        return Menu(parts, disk_map(report, _WIDTH))

    def ask_target_partition(self, heading: str, path: str, wanted: int, done: Callable[[int | None], None]) -> None:
        """Which partition of `path` takes partition `wanted`; a target without partitions takes it as a whole."""

        def menu() -> Menu:
            if not Path(path).exists():
                return Menu([(_ALL, path)])
            found = self.partitions_of(path, everything=False)
            return found if found.entries else Menu([(_ALL, path)], found.head)

        self.app.push_screen(
            PickOne(
                heading, f"{texts.TARGET_PART.format(path=path)} {texts.TARGET_PART_TEXT}", path, menu,
                lambda value: done(None if value == _ALL else int(value)),
            )
        )  # fmt: skip

    def review(self, paths: Sequence[str], prepare: Prepare, settings: Settings, start: str) -> None:
        """The last question. `paths`: the disks and files that the job is about."""

        def checked(token: Any, look: Callable[[str], None]) -> Plan[Any]:
            for path in paths:
                self.machine.allow(path)
            return prepare(token, look)

        self.app.push_screen(Review(checked, settings, start))


class _Backup(_Flow):
    def begin(self) -> None:
        self.ask_disk(texts.BACKUP_SOURCE, texts.BACKUP_SOURCE_TEXT, self._source)

    def _source(self, path: str) -> None:
        self._path = path

        def parts() -> Menu:
            disk = self.look_at(path)
            self._in_use = bool(disk.mounts)
            found = self.partitions_of(path, everything=False)
            whole = [(_ALL, texts.EVERYTHING.format(name=path, size=in_words(disk.identity.size)))]
            return Menu(found.entries or whole, found.head)

        self.app.push_screen(
            PickSome(texts.BACKUP_PARTS, texts.BACKUP_PARTS_TEXT, path, parts, self._parts)
        )  # fmt: skip

    def _parts(self, numbers: frozenset[str] | None) -> None:
        self._numbers = None if numbers is None else frozenset(int(n) for n in numbers)
        name = f"{Path(self._path).stem}-{time.strftime('%Y-%m-%d')}.jmi"
        self.app.push_screen(
            PickPath(
                texts.BACKUP_TO, texts.BACKUP_TO_TEXT, str(Path.cwd()), self._archive, suffix=".jmi", name=name
            )
        )  # fmt: skip

    def _archive(self, archive: str) -> None:
        self._to = archive
        fields: list[Tick | OneOf] = [
            Tick("verify", texts.OPT_VERIFY_BACKUP, True),
            OneOf("level", texts.OPT_LEVEL, texts.OPT_LEVELS, "1"),
            OneOf("split", texts.OPT_SPLIT, texts.OPT_SPLITS, "0"),
            Tick("paging", texts.OPT_PAGING, False),
        ]
        if self._in_use:
            fields.append(Tick("live", texts.OPT_LIVE, False))
        self.app.push_screen(Options(texts.BACKUP_OPTIONS, fields, self._options))

    def _options(self, answers: Answers) -> None:
        request = BackupRequest(
            (self._path,),
            self._to,
            self._numbers,
            int(answers.choices["split"]),
            answers.ticks["paging"],
            answers.ticks["verify"],
            answers.ticks.get("live", False),
        )
        self.review(
            (self._path, self._to),
            lambda token, look: prepare_backup(request, token, look),
            Settings(level=int(answers.choices["level"])),
            texts.BACKUP_START,
        )


class _Restore(_Flow):
    def begin(self) -> None:
        self.app.push_screen(
            PickPath(texts.RESTORE_FROM, texts.RESTORE_FROM_TEXT, str(Path.cwd()), self._archive, suffix=".jmi")
        )

    def _archive(self, archive: str) -> None:
        self._from = archive
        self.app.push_screen(
            PickOne(texts.RESTORE_WHAT, texts.RESTORE_WHAT_TEXT, archive, lambda: archive_menu(archive), self._what)
        )

    def _what(self, value: str) -> None:
        disk, _, number = value.partition(".")
        self._disk, self._number = int(disk), int(number) if number else None
        self.ask_disk(texts.RESTORE_TO, texts.RESTORE_TO_TEXT, self._target, target=True)

    def _target(self, path: str) -> None:
        self._path = path
        if self._number is None:
            self._place(None)
        else:
            self.ask_target_partition(texts.RESTORE_TO, path, self._number, self._place)

    def _place(self, number: int | None) -> None:
        self._onto = number
        self.app.push_screen(Options(texts.RESTORE_OPTIONS, _write_fields(), self._options))

    def _options(self, answers: Answers) -> None:
        partitions = () if self._number is None else ((self._number, self._onto),)
        request = RestoreRequest(
            self._from, self._path, partitions, self._disk, Unused(answers.choices["unused"]), answers.ticks["verify"]
        )
        self.review(
            (self._path,), lambda token, look: prepare_restore(request, look), Settings(), texts.RESTORE_START
        )  # fmt: skip


class _Clone(_Flow):
    def begin(self) -> None:
        self.ask_disk(texts.CLONE_FROM, texts.CLONE_FROM_TEXT, self._source)

    def _source(self, path: str) -> None:
        self._from = path

        def parts() -> Menu:
            self._in_use = bool(self.look_at(path).mounts)
            return self.partitions_of(path, everything=True)

        self.app.push_screen(PickOne(texts.CLONE_WHAT, texts.RESTORE_WHAT_TEXT, path, parts, self._what))

    def _what(self, value: str) -> None:
        self._number = None if value == _ALL else int(value)
        # A partition may go to another place of its own disk.
        own = self._from if self._number is None else ""
        self.ask_disk(texts.CLONE_TO, texts.RESTORE_TO_TEXT, self._target, target=True, not_this=own)

    def _target(self, path: str) -> None:
        self._path = path
        if self._number is None:
            self._place(None)
        else:
            self.ask_target_partition(texts.CLONE_TO, path, self._number, self._place)

    def _place(self, number: int | None) -> None:
        self._onto = number
        fields = [*_write_fields(), Tick("paging", texts.OPT_PAGING, False)]
        if self._in_use:
            fields.append(Tick("live", texts.OPT_LIVE, False))
        self.app.push_screen(Options(texts.CLONE_OPTIONS, fields, self._options))

    def _options(self, answers: Answers) -> None:
        request = CloneRequest(
            self._from,
            self._path,
            None if self._number is None else (self._number, self._onto),
            Unused(answers.choices["unused"]),
            answers.ticks["paging"],
            answers.ticks["verify"],
            answers.ticks.get("live", False),
        )
        self.review(
            (self._from, self._path),
            lambda token, look: prepare_clone(request, token, look),
            Settings(),
            texts.RESTORE_START,
        )


class _Check(_Flow):
    def begin(self) -> None:
        self.app.push_screen(
            PickPath(texts.CHECK_WHICH, texts.RESTORE_FROM_TEXT, str(Path.cwd()), self._archive, suffix=".jmi")
        )

    def _archive(self, archive: str) -> None:
        def options(answers: Answers) -> None:
            files = answers.ticks["files"]
            self.review(
                (archive,), lambda token, look: plan_verify(archive, files=files), Settings(), texts.CHECK_START
            )  # fmt: skip

        self.app.push_screen(Options(texts.CHECK_OPTIONS, [Tick("files", texts.OPT_FILES, False)], options))


def archive_menu(archive: str) -> Menu:
    """What can be restored of an archive: each disk as a whole (where it is there), each of its volumes.

    Values: D for disk D, D.N for its partition N; D 0-based. Raises RecoveryError.
    """
    with open_place(archive) as (place, _):
        entries = []
        disks = place.reader.manifest.disks if place.reader is not None else ()
        for index, disk in enumerate(disks):
            volumes = [v for v in place.volumes if v.disk == index + 1]
            if disk.get("whole") or len(volumes) == 1:
                size = int(disk["size"]) if disk.get("whole") else volumes[0].size
                name = str(disk.get("path", ""))
                entries.append((str(index), texts.EVERYTHING.format(name=name, size=in_words(size))))
            if len(volumes) > 1 or disk.get("whole"):
                entries += [
                    (f"{index}.{v.number}", texts.ONLY.format(title=v.title, size=in_words(v.size))) for v in volumes
                ]
        problems = [problem.text for problem in place.reader.problems] if place.reader is not None else []
    return Menu(entries, "\n".join(problems))


def _write_fields() -> list[Tick | OneOf]:
    return [
        Tick("verify", texts.OPT_VERIFY_TARGET, True),
        OneOf("unused", texts.OPT_UNUSED, texts.OPT_UNUSEDS, Unused.DISCARD.value),
    ]


def _starter(flow: type[_Backup] | type[_Restore] | type[_Clone] | type[_Check]) -> Callable[[JurymastApp], None]:
    return lambda app: flow(app).begin()


BEGIN = {
    "backup": _starter(_Backup),
    "restore": _starter(_Restore),
    "clone": _starter(_Clone),
    "check": _starter(_Check),
}
