"""Whose block it is, and the check of files, on trees in memory that are as broken as they can be."""

from __future__ import annotations

import pytest

from formats.base.errors import Cancelled, Corrupt
from formats.base.extent import ExtentList
from formats.base.problem import Problem, Severity
from formats.base.source import MemorySource
from fs.api import Identity, Reference
from fs.tree import Run, RunKind
from recovery.engine import filecheck, owners
from recovery.engine.cancel import CancelToken
from recovery.engine.filecheck import check_files
from recovery.engine.owners import WithoutBad, hit_names
from recovery.engine.treewalk import NumberSet, Walk
from tests.support.fake_tree import Fake, FakeTree, directory, link


def test_files_streams_and_the_rest() -> None:
    root = directory()
    root.add("a", Fake(content=b"a" * 8192, place=4096))
    root.add("d", directory()).add("b", Fake(content=b"b" * 4096, place=12288))
    root.add("far", Fake(content=b"f" * 4096, place=1 << 20))
    hole = (Run(0, None, 4096, RunKind.HOLE), Run(4096, 40960, 4096, RunKind.UNWRITTEN, 4096))
    root.add("sparse", Fake(content=bytes(8192), runs=hole))
    packed = (Run(0, 65536, 65536, RunKind.ENCODED, 8192),)
    root.add("packed", Fake(content=bytes(65536), runs=packed))
    found = owners.owners(FakeTree(root), ExtentList([(8000, 13000), (40970, 40980), (70000, 73000), (90000, 90100)]))
    assert [(h.path, h.bytes, h.first) for h in found.files] == [
        ("/a", 12288 - 8000, 8000 - 4096),
        ("/d/b", 13000 - 12288, 0),
        ("/sparse", 10, 4096 + 10),
        ("/packed", 73000 - 70000, 70000 - 65536),
    ]
    assert found.unowned == (90100 - 90000) + 0 and found.file_count == 4
    assert "/a: 4288 bytes" in found.to_names()[0]


class _System:
    identity = Identity("ext4", "", "", 4096, 1 << 20)
    problems = ()

    def references(self) -> list[Reference]:
        extents = ExtentList([(0, 4096), (90000, 95000)])
        return [Reference(e, f"structure {i}") for i, e in enumerate(extents)] * 2


def test_structures_are_named_for_what_no_file_has() -> None:
    root = directory()
    root.add("a", Fake(content=b"a" * 4096, place=4096))
    found = owners.owners(FakeTree(root), ExtentList([(4096, 4100), (90000, 90100)]), file_system=_System())  # type: ignore[arg-type]
    assert [h.path for h in found.files] == ["/a"] and found.structures == ["structure 1"]
    assert found.to_names() == ("/a: 4 bytes, the first at byte 0 of it", "structure 1")


def test_the_answer_is_bounded() -> None:
    root = directory()
    for i in range(3000):
        root.add(f"f{i}", Fake(content=b"1" * 10, place=i * 10))
    found = owners.owners(FakeTree(root), ExtentList([(0, 1 << 20)]))
    assert len(found.files) == owners.FILES_NAMED and found.file_count == 3000
    assert found.to_names()[-1] == "and 2000 more files"


def test_damage_on_the_way_is_told() -> None:
    root = directory()
    root.add("x", Fake(content=b"1" * 10, place=0))
    root.add("gone", directory(error=Corrupt("inode", 5, "is nonsense")))
    names = owners.owners(FakeTree(root), ExtentList([(0, 5)])).to_names()
    assert names[0].startswith("/x: 5 bytes") and "perhaps more" in names[1]
    assert owners.owners(FakeTree(directory()), ExtentList([(7, 9)])).to_names() == (
        "no file that can be found; 2 bytes of structures or free space",
    )
    assert "cannot be told" in hit_names(MemorySource(bytes(5000)), ExtentList([(0, 5)]))[0]
    assert hit_names(MemorySource(bytes(5000)), ExtentList()) == ()


def test_stopping() -> None:
    token = CancelToken()
    token.cancel()
    for work in (
        lambda: owners.owners(FakeTree(directory()), ExtentList([(0, 9)]), check=token.check),
        lambda: check_files(_with_one_file(), check=token.check),
    ):
        with pytest.raises(Cancelled):
            work()


def _with_one_file() -> FakeTree:
    root = directory()
    root.add("f", Fake(content=b"1"))
    return FakeTree(root)


