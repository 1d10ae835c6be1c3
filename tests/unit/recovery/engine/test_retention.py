"""Which archives may go, decided from what is known of them."""

from __future__ import annotations

import calendar
import time
from pathlib import Path

import pytest

from formats.base.errors import Refused
from recovery.engine.planners.prune import PruneRequest, plan_prune
from recovery.engine.retention import Decision, Held, Survey, decide
from recovery.review import check_typed, confirm_text

NOW = calendar.timegm((2026, 11, 20, 12, 0, 0))


def held(day: int, *, why: str = "", series: str = "s", name: str = "", mtime: int | None = None) -> Held:
    path = Path(f"/x/{name or f'{series}{day}'}")
    created = f"2026-11-{day:02d}T00:00:00Z"
    return Held(path, (path,), 10, f"id-{series}{day}", series, created, float(day if mtime is None else mtime), why)


def gone(*found: Held, keep: int = 2, needed: frozenset[str] = frozenset(), protect: tuple[str, ...] = ()) -> list[str]:
    survey = Survey(found, (), "", needed)
    return [i.path.name for i in decide(survey, keep, now=NOW, protect=[Path(p) for p in protect]).delete]


def test_as_many_newer_proven_ones_must_be_there_as_asked_for() -> None:
    assert gone(*(held(d) for d in (3, 1, 5, 4, 2))) == ["s1", "s2", "s3"]
    assert gone(held(1), held(2)) == []
    assert gone(held(1), held(2, why="no"), held(3), held(4, why="no")) == []
    assert gone(held(1), held(2, why="no"), held(3), held(4)) == ["s1", "s2"]
    assert gone(held(1), held(2), held(3, series="t"), held(4, series="t"), keep=1) == ["s1", "t3"]


def test_what_was_made_at_the_same_time_is_not_newer() -> None:
    assert gone(held(1, name="a"), held(1, name="b"), keep=1) == []
    assert gone(held(1, name="a"), held(1, name="b"), held(2), keep=1) == ["a", "b"]


def test_the_newest_by_either_clock_what_is_needed_and_what_was_just_made_stay() -> None:
    assert gone(held(1, mtime=99), held(2), held(3), keep=1) == ["s2"]
    assert gone(held(1), held(2), held(3), keep=1, needed=frozenset({"id-s1"})) == ["s2"]
    assert gone(held(1), held(2), held(3), keep=1, protect=("/x/s2",)) == ["s1"]


def test_one_from_the_future_stands_in_for_nothing() -> None:
    assert gone(held(1), held(25), keep=1) == []
    assert gone(held(1), held(2), held(25), keep=1) == ["s1"]


def test_what_fails_the_further_test_stands_in_for_nothing() -> None:
    asked: list[str] = []

    def proof(item: Held) -> str:
        asked.append(item.path.name)
        return "damaged" if item.path.name == "s4" else ""

    survey = Survey(tuple(held(d) for d in (1, 2, 3, 4)), (), "", frozenset())
    decision = decide(survey, 1, now=NOW, proof=proof)
    assert [i.path.name for i in decision.delete] == ["s1", "s2"] and asked == ["s4", "s3"]
    assert (Path("/x/s4"), "does not count as proven: damaged") in decision.kept


def test_the_plan_names_what_is_lost_and_wants_a_word() -> None:
    plan = plan_prune(PruneRequest("/x", "*", 1), Decision([held(1)], [(Path("/x/odd"), "why")]))
    assert plan.destructive and confirm_text(plan) == "delete" and plan.losses[0].size == 10
    assert plan.warnings == ("odd is kept: why",)
    check_typed(plan, "delete\n")
    with pytest.raises(Refused, match="yes"):
        check_typed(plan, "yes")
    assert confirm_text(plan_prune(PruneRequest("/x", "*", 1), Decision())) == ""
    with pytest.raises(Refused):
        plan_prune(PruneRequest("/x", "*", 0), Decision())
    assert time.time() - plan.created < 60
