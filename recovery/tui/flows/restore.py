"""The questions of a restore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from formats.base.units import in_words
from recovery.engine.browse import open_place
from recovery.engine.plan import Unused
from recovery.engine.planners.restore import RestoreRequest
from recovery.engine.prepare import prepare_restore
from recovery.engine.settings import Settings
from recovery.tui import texts
from recovery.tui.flows.base import Flow, write_fields
from recovery.tui.flows.several import SEVERAL, Pairs, Several
from recovery.tui.screens.options import Answers, Options
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.pick import Menu, PickOne
from recovery.tui.texts import places


class Restore(Flow):
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
        self._disk = int(disk)
        self._several = Several(self.app, self._from, self._disk) if number == SEVERAL else None
        self._pairs: Pairs = ()
        self._number = int(number) if number and self._several is None else None
        if self._several is None:
            self._ask_target()
        else:
            self._several.ask_which(self._ask_target)

    def _ask_target(self) -> None:
        self.ask_disk(texts.RESTORE_TO, texts.RESTORE_TO_TEXT, self._target, target=True)

    def _target(self, path: str) -> None:
        self._path = path
        if self._several is not None:
            self._several.ask_where(path, self._paired)
        elif self._number is None:
            self._place(None)
        else:
            self.ask_target_partition(texts.RESTORE_TO, path, self._number, self._place)

    def _paired(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self._place(None)

    def _place(self, number: int | None) -> None:
        self._onto = number
        fields = [*write_fields(), *self.power_fields()]
        self.app.push_screen(Options(texts.RESTORE_OPTIONS, fields, self._options))

    def _options(self, answers: Answers) -> None:
        partitions = self._pairs if self._number is None else ((self._number, self._onto),)
        request = RestoreRequest(
            self._from, self._path, partitions, self._disk, Unused(answers.choices["unused"]), answers.ticks["verify"]
        )
        self.review(
            (self._path,), lambda token, look: prepare_restore(request, look), Settings(), texts.RESTORE_START, answers
        )  # fmt: skip


def _name_of(disk: dict[str, Any]) -> str:
    """The name of a disk when it was imaged: model and serial number, or its path."""
    identity = disk.get("identity")
    if not isinstance(identity, dict):
        return texts.UNNAMED_DISK
    known = " ".join(str(identity[key]) for key in ("model", "serial") if identity.get(key))
    return known or str(identity.get("path") or texts.UNNAMED_DISK)


def archive_menu(archive: str) -> Menu:
    """What can be restored of an archive: each disk as a whole (where it is there), each of its volumes.

    Values: D for disk D, D.N for its partition N, D.several for some of them; D 0-based. Raises RecoveryError.
    """
    with open_place(archive) as (place, _):
        entries = []
        disks = place.reader.manifest.disks if place.reader is not None else ()
        for index, disk in enumerate(disks):
            volumes = [v for v in place.volumes if v.disk == index + 1]
            if disk.get("whole") or len(volumes) == 1:
                size = int(disk["size"]) if disk.get("whole") else volumes[0].size
                name = _name_of(disk)
                entries.append((str(index), texts.EVERYTHING.format(name=name, size=in_words(size))))
            if len(volumes) > 1 or disk.get("whole"):
                entries += [
                    (f"{index}.{v.number}", texts.ONLY.format(title=v.title, size=in_words(v.size))) for v in volumes
                ]
            if len(volumes) > 1:
                entries.append((f"{index}.{SEVERAL}", places.SEVERAL))
        problems = [problem.text for problem in place.reader.problems] if place.reader is not None else []
    return Menu(entries, "\n".join(problems))
