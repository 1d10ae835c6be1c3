"""The questions of a backup, one screen after the other, to the request that the engine plans from."""

from __future__ import annotations

import time
from pathlib import Path

from formats.base.units import in_words
from recovery.engine.planners.backup import BackupRequest
from recovery.engine.prepare import prepare_backup
from recovery.engine.settings import Settings
from recovery.tui import texts
from recovery.tui.flows.base import ALL, Flow
from recovery.tui.screens.options import Answers, OneOf, Options, Tick
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.pick import Menu, PickSome


class Backup(Flow):
    def begin(self) -> None:
        self.ask_disk(texts.BACKUP_SOURCE, texts.BACKUP_SOURCE_TEXT, self._source)

    def _source(self, path: str) -> None:
        self._path = path

        def parts() -> Menu:
            disk = self.look_at(path)
            self._in_use = bool(disk.mounts)
            found = self.partitions_of(path, everything=False)
            whole = [(ALL, texts.EVERYTHING.format(name=path, size=in_words(disk.identity.size)))]
            return Menu(found.entries or whole, found.head)

        self.app.push_screen(
            PickSome(texts.BACKUP_PARTS, texts.BACKUP_PARTS_TEXT, path, parts, self._parts)
        )  # fmt: skip

    def _parts(self, numbers: frozenset[str] | None) -> None:
        self._numbers = None if numbers is None else frozenset(int(n) for n in numbers)
        name = f"{Path(self._path).stem}-{time.strftime('%Y-%m-%d')}.jmi"
        self.app.push_screen(
            PickPath(
                texts.BACKUP_TO, texts.BACKUP_TO_TEXT, str(Path.cwd()), self._archive, suffix=".jmi", name=name,
                sources=(self._path,),
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
        fields += self.power_fields()
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
            answers,
        )
