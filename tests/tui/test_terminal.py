"""The command in a real terminal of 80 by 24 lines, TERM=linux; and what it does without one."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from recovery.tui import texts
from tests.support.command import ARGV, environment, jurymast
from tests.support.terminal import Shown, at_terminal

F1, F10 = "\x1b[[A", "\x1b[21~"


def back_up(disk: Path, to: Path, *, term: str, rate: int = 0) -> Shown:
    """With the keys that the console sends. Ends without a trace of trouble, and the archive is there."""
    run = at_terminal(
        *("tui", "--image", disk),
        answers=(
            ("42.0 MiB", "\r"),
            ("An image file", "\r"),
            ("[ Continue ]", "\r"),
            ("one folder up", "\t"),
            ("Path:", "\x15\r"),  # Textual runs the keys of one burst after its letters, so one at a time
            (texts.NO_PATH, f"{to}\r"),
            ("one file", "\r"),
            ("[ Start the backup ]", "\r"),
            ("What to do next", F10),
            ("Leave Jurymast?", "\t\r"),
        ),
        timeout=120,
        term=term,
        rate=rate,
    )
    assert run.code == 0
    assert "PROVEN" in run.text or any("###" in line for line in run.screens[-2])
    jurymast("verify", to, ok=0)
    return run


def test_a_backup_at_a_linux_console(tmp_path: Path, disk: Path) -> None:
    back_up(disk, tmp_path / "disk.jmi", term="linux")


def test_a_backup_at_a_vt100(tmp_path: Path, disk: Path) -> None:
    """Nothing but letters of ASCII, and bold and reverse instead of colours: it knows no others."""
    run = back_up(disk, tmp_path / "disk.jmi", term="vt100")
    assert run.raw.isascii()
    styles = {style for found in re.findall(rb"\x1b\[([\d;]*)m", run.raw) for style in found.split(b";")}
    assert b"7" in styles and styles <= {b"", b"0", b"1", b"4", b"7"}


def test_a_backup_over_a_serial_line_of_9600_baud(tmp_path: Path, disk: Path) -> None:
    """What changed goes out, and nothing piles up: a screen comes within two seconds, and the keys are heard."""
    run = back_up(disk, tmp_path / "disk.jmi", term="vt220", rate=960)
    assert len(run.raw) < 20_000


def test_help_by_the_key_of_the_console_and_an_end_from_outside(disk: Path) -> None:
    run = at_terminal("tui", "--image", disk, answers=(("42.0 MiB", F1), ("Shift+Tab", signal.SIGTERM)), timeout=60)
    assert run.code == 0


def test_without_arguments_a_person_gets_the_screens_and_a_program_the_help() -> None:
    run = at_terminal(answers=(("What do you want to do?", F10), ("Leave Jurymast?", "\t\r")), timeout=60)
    assert run.code == 0
    done = subprocess.run(
        ARGV, stdin=subprocess.DEVNULL, capture_output=True, env=environment(), check=False, timeout=60
    )
    assert b"Usage: jurymast" in done.stdout + done.stderr
    assert (
        b"terminal"
        in subprocess.run(
            [*ARGV, "tui"], stdin=subprocess.DEVNULL, capture_output=True, env=environment(), check=False, timeout=60
        ).stderr
    )


def test_the_other_commands_do_not_load_the_screens() -> None:
    code = (
        "import sys, recovery.cli.look, recovery.cli.jobs, recovery.cli.browse, recovery.cli.info;"
        "print([m for m in sys.modules if m.split('.')[0] == 'textual' or m.startswith('recovery.tui')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), check=True, timeout=60)
    assert done.stdout.strip() == b"[]"
