"""What is known of each volume while it is checked: one paragraph for each, the newest word of each stage in it."""

from __future__ import annotations

from textual.containers import VerticalScroll
from textual.widgets import Static

from recovery.engine.events import Stage, VolumeJudged
from recovery.tui.texts import more

_NO_NEWS = ("OK", "PROVEN", "STORED-RAW")  # whose text the report has


class Results(VerticalScroll):
    """Not there until something is known."""

    def __init__(self) -> None:
        self._line = Static("", markup=False, id="results-text")
        super().__init__(self._line, id="results")
        self._known: dict[int, dict[Stage, VolumeJudged]] = {}

    def on_mount(self) -> None:
        self.display = False

    def take(self, event: VolumeJudged) -> None:
        """Show it, in the place of what was known of that stage before."""
        self._known.setdefault(event.volume, {})[event.stage] = event
        self.display = True
        self._line.update(self.text)

    @property
    def text(self) -> str:
        return "\n".join(line for number in sorted(self._known) for line in _lines(self._known[number]))


def _lines(stages: dict[Stage, VolumeJudged]) -> list[str]:
    known = [stages[stage] for stage in Stage if stage in stages]
    newest = known[-1]
    disk = f"disk {newest.disk}, " if newest.disk else ""
    verdicts = [f"{more.RESULTS_STAGES[e.stage]} {e.verdict or more.RESULTS_GOING_ON}" for e in known]
    lines = [f"{disk}{newest.title}: {', '.join(verdicts)}"]
    lines += [f"  {e.text}" for e in known if e.verdict not in _NO_NEWS and (e.verdict or e is newest)]
    lines += [more.RESULTS_HIT.format(name=name) for e in known for name in e.hit]
    return lines
