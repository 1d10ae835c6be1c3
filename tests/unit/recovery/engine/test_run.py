"""Starting programs: exit codes, time, output and missing programs."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from formats.base.errors import Cancelled
from recovery.engine import run as module
from recovery.engine.run import ToolFailed, ToolMissing, ToolTimeout, find_tool, run_tool


def test_output_and_exit_codes() -> None:
    done = run_tool(["sh", "-c", "cat; echo no >&2; exit 3"], stdin=b"ja \xff\n", ok=(3,))
    assert (done.stdout, done.stderr, done.code) == ("ja �\n", "no\n", 3)
    assert run_tool(["false"], ok=None).code == 1
    with pytest.raises(ToolFailed, match="exit code 3: last words") as caught:
        run_tool(["sh", "-c", "echo first >&2; echo last words >&2; exit 3"])
    assert (caught.value.code, caught.value.stderr) == (3, "first\nlast words\n")
    with pytest.raises(ToolFailed, match="killed by signal 15"):
        run_tool(["sh", "-c", "kill $$"])
    with pytest.raises(ToolFailed, match="could not be started"):
        run_tool(["true", "a\0b"])


def test_nothing_goes_through_a_shell(tmp_path: Path) -> None:
    odd = "$(touch x); `id` 'a' \"b\" *"
    assert run_tool(["printf", "%s", odd]).stdout == odd


def test_the_language_is_fixed_and_sbin_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert run_tool(["sh", "-c", "echo $LC_ALL"]).stdout == "C.UTF-8\n"
    found = find_tool("losetup")
    assert found is not None and "sbin" in found


@pytest.mark.parametrize(("program", "package"), [("partx", "util-linux"), ("ntfsresize", "ntfs-3g"), ("zz", "zz")])
def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch, program: str, package: str) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(module, "_SEARCH", "/nowhere")
    with pytest.raises(ToolMissing) as caught:
        run_tool([program])
    assert caught.value.advice == f"Install it with: apt-get install {package}"


def test_the_packages_are_those_of_debian() -> None:
    if find_tool("dpkg-query") is None:
        pytest.skip("no dpkg here")
    checked = 0
    for program, package in module.DEBIAN_PACKAGES.items():
        listed = run_tool(["dpkg-query", "-L", package], ok=None)
        if listed.code == 0:
            assert any(line.endswith(f"bin/{program}") for line in listed.stdout.splitlines()), (program, package)
            checked += 1
    assert checked > 10


def test_time_and_stop_end_the_children_too(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    before = time.monotonic()
    with pytest.raises(ToolTimeout, match=r"0\.5 seconds"):
        run_tool(["sh", "-c", script], timeout=0.5)
    assert _gone(int((tmp_path / "child").read_text()))
    event = threading.Event()
    threading.Timer(0.3, event.set).start()
    with pytest.raises(Cancelled):
        run_tool(["sh", "-c", script], stop=event.is_set)
    assert _gone(int((tmp_path / "child").read_text()))
    assert time.monotonic() - before < 10


def _gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_endless_output_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OUTPUT_LIMIT", 1000)
    done = run_tool(["sh", "-c", "echo first; yes | head -c 3000000; yes n | head -c 3000000 >&2; echo last >&2"])
    assert len(done.stdout) == 1000 and done.stdout.startswith("first\n")
    assert len(done.stderr) == 1000 and done.stderr.endswith("last\n")


def test_a_program_that_does_not_read_its_input() -> None:
    assert run_tool(["true"], stdin=b"x" * (4 << 20)).code == 0
