"""The retention planner: what may go in, a Plan out."""

from __future__ import annotations

from dataclasses import dataclass

from formats.base.errors import Refused
from recovery.engine.plan import Loss, Plan, PruneWork, Step, now
from recovery.engine.retention import Decision


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """`pattern`: of names in `folder`. `keep`: how many newer ones must be proven. `full`: read all of those."""

    folder: str
    pattern: str
    keep: int
    full: bool = False
    protect: tuple[str, ...] = ()


def plan_prune(request: PruneRequest, decision: Decision) -> Plan[PruneWork]:
    """One step for each archive that goes. Raises Refused."""
    if request.keep < 1:
        raise Refused("At least one archive must be kept.", "Give a larger number with --keep.")
    return Plan(
        job="prune",
        title=f"Delete archives {request.pattern} in {request.folder} that {request.keep} newer proven ones replace",
        sources=(),
        target=None,
        steps=tuple(Step(f"Delete {item.path.name}", 0, destructive=True) for item in decision.delete),
        losses=tuple(
            Loss(f"{item.path.name}, made {item.created}" + _spread(len(item.parts)), item.size)
            for item in decision.delete
        ),
        warnings=tuple(f"{path.name} is kept: {why}" for path, why in decision.kept),
        work=PruneWork(
            request.folder,
            request.pattern,
            request.keep,
            tuple((str(item.path), item.archive_id) for item in decision.delete),
            request.protect,
        ),
        created=now(),
    )


def _spread(parts: int) -> str:
    return f" ({parts} parts)" if parts > 1 else ""
