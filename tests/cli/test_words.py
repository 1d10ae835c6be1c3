"""What people see: help, usage errors, text of 80 columns, a progress bar with rate and time left."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from recovery.cli.main import command
from tests.support import little
from tests.support.command import ARGV, environment, jurymast
from tests.support.faulty import bad_sectors
from tests.support.terminal import COLUMNS, at_terminal

COMMANDS = (
    *("disks", "inspect", "backup", "restore", "clone", "verify", "info"),
    *("ls", "find", "cat", "extract", "hash", "diff", "mount", "tui", "reports", "log"),
)
FORBIDDEN = re.compile(r"\b(errno|exception|stack|NoneType|bytearray|self\.|\w+Error\b)", re.IGNORECASE)


def help_of(*argv: str) -> str:
    result = CliRunner().invoke(command, [*argv, "--help"], prog_name="jurymast")
    assert result.exit_code == 0
    return result.output


def test_the_commands_are_the_documented_ones() -> None:
    assert set(command.list_commands(click.Context(command))) == set(COMMANDS)
    text = help_of()
    for word in (*COMMANDS, "Exit codes", "130"):
        assert word in text
    assert all(f"{code} " in text for code in (0, 1, 2, 3, 4, 5))
    assert jurymast("--version").text.startswith("jurymast")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_is_complete(name: str) -> None:
    text = help_of(name)
    sub = command.get_command(click.Context(command), name)
    assert sub is not None and sub.help and sub.help[0].isupper() and sub.help.rstrip().endswith(".")
    letters = "".join(text.split())
    for parameter in sub.params:
        if isinstance(parameter, click.Option):
            assert parameter.help and parameter.help.rstrip().endswith((".", "]")), parameter.name
            assert all(option in text for option in parameter.opts)
            assert "".join(parameter.help.split()) in letters
        else:
            assert (parameter.metavar or parameter.human_readable_name).upper().rstrip(".") in text.upper()
    assert all(len(line) <= COLUMNS for line in text.splitlines())
    assert not FORBIDDEN.search(text)


def test_usage_errors_end_with_two_and_say_what_is_wrong(tmp_path: Path, disk: Path) -> None:
    out = str(tmp_path / "a.jmi")
    for argv, word in (
        (["nonsense"], "No such command"),
        (["backup"], "Missing argument"),
        (["backup", str(disk)], "Missing argument"),
        (["backup", str(disk), out, "--split", "lots"], "4G"),
        (["backup", str(disk), out, "--level", "99"], "99"),
        (["backup", str(disk), out, "--partition", "0"], "0"),
        (["backup", str(disk), out, "--nonsense"], "No such option"),
        (["restore", out], "Missing argument"),
        (["restore", out, out, "--partition", "1:x"], "N:M"),
        (["restore", out, out, "--unused", "burn"], "discard"),
        (["restore", out, out, "--disk", "0"], "0"),
        (["clone", out, out, "--partition", "a"], "N:M"),
        (["verify"], "Missing argument"),
        (["info", "a", "b"], "unexpected"),
    ):
        result = CliRunner().invoke(command, argv, prog_name="jurymast")
        assert result.exit_code == 2 and word in result.output, (argv, result.output)
        assert "Usage:" in result.output
    assert not Path(out).exists()
    shown = at_terminal("backup", disk, "-")
    assert shown.code == 2 and "not written to a terminal" in shown.words


@pytest.mark.root
def test_a_backup_at_a_terminal(disk: Path, tmp_path: Path) -> None:
    with bad_sectors(disk, [], tmp_path, delay_ms=10) as source:
        shown = at_terminal("backup", source, tmp_path / "a.jmi")
    assert shown.code == 0 and "PROVEN" in shown.text
    assert len(shown.widest) <= COLUMNS, shown.widest
    bars = [line for line in re.split(r"[\r\n]+", shown.text) if "/s" in line]
    assert any(re.search(r"\d+(\.\d+)? ?[kKMG]i?B/s", bar) and re.search(r"\d:\d\d:\d\d", bar) for bar in bars), bars
    assert any("MiB" in bar for bar in bars)


@pytest.mark.root
def test_everything_fits_a_terminal_of_80_columns(archive: Path, disk: Path, tmp_path: Path) -> None:
    long = tmp_path / "a rather long folder name to make the paths wider than the terminal" / "target of it all.img"
    long.parent.mkdir()
    for argv, code, words in (
        (("disks",), 0, ""),
        (("inspect", disk), 0, "little"),
        (("inspect", archive), 0, "PROVEN"),
        (("info", archive), 0, "PROVEN"),
        (("verify", archive), 0, "THE ARCHIVE IS GOOD"),
        (("restore", archive, long, "--yes"), 0, "RESTORED AND CHECKED"),
        (("restore", archive, long, "--dry-run"), 0, "THIS WILL BE LOST"),
        (("clone", disk, disk, "--yes"), 3, "same disk"),
        (("inspect", tmp_path / "nothing"), 1, "Check the name"),
    ):
        shown = at_terminal(*argv)
        assert shown.code == code and words in shown.words, shown.text
        assert len(shown.widest) <= COLUMNS, (argv, shown.widest)
        assert not FORBIDDEN.search(shown.text), shown.text


def test_text_for_programs_is_not_broken_into_lines(disk: Path, tmp_path: Path) -> None:
    """`jurymast inspect | grep`: what belongs to one volume stands on one line."""
    text = subprocess.run([*ARGV, "inspect", disk], capture_output=True, env=environment(), check=True).stdout.decode()
    assert re.search(r"^ +1 .*24\.0 MiB.*ext4.*little.*used$", text, re.MULTILINE), text
    assert f"{disk}: 42.0 MiB, GPT, sectors of 512 bytes" in text
    assert "\x1b" not in text


def test_the_report_says_what_was_done(disk: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.jmi"
    text = jurymast("backup", disk, archive, ok=0).text
    assert "PROVEN" in text and "\x1b" not in text
    report = (tmp_path / "a.jmi.report.txt").read_text()
    assert report.startswith("PROVEN") and "partition 1 (ext4, little)" in report
    unchecked = jurymast("backup", disk, tmp_path / "b.jmi", "--no-verify", ok=0).text
    assert "STORED, NOT VERIFIED" in unchecked and "PROVEN" not in unchecked
    assert (
        "RESTORED, NOT CHECKED" in jurymast("restore", archive, tmp_path / "t.img", "--yes", "--no-verify", ok=0).text
    )
    assert little.digest(tmp_path / "t.img") == little.digest(disk)
    assert "was never proven" in " ".join(
        jurymast("restore", tmp_path / "b.jmi", tmp_path / "u.img", "--dry-run").text.split()
    )
