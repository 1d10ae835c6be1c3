"""Switching the machine off, or starting it anew: through systemd, so that everything ends in order."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from formats.base.errors import Refused
from recovery.engine import run
from recovery.engine.report import Report

_SYSTEMD = Path("/run/systemd/system")  # there while systemd is the init system: sd_booted(3)


class Power(StrEnum):
    """The words that systemctl has for it."""

    OFF = "poweroff"
    RESTART = "reboot"


def why_not() -> str:
    """'' when this process may switch the machine off; else why not."""
    if run.find_tool("systemctl") is None or not _SYSTEMD.is_dir():
        return "This machine is not run by systemd, which would have to switch it off."
    return "" if os.geteuid() == 0 else "Only root may switch this machine off (sudo jurymast)."


def switch(power: Power) -> None:
    """Ask systemd for it; this process is told to end soon after. Raises Refused, and what run_tool() raises."""
    reason = why_not()
    if reason:
        raise Refused(reason, "Switch it off by hand.")
    run.run_tool(["systemctl", power.value], 30)


def after(report: Report) -> str:
    """The rule for 'shut down afterwards': '' when the job's end allows it, else why the machine stays on.

    Only what ended fully good allows it: nobody needs to look, and nothing is lost that was only on the screen.
    """
    return report.why_not_fully_good() or why_not()
