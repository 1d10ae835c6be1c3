"""Accepting a Plan by hand: what a person must type, and whether it is right. The same for every face."""

from __future__ import annotations

from typing import Any

from formats.base.errors import Refused
from recovery.engine.plan import Plan

DELETE = "delete"


def confirm_text(plan: Plan[Any]) -> str:
    """What must be typed; '' when nothing is overwritten or deleted."""
    if plan.target:
        return plan.target.confirm_text
    return DELETE if plan.destructive else ""


def question(plan: Plan[Any]) -> str:
    """What a person is asked."""
    if not plan.target:
        return f"To go on, type {confirm_text(plan)!r}: "
    return f"To go on, type {confirm_text(plan)!r} (end of the target's serial, or its name): "


def check_typed(plan: Plan[Any], typed: str) -> None:
    """Raise Refused when it is not what the plan's target asks for."""
    wanted = confirm_text(plan)
    if typed.strip() != wanted:
        advice = "Nothing was changed. Is it the right disk?" if plan.target else "Nothing was deleted."
        raise Refused(f"{typed.strip()!r} is not {wanted!r}.", advice)
