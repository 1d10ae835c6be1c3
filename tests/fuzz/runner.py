"""Running a target in a process of its own, with a limit of processor time and of memory, and keeping what failed."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from formats.base.errors import RecoveryError
from tests.fuzz.questions import File
from tests.fuzz.target import Images, Input, Patched, Seed, Target, packed, unpacked

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 768 << 20  # bytes that a target may need beside what the process has when it begins
KEPT = 3  # reproducers of failures that look the same
CHECK_EVERY = 32  # inputs between two looks at the clock


class TooSlow(BaseException):
    """The input took more processor time than its target allows. Not an Exception: no parser may catch it."""


@dataclass
class Failure:
    """An input that failed. `same`: what failures of one cause have in common."""

    target: str
    seed: str
    random_seed: int
    number: int
    error: str
    same: str
    trace: str


@dataclass
class Outcome:
    """What became of one target, in one process."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    failed: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)  # Failure, as it goes from process to process
    done: bool = False


@dataclass(frozen=True)
class Work:
    """`inputs`: how many in all (0: no limit), of which every `step`-th from `first` on is ours; `seconds`: of the
    clock (0: no limit). `out`: where reproducers go."""

    random_seed: int
    inputs: int
    seconds: float
    first: int
    step: int
    images: Path
    out: Path


def generator(target: str, random_seed: int, number: int) -> Random:
    """What decides about input `number` of a target."""
    return Random(random_seed << 80 | zlib.crc32(target.encode()) << 48 | number)


def _too_slow(_: int, __: FrameType | None) -> None:
    raise TooSlow("more processor time than this may take")


