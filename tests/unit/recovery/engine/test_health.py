"""The health of disks: smartctl's words become ours; a disk that does not answer holds up nobody."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery.engine import health
from recovery.engine.health import HealthBook, Verdict, read_health, warning_of
from recovery.engine.identity import DeviceIdentity

# After the members that smartctl(8) writes with --json -H -A.
SATA: dict[str, Any] = {
    "smart_status": {"passed": True},
    "ata_smart_attributes": {
        "table": [
            {"id": 5, "name": "Reallocated_Sector_Ct", "raw": {"value": 0, "string": "0"}},
            {"id": 9, "name": "Power_On_Hours", "raw": {"value": 20111, "string": "20111"}},
            {"id": 197, "name": "Current_Pending_Sector", "raw": {"value": 0, "string": "0"}},
        ]
    },
    "power_on_time": {"hours": 20111},
    "temperature": {"current": 34},
}
NVME: dict[str, Any] = {
    "smart_status": {"passed": True, "nvme": {"value": 0}},
    "nvme_smart_health_information_log": {"critical_warning": 0, "percentage_used": 3, "media_errors": 0},
    "temperature": {"current": 41},
    "power_on_time": {"hours": 812},
}


def with_raw(number: int, value: object) -> dict[str, Any]:
    return SATA | {"ata_smart_attributes": {"table": [{"id": number, "raw": {"value": value}}]}}


def disk(path: Path, serial: str = "S1") -> DeviceIdentity:
    return DeviceIdentity(path=str(path), kind="disk", size=1 << 30, serial=serial, dev="8:0")


def test_good_disks() -> None:
    found = read_health(SATA)
    assert found is not None and found.text == "health: good"
    assert (found.hours, found.celsius, found.used_percent) == (20111, 34, None)
    found = read_health(NVME)
    assert found is not None and (found.verdict, found.used_percent) == (Verdict.GOOD, 3)


@pytest.mark.parametrize(
    ("told", "verdict", "words"),
    [
        (SATA | {"smart_status": {"passed": False}}, Verdict.FAILING, "expects to fail"),
        (with_raw(5, 8), Verdict.WORN, "8 sectors replaced"),
        (with_raw(197, 3), Verdict.FAILING, "3 sectors waiting"),
        (with_raw(198, 5 | 7 << 32), Verdict.FAILING, "5 sectors cannot be read"),
        (NVME | {"nvme_smart_health_information_log": {"critical_warning": 9}}, Verdict.FAILING, "read-only now"),
        (NVME | {"nvme_smart_health_information_log": {"percentage_used": 97}}, Verdict.WORN, "97 %"),
        ({"smart_status": {"passed": True}, "scsi_grown_defect_list": 12}, Verdict.WORN, "12 new defects"),
    ],
)
def test_bad_ones_are_told(told: dict[str, Any], verdict: Verdict, words: str) -> None:
    found = read_health(told)
    assert found is not None and found.verdict is verdict and words in found.text


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*SATA, *NVME, "id", "raw"]), inner),
    max_leaves=8,
)


@given(_JUNK, _JUNK, _JUNK)
def test_junk_is_no_health_or_a_sane_one(status: Any, table: Any, log: Any) -> None:
    assert read_health(status) is None or isinstance(status, dict)
    found = read_health(
        {
            "smart_status": {"passed": True},
            "ata_smart_attributes": {"table": table},
            "nvme_smart_health_information_log": log,
            "temperature": status,
        }
    )
    assert found is not None
    assert all(value is None or 0 <= value < 1 << 53 for value in (found.hours, found.celsius, found.used_percent))


@pytest.fixture
def smartctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of this name that says what lies in a file beside it, and counts its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "smartctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n. {folder}/does\n')
    program.chmod(0o755)
    (folder / "calls").touch()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(health, "BOOK", HealthBook())
    return folder


def does(folder: Path, told: object, code: int = 0) -> None:
    (folder / "told").write_text(json.dumps(told))
    (folder / "does").write_text(f"cat {folder}/told; exit {code}\n")


def test_a_disk_is_asked_once_a_minute_and_never_woken(smartctl: Path, tmp_path: Path) -> None:
    does(smartctl, with_raw(197, 3), code=4)  # bit 2: something of SMART failed; what was said counts
    book, first = HealthBook(), disk(tmp_path / "x")
    assert book.known(first) is None
    assert book.ask([first]) and not book.ask([first])
    found = book.known(first)
    assert found is not None and found.verdict is Verdict.FAILING
    assert book.ask([disk(tmp_path / "x", "S2")])  # another disk at the same place
    calls = (smartctl / "calls").read_text().splitlines()
    assert len(calls) == 2 and all("-n standby" in call for call in calls)
    does(smartctl, SATA, code=2)  # asleep, or no such device
    other = disk(tmp_path / "y")
    assert book.ask([other]) and book.known(other) is None


def test_one_that_does_not_answer_holds_up_no_other(
    smartctl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (smartctl / "told").write_text(json.dumps(SATA))
    (smartctl / "does").write_text(f'case "$*" in *dead*) sleep 60;; esac; cat {smartctl}/told\n')
    monkeypatch.setattr(health, "TIMEOUT", 0.5)
    book, dead, alive = HealthBook(), disk(tmp_path / "dead"), disk(tmp_path / "alive")
    began = time.monotonic()
    assert book.ask([dead, alive])
    assert time.monotonic() - began < 5
    one, other = book.known(dead), book.known(alive)
    assert one is not None and one.verdict is Verdict.SILENT and "does not answer" in one.text
    assert other is not None and other.verdict is Verdict.GOOD


def test_plans_warn_of_a_failing_source_and_of_a_worn_target(smartctl: Path, tmp_path: Path) -> None:
    does(smartctl, with_raw(5, 8))
    worn = disk(tmp_path / "worn")
    assert warning_of(worn, target=False) == ""
    assert "8 sectors replaced" in warning_of(worn, target=True)
    does(smartctl, with_raw(197, 3))
    assert "Image it before" in warning_of(disk(tmp_path / "bad"), target=False)
    does(smartctl, SATA)
    assert warning_of(disk(tmp_path / "good"), target=True) == ""
