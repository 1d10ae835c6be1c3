"""Kept reports and the event log in words: what command and screens show of the past in the same way."""

from __future__ import annotations

import calendar
import json
import time
from typing import Any

from fs.walk import shown
from recovery.engine.events import Stage, VolumeJudged
from recovery.engine.kept import Kept
from recovery.words import judged_text

NO_REPORTS = "No report is kept yet. Every job leaves one."
NO_LOG = "The event log is empty."


def local_time(utc: str) -> str:
    """`2026-11-23T09:24:35Z`, with or without milliseconds, as the clock on the wall has it."""
    try:
        seconds = calendar.timegm(time.strptime(utc[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return utc
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def kept_lines(kept: Kept) -> tuple[str, str]:
    """When, how it ended, and its id; then what it was."""
    if kept.error:
        return f"{kept.report_id}: cannot be read", shown(kept.error)
    return f"{local_time(kept.started)}  {kept.headline}", f"{shown(kept.title)}  ({kept.report_id})"


def log_line(body: dict[str, Any]) -> str:
    """One line of the log, for people. What this version does not know stays as it is."""
    try:
        text = _text(body)
    except (KeyError, TypeError, ValueError):
        text = json.dumps(body)
    return f"{local_time(str(body.get('at', '')))}  {shown(text)}"


def _text(body: dict[str, Any]) -> str:
    kind = body["type"]
    if kind == "job_started":
        return f"BEGIN {body['job']}: {body['title']}  ({body['job_id']})"
    if kind == "step_started":
        return f"  step {body['step']} of {body['steps']}: {body['text']}"
    if kind == "step_finished":
        return f"  step {body['step']} done"
    if kind == "stalled":
        return f"  waiting for {body['seconds']:.0f} s: {body['text']}"
    if kind == "problem_found":
        return f"  {body['problem']['severity']}: {body['subject']}: {body['problem']['text']}"
    if kind == "volume_judged":
        stage = Stage(body["stage"])
        event = VolumeJudged(body["volume"], body["disk"], body["title"], stage, body["verdict"], body["text"])
        return "; hit: ".join([f"  {judged_text(event)}", *body["hit"]])
    if kind in ("paused", "resumed"):
        return f"  {kind}"
    if kind == "job_finished":
        more = " ".join(part for part in (body["error"], body["aftermath"]) if part)
        return f"END   {body['job']}: {body['headline']}, after {body['seconds']:.0f} s. {more}".rstrip()
    if kind == "said":
        return f"  {body['level']} in {body['by']}: {body['text']}"
    if kind == "dropped":
        return f"  ({body['count']} lines are missing here: they could not be written)"
    return json.dumps(body)