@contextmanager
def watched() -> Iterator[None]:
    """In here limited() works."""
    before = signal.signal(signal.SIGPROF, _too_slow)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def memory_limit(more: int) -> Iterator[None]:
    """No more than `more` bytes of address space beside what is used now: asking for more is a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def verdict(target: Target, seed: Seed, damaged: Input) -> BaseException | None:
    """What is wrong with how `target` takes an input: None when it took it, or raised one of our own errors.

    TooSlow is raised in there after the target's seconds of processor time, and again after each further one, should
    something have caught it. Call it within watched().
    """
    try:
        try:
            signal.setitimer(signal.ITIMER_PROF, target.seconds, target.seconds)
            target.run(seed, damaged)
        except RecoveryError as error:
            assert str(error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except (Exception, TooSlow) as error:
        return error
    return None


def run_target(
    target: Target, seeds: Sequence[Seed], work: Work, say: Callable[[Outcome], None] = lambda _: None
) -> Outcome:
    """All inputs that are ours. `say` is called from time to time."""
    outcome = Outcome(target.name)
    kinds: dict[str, int] = {}
    begun = spoken = time.monotonic()
    number = work.first
    while not work.inputs or number < work.inputs:
        if outcome.inputs % (CHECK_EVERY if target.cost == 1 else 1) == 0:
            now = time.monotonic()
            outcome.seconds = now - begun
            if work.seconds and outcome.seconds > work.seconds:
                break
            if now - spoken > 5:
                spoken = now
                say(outcome)
        seed, damaged = target.damage(generator(target.name, work.random_seed, number), seeds)
        error = verdict(target, seed, damaged)
        if error is not None:
            outcome.failed += 1
            failure = failure_of(target, seed, work.random_seed, number, error)
            kinds[failure.same] = kinds.get(failure.same, 0) + 1
            if kinds[failure.same] <= KEPT:
                outcome.failures.append(asdict(failure))
                keep(failure, seed, damaged, work.out)
        outcome.inputs += 1
        number += work.step
    outcome.seconds = time.monotonic() - begun
    return outcome


def failure_of(target: Target, seed: Seed, random_seed: int, number: int, error: BaseException) -> Failure:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/fs/" in f.filename or "/formats/" in f.filename or "/recovery/" in f.filename]
    last = (ours or frames)[-1]
    place = "" if isinstance(error, TooSlow) else f" at {Path(last.filename).name}:{last.lineno}"
    text = "".join(traceback.format_exception(error, limit=-12))
    same = f"{type(error).__name__}{place}"
    return Failure(target.name, seed.name, random_seed, number, f"{type(error).__name__}: {error}"[:300], same, text)


# Reproducers


def keep(failure: Failure, seed: Seed, damaged: Input, out: Path) -> Path:
    """Write all that is needed to do it again, whatever becomes of seeds and mutations."""
    out.mkdir(parents=True, exist_ok=True)
    body: dict[str, Any] = asdict(failure)
    if isinstance(damaged, Patched):
        base = out / f"base-{zlib.crc32(damaged.data):08x}.z"
        if not base.exists():
            base.write_bytes(zlib.compress(damaged.data, 1))
        body["base"], body["size"] = base.name, damaged.size
        body["patches"] = {str(at): packed(data) for at, data in damaged.patches.items()}
    else:
        body["data"] = packed(damaged)
    path = out / f"{failure.target}-{failure.random_seed}-{failure.number}.json"
    path.write_text(json.dumps(body, indent=1) + "\n")
    return path


def load(path: Path) -> tuple[str, str, Input]:
    """(target, name of the seed, input) of a reproducer."""
    body = json.loads(path.read_text())
    if "base" not in body:
        return body["target"], body["seed"], unpacked(body["data"])
    data = zlib.decompress((path.parent / body["base"]).read_bytes())
    patches = {int(at): unpacked(text) for at, text in body["patches"].items()}
    return body["target"], body["seed"], Patched(data, patches, body["size"])


def repeat(path: Path, target: Target, images: Images) -> BaseException | None:
    """What the input of a reproducer does now; None when nothing is wrong any more."""
    _, name, damaged = load(path)
    seed: Seed | None
    if isinstance(target, File) and isinstance(damaged, Patched):
        seed = target.again(name, damaged.data)
    else:
        seed = next((seed for seed in target.seeds(images) if seed.name == name), None)
    if seed is None:
        raise ValueError(f"target {target.name} has no seed {name}")
    with watched():
        return verdict(target, seed, damaged)


# Processes


def worker(targets: dict[str, Target], request: dict[str, Any]) -> None:
    """In the other process: run what standard input asks for, tell standard output."""
    work = Work(**{**request["work"], "images": Path(request["work"]["images"]), "out": Path(request["work"]["out"])})

    def say(outcome: Outcome) -> None:
        print(json.dumps(asdict(outcome)), flush=True)

    for name in request["targets"]:
        target = targets[name]
        seeds = target.seeds(Images(work.images))
        say(Outcome(name))
        with memory_limit(MEMORY), watched():
            outcome = run_target(target, seeds, work, say)
        outcome.done = True
        say(outcome)


def run_jobs(names: Sequence[str], works: Sequence[Work], module: str = "tests.fuzz") -> list[Outcome]:
    """Each of `works` in a process of its own, at the same time: all targets in `names`, one after another.

    A process that dies is a failure too: of an input behind the last that it told of.
    """
    totals = {name: Outcome(name, done=True) for name in names}
    started = []
    for work in works:
        request = {"targets": list(names), "work": {**asdict(work), "images": str(work.images), "out": str(work.out)}}
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--worker"], cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        process.stdin = None
        started.append((work, process))
    for work, process in started:
        told, trouble = process.communicate()
        outcomes = {name: Outcome(name) for name in names}
        for line in told.splitlines():
            body = json.loads(line)
            outcomes[body["target"]] = Outcome(**body)
        for outcome in outcomes.values():
            if not outcome.done:
                outcome.failed += 1
                outcome.failures = [*outcome.failures, _death(outcome, work, process.returncode, trouble)]
                outcome.done = True
                break
        for outcome in outcomes.values():
            _add(totals[outcome.target], outcome)
    return list(totals.values())


def _death(outcome: Outcome, work: Work, code: int, trouble: str) -> dict[str, Any]:
    number = work.first + outcome.inputs * work.step
    text = f"the process ended with {code} at input {number} or a later one"
    return asdict(Failure(outcome.target, "", work.random_seed, number, text, text, trouble[-3000:]))


def _add(total: Outcome, one: Outcome) -> None:
    total.inputs += one.inputs
    total.seconds = max(total.seconds, one.seconds)
    total.failed += one.failed
    total.failures += one.failures
    total.done = total.done and one.done
