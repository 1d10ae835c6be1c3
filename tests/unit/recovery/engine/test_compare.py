"""Comparing trees: what is called equal was compared, and what cannot be compared is said."""

from __future__ import annotations

from typing import cast

from formats.base.errors import Corrupt
from formats.base.source import MemorySource
from fs.tree import Times
from recovery.engine.browse import OpenVolume, Place, VolumeInfo
from recovery.engine.compare import Change, Comparison
from tests.support.fake_tree import Fake, FakeTree, directory, link


def volume(root: Fake, kind: str = "ext4") -> OpenVolume:
    info = VolumeInfo(1, 1, "1", kind, "", "", 0, 1000)
    place = Place("fake", (info,), None, lambda volume: MemorySource(bytes(1000)))
    return OpenVolume(place, info, MemorySource(bytes(1000)), FakeTree(root, kind))


def differences(old: Fake, new: Fake, kind: str = "ext4") -> dict[str, Change]:
    comparison = Comparison(volume(old, kind), volume(new, kind))
    found = {d.path: d.change for d in comparison}
    assert comparison.counts.differences == len(found)
    return found


def sample() -> Fake:
    root = directory()
    sub = root.add("sub", directory())
    sub.add("f", Fake(content=b"one", times=Times(modified=5), mode=0o644))
    sub.add("l", link("f"))
    root.add("s", Fake(content=b"x", streams={"a": b"1"}))
    return root


def test_equal_trees() -> None:
    comparison = Comparison(volume(sample()), volume(sample()))
    assert list(comparison) == []
    assert (comparison.counts.same, comparison.counts.by_reading, comparison.counts.by_blocks) == (4, 3, 0)


def test_every_kind_of_change() -> None:
    new = sample()
    sub = cast(Fake, new.entries[0][1])
    sub.entries[0] = ("f", Fake(content=b"two", times=Times(modified=5), mode=0o644))
    sub.entries[1] = ("l", link("g"))
    new.entries[1] = ("s", Fake(content=b"x", streams={"a": b"2"}))
    new.add("added", directory()).add("below", Fake())
    assert differences(sample(), new) == {
        "/sub/f": Change.CHANGED, "/sub/l": Change.CHANGED, "/s": Change.CHANGED, "/added": Change.ADDED,
    }  # fmt: skip
    assert differences(new, sample())["/added"] is Change.REMOVED
    other = sample()
    cast(Fake, other.entries[0][1]).entries[0] = ("f", Fake(content=b"one", times=Times(modified=6), mode=0o600))
    assert differences(sample(), other) == {"/sub/f": Change.METADATA}
    other.entries[1] = ("s", directory())
    assert differences(sample(), other)["/s"] is Change.CHANGED


def test_what_cannot_be_read_is_not_called_equal() -> None:
    old, new = sample(), sample()
    cast(Fake, new.entries[0][1]).entries[0][1].bad = ((0, 1),)
    assert differences(old, new) == {"/sub/f": Change.UNKNOWN}
    cast(Fake, new.entries[0][1]).error = Corrupt("directory", 5, "is nonsense")
    cast(Fake, new.entries[0][1]).entries.pop()
    found = differences(old, new)
    assert found == {"/sub": Change.UNKNOWN, "/sub/f": Change.UNKNOWN}, "a name that may be there is not 'removed'"


def test_case_counts_on_ext_only() -> None:
    old, new = directory(), directory()
    old.add("Name", Fake())
    new.add("nAME", Fake())
    assert differences(old, new) == {"/Name": Change.REMOVED, "/nAME": Change.ADDED}
    assert differences(old, new, "ntfs") == {}


def test_loops_end() -> None:
    old = directory()
    old.add("a", directory()).add("up", old)
    assert differences(old, old) == {"/a/up": Change.UNKNOWN}
