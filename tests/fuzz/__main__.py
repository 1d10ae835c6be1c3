"""Run with: python -m tests.fuzz [--target NAME]... [--inputs N] [--seconds S] [--seed N] [--jobs N], or make fuzz."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.runner import ROOT, Outcome, Work, repeat, run_jobs, worker
from tests.fuzz.target import Images, Target
from tests.fuzz.targets import TARGETS

OUT = ROOT / "build" / "fuzz"
SECONDS = 10.0  # for each target, when nothing else was asked for


def chosen(patterns: Sequence[str]) -> list[Target]:
    """Targets by their names, or all of a parser (`ntfs`); all when nothing is asked for."""
    found = [t for name, t in TARGETS.items() if not patterns or name in patterns or name.split(".")[0] in patterns]
    unknown = [p for p in patterns if not any(p in (name, name.split(".")[0]) for name in TARGETS)]
    if unknown:
        raise SystemExit(f"no such target: {', '.join(unknown)}\nThere are: {', '.join(TARGETS)}")
    return found


def inputs_of(target: Target, inputs: int) -> int:
    """Dear targets get fewer; no target less than one."""
    return max(1, inputs // target.cost) if inputs else 0


def run_one(target: Target, options: argparse.Namespace, images: Path) -> Outcome:
    seconds = options.seconds if options.seconds or options.inputs else SECONDS
    target.seeds(Images(images))  # images are made here, once
    works = [
        Work(options.seed, inputs_of(target, options.inputs), seconds, job, options.jobs, images, OUT)
        for job in range(options.jobs)
    ]
    return run_jobs([target.name], works)[0]


def line(outcome: Outcome) -> str:
    speed = outcome.inputs / outcome.seconds if outcome.seconds else 0
    return f"{outcome.target:<22} {outcome.inputs:>10} inputs {speed:>9.0f}/s {outcome.failed:>6} failures"


def report(outcomes: Sequence[Outcome]) -> int:
    """Totals by parser and what failed; the exit code."""
    parsers = dict.fromkeys(o.target.split(".")[0] for o in outcomes)
    print()
    for parser in parsers:
        ours = [o for o in outcomes if o.target.split(".")[0] == parser]
        print(f"{parser:<22} {sum(o.inputs for o in ours):>10} inputs {sum(o.failed for o in ours):>17} failures")
    failures = [f for o in outcomes for f in o.failures]
    for failure in failures:
        where = f"{OUT.relative_to(ROOT)}/{failure['target']}-{failure['random_seed']}-{failure['number']}.json"
        print(f"\n{failure['same']}: {where}\n{failure['error']}\n{failure['trace']}")
    return 1 if failures else 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", action="append", default=[], help="a target or a parser; all without it")
    parser.add_argument("--list", action="store_true", help="show the targets")
    parser.add_argument("--inputs", type=int, default=0, help="for each target; dear targets get fewer in proportion")
    parser.add_argument("--seconds", type=float, default=0.0, help=f"at most, for each target (default {SECONDS:.0f})")
    parser.add_argument("--seed", type=int, default=1, help="another number gives other inputs")
    parser.add_argument("--jobs", type=int, default=1, help="processes at the same time")
    parser.add_argument("--repeat", type=Path, action="append", default=[], help="a reproducer out of build/fuzz")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    if options.worker:
        worker(TARGETS, json.load(sys.stdin))
        return 0
    if options.list:
        print("\n".join(TARGETS))
        return 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        if options.repeat:
            return repeat_all(options.repeat, Images(Path(folder)))
        outcomes = []
        begun = time.monotonic()
        for target in chosen(options.target):
            outcomes.append(run_one(target, options, Path(folder)))
            print(line(outcomes[-1]), flush=True)
        print(f"{time.monotonic() - begun:.0f} s in all")
    return report(outcomes)


def repeat_all(paths: Sequence[Path], images: Images) -> int:
    failed = 0
    for path in paths:
        target = TARGETS[json.loads(path.read_text())["target"]]
        error = repeat(path, target, images)
        failed += error is not None
        print(f"{path.name}: {'good' if error is None else f'{type(error).__name__}: {error}'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
