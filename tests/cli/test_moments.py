"""Commands, hooks and the limit of bytes through the command: exit codes, reports, kill -9, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.command import jurymast, running
from tests.support.terminal import at_terminal

NO_HOOKS = ("--hooks-dir", "/nowhere/hooks.d")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "d.img"
    path.write_bytes(os.urandom(2 << 20) + bytes(2 << 20))
    return path


def until(path: Path, text: str, seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and text in path.read_text():
            return True
        time.sleep(0.05)
    return False


def test_before_is_before_the_source_is_looked_at_and_after_is_before_it_is_read_back(
    image: Path, tmp_path: Path
) -> None:
    """The source appears only by the first command, and is gone with the second."""
    source, archive = tmp_path / "appears.img", tmp_path / "a.jmi"
    done = jurymast(
        "backup", source, archive, "--json", *NO_HOOKS,
        "--before-snapshot", f"cp {image} {source}", "--after-snapshot", f"rm {source}",
        "--after-backup", f"test -s {archive}.report.json && echo $JURYMAST_STATUS", ok=0,
    )  # fmt: skip
    assert done.told["headline"] == "PROVEN" and not source.exists()
    assert [c["moment"] for c in done.told["commands"]] == ["before-snapshot", "after-snapshot", "after-backup"]
    assert done.told["commands"][2]["output"] == "ok\n"
    saved = json.loads(Path(f"{archive}.report.json").read_text())
    assert saved["commands"] == done.told["commands"] and len(saved["job_id"]) == 16
    kinds = [line["type"] for line in done.lines]
    assert kinds.index("command_finished") < kinds.index("looking")


def test_a_failing_first_command_ends_it_before_anything_is_written(image: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = jurymast(
        "backup", image, tmp_path / "a.jmi", "--json", *NO_HOOKS, "--before-snapshot", "echo no; exit 9",
        "--after-snapshot", f"echo after >> {log}", "--after-backup", f"echo $JURYMAST_STATUS >> {log}", ok=1,
    )  # fmt: skip
    assert "exit code 9" in done.words and "Nothing was written" in done.words
    assert log.read_text() == "after\nfailed\n" and list(tmp_path.glob("a.jmi*")) == []


@pytest.mark.parametrize("which", ["--after-snapshot", "--after-backup"])
def test_a_failing_later_command_leaves_the_archive_proven_and_shows(image: Path, tmp_path: Path, which: str) -> None:
    archive = tmp_path / "a.jmi"
    done = jurymast("backup", image, archive, "--json", *NO_HOOKS, which, "exit 2", ok=6)
    assert done.told["headline"] == "PROVEN, BUT A COMMAND FAILED"
    assert [p["text"] for p in done.problems("command.failed")] == [f"{which[2:]}: exit code 2"]
    jurymast("verify", archive, "--json", ok=0)
    assert json.loads(Path(f"{archive}.report.json").read_text())["outcome"] == "command_failed"
    shown = at_terminal("backup", image, tmp_path / "b.jmi", *NO_HOOKS, which, "echo hey; exit 2")
    assert shown.code == 6 and "BUT A COMMAND FAILED" in shown.text and "hey" in shown.text


def test_a_backup_that_fails_or_is_refused_lets_go_too(image: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    after = ("--after-snapshot", f"echo let go >> {log}", "--after-backup", f"echo $JURYMAST_STATUS >> {log}")
    jurymast("backup", tmp_path / "nothing", tmp_path / "a.jmi", "--json", *NO_HOOKS, *after, ok=1)
    jurymast("backup", image, tmp_path / "a.jmi", "--partition", "7", "--json", *NO_HOOKS, *after, ok=3)
    jurymast("backup", image, tmp_path / "no" / "a.jmi", "--json", *NO_HOOKS, *after, ok=1)
    assert log.read_text() == "let go\nfailed\nlet go\nrefused\nlet go\nfailed\n"


def test_a_command_that_hangs_is_ended_after_its_time(image: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    done = jurymast(
        "backup", image, tmp_path / "a.jmi", "--json", *NO_HOOKS,
        "--command-timeout", "0.5", "--after-backup", "sleep 60", ok=6,
    )  # fmt: skip
    assert time.monotonic() - began < 10 and "not finished after 0.5 seconds" in str(done.problems("command.failed"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_was_stopped_is_let_go_when_the_backup_is_stopped_or_killed(
    image: Path, tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    with running(
        "backup", image, tmp_path / "a.jmi", *NO_HOOKS, "--bandwidth", "64K", "--before-snapshot", f"echo held > {log}",
        "--after-snapshot", f"echo $JURYMAST_STATUS >> {log}", log=tmp_path / "err",
    ) as run:  # fmt: skip
        assert run.wait_for(lambda line: line["type"] == "step_started") is not None
        if number == signal.SIGKILL:
            run.kill()
            assert until(log, "failed")
        else:
            run.send(number)
            assert run.finish().code == 130
            assert log.read_text() == "held\ncancelled\n"


def test_the_limit_of_bytes_is_kept(image: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    jurymast("backup", image, tmp_path / "a.jmi", "--json", "--bandwidth", "2M", *NO_HOOKS, ok=0)
    took = time.monotonic() - began
    assert 1.4 < took < 6, took  # 4 MiB, of which the last MiB needs no wait behind it
    assert "at least 64K" in jurymast("backup", image, tmp_path / "b.jmi", "--bandwidth", "10", ok=2).stderr


def test_hooks_are_installed_listed_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / "hooks.d"
    where = ("--hooks-dir", folder, "--json")
    path = folder / "50-mysql"
    assert jurymast("hooks", "install", "mysql", *where, ok=0).told["path"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o755
    assert "exists already" in jurymast("hooks", "install", "mysql", *where, ok=3).words
    told = jurymast("hooks", "list", *where, ok=0).told
    assert told["called"] == [str(path)] and {a["name"]: a["path"] for a in told["adapters"]}["mysql"] == str(path)
    jurymast("hooks", "remove", "mysql", *where, ok=0)
    assert not path.exists()
    path.write_text("#!/bin/sh\n# mine\n")
    assert "is not in" in jurymast("hooks", "remove", "mysql", *where, ok=3).words and path.exists()


def test_a_hook_that_others_could_write_ends_the_backup(image: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hooks.d"
    folder.mkdir(mode=0o755)
    (folder / "a").write_text("#!/bin/sh\n")
    (folder / "a").chmod(0o777)
    done = jurymast("backup", image, tmp_path / "a.jmi", "--hooks-dir", folder, "--json", ok=3)
    assert "can be written by others" in done.words
    jurymast("backup", image, tmp_path / "a.jmi", "--hooks-dir", folder, "--no-hooks", "--json", ok=0)
