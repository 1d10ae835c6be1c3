"""A short run of all targets, and the harness itself: it notices what it is there to notice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import mutator
from tests.fuzz.__main__ import chosen, parse
from tests.fuzz.planted import TARGETS as PLANTED
from tests.fuzz.runner import Outcome, Work, generator, load, repeat, run_jobs
from tests.fuzz.target import Images, Patched
from tests.fuzz.targets import TARGETS
from tests.support.tools import need, need_root

PARSERS = list(dict.fromkeys(name.split(".")[0] for name in TARGETS))
SECONDS = 0.2  # for each target


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seed images, made once."""
    need_root()
    need("mkntfs", "ntfs-3g", "wimlib-imagex", "mke2fs", "debugfs", "mkfs.fat", "mcopy", "mkfs.exfat", "sfdisk")
    return tmp_path_factory.mktemp("seeds")


@pytest.mark.parametrize("parser", PARSERS)
def test_a_short_run(parser: str, images: Path, tmp_path: Path) -> None:
    targets = chosen([parser])
    for target in targets:
        target.seeds(Images(images))
    outcomes = run_jobs([t.name for t in targets], [Work(1, 0, SECONDS, 0, 1, images, tmp_path)])
    assert not [(f["target"], f["number"], f["error"], f["trace"]) for o in outcomes for f in o.failures]
    assert all(outcome.done and outcome.inputs > 1 for outcome in outcomes), outcomes


@pytest.mark.parametrize("name", list(TARGETS))
def test_the_number_decides_about_an_input_and_good_input_is_taken(name: str, images: Path) -> None:
    target = TARGETS[name]
    seeds = target.seeds(Images(images))
    assert seeds and len({seed.name for seed in seeds}) == len(seeds)
    one, again = (target.damage(generator(name, 1, 5), seeds) for _ in range(2))
    assert one[0] is again[0] and _plain(one[1]) == _plain(again[1])
    several = {repr(_plain(target.damage(generator(name, 1, n), seeds)[1]))[:100_000] for n in range(12)}
    assert len(several) > 6
    for seed in seeds[:4]:
        target.run(seed, Patched(seed.data, {}, len(seed.data)) if seed.places else bytes(seed.data))


def _plain(damaged: bytes | Patched) -> object:
    return (damaged.patches, damaged.size) if isinstance(damaged, Patched) else damaged


def planted(name: str, out: Path, *, inputs: int = 24, jobs: int = 1, seed: int = 1) -> Outcome:
    works = [Work(seed, inputs, 0, job, jobs, out, out) for job in range(jobs)]
    (outcome,) = run_jobs([f"planted.{name}"], works, "tests.fuzz.planted")
    return outcome


@pytest.mark.parametrize(
    ("name", "error"),
    [("stranger", "KeyError"), ("endless", "TooSlow"), ("stubborn", "TooSlow"), ("greedy", "MemoryError"),
     ("volume", "IndexError")],
)  # fmt: skip
def test_a_planted_fault_is_found_and_repeated(name: str, error: str, tmp_path: Path) -> None:
    outcome = planted(name, tmp_path)
    assert outcome.inputs == 24 and 0 < outcome.failed <= 24
    assert outcome.failures[0]["error"].startswith(error)
    assert len(outcome.failures) == min(3, outcome.failed), "the same fault is kept three times"
    kept = sorted(tmp_path.glob("planted.*.json"))
    assert len(kept) == len(outcome.failures)
    for path in kept:
        target, seed, damaged = load(path)
        assert (target, seed) == (f"planted.{name}", "image" if name == "volume" else "good")
        if name != "greedy":  # its limit belongs to the other process
            assert type(repeat(path, PLANTED[target], Images(tmp_path))).__name__ == error
        number = json.loads(path.read_text())["number"]
        _, made = PLANTED[target].damage(generator(target, 1, number), PLANTED[target].seeds(Images(tmp_path)))
        assert _plain(made) == _plain(damaged)
    if name == "stranger":
        assert repeat(kept[0], PLANTED["planted.sound"], Images(tmp_path)) is None, "mended"


def test_a_process_that_dies_is_noticed(tmp_path: Path) -> None:
    outcome = planted("deadly", tmp_path)
    assert outcome.failed == 1 and "ended with -9 at input 0 or a later one" in outcome.failures[0]["error"]


def test_our_own_errors_are_no_failures(tmp_path: Path) -> None:
    outcome = planted("sound", tmp_path, inputs=500)
    assert (outcome.inputs, outcome.failed, outcome.done) == (500, 0, True)
    assert not list(tmp_path.iterdir())


def test_the_seed_decides_and_the_jobs_share_the_work(tmp_path: Path) -> None:
    def numbers(**options: Any) -> tuple[int, int]:
        outcome = planted("stranger", tmp_path, **options)
        return outcome.inputs, outcome.failed

    assert numbers() == numbers() == numbers(jobs=2)
    assert numbers(seed=2) != numbers() or numbers(seed=3) != numbers()


def test_patches_are_taken_out_where_checksums_are_made_again() -> None:
    patches = {0: b"abcd", 6: b"ef", 14: b"ghij"}
    data = mutator.absorbed(bytes(20), patches, 2, 16)
    assert data is not None and bytes(data) == b"cd\0\0ef\0\0\0\0\0\0gh"
    assert patches == {0: b"ab", 16: b"ij"}
    assert mutator.absorbed(bytes(20), patches, 4, 10) is None


def test_what_is_asked_for_is_run() -> None:
    assert [t.name for t in chosen(["swap", "ntfs.runs"])] == ["ntfs.runs", "swap.volume"]
    assert len(chosen([])) == len(TARGETS)
    with pytest.raises(SystemExit, match="no such target: nothing"):
        chosen(["nothing"])
    assert parse(["--target", "ntfs", "--target", "ext", "--jobs", "2"]).target == ["ntfs", "ext"]
