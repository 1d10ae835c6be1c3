"""The questions of a clone."""

from __future__ import annotations

from recovery.engine.plan import Unused
from recovery.engine.planners.clone import CloneRequest
from recovery.engine.prepare import prepare_clone
from recovery.engine.settings import Settings
from recovery.tui import texts
from recovery.tui.flows.base import ALL, Flow, write_fields
from recovery.tui.screens.options import Answers, Options, Tick
from recovery.tui.screens.pick import Menu, PickOne


class Clone(Flow):
    def begin(self) -> None:
        self.ask_disk(texts.CLONE_FROM, texts.CLONE_FROM_TEXT, self._source)

    def _source(self, path: str) -> None:
        self._from = path

        def parts() -> Menu:
            self._in_use = bool(self.look_at(path).mounts)
            return self.partitions_of(path, everything=True)

        self.app.push_screen(PickOne(texts.CLONE_WHAT, texts.RESTORE_WHAT_TEXT, path, parts, self._what))

    def _what(self, value: str) -> None:
        self._number = None if value == ALL else int(value)
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
        fields = [*write_fields(), Tick("paging", texts.OPT_PAGING, False)]
        if self._in_use:
            fields.append(Tick("live", texts.OPT_LIVE, False))
        fields += self.power_fields()
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
            answers,
        )
