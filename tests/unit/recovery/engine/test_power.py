"""When the machine may be switched off by itself: only after what is fully good, and never for real in a test."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from formats.base.errors import Refused
from formats.base.problem import Problem, Severity
from recovery.engine import power, run
from recovery.engine.events import Outcome
from recovery.engine.power import Power
from recovery.engine.report import Report, VolumeResult

GOOD = [VolumeResult("table", 0, "", 5, "STORED-RAW"), VolumeResult("partition 1", 1, "ntfs", 5, "PROVEN")]


def report(job: str = "backup") -> Report:
    return Report(job, "x", outcome=Outcome.OK, volumes=[replace(v) for v in GOOD])


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(power, "_SYSTEMD", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(run, "find_tool", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(run, "run_tool", lambda argv, timeout: calls.append(argv))
    return calls


@pytest.mark.parametrize("job", ["backup", "restore", "clone", "verify"])
def test_what_is_fully_good_allows_it(job: str, called: list[list[str]]) -> None:
    assert power.after(report(job)) == "" and not called


def test_everything_else_keeps_it_on(called: list[list[str]]) -> None:
    for outcome in Outcome:
        if outcome is not Outcome.OK:
            bad = report()
            bad.outcome = outcome
            assert bad.headline in power.after(bad)
    unchecked, damaged, wrong, lost, hit, error, other = (report() for _ in range(7))
    unchecked.checked = False
    damaged.damaged_archive = True
    wrong.volumes[1].proof = "FAILED"
    lost.volumes[1].lost_bytes = 1
    hit.volumes[1].missing = ("/a",)
    error.problems.append(("x", Problem(Severity.ERROR, "a.b", "is broken")))
    other.job = "something new"
    reasons = [power.after(one) for one in (unchecked, damaged, wrong, lost, hit, error, other)]
    assert all(reasons) and "STORED, NOT VERIFIED" in reasons[0] and "is broken" in reasons[5]
    assert "FAILED" in reasons[2]
    warned = report()
    warned.problems.append(("x", Problem(Severity.WARNING, "a.b", "is odd")))
    assert power.after(warned) == ""


def test_it_goes_through_systemctl_and_needs_the_right_to_it(
    called: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    power.switch(Power.OFF)
    power.switch(Power.RESTART)
    assert called == [["systemctl", "poweroff"], ["systemctl", "reboot"]]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in power.after(report())
    with pytest.raises(Refused, match="root"):
        power.switch(Power.OFF)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(power, "_SYSTEMD", tmp_path / "not there")
    assert "systemd" in power.why_not()
    assert len(called) == 2