def test_known_bad_places_are_not_read_again() -> None:
    source = WithoutBad(MemorySource(b"x" * 100), ExtentList([(10, 20)]))
    assert source.read_at(0, 10) == b"x" * 10 and source.read_at(20, 5) == b"x" * 5
    with pytest.raises(Exception, match="offset 10"):
        source.read_at(5, 10)


# the check of files


def test_a_good_tree_has_no_faults() -> None:
    root = directory()
    shared = Fake(content=b"s" * 5000, place=0, links=2)
    root.add("one", shared)
    root.add("two", shared)
    root.add("f", Fake(content=b"f" * 100, place=8192, streams={"s": b"12345"}))
    root.add("l", link("f"))
    root.add("cloud", Fake(note="in the cloud"))
    found = check_files(FakeTree(root))
    assert (found.files, found.bytes, found.fault_count, found.note_count) == (3, 5105, 0, 1)
    assert "no fault found" in found.to_text()


def test_everything_wrong_is_named() -> None:
    root = directory()
    root.add("hit", Fake(content=b"h" * 100_000, bad=((50_000, 50_001),), place=1 << 20))
    a = root.add("a", directory())
    a.add("loop", a)
    root.add("unread", directory(error=Corrupt("directory block", 77, "is nonsense")))
    root.add("x", Fake(content=b"x" * 8192, place=4096))
    root.add("y", Fake(content=b"y" * 8192, place=8192))
    root.add("z", Fake(content=b"z" * 8192, place=16384))
    root.add("broken", Fake(error=Corrupt("record 9", 99, "is nonsense")))
    tree = FakeTree(root)
    tree.problems.append(Problem(Severity.ERROR, "fake.bad", "something of the tree itself"))
    found = check_files(tree)
    text = "\n".join(found.faults)
    for part in ("/hit: 4096 bytes", "/x: shares 4096 bytes", "/y: shares 4096 bytes", "/broken: ",
                 "/a/loop", "/unread", "something of the tree itself"):  # fmt: skip
        assert part in text, (part, text)
    assert "/z" not in text
    assert found.fault_count == 7


def test_cross_links_in_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for a few claims only, the same are found, each walk a step further."""
    root = directory()
    for i in range(200):
        root.add(f"f{i}", Fake(content=b"1" * 100, place=i * 100))
    root.add("over", Fake(content=b"2" * 250, place=5050))
    root.add("far", Fake(content=b"2" * 10, place=19995))
    wanted = set(check_files(FakeTree(root)).faults)
    assert len(wanted) == 2 + 4 and any("/f199" in text for text in wanted)
    monkeypatch.setattr(filecheck, "CLAIMS", 7)
    assert set(check_files(FakeTree(root)).faults) == wanted


def test_many_claims_of_one_place_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filecheck, "CLAIMS", 5)
    root = directory()
    for i in range(50):
        root.add(f"f{i}", Fake(content=b"1" * 100, place=300))
    found = check_files(FakeTree(root))
    assert found.fault_count == 50


def test_what_was_left_out_is_no_fault() -> None:
    root = directory()
    root.add("pagefile.sys", Fake(content=b"p" * 8192, place=4096, bad=((0, 8192),)))
    found = check_files(FakeTree(root, "ntfs"), left_out=ExtentList([(4096, 12288)]))
    assert (found.fault_count, found.note_count, found.files) == (0, 1, 0)


def test_number_set() -> None:
    numbers = NumberSet()
    assert [numbers.add(n) for n in (5, 5, 1 << 60, 5 + 1024, 1 << 60)] == [True, False, True, True, False]


def test_walk_leaves_and_skips() -> None:
    root = directory()
    a = root.add("a", directory())
    a.add("f", Fake())
    root.add("b", directory()).add("g", Fake())
    tree = FakeTree(root)
    walk = Walk(tree, tree.root, on_fault=lambda fault: pytest.fail(str(fault)))
    seen = []
    for visit in walk:
        seen.append((visit.path, visit.leaving))
        if visit.path == "/b":
            walk.skip()
    assert seen == [("/", False), ("/a", False), ("/a/f", False), ("/a", True), ("/b", False), ("/", True)]
    file = tree.child(tree.child(tree.root, "a") or tree.root, "f")
    assert file is not None
    assert [v.path for v in Walk(tree, file, "/x", on_fault=print)] == ["/x"]
