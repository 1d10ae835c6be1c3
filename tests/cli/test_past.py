"""reports and log, and --then-poweroff, as a person and as a program has them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from recovery.engine import power, run
from tests.support.command import here, jurymast


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("JURYMAST_STATE", str(folder))
    return folder


def test_reports_are_listed_shown_and_exported(state: Path, archive: Path, tmp_path: Path) -> None:
    assert "No report" in jurymast("reports", ok=0).text
    assert here("reports", "--json", ok=0).told["reports"] == 0
    done = jurymast("verify", archive, "--json", ok=0)
    jurymast("restore", archive, tmp_path / "t.img", "--yes", ok=0)
    listed = here("reports", "--json", ok=0)
    assert [line["job"] for line in listed.lines] == ["restore", "verify"]
    report_id = listed.lines[1]["report_id"]
    assert report_id == done.told["report_id"]
    text = jurymast("reports", ok=0).text
    assert "THE ARCHIVE IS GOOD" in text and report_id in text and f"Check {archive}" in text
    shown = here("reports", "show", report_id, "--json", ok=0).lines[0]
    assert {k: v for k, v in shown.items() if k != "type"} == {
        k: v for k, v in done.told.items() if k not in ("type", "exit_code")
    }
    assert "RESTORED AND CHECKED" in jurymast("reports", "show", "last", ok=0).text
    stick = tmp_path / "stick"
    stick.mkdir()
    paths = here("reports", "export", report_id, stick, "--json", ok=0).told["paths"]
    assert json.loads(Path(paths[1]).read_text())["report_id"] == report_id
    assert Path(paths[0]).read_text().startswith("THE ARCHIVE IS GOOD")
    assert "exists already" in here("reports", "export", report_id, stick, "--json", ok=1).told["error"]
    assert here("reports", "show", "1999", "--json", ok=1).told["advice"]
    here("reports", "--json", "export", "last", tmp_path / "nowhere", ok=1)


def test_the_log_in_words_and_raw(state: Path, archive: Path) -> None:
    assert "empty" in jurymast("log", ok=0).text
    jurymast("verify", archive, ok=0)
    text = jurymast("log", ok=0).text
    assert f"BEGIN verify: Check {archive}" in text and "END   verify: THE ARCHIVE IS GOOD" in text
    assert "partition 1 (ext4, little): file system PROVEN" in text
    raw = here("log", "--json", "--last", "3", ok=0)
    assert [line["type"] for line in raw.lines][-1] == "job_finished" and raw.told["lines"] == 3
    stored = [json.loads(line) for line in (state / "events.jsonl").read_text().splitlines()]
    assert list(raw.lines) == stored[-3:]
    # What a later version writes, and what is broken, does no harm.
    with (state / "events.jsonl").open("a") as file:
        file.write(
            '{"at": "2026-01-01T00:00:00.000Z", "type": "new"}\n{"at": 5}\nnoise\n{"type": "stalled", "at": ""}\n'
        )
    assert '"type": "new"' in jurymast("log", ok=0).text


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(power, "_SYSTEMD", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(run, "find_tool", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(run, "run_tool", lambda argv, timeout: calls.append(argv))
    return calls


def test_the_machine_is_switched_off_only_after_what_is_good(
    state: Path, archive: Path, disk: Path, tmp_path: Path, called: list[list[str]]
) -> None:
    new = tmp_path / "new.jmi"
    done = here("verify", archive, "--then-poweroff", "--json", ok=0)
    assert done.lines[-1] == {"type": "power", "switching_off": True, "text": ""}
    assert called.pop() == ["systemctl", "poweroff"]
    here("clone", disk, tmp_path / "c.img", "--yes", "--then-poweroff", "--json", ok=0)
    here("backup", disk, new, "--then-poweroff", "--json", ok=0)
    assert len(called) == 2
    called.clear()
    for argv, code in (
        (("backup", disk, new), 3),
        (("backup", disk, tmp_path / "b.jmi", "--no-verify"), 0),
        (("restore", archive, tmp_path / "r.img", "--yes", "--no-verify"), 0),
    ):
        line = here(*argv, "--then-poweroff", "--json", ok=code).lines[-1]
        assert line["type"] == "power" and not line["switching_off"] and line["text"]
    here("restore", archive, tmp_path / "x.img", "--dry-run", "--then-poweroff", "--json", ok=0)
    damaged = tmp_path / "damaged.jmi"
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.write_bytes(data)
    assert "DAMAGED" in here("verify", damaged, "--then-poweroff", "--json", ok=5).lines[-1]["text"]
    assert not called


def test_without_the_right_to_it_nothing_begins(archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(power, "_SYSTEMD", tmp_path / "none")
    told = here("restore", archive, tmp_path / "r.img", "--yes", "--then-poweroff", "--json", ok=3).told
    assert "systemd" in told["error"] and not (tmp_path / "r.img").exists()
