"""The bench counts what it says it counts, and its table and goals say what was measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench.measure import Cost, apart, pipeline
from tests.bench.table import Goal, Line, goal_text, goals, markdown, ratio_of

MB = 10**6


def test_a_pipeline_passes_everything_through_and_sums_its_programs(tmp_path: Path) -> None:
    data = tmp_path / "in"
    data.write_bytes(b"line\n" * 1000)
    burn = "import sys; x = bytearray(60_000_000); d = sys.stdin.buffer.read(); sum(range(2_000_000)); print(len(d))"
    cost = pipeline(("cat",), (sys.executable, "-c", burn), stdin=data, stdout=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "5000\n"
    assert cost.peak > 60 * MB and cost.cpu > 0.01 and cost.wall > 0


def test_a_program_that_fails_is_named_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"sh -c .* ended with 3: it broke"):
        pipeline(("sh", "-c", "echo it broke >&2; exit 3"), ("cat",), log=tmp_path / "log")


def test_the_median_is_one_whole_run() -> None:
    runs = [Cost(3, 0, 9, 1), Cost(1, 0, 7, 2), Cost(2, 0, 8, 3)]
    assert Line("x", "x", "x", runs).cost == Cost(2, 0, 8, 3)
    assert Line("x", "x", "x", runs[:2]).cost == Cost(1, 0, 7, 2)


def test_ratios_are_those_of_single_rounds() -> None:
    quiet, busy = Cost(1, 0, 4, 0), Cost(2, 0, 9, 0)
    ours = Line("a", "a", "a", [quiet, quiet, busy])
    peer = Line("b", "a", "b", [Cost(3, 0, 8, 0), Cost(2, 0, 4, 0), Cost(8, 0, 27, 0)])
    assert ratio_of(peer, ours) == 3
    assert ratio_of(peer, ours, wall=True) == 2


def test_work_apart_comes_back_and_its_errors_too() -> None:
    assert apart(len, [1, 2, 3]) == 3
    with pytest.raises(TypeError):
        apart(len, 5)


LINES = [
    Line("capture", "capture", "ours", [Cost(9, 1, 5, 60 * MB)], 1500 * MB),
    Line("partclone", "capture", "partclone \\| zstd", [Cost(18, 4, 4, 90 * MB)], 1400 * MB),
    Line("zstd", "capture", "zstd", [Cost(8, 0, 4, 30 * MB)]),
    Line("map-ext4", "map", "map", [Cost(1, 1, 12, 250 * MB)]),
]


def test_goals_are_told_from_the_rows_that_ran() -> None:
    found = {g.words: g for g in goals(LINES)}
    assert found["capture: user+sys of partclone | zstd over ours"].value == pytest.approx(2.2)
    assert found["capture: user+sys of partclone | zstd over ours"].met
    assert not found["capture: our user+sys over zstd -1 alone"].met
    assert not found["capture: our wall time over partclone | zstd"].met
    assert not found["map of 15 TiB ext4: wall seconds"].met
    assert not found["map of 15 TiB ext4: peak memory in MB"].met
    assert not any("restore" in words for words in found)
    assert goal_text([Goal("a", 3, 2), Goal("b", 3, 2, most=True)]).splitlines() == [
        "met     a: 3.00 (goal: at least 2)",
        "MISSED  b: 3.00 (goal: at most 2)",
    ]


def test_the_table_compares_within_a_group_only() -> None:
    rows = [[cell.strip() for cell in line.split(" | ")] for line in markdown(LINES).splitlines()]
    assert len({len(line) for line in markdown(LINES).splitlines()}) == 1, "the columns are aligned"
    assert rows[2][4] == "1.00x" and rows[3][4] == "2.20x" and rows[4][4] == "0.80x" and rows[5][4] == ""
    assert rows[2][7].startswith("1500") and rows[4][7].strip(" |") == ""
