"""The questions of a check."""

from __future__ import annotations

from pathlib import Path

from recovery.engine.prepare import plan_verify
from recovery.engine.settings import Settings
from recovery.tui import texts
from recovery.tui.flows.base import Flow
from recovery.tui.screens.options import Answers, Options, Tick
from recovery.tui.screens.path import PickPath


class Check(Flow):
    def begin(self) -> None:
        self.app.push_screen(
            PickPath(texts.CHECK_WHICH, texts.RESTORE_FROM_TEXT, str(Path.cwd()), self._archive, suffix=".jmi")
        )

    def _archive(self, archive: str) -> None:
        def options(answers: Answers) -> None:
            files = answers.ticks["files"]
            self.review(
                (archive,), lambda token, look: plan_verify(archive, files=files), Settings(), texts.CHECK_START,
                answers,
            )  # fmt: skip

        fields = [Tick("files", texts.OPT_FILES, False), *self.power_fields()]
        self.app.push_screen(Options(texts.CHECK_OPTIONS, fields, options))
