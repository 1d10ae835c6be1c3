"""The questions of looking inside: what, which partition; and what is to be known before files are copied out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from formats.base.units import in_words
from fs.walk import shown
from recovery.engine.browse import VolumeInfo, open_place
from recovery.engine.jobs.extract import ExtractWork, Form, plan_extract
from recovery.engine.look import Look as Opened
from recovery.engine.settings import Settings
from recovery.tui.flows.base import MAP_COLUMNS, Flow
from recovery.tui.screens.home import disk_lines
from recovery.tui.screens.look import Browse
from recovery.tui.screens.options import Answers, OneOf, Options, Tick
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.pick import Menu, PickOne
from recovery.tui.texts import ANOTHER_FILE, IMAGE_FILE, IMAGE_FILE_TEXT
from recovery.tui.texts import LOOKING as LOOKING_AT
from recovery.tui.texts import look as texts

_BACKUP, _FILE = "\0backup", "\0file"  # entries of the list of disks that are none: no path holds a NUL


class Look(Flow):
    def begin(self) -> None:
        def places() -> Menu:
            disks = [(s.path, disk_lines(s)) for s in self.machine.disks(MAP_COLUMNS)]
            return Menu([(_BACKUP, texts.LOOK_BACKUP), *disks, (_FILE, ANOTHER_FILE)])

        self.app.push_screen(
            PickOne(texts.LOOK_WHERE, texts.LOOK_WHERE_TEXT, LOOKING_AT.rstrip(". "), places, self._where)
        )

    def _where(self, value: str) -> None:
        if value == _BACKUP:
            self.app.push_screen(
                PickPath(texts.LOOK_BACKUP_TITLE, texts.LOOK_BACKUP_TEXT, str(Path.cwd()), self._place, suffix=".jmi")
            )
        elif value == _FILE:
            self.app.push_screen(PickPath(IMAGE_FILE, IMAGE_FILE_TEXT, str(Path.cwd()), self._place))
        else:
            self._place(value)

    def _place(self, path: str) -> None:
        def volumes() -> Menu:
            self.machine.allow(path)
            with open_place(path) as (place, _):
                problems = [problem.text for problem in place.reader.problems] if place.reader is not None else []
                return Menu([(v.address, volume_text(v)) for v in place.volumes], "\n".join(map(shown, problems)))

        self.app.push_screen(
            PickOne(
                texts.LOOK_VOLUME, texts.LOOK_VOLUME_TEXT, path, volumes, lambda address: self._volume(path, address)
            )
        )

    def _volume(self, path: str, address: str) -> None:
        def opened() -> Opened:
            self.machine.allow(path)
            return Opened(f"{path}:{address}")

        self.app.push_screen(Browse(f"{Path(path).name}:{address}", opened, self._extract))

    def _extract(self, look: Opened, paths: Sequence[str], content_bytes: int) -> None:
        several = len(paths) > 1
        what = texts.EXTRACT_WHAT.format(count=len(paths)) if several else shown(paths[0].rpartition("/")[2])
        fields: list[Tick | OneOf] = [OneOf("form", texts.OPT_FORM, texts.OPT_FORMS, Form.FOLDER.value)]
        if several:
            fields.append(Tick("folders", texts.OPT_WITH_FOLDERS, True))
        fields += [Tick("overwrite", texts.OPT_OVERWRITE, False), Tick("windows", texts.OPT_WINDOWS, False)]

        def options(answers: Answers) -> None:
            form = Form(answers.choices["form"])

            def target(path: str) -> None:
                work = ExtractWork(
                    look.address,
                    tuple(paths),
                    path,
                    form,
                    answers.ticks["overwrite"],
                    answers.ticks["windows"] or None,
                    answers.ticks.get("folders", False),
                )
                self.review((), lambda token, tell: plan_extract(work, content_bytes), Settings(), texts.EXTRACT_START)

            here = str(Path.cwd())
            if form is Form.FOLDER:
                self.app.push_screen(PickPath(texts.EXTRACT_TO, texts.EXTRACT_TO_TEXT, here, target, folders=True))
            else:
                name = f"{Path(look.place.name).stem}.{form.value}"
                self.app.push_screen(PickPath(texts.EXTRACT_FILE, texts.EXTRACT_FILE_TEXT, here, target, name=name))

        self.app.push_screen(Options(texts.EXTRACT_OPTIONS.format(what=what[:40]), fields, options))


def volume_text(volume: VolumeInfo) -> str:
    """A volume as it stands in the list, with the reason when it has no files."""
    line = (
        f"{volume.address:>4}  {in_words(volume.size):>10}  {volume.kind or '':<8} {shown(volume.label)[:32]}".rstrip()
    )
    if volume.has_files:
        return line
    if not volume.kind:
        why = texts.NO_FILES_UNKNOWN
    elif volume.kind == "swap":
        why = texts.NO_FILES_SWAP
    else:
        why = texts.NO_FILES_KNOWN.format(kind=volume.kind)
    return f"{line}\n      {texts.NO_FILES.format(why=why)}"
