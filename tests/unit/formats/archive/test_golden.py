"""Archives that were written when each format version was released must stay readable for ever."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from formats.archive.opening import open_archive
from formats.archive.verify import verify

GOLDEN = Path(__file__).resolve().parents[3] / "golden"
CASES = [
    (path.parent / name, volumes)
    for path in sorted(GOLDEN.glob("v*/expected.json"))
    for name, volumes in json.loads(path.read_text()).items()
]


def test_there_are_golden_archives() -> None:
    assert {path.name for path, _ in CASES} >= {"whole.jmi", "parts.jmi", "rewritten.jmi"}


@pytest.mark.parametrize(("path", "volumes"), CASES, ids=lambda v: v.name if isinstance(v, Path) else "")
def test_golden_archive(path: Path, volumes: list[dict[str, int | str]]) -> None:
    with open_archive(path) as reader:
        assert not reader.problems
        assert verify(reader).good
        for number, want in enumerate(volumes):
            source = reader.volume(number)
            found = {
                "size": source.size,
                "sha256": hashlib.sha256(source.read_at(0, source.size)).hexdigest(),
                "held_bytes": reader.map(number).total,
                "extents": len(reader.map(number)),
            }
            assert found == want
