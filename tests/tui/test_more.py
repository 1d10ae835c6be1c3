"""More: reports, log, shell, switching off; pause, the live results of a check, and shutting down afterwards."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from formats.base.problem import Problem, Severity
from recovery.engine import power
from recovery.engine.cancel import CancelToken
from recovery.engine.events import (
    Advanced,
    Event,
    Outcome,
    ProblemFound,
    Stage,
    Stalled,
    StepStarted,
    VolumeJudged,
)
from recovery.engine.executor import execute
from recovery.engine.plan import Plan, Step
from recovery.engine.power import Power
from recovery.engine.report import Report
from recovery.engine.settings import Settings
from recovery.tui import texts
from recovery.tui.flows import more as flow
from recovery.tui.screens import countdown, progress
from recovery.tui.screens.countdown import Countdown
from recovery.tui.screens.dialog import Dialog
from recovery.tui.screens.home import Home
from recovery.tui.screens.log import LogPage
from recovery.tui.screens.path import PickPath
from recovery.tui.screens.pick import PickOne
from recovery.tui.screens.refusal import Refusal
from recovery.tui.screens.report import ReportPage
from recovery.tui.texts import more
from recovery.tui.widgets.results import Results
from tests.support import jobs
from tests.support.terminal import at_terminal
from tests.tui.pilot import Hand, play


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("JURYMAST_STATE", str(folder))
    return folder


@pytest.fixture
def switched(monkeypatch: pytest.MonkeyPatch) -> list[Power]:
    """This machine may be switched off, and what is asked for goes into a list."""
    asked: list[Power] = []
    monkeypatch.setattr(power, "why_not", lambda: "")
    monkeypatch.setattr(power, "switch", asked.append)
    return asked


async def check(hand: Hand, archive: Path, *ticks: str) -> None:
    await hand.until(lambda: hand.app.may_power_off == (power.why_not() == ""))
    await hand.choose("Check a backup")
    await hand.path(archive)
    for tick in ticks:
        await hand.tick(tick)
    await hand.push("continue")
    await hand.push("start")


def test_reports_are_listed_read_and_taken_along(state: Path, archive: Path, disk: Path, tmp_path: Path) -> None:
    _, report = jobs.verify(archive)
    jobs.backup(disk, archive)  # refused
    to = tmp_path / "copy.txt"

    async def script(hand: Hand) -> None:
        await hand.choose("reports, event log")
        await hand.see("how earlier jobs ended")
        hand.check_layout("more")
        await hand.choose("how earlier jobs ended")
        await hand.see("REFUSED, NOTHING WAS CHANGED")
        hand.check_layout("reports")
        await hand.choose("THE ARCHIVE IS GOOD")
        page = await hand.report()
        assert page.report.to_text() == report.to_text()
        hand.check_layout("report-earlier")
        await hand.push("export")
        await hand.on(PickPath)
        await hand.see("one folder up")
        hand.check_layout("report-export")
        await hand.path(to)
        await hand.see("A copy is saved")
        hand.check_layout("report-exported")
        await hand.push("export")
        await hand.path(to)
        await hand.on(Refusal)
        assert "exists already" in hand.words
        await hand.press("escape")
        await hand.on(PickPath)
        await hand.press("escape")
        await hand.on(ReportPage)
        await hand.press("escape")
        await hand.on(PickOne)
        await hand.see("REFUSED, NOTHING WAS CHANGED")  # the list, and not the first screen

    play(script, images=[disk])
    assert to.read_text() == report.to_text()
    assert json.loads(to.with_suffix(".json").read_text())["report_id"] == report.report_id


def test_a_report_that_is_broken_is_told(state: Path, archive: Path, disk: Path) -> None:
    _, report = jobs.verify(archive)
    (state / "reports" / f"{report.report_id}.json").write_text("{}")

    async def script(hand: Hand) -> None:
        await hand.choose("reports, event log")
        await hand.choose("how earlier jobs ended")
        await hand.choose("cannot be read")
        await hand.on(Refusal)
        assert "it is no report of a job" in hand.words

    play(script, images=[disk])


def test_no_report_and_no_log_are_told(state: Path, disk: Path) -> None:
    async def script(hand: Hand) -> None:
        await hand.choose("reports, event log")
        await hand.choose("how earlier jobs ended")
        await hand.see("No report is kept yet")
        await hand.press("escape")
        await hand.choose("what jobs did and met")
        await hand.see("The event log is empty")

    play(script, images=[disk])


def test_the_event_log_is_shown_and_scrolls(state: Path, archive: Path, disk: Path) -> None:
    for _ in range(5):
        jobs.verify(archive)

    async def script(hand: Hand) -> None:
        await hand.choose("reports, event log")
        await hand.choose("what jobs did and met")
        await hand.on(LogPage)
        await hand.see("END verify: THE ARCHIVE IS GOOD")
        await hand.until(lambda: hand.screen.query_one("#body").scroll_offset.y > 0)
        hand.check_layout("log")
        await hand.press("home")
        await hand.until(lambda: "BEGIN verify" in hand.words)
        await hand.push("back")
        await hand.on(PickOne)

    play(script, images=[disk])


def test_what_is_not_possible_here_is_not_offered_but_said(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "why_not", lambda: "Only root may do it.")

    async def script(hand: Hand) -> None:
        await hand.choose("reports, event log")
        await hand.see("Restart and shut down are not offered: Only root may do it.")
        assert more.MORE_NO_SHELL in hand.all_words  # these tests have no terminal
        assert more.MORE_OFF not in hand.all_words and more.MORE_RESTART not in hand.all_words
        hand.check_layout("more-little")

    play(script, images=[disk])


def test_restart_and_shut_down_ask_first_and_are_refused_beside_a_job(
    disk: Path, switched: list[Power], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(hand: Hand) -> None:
        await hand.choose("reports, event log")
        for words, what in ((more.MORE_RESTART, Power.RESTART), (more.MORE_OFF, Power.OFF)):
            await hand.choose(words)
            await hand.on(Dialog)
            hand.check_layout("power")
            await hand.press("enter")  # the careful answer
            await hand.on(PickOne)
            assert not switched
            await hand.choose(words)
            await hand.push("yes")
            await hand.until(lambda: bool(switched))
            assert switched.pop() is what
        monkeypatch.setattr(type(hand.app), "running_job", property(lambda app: object()))
        await hand.choose(more.MORE_OFF)
        await hand.on(Refusal)
        assert more.BUSY in hand.words and not switched

    play(script, images=[disk])


def test_a_shell_gets_the_terminal_and_gives_it_back(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")
    made = tmp_path / "made by hand"
    run = at_terminal(
        *("tui", "--image", disk),
        answers=(
            ("42.0 MiB", "\x1b[A"),  # from the first task around to the last
            ("42.0 MiB", "\r"),
            ("a command line", "\x1b[B"),
            ("a command line", "\x1b[B"),
            ("a command line", "\r"),
            ("to come back", f"test -t 0 && echo $((6 * 7))-is-it > '{made}'; exit\n"),
            ("to come back", "\x1b"),
            ("to come back", "\x1b[21~"),
            ("Leave Jurymast?", "\t\r"),
        ),
        timeout=60,
    )
    assert run.code == 0 and made.read_text() == "42-is-it\n"
    after = run.text.rpartition("to come back")[2]
    assert "Event log" in after, "the screens are drawn anew"


def slowly(monkeypatch: pytest.MonkeyPatch, *, at: int) -> threading.Event:
    """The job of a screen waits at the first progress of step `at` until the event is set; the token is polled."""
    go_on = threading.Event()

    def run(plan: Plan[Any], settings: Settings, sink: Any, cancel: CancelToken) -> Report:
        step = [0]

        def wait(event: Event) -> None:
            sink(event)
            if isinstance(event, StepStarted):
                step[0] = event.step
            while step[0] == at and isinstance(event, Advanced) and not go_on.is_set() and not cancel.cancelled:
                if cancel.paused:
                    return  # the engine itself stands still now
                time.sleep(0.02)

        return execute(plan, settings, wait, cancel)

    monkeypatch.setattr(progress, "execute", run)
    return go_on


def test_a_job_is_paused_and_goes_on(state: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = slowly(monkeypatch, at=2)
    to = tmp_path / "a.jmi"

    async def script(hand: Hand) -> None:
        await hand.choose("Back up")
        await hand.choose(disk.name)
        await hand.push("continue")
        await hand.path(to)
        await hand.push("continue")
        await hand.push("start")
        page = await hand.progress()
        await hand.see("Step 2 of")
        await hand.press("p")
        await hand.see("PAUSED. Nothing is read or written.")
        hand.check_layout("progress-paused")
        assert "[ Go on ]" in hand.words
        go_on.set()
        before = page._done
        await hand.pilot.pause(0.6)
        assert page._done == before and page.running and to.with_name("a.jmi.report.json").exists() is False
        await hand.push("pause")
        assert (await hand.report()).report.headline == "PROVEN"

    play(script, images=[disk])
    kinds = [json.loads(line)["type"] for line in (state / "events.jsonl").read_text().splitlines()]
    assert kinds.count("paused") == kinds.count("resumed") == 1


def test_a_paused_job_is_stopped(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly(monkeypatch, at=2)

    async def script(hand: Hand) -> None:
        await hand.choose("Back up")
        await hand.choose(disk.name)
        await hand.push("continue")
        await hand.path(tmp_path / "a.jmi")
        await hand.push("continue")
        await hand.push("start")
        await hand.see("Step 2 of")
        await hand.press("p")
        await hand.see("PAUSED")
        await hand.press("escape")
        await hand.push("yes")
        assert (await hand.report()).report.outcome is Outcome.CANCELLED

    play(script, images=[disk])
    assert not list(tmp_path.iterdir())


def test_a_check_shows_what_it_knows_while_it_runs(
    archive: Path, disk: Path, switched: list[Power], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = slowly(monkeypatch, at=3)

    async def script(hand: Hand) -> None:
        await check(hand, archive, "files")
        await hand.progress()
        await hand.see("partition 1 (ext4, little): stored blocks OK, file system PROVEN, files ...")
        await hand.see("files read so far")
        assert "partition 2 (fat16, SMALL): stored blocks OK, file system PROVEN" in hand.all_words
        hand.check_layout("progress-check")
        go_on.set()
        assert (await hand.report()).report.headline == "THE ARCHIVE IS GOOD"

    play(script, images=[disk])
    assert not switched


def test_many_steps_and_many_volumes_leave_room_for_warnings_and_buttons(
    disk: Path, switched: list[Power], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    steps = tuple(Step(f"Save partition {n} (ntfs, a volume with a long name)", 0) for n in range(1, 13))
    plan: Plan[Any] = Plan("verify", "Check " + "/a long path" * 7, (), None, steps, (), (), None, 0.0)

    def run(plan: Plan[Any], settings: Settings, sink: Any, cancel: CancelToken) -> Report:
        sink(StepStarted(11, 12, steps[10].text, 0))
        for n in range(10):
            sink(VolumeJudged(n, 1, f"partition {n} (ntfs, Data)", Stage.PROOF, "FAILED", "Walked.", ("/a", "/b")))
        sink(ProblemFound("pc.jmi", Problem(Severity.ERROR, "a.b", "the last of the warnings")))
        sink(Stalled("reading of 1048576 bytes at offset 4096 of a disk with a long name", 12.0))
        go_on.wait(20)
        return Report("verify", plan.title, outcome=Outcome.OK)

    monkeypatch.setattr(progress, "execute", run)

    async def script(hand: Hand) -> None:
        await hand.until(lambda: hand.app.may_power_off)
        hand.app.push_screen(progress.Progress(plan, Settings()))
        await hand.see("since 12 s")
        hand.check_layout("progress-crowd")
        for words in ("now 11.", "partition 0 (ntfs, Data)", "the last of the warnings", "[ Stop ... ]", "[ ] Shut"):
            assert words in hand.words, words
        go_on.set()
        await hand.report()

    play(script, images=[disk])


def test_the_results_name_what_is_hit() -> None:
    results = Results()
    texts_of = []
    monkey = results._line
    monkey.update = texts_of.append  # type: ignore[method-assign,assignment]
    results.take(VolumeJudged(1, 2, "partition 1", Stage.STORED, "LOST", "5 bytes are damaged"))
    results.take(VolumeJudged(1, 2, "partition 1", Stage.PROOF, "FAILED", "It stopped.", ("/a/b", "/c")))
    results.take(VolumeJudged(0, 1, "table", Stage.STORED, "", "being read"))
    assert texts_of[-1].split("\n") == [
        "disk 1, table: stored blocks ...",
        "  being read",
        "disk 2, partition 1: stored blocks LOST, file system FAILED",
        "  5 bytes are damaged",
        "  It stopped.",
        "  hit: /a/b",
        "  hit: /c",
    ]


def test_the_machine_goes_off_after_a_countdown_when_all_is_good(
    archive: Path, disk: Path, switched: list[Power], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(countdown, "SECONDS", 1)

    async def script(hand: Hand) -> None:
        await check(hand, archive, "poweroff")
        await hand.on(Countdown)
        hand.check_layout("countdown")
        assert not switched
        await hand.until(lambda: bool(switched))
        await hand.see(more.SWITCHING_OFF)

    play(script, images=[disk])
    assert switched == [Power.OFF]


@pytest.mark.parametrize("key", ["x", "ctrl+q"])
def test_any_key_stops_the_countdown(
    key: str, archive: Path, disk: Path, switched: list[Power], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(countdown, "SECONDS", 1)

    async def script(hand: Hand) -> None:
        await check(hand, archive, "poweroff")
        await hand.on(Countdown)
        await hand.press(key)
        if key == "ctrl+q":  # Textual's own: it asks whether to leave
            await hand.on(Dialog)
            await hand.pilot.pause(1.3)
            await hand.press("escape")
        await hand.on(ReportPage)
        await hand.pilot.pause(0 if key == "ctrl+q" else 1.3)
        assert more.COUNTDOWN_STOPPED in hand.all_words and not switched

    play(script, images=[disk])


def test_the_key_o_asks_for_it_and_a_bad_end_keeps_the_machine_on(
    archive: Path, disk: Path, tmp_path: Path, switched: list[Power], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(countdown, "SECONDS", 1)
    damaged = tmp_path / "damaged.jmi"
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.write_bytes(data)

    async def script(hand: Hand) -> None:
        for path, keys in ((damaged, "o"), (archive, "oo")):
            go_on = slowly(monkeypatch, at=1)
            await check(hand, path)
            await hand.progress()
            await hand.see("[ ] Shut down afterwards")
            await hand.press(*keys)
            await hand.see("[x] Shut down afterwards" if keys == "o" else "[ ] Shut down afterwards")
            hand.check_layout("progress-then-off")
            go_on.set()
            page = await hand.report()
            if keys == "o":
                assert "The machine stays on" in hand.all_words and "THE ARCHIVE IS DAMAGED" in hand.all_words
                hand.check_layout("report-stays-on")
            else:
                assert page.report.headline == "THE ARCHIVE IS GOOD"
            await hand.press("escape")
            await hand.on(Home)

    play(script, images=[disk])
    assert not switched


def test_where_it_cannot_be_switched_off_nobody_is_asked(
    archive: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "why_not", lambda: "There is no systemd.")
    go_on = slowly(monkeypatch, at=1)

    async def script(hand: Hand) -> None:
        await hand.choose("Check a backup")
        await hand.path(archive)
        await hand.until(lambda: bool(hand.screen.query("#check-files")))
        assert not hand.screen.query("#check-poweroff")
        await hand.push("continue")
        await hand.push("start")
        page = await hand.progress()
        await hand.press("o")
        assert not page.query_one("#check-then-off").display and not page._then_off
        go_on.set()
        await hand.report()

    play(script, images=[disk])


def test_a_shell_that_is_not_there_is_told(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the screens are back before it is told."""
    from contextlib import contextmanager

    from recovery.engine.run import ToolMissing

    def missing(argv: list[str]) -> int:
        raise ToolMissing(argv[0])

    monkeypatch.setattr(flow, "can_lend_terminal", lambda app: True)
    monkeypatch.setattr(flow, "run_at_terminal", missing)
    monkeypatch.setenv("SHELL", "/no/such/shell")

    async def script(hand: Hand) -> None:
        @contextmanager
        def suspend() -> Any:
            yield

        monkeypatch.setattr(hand.app, "suspend", suspend)
        await hand.choose("reports, event log")
        await hand.choose("a command line")
        await hand.on(Refusal)
        assert "/bin/sh is needed" in hand.words
        assert os.environ["SHELL"] == "/no/such/shell"

    play(script, images=[disk])


def test_help_tells_of_the_new_keys() -> None:
    assert "pauses" in texts.HELP["progress"] and "log" in texts.HELP
