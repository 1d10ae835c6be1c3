"""Block maps, extent trees and directories against a plain model and against debugfs."""

from __future__ import annotations

import itertools
import re
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.base.errors import Corrupt, FormatError
from formats.base.source import FileSource, MemorySource
from fs.ext import blockmap, directory, extents
from fs.ext.blocks import BlockReader, Budget, WalkExhausted
from fs.ext.filemap import file_runs, read_inode
from fs.ext.inode import Context, Inode, RunKind
from fs.ext.superblock import Superblock, parse
from fs.ext.volume import open_volume
from tests.support.tools import need, run
from tests.unit.fs.ext.conftest import ImageMaker


@pytest.fixture(scope="module")
def small(image: ImageMaker) -> Superblock:
    with FileSource(image("ext2-1k")) as source:
        return parse(source.read_at(1024, 1024), 1024)


@given(st.lists(st.one_of(st.just(0), st.integers(1, 40), st.integers(2**32 - 4, 2**32 - 1)), min_size=1, max_size=40))
def test_joined_pointers(values: list[int]) -> None:
    rebuilt = [0] * len(values)
    runs = list(blockmap._joined(array("I", values)))
    for at, first, count in runs:
        rebuilt[at : at + count] = range(first, first + count)
    assert rebuilt == values
    for (a, first, count), (b, second, _) in itertools.pairwise(runs):
        assert a + count < b or first + count != second, "neighbours are joined"


@given(st.binary(min_size=1024, max_size=1024), st.integers(0, 2**32 - 1))
def test_any_directory_block_ends(small: Superblock, data: bytes, flags: int) -> None:
    owner = Inode(2, 0o40755, 1024, 2, 2, flags, bytes(60), 0, 0, 0)
    try:
        found = list(directory.entries(small, owner, data, 0))
    except Corrupt:
        return
    assert all(len(entry.name) <= 255 and 0 < entry.inode <= small.inodes_count for entry in found)


@settings(max_examples=300)
@given(
    st.binary(min_size=60, max_size=60),
    st.sampled_from((0, 0x80000)),
    st.binary(min_size=64, max_size=64),
    st.booleans(),
)
def test_any_map_ends_inside_the_volume(small: Superblock, block: bytes, flags: int, noise: bytes, sane: bool) -> None:
    """`sane`: a valid extent header in front, so that the entries behind it are looked at."""
    if sane:
        header = extents.FAST_HEADER.pack(extents.MAGIC, 4, 4, block[0] % 3, 0)
        block, noise = header + block[12:], extents.FAST_HEADER.pack(extents.MAGIC, 4, 84, 0, 0) + noise[12:]
    errors: list[Exception] = []
    source = MemorySource((noise * 16) * 64)
    ctx = Context(BlockReader(source, 1024), small, Budget(5000), errors.append)
    inode = Inode(12, 0o100644, 0, 1, 8, flags, block, 0, 0, 0)
    try:
        for found in file_runs(ctx, inode):
            assert small.first_data_block < found.physical
            assert found.length > 0 and found.physical + found.length <= small.blocks_count
    except WalkExhausted:
        pass
    assert all(isinstance(error, FormatError) for error in errors)


def test_tree_that_contains_itself_ends(small: Superblock) -> None:
    """Each of 84 entries leads back to the same block: refused by depth, or else by the budget."""
    index = b"".join(extents.FAST_INDEX.pack(i * 1000, 7, 0, 0) for i in range(84))
    block = extents.FAST_HEADER.pack(extents.MAGIC, 84, 84, 1, 0) + index + bytes(4)
    errors: list[Exception] = []
    ctx = Context(BlockReader(MemorySource(block * 20), 1024), small, Budget(10_000), errors.append)
    root = extents.FAST_HEADER.pack(extents.MAGIC, 1, 4, 2, 0) + extents.FAST_INDEX.pack(0, 7, 0, 0) + bytes(36)
    inode = Inode(12, 0o100644, 0, 1, 8, 0x80000, root, 0, 0, 0)
    assert len(list(file_runs(ctx, inode))) == 85
    assert len(errors) == 84 and "eh_depth" in str(errors[0])
    pointers = b"\x07\0\0\0" * 256
    ctx = Context(BlockReader(MemorySource(pointers * 20), 1024), small, Budget(10_000), errors.append)
    with pytest.raises(WalkExhausted):
        list(file_runs(ctx, Inode(12, 0o100644, 0, 1, 8, 0, b"\x07\0\0\0" * 15, 0, 0, 0)))


@pytest.mark.parametrize("name", ["ext2-fragmented", "ext4-fragmented", "ext4-inline", "ext4-encrypt"])
def test_blocks_of_each_inode_are_those_of_debugfs(name: str, image: ImageMaker) -> None:
    need("debugfs")
    path = image(name)
    with FileSource(path) as source:
        volume = open_volume(source)
        layout = volume._prepare()
        owners = {r.owner.removeprefix("inode ") for r in volume.references()}
        numbers = sorted(int(owner) for owner in owners if owner.isdigit() and owner != "7")

        def fail(error: Exception) -> None:
            raise error

        ctx = Context(layout.after.reader, volume.superblock, Budget(1 << 20), fail)
        text = run("debugfs", "-f", "-", path, stdin="".join(f"blocks <{n}>\n" for n in numbers).encode())
        said = re.split(r"^debugfs: blocks <\d+>$", text, flags=re.M)[1:]
        deepest = 0
        for number, line in zip(numbers, said, strict=True):
            runs = list(file_runs(ctx, read_inode(ctx, layout.after.groups, number)))
            found = sorted(b for r in runs for b in range(r.physical, r.physical + r.length))
            assert found == sorted(int(word) for word in line.split() if word != "0"), number
            deepest = max(deepest, sum(r.kind == RunKind.MAP for r in runs))
        assert deepest > 3 or "fragmented" not in name


def test_names_are_those_of_debugfs(image: ImageMaker) -> None:
    """A hash tree of several blocks, with its checksums."""
    need("debugfs")
    path = image("ext4-fragmented")
    number = int(re.search(r"^Inode: (\d+)", run("debugfs", "-R", "stat /big", path), re.M)[1])  # type: ignore[index]
    with FileSource(path) as source:
        volume = open_volume(source)
        sb, layout = volume.superblock, volume._prepare()
        errors: list[Exception] = []
        ctx = Context(layout.after.reader, sb, Budget(1 << 20), errors.append)
        inode = read_inode(ctx, layout.after.groups, number)
        names = set()
        blocks = 0
        for found in file_runs(ctx, inode):
            if found.kind == RunKind.DATA:
                for block in range(found.physical, found.physical + found.length):
                    data = ctx.reader.read(block)
                    directory.check_checksum(sb, inode, data, block * sb.block_size)
                    names |= {entry.name for entry in directory.entries(sb, inode, data, 0)}
                    broken = data[:40] + bytes([data[40] ^ 1]) + data[41:]
                    with pytest.raises(Corrupt):
                        directory.check_checksum(sb, inode, broken, block * sb.block_size)
                    blocks += 1
    assert errors == [] and blocks > 5
    assert names == {b".", b".."} | {b"a_rather_long_name_to_fill_the_directory_%04d" % i for i in range(300)}
