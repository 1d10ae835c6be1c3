"""Who wins when several formats, parsers and bad sectors have a say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from formats.base.errors import Cancelled, ChecksumMismatch, Corrupt, NotThisFormat, Refused, Unsupported
from formats.base.extent import Extent, ExtentList
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource, FileSource, MemorySource
from fs.api import FileSystem, Identity, PagingFile, Reference
from fs.parsers import PARSERS, Parser
from fs.recognise.signatures import SIGNATURES
from fs.registry import Content, Handling, identify_volume
from tests.support.blkid import ask
from tests.support.raw_images import GENERATORS, at, md_1, zfs_label
from tests.support.sources import BadSectorSource, WatchedSource
from tests.support.tools import need, run, sparse_file

MiB = 1 << 20


class Stand:
    """A file system that a parser under test "opened"."""

    def __init__(self, kind: str, problems: tuple[Problem, ...] = ()) -> None:
        self.identity = Identity(kind, "label", "uuid", 4096, 0)
        self.problems: Sequence[Problem] = problems

    def allocated(self) -> Iterator[Extent]:
        yield Extent(0, 512)

    def paging_files(self) -> Sequence[PagingFile]:
        return ()

    def references(self) -> Iterator[Reference]:
        return iter(())


def opens(name: str, filesystem: FileSystem) -> Parser:
    return Parser(name, lambda _source: filesystem)


def raises(name: str, error: Exception) -> Parser:
    def open_volume(_source: BlockSource) -> FileSystem:
        raise error

    return Parser(name, open_volume)


def not_this(name: str) -> Parser:
    return raises(name, NotThisFormat("magic", 0, "is absent"))


def identify(path: Path, *parsers: Parser) -> Content:
    with FileSource(path) as source:
        return identify_volume(source, parsers or PARSERS)


def codes(content: Content) -> list[tuple[Severity, str]]:
    return [(problem.severity, problem.code) for problem in content.problems]


def ext4(path: Path, size: str = "16M") -> Path:
    """A file system of `size` on a volume of 16 MiB."""
    need("mke2fs")
    sparse_file(path, 16 * MiB)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-U", "35f66dab-477e-4090-a872-95ee0e493ad6", path, size)
    return path


def patch(path: Path, *pieces: tuple[int, bytes]) -> Path:
    with path.open("r+b") as file:
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)
    return path


def piece_of(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def test_every_parser_has_its_signatures() -> None:
    """A parser without a shallow signature could not be named when it refuses a volume."""
    assert {parser.name for parser in PARSERS} <= {signature.parser for signature in SIGNATURES}


def test_mapped(tmp_path: Path) -> None:
    dirty = Problem(Severity.WARNING, "ext.dirty", "It was not unmounted.")
    filesystem = Stand("ext4", (dirty,))
    content = identify(ext4(tmp_path / "v"), not_this("ntfs"), opens("ext", filesystem), not_this("swap"))
    assert content == Content(Handling.MAPPED, filesystem.identity, filesystem, (dirty,), "")


def test_damaged(tmp_path: Path) -> None:
    damage = ChecksumMismatch("group descriptor 3", 0x1040, "checksum", expected=1, found=2)
    content = identify(ext4(tmp_path / "v"), raises("ext", damage), not_this("swap"))
    assert (content.handling, content.identity.kind, content.filesystem) == (Handling.RAW, "ext4", None)
    assert content.identity.uuid == "35f66dab-477e-4090-a872-95ee0e493ad6"
    (problem,) = content.problems
    assert (problem.severity, problem.code, problem.offset) == (Severity.ERROR, "ext4.damaged", 0x1040)
    assert "group descriptor 3" in problem.text and "stored whole" in problem.text
    assert content.why_raw == problem.text


def test_unsupported(tmp_path: Path) -> None:
    content = identify(ext4(tmp_path / "v"), raises("ext", Unsupported("superblock", "incompat bit 0x40000")))
    assert codes(content) == [(Severity.WARNING, "ext4.unsupported")]
    assert "incompat bit 0x40000" in content.why_raw and content.handling is Handling.RAW


def test_any_other_error_of_ours_is_damage(tmp_path: Path) -> None:
    content = identify(ext4(tmp_path / "v"), raises("ext", Refused("It is a trap.")))
    assert codes(content) == [(Severity.ERROR, "ext4.damaged")]


def test_cancelling_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        identify(ext4(tmp_path / "v"), raises("ext", Cancelled("stop")))


def test_a_parser_is_believed_when_it_says_no(tmp_path: Path) -> None:
    content = identify(ext4(tmp_path / "v"), not_this("ext"))
    assert (content.identity.kind, content.handling, codes(content)) == ("", Handling.RAW, [])


def test_without_its_parser_it_is_still_named(tmp_path: Path) -> None:
    content = identify(ext4(tmp_path / "v"), not_this("ntfs"))
    assert (content.identity.kind, content.handling, codes(content)) == ("ext4", Handling.RAW, [])
    assert content.why_raw.startswith("ext4 is recognised, but Jurymast has no map of its used blocks")


def test_damage_without_a_credible_signature(tmp_path: Path) -> None:
    volume = patch(sparse_file(tmp_path / "v", MiB), (1024, b"beyond recognition"))
    content = identify(volume, raises("ext", Corrupt("superblock", 1024, "is odd")), not_this("ntfs"))
    assert (content.identity.kind, codes(content)) == ("ext", [(Severity.ERROR, "ext.damaged")])


def test_two_parsers_open_the_same(tmp_path: Path) -> None:
    volume = ext4(tmp_path / "v")
    content = identify(volume, opens("ext", Stand("ext4")), opens("fat", Stand("fat16")))
    assert (content.handling, content.identity.kind) == (Handling.RAW, "")
    assert codes(content) == [(Severity.WARNING, "recognise.ambivalent")]
    assert "ext4 and fat16" in content.problems[0].text


def test_an_older_file_system_shines_through(tmp_path: Path) -> None:
    """NTFS over Btrfs: mkntfs does not reach the superblock at 64 KiB. blkid says "ambivalent", and so do we."""
    need("mkntfs")
    GENERATORS["btrfs"](tmp_path / "v")
    run("mkntfs", "-F", "-Q", "-q", tmp_path / "v")
    assert ask(tmp_path / "v").kind == ""
    content = identify(tmp_path / "v", opens("ntfs", Stand("ntfs")))
    assert (content.handling, content.identity.kind) == (Handling.RAW, "")
    assert codes(content) == [(Severity.WARNING, "recognise.ambivalent")]
    assert "ntfs and btrfs" in content.why_raw
    wiped = patch(tmp_path / "v", (65536 + 64, bytes(8)))
    assert identify(wiped, opens("ntfs", Stand("ntfs"))).handling is Handling.MAPPED


def test_two_shallow_signatures(tmp_path: Path) -> None:
    """FAT with an ext4 superblock: ambivalent for blkid, and for us with the parsers or without."""
    need("mkfs.fat")
    volume = sparse_file(tmp_path / "v", 64 * MiB)
    run("mkfs.fat", "-F32", volume)
    patch(volume, (1024, piece_of(ext4(tmp_path / "e"), 1024, 1024)))
    assert ask(volume).kind == ""
    for parsers in [
        (not_this("swap"),),
        (opens("fat", Stand("fat32")), raises("ext", Corrupt("group descriptor 0", 2048, "is zero"))),
    ]:
        content = identify(volume, *parsers)
        assert content.handling is Handling.RAW
        assert codes(content)[0] == (Severity.WARNING, "recognise.ambivalent")
        assert "fat32 and ext4" in content.why_raw


def test_new_file_systems_over_swap(tmp_path: Path) -> None:
    """What is made over swap space puts an end to its header, even where the mark stays."""
    for make in (ext4, lambda path: GENERATORS["xfs"](path) or path):
        volume = make(tmp_path / "v")
        patch(volume, (65536 - 10, b"SWAPSPACE2"))
        content = identify(volume)
        assert content.identity.kind == ask(volume).kind != "swap"
        assert content.problems == ()


def test_swap_over_a_file_system_that_was_not_wiped(tmp_path: Path) -> None:
    """Here a wrong decision would leave out the whole file system."""
    GENERATORS["btrfs"](tmp_path / "v")
    GENERATORS["swap_4k"](tmp_path / "s")
    patch(tmp_path / "v", (0, piece_of(tmp_path / "s", 0, 4096)))
    assert ask(tmp_path / "v").kind == ""
    content = identify(tmp_path / "v")
    assert content.handling is Handling.RAW and "swap and btrfs" in content.why_raw


def test_swap_says_what_is_left_out(tmp_path: Path) -> None:
    GENERATORS["swap_4k"](tmp_path / "v")
    content = identify(tmp_path / "v")
    assert codes(content) == [(Severity.INFO, "swap.content_left_out")]
    assert content.handling is Handling.MAPPED and "left out" in content.problems[0].text


def test_damaged_swap_is_stored_whole(tmp_path: Path) -> None:
    GENERATORS["swap_4k"](tmp_path / "v")
    patch(tmp_path / "v", (0x404, b"\xff\xff\xff\x7f"))
    content = identify(tmp_path / "v")
    assert codes(content) == [(Severity.ERROR, "swap.damaged")]
    assert (content.handling, content.identity.kind) == (Handling.RAW, "swap")


def test_a_raid_1_member_shows_its_file_system(tmp_path: Path) -> None:
    """md 1.0 at the end: the file system inside is no contradiction, but it is not ours to take apart."""
    volume = ext4(tmp_path / "v", "15M")
    size = 16 * MiB
    offset = (size // 512 - 16 & ~7) * 512
    patch(volume, (offset, md_1(size, offset)))
    content = identify(volume, opens("ext", Stand("ext4")))
    assert content.identity.kind == ask(volume).kind == "linux_raid_member"
    assert (content.handling, codes(content)) == (Handling.RAW, [])
    assert "RAID" in content.why_raw


def test_a_file_system_that_reaches_over_the_raid_metadata(tmp_path: Path) -> None:
    """It cannot be the content of that array: one of the two is old. Stored whole, and the user is told."""
    size = 16 * MiB
    offset = (size // 512 - 16 & ~7) * 512
    volume = patch(ext4(tmp_path / "v"), (offset, md_1(size, offset)))
    content = identify(volume, opens("ext", Stand("ext4")))
    assert content.identity.kind == ask(volume).kind == "linux_raid_member"
    assert codes(content) == [(Severity.WARNING, "recognise.ambivalent")]
    assert "linux_raid_member and ext4" in content.problems[0].text


def test_raid_metadata_that_moved_is_not_believed(tmp_path: Path) -> None:
    """A grown partition ends elsewhere: the superblock says where it was written."""
    size = 16 * MiB
    offset = (size // 512 - 16 & ~7) * 512
    volume = patch(ext4(tmp_path / "v"), (offset, md_1(size * 2, offset + 8 * MiB)))
    assert identify(volume, opens("ext", Stand("ext4"))).handling is Handling.MAPPED


def test_lvm_goes_before_what_is_in_it(tmp_path: Path) -> None:
    GENERATORS["lvm2"](tmp_path / "v")
    patch(tmp_path / "v", (1024, piece_of(ext4(tmp_path / "e"), 1024, 1024)))
    content = identify(tmp_path / "v", opens("ext", Stand("ext4")))
    assert content.identity.kind == ask(tmp_path / "v").kind == "LVM2_member"
    assert codes(content) == [(Severity.WARNING, "recognise.ambivalent")]


def test_a_damaged_lvm_label_is_none(tmp_path: Path) -> None:
    GENERATORS["lvm2"](tmp_path / "v")
    patch(tmp_path / "v", (512 + 0x30, b"\xff"))
    assert identify(tmp_path / "v").identity.kind == ask(tmp_path / "v").kind == ""


def test_luks2_with_only_its_second_header(tmp_path: Path) -> None:
    """It counts while nothing else is there; it does not hide what was made over the beginning."""
    GENERATORS["luks2"](tmp_path / "v")
    uuid = identify(tmp_path / "v").identity.uuid
    patch(tmp_path / "v", (0, bytes(512)))
    content = identify(tmp_path / "v")
    assert (content.identity.kind, content.identity.uuid) == ("crypto_LUKS", uuid)
    assert "encrypts" in content.why_raw
    patch(tmp_path / "v", (1024, piece_of(ext4(tmp_path / "e"), 1024, 1024)))
    assert identify(tmp_path / "v", opens("ext", Stand("ext4"))).handling is Handling.MAPPED


def test_zfs_labels_left_at_the_end(tmp_path: Path) -> None:
    """ZFS keeps two labels at the end, which no mkfs touches: alone they do not hide a newer file system."""
    label, size = zfs_label("tank", 42), 16 * MiB
    volume = patch(ext4(tmp_path / "v"), (size - 512 * 1024, label), (size - 256 * 1024, label))
    assert identify(volume, opens("ext", Stand("ext4"))).handling is Handling.MAPPED
    empty = patch(sparse_file(tmp_path / "w", size), (size - 256 * 1024, label))
    assert identify(empty).identity.kind == "zfs_member"


def test_two_bytes_of_minix_hide_nothing(tmp_path: Path) -> None:
    GENERATORS["xfs"](tmp_path / "v")
    GENERATORS["minix"](tmp_path / "m")
    patch(tmp_path / "v", (1024, piece_of(tmp_path / "m", 1024, 32)))
    content = identify(tmp_path / "v")
    assert (content.identity.kind, content.problems) == ("xfs", ())


def test_external_ext_journal(tmp_path: Path) -> None:
    need("mke2fs")
    run("mke2fs", "-q", "-F", "-O", "journal_dev", sparse_file(tmp_path / "v", 8 * MiB))
    content = identify(tmp_path / "v", raises("ext", Unsupported("superblock", "an external journal")))
    assert content.identity.kind == ask(tmp_path / "v").kind == "jbd"
    assert codes(content) == [(Severity.WARNING, "jbd.unsupported")]


def test_the_cover_volume_of_bitlocker_to_go_is_no_contradiction(tmp_path: Path) -> None:
    GENERATORS["bitlocker_to_go"](tmp_path / "v")
    content = identify(tmp_path / "v", opens("fat", Stand("fat32")))
    assert (content.identity.kind, content.handling, content.problems) == ("BitLocker", Handling.RAW, ())


@pytest.mark.parametrize("size", [0, 1, 511, 512, 4096, 5 * MiB])
def test_nothing_there(size: int) -> None:
    content = identify_volume(MemorySource(bytes(size)))
    assert (content.handling, content.identity) == (Handling.RAW, Identity("", "", "", 0, size))
    assert "looks empty" in content.why_raw and content.problems == ()


def test_empty_is_only_what_is_known_to_be() -> None:
    far = MemorySource(at(5 * MiB, (2 * MiB, b"x")))
    assert "looks empty" in identify_volume(far).why_raw
    known = WatchedSource(far, known=ExtentList([(2 * MiB, 3 * MiB)]))
    assert "unknown" in identify_volume(known).why_raw
    assert "looks empty" in identify_volume(WatchedSource(far, known=ExtentList())).why_raw
    assert "unknown" in identify_volume(MemorySource(at(5 * MiB, (5 * MiB - 1, b"x")))).why_raw


class TestBadSectors:
    """The medium refuses places at which formats are told."""

    def test_file_system_still_opens(self, tmp_path: Path) -> None:
        with FileSource(ext4(tmp_path / "v")) as source:
            bad = BadSectorSource(source, [(65536, 65536 + 512), (16 * MiB - 512, 16 * MiB)])
            content = identify_volume(bad, [opens("ext", Stand("ext4"))])
        assert content.handling is Handling.MAPPED
        assert codes(content) == [(Severity.WARNING, "recognise.unreadable")]
        assert content.problems[0].offset == 65536

    def test_first_sector_is_gone(self) -> None:
        source = BadSectorSource(MemorySource(bytes(4 * MiB)), [(0, 512)])
        content = identify_volume(source)
        assert (content.handling, content.identity.kind) == (Handling.RAW, "")
        assert (Severity.WARNING, "recognise.unreadable") in codes(content)
        assert "looks empty" not in content.why_raw

    def test_parser_meets_it(self, tmp_path: Path) -> None:
        with FileSource(ext4(tmp_path / "v")) as source:

            def open_volume(inside: BlockSource) -> FileSystem:
                inside.read_at(8 * MiB, 4096)
                raise AssertionError("unreachable")

            bad = BadSectorSource(source, [(8 * MiB, 8 * MiB + 512)])
            content = identify_volume(bad, [Parser("ext", open_volume)])
        assert (content.handling, content.identity.kind) == (Handling.RAW, "ext4")
        assert codes(content) == [(Severity.ERROR, "ext4.unreadable")]

    def test_only_a_parser_meets_it(self) -> None:
        def open_volume(inside: BlockSource) -> FileSystem:
            inside.read_at(3 * MiB, 512)
            raise AssertionError("unreachable")

        source = BadSectorSource(MemorySource(bytes(4 * MiB)), [(3 * MiB, 3 * MiB + 1)])
        content = identify_volume(source, [Parser("ext", open_volume)])
        assert (content.handling, content.identity.kind) == (Handling.RAW, "")
        assert codes(content) == [(Severity.ERROR, "recognise.unreadable")]
        assert content.problems[0].offset == 3 * MiB and "looks empty" not in content.why_raw

    def test_all_of_it(self) -> None:
        source = BadSectorSource(MemorySource(bytes(2 * MiB)), [(0, 2 * MiB)])
        content = identify_volume(source)
        assert content.handling is Handling.RAW and content.identity.kind == ""
        assert content.problems[-1].code == "recognise.unreadable"
