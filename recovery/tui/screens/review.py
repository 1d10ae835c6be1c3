"""The Plan as the engine made it, before anything happens; what overwrites something is accepted by typing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Static

from formats.base.errors import Refused
from formats.base.units import in_words
from recovery.engine.cancel import CancelToken
from recovery.engine.inspection import DiskReport
from recovery.engine.plan import CloneWork, Plan, RestoreWork, WriteWork
from recovery.engine.prepare import look_at_target
from recovery.engine.settings import Settings
from recovery.review import check_typed, question
from recovery.tui import texts
from recovery.tui.aside import Call, post
from recovery.tui.screens.base import Page, wait_line
from recovery.tui.screens.progress import Progress
from recovery.tui.widgets.choice import Push, row
from recovery.words import disk_map, plan_head, plan_losses, plan_room, plan_steps, plan_warnings, span_map, volume_line

MAP_WIDTH = 72
Prepare = Callable[[CancelToken, Callable[[str], None]], Plan[Any]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """`before`: what is on the target now, None when there is nothing to overwrite."""

    plan: Plan[Any]
    before: DiskReport | None


class Review(Page):
    """`prepare` makes the Plan, aside. `start`: the words on the button that begins. `then_off`: see Progress."""

    help_key = "review"

    def __init__(self, prepare: Prepare, settings: Settings, start: str, *, then_off: bool = False) -> None:
        super().__init__(texts.REVIEW)
        self._prepare, self._settings, self._start = prepare, settings, start
        self._then_off = then_off
        self._token = CancelToken()
        self._prepared: Prepared | None = None

    def content(self) -> ComposeResult:
        with VerticalScroll(id="plan"):
            yield wait_line()
            yield Static("", markup=False, id="plan-text")
        with Vertical(id="foot"):
            with Vertical(id="ask"):
                yield Static("", markup=False, id="question", classes="strong")
                with Horizontal(id="typed-row"):
                    yield Static(texts.TYPE_HERE, markup=False, id="path-label")
                    yield Input(id="typed")
                yield Static("", markup=False, id="complaint", classes="note")
            yield row(Push(texts.BACK, id="back"), Push(self._start, id="start", disabled=True))

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#ask").display = False
        self.load(texts.REVIEW_WAIT.format(what=texts.REVIEW_DISKS), self._work, self._show)
        self.query_one("#back").focus()

    def _work(self) -> Prepared:
        def look(text: str) -> None:
            post(self, Call(lambda: self.looking(texts.REVIEW_WAIT.format(what=text))))

        plan = self._prepare(self._token, look)
        if plan.target is not None:
            return Prepared(plan, look_at_target(plan.target.path).report)
        return Prepared(plan, None)

    def _show(self, prepared: Prepared) -> None:
        self._prepared = prepared
        plan = prepared.plan
        self.query_one("#plan-text", Static).update(review_text(prepared))
        if plan.target is None:
            start = self.query_one("#start", Push)
            start.disabled = False
            start.focus()
            return
        self.query_one("#ask").display = True
        self.query_one("#question", Static).update(question(plan).strip())
        self.query_one("#typed").focus()

    def on_input_changed(self, message: Input.Changed) -> None:
        """The button comes alive only while the right text stands there."""
        self.query_one("#start", Push).disabled = not self._right(message.value)
        self.query_one("#complaint", Static).update(texts.TYPED_RIGHT if self._right(message.value) else "")

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter never begins: it goes to the button, or says what is wrong."""
        if self._right(message.value):
            self.query_one("#start").focus()
            return
        try:
            if self._prepared is not None:
                check_typed(self._prepared.plan, message.value)
        except Refused as error:
            self.query_one("#complaint", Static).update(f"{error} {error.advice}")

    def _right(self, typed: str) -> bool:
        if self._prepared is None:
            return False
        try:
            check_typed(self._prepared.plan, typed)
        except Refused:
            return False
        return True

    def pushed(self, id: str) -> None:
        if id == "back":
            self.action_back()
            return
        if self._prepared is None:
            return
        plan = self._prepared.plan
        if plan.target is None or self._right(self.query_one("#typed", Input).value):
            self.app.switch_screen(Progress(plan, self._settings, then_off=self._then_off))

    def action_back(self) -> None:
        self._token.cancel()
        super().action_back()


def review_text(prepared: Prepared) -> str:
    """The plan in the words of the command; what is lost comes first, because the screen may be small."""
    plan = prepared.plan
    parts = [plan_head(plan), plan_losses(plan)]
    if isinstance(plan.work, RestoreWork | CloneWork) and plan.target is not None:
        parts += _maps(plan.target.size, plan.work.write, prepared.before)
    parts += [plan_room(plan), plan_warnings(plan), [texts.STEPS, *plan_steps(plan)]]
    return "\n\n".join("\n".join(part).rstrip() for part in parts if part)


def _maps(size: int, write: WriteWork, before: DiskReport | None) -> list[list[str]]:
    """The target of `size` bytes as it is, and as it will be."""
    here: list[tuple[int, int, int]] = []
    if write.create_size is not None:
        now = [texts.NEW_TARGET]
    elif before is None:
        now = [texts.UNKNOWN_TARGET]
    else:
        now = [disk_map(before, MAP_WIDTH), *(volume_line(v) for v in before.volumes)]
        here = [(v.number, v.extent.start, v.extent.end) for v in before.volumes if v.partition]
    coming = [(p.number, p.offset, p.offset + p.size) for p in write.placements]
    kept = [] if write.table else here  # single partitions go into the places of some of those that are there
    after = [span_map(write.create_size or size, kept or coming, MAP_WIDTH)]
    after += [f"  {p.title}, {in_words(p.size)}" for p in write.placements]
    return [[texts.BEFORE, *now], [texts.AFTER, *after]]
