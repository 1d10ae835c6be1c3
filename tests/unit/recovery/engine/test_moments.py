"""The user's commands: their order, that what was stopped is always let go, and what of them may be trusted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from formats.base.errors import Cancelled, Refused
from recovery.engine.events import Event, Outcome
from recovery.engine.moments.course import CommandFailed, MomentFacts, Moments
from recovery.engine.moments.hooks import find_hooks
from recovery.engine.moments.model import MomentOptions, harmless
from recovery.engine.report import Report
from tests.support.command import environment


def facts() -> MomentFacts:
    return MomentFacts("/a.jmi", ("/dev/x:1", "/dev/x:2"))


def note(log: Path, word: str) -> str:
    """A command that writes down that it ran."""
    return f"echo {word} $JURYMAST_STATUS >> {log}"


def hook(folder: Path, name: str, log: Path, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "{name} $1" >> {log}\n{more}\n')
    path.chmod(0o755)
    return path


def words(log: Path) -> list[str]:
    return log.read_text().split("\n")[:-1] if log.exists() else []


def options(log: Path, folder: Path | None = None, timeout: float = 20) -> MomentOptions:
    return MomentOptions(note(log, "before"), note(log, "after"), note(log, "end"), timeout, folder)


def test_hooks_and_commands_are_nested_and_each_runs_once(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "hooks.d"
    for name in ("20-b", "10-a"):
        hook(folder, name, log)
    (folder / "30-off").write_text("#!/bin/sh\necho off\n")  # not executable
    hook(folder, "40-c~", log)
    with Moments(options(log, folder), facts()) as moments:
        for _ in range(2):
            moments.before_freeze()
        for _ in range(2):
            moments.after_thaw()
        report = Report("backup", "t", outcome=Outcome.LOSSES)
        moments.after_backup(report)
        moments.after_backup(report)
    assert words(log) == [
        *("10-a prepare", "20-b prepare", "before running", "10-a freeze", "20-b freeze"),
        *("20-b thaw", "10-a thaw", "after running", "end losses"),
    ]
    assert not moments.failed and len(moments.results) == 9


def test_a_hook_gets_everything_as_json_and_a_command_as_its_environment(tmp_path: Path) -> None:
    log, seen = tmp_path / "log", tmp_path / "seen"
    hook(tmp_path / "h", "a", log, f"cat > {seen}")
    command = "env | grep ^JURYMAST_ | sort; echo ---$JURYMAST_VOLUMES"
    moments = Moments(MomentOptions(command, hooks_dir=tmp_path / "h"), facts())
    moments.facts.method, moments.facts.consistency = "lvm", "fs-consistent"
    moments.before_freeze()
    body = json.loads(seen.read_text())
    moments.after_thaw()
    job = moments.facts.job_id
    assert len(job) == 16 and body == {
        "version": 1, "job_id": job, "phase": "freeze", "status": "running", "error": "", "method": "lvm",
        "volumes": ["/dev/x:1", "/dev/x:2"], "archive": "/a.jmi", "consistency": "fs-consistent", "pid": os.getpid(),
    }  # fmt: skip
    output = next(r.output for r in moments.results if r.moment == "before-snapshot")
    for line in (
        *("JURYMAST_PHASE=before-snapshot", "JURYMAST_METHOD=lvm", "JURYMAST_ARCHIVE=/a.jmi", f"JURYMAST_JOB_ID={job}"),
        *("JURYMAST_CONSISTENCY=fs-consistent", "JURYMAST_STATUS=running", "JURYMAST_ERROR="),
        "---/dev/x:1 /dev/x:2",
    ):
        assert line in output.splitlines()


@pytest.mark.parametrize("failing", ["prepare", "freeze"])
def test_a_failing_hook_ends_it_and_what_was_frozen_is_let_go(tmp_path: Path, failing: str) -> None:
    log, folder = tmp_path / "log", tmp_path / "h"
    hook(folder, "1", log)
    hook(folder, "2", log, f"[ $1 = {failing} ] && echo no such table && exit 7; exit 0")
    hook(folder, "3", log)
    with pytest.raises(CommandFailed, match="exit code 7") as caught, Moments(options(log, folder), facts()) as moments:
        moments.before_freeze()
    assert caught.value.result.output == "no such table\n" and "Nothing was written" in caught.value.advice
    if failing == "prepare":
        expected = ["1 prepare", "2 prepare", "2 abort", "1 abort", "after failed", "end failed"]
    else:
        expected = [
            *("1 prepare", "2 prepare", "3 prepare", "before running", "1 freeze", "2 freeze"),
            *("3 abort", "2 thaw", "1 thaw", "after failed", "end failed"),
        ]
    assert words(log) == expected


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Cancelled("x"), "cancelled"),
        (Refused("x"), "refused"),
        (OSError("x"), "failed"),
        (KeyboardInterrupt(), "cancelled"),
    ],
)
def test_whatever_happens_it_is_let_go(tmp_path: Path, error: BaseException, status: str) -> None:
    log = tmp_path / "log"
    with pytest.raises(type(error)), Moments(options(log), facts()) as moments:
        moments.before_freeze()
        raise error
    assert words(log) == ["before running", f"after {status}", f"end {status}"]


def test_what_was_never_begun_is_not_let_go(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(Refused), Moments(options(log), facts()) as moments:
        raise Refused("x")
    assert words(log) == ["end refused"] and moments.results[0].moment == "after-backup"


def test_a_failing_thaw_does_not_keep_the_others_from_theirs(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "h"
    hook(folder, "1", log)
    hook(folder, "2", log, "[ $1 = thaw ] && exit 1; exit 0")
    events: list[Event] = []
    moments = Moments(options(log, folder), facts(), events.append)
    moments.before_freeze()
    moments.after_thaw()
    assert words(log)[-3:] == ["2 thaw", "1 thaw", "after running"]
    assert [r.text for r in moments.failed] == [str(folder / "2")]
    kinds = [event.to_json()["type"] for event in events]
    assert kinds == ["command_started", "command_finished"] * (len(kinds) // 2) and len(kinds) == 16


def test_a_wish_to_stop_ends_the_command_before_and_not_the_one_after(tmp_path: Path) -> None:
    log = tmp_path / "log"
    began = time.monotonic()
    wish = MomentOptions(f"echo before >> {log}; sleep 60", f"sleep 0.4; echo after >> {log}")
    with (
        pytest.raises(Cancelled),
        Moments(wish, facts(), stop=lambda: time.monotonic() > began + 0.3) as moments,
    ):
        moments.before_freeze()
    assert words(log) == ["before", "after"] and time.monotonic() - began < 5
    assert "stopped" in moments.results[0].error and moments.results[1].ok


def test_a_hanging_command_and_its_children_are_ended_after_their_time(tmp_path: Path) -> None:
    child = tmp_path / "child"
    command = f"trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > {child}; sleep 60' & wait; sleep 60"
    began = time.monotonic()
    with pytest.raises(CommandFailed, match="not finished after 0"):
        Moments(MomentOptions(command, timeout=0.5), facts()).before_freeze()
    assert 5 <= time.monotonic() - began < 9  # five seconds to end by themselves, then by force
    assert not running(int(child.read_text()))


def test_a_command_that_ends_when_it_is_asked_to_may_clean_up(tmp_path: Path) -> None:
    done = tmp_path / "done"
    began = time.monotonic()
    moments = Moments(MomentOptions(f"trap 'touch {done}; exit 3' TERM; sleep 60 & wait", timeout=0.3), facts())
    with pytest.raises(CommandFailed, match="not finished"):
        moments.before_freeze()
    assert done.exists() and time.monotonic() - began < 4


def test_what_a_command_leaves_in_the_background_neither_holds_us_up_nor_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    moments = Moments(MomentOptions(f"sleep 60 & echo $! > {pid}; echo ready"), facts())
    moments.before_freeze()
    assert time.monotonic() - began < 4 and moments.results[0].output == "ready\n"
    number = int(pid.read_text())
    assert running(number)
    os.kill(number, signal.SIGKILL)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_megabytes_of_output_are_cut_to_their_end(tmp_path: Path) -> None:
    moments = Moments(MomentOptions("head -c 30000000 /dev/zero | tr '\\0' x; echo; echo the end"), facts())
    moments.before_freeze()
    result = moments.results[0]
    assert result.cut and len(result.output) == 64 << 10 and result.output.endswith("x\nthe end\n")


def test_output_cannot_play_with_a_terminal() -> None:
    moments = Moments(MomentOptions("printf 'a\\033[2Jb\\rc\\a\\tq\\302\\233\\342\\200\\256z \\377'"), facts())
    moments.before_freeze()
    assert moments.results[0].output == "a?[2Jb\nc?\tq??z \ufffd"
    assert harmless("ä\r\n\x7f") == "ä\n?"


def test_a_command_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    bad = hook(tmp_path / "h", "a", tmp_path / "log")
    bad.write_text("#!/nowhere/interpreter\n")
    with pytest.raises(CommandFailed, match="exit code 127"):
        Moments(MomentOptions(hooks_dir=tmp_path / "h"), facts()).before_freeze()


@pytest.mark.root
def test_hooks_that_others_could_write_are_refused_and_nothing_is_begun(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    log, folder = tmp_path / "log", tmp_path / "h"
    first, second = hook(folder, "1", log), hook(folder, "2", log)
    assert find_hooks(folder) == [first, second] and find_hooks(tmp_path / "nothing") == []
    elsewhere = tmp_path / "elsewhere"
    target = hook(elsewhere, "real", log)

    def refused(words: str) -> None:
        with pytest.raises(Refused, match=words):
            Moments(options(log, folder), facts()).before_freeze()
        assert not log.exists()

    second.chmod(0o775)
    refused("can be written by others .mode 775")
    second.chmod(0o755)
    os.chown(second, 1234, 0)
    refused("belongs to user 1234")
    os.chown(second, 0, 0)
    folder.chmod(0o1777)  # with the sticky bit, too: anybody could add a hook
    refused("can be written by others")
    folder.chmod(0o755)
    second.unlink()
    second.symlink_to(target)
    assert find_hooks(folder) == [first, second]
    elsewhere.chmod(0o777)
    refused("elsewhere can be written")


def test_when_the_backup_is_killed_what_was_stopped_is_let_go_all_the_same(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "h"
    hook(folder, "1", log)
    hook(folder, "2", log)
    text = (
        "import sys, time; from pathlib import Path; from recovery.engine.moments.course import *;"
        "from recovery.engine.moments.model import *;"
        f"m = Moments(MomentOptions('', 'echo after $JURYMAST_STATUS >> {log}', hooks_dir=Path({str(folder)!r})),"
        "MomentFacts('a', ('b',))); m.before_freeze(); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    assert words(log) == ["1 prepare", "2 prepare", "1 freeze", "2 freeze"]
    process.kill()
    process.wait()
    process.stdout.close()
    until = time.monotonic() + 20
    while len(words(log)) < 7 and time.monotonic() < until:
        time.sleep(0.1)
    assert words(log)[4:] == ["2 thaw", "1 thaw", "after failed"]
