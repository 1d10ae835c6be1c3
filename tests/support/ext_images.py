"""Small ext images with every feature set that decides where things lie; and what e2fsprogs says about them."""

from __future__ import annotations

import fcntl
import gzip
import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from formats.base.extent import ExtentList
from formats.base.units import MiB
from tests.support.tools import loop_device, mounted, need, run, sparse_file
from tests.support.tree import populate

UUID = "6f1e1a2c-5a3b-4d47-9a58-3d6f0a8b1c2d"
SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
SHUTDOWN_LOGFLUSH = 1


def _make(size_mib: int, *options: str, tree: bool = True) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        need("mke2fs")
        sparse_file(path, size_mib * MiB)
        fixed = ["-q", "-F", "-U", UUID, "-L", "jury mast", "-E"]
        extended = "hash_seed=6f1e1a2c-5a3b-4d47-9a58-3d6f0a8b1c2e"
        rest = []
        for option, value in zip(options[::2], options[1::2], strict=True):
            if option == "-E":
                extended += "," + value
            else:
                rest += [option, value]
        if not tree:
            run("mke2fs", *fixed, extended, *rest, path)
            return
        with tempfile.TemporaryDirectory() as folder:
            populate(Path(folder) / "tree")
            run("mke2fs", *fixed, extended, *rest, "-d", Path(folder) / "tree", path)

    return make


def _bad_blocks(path: Path) -> None:
    need("mke2fs")
    sparse_file(path, 64 * MiB)
    with tempfile.NamedTemporaryFile("w") as bad:
        bad.write("".join(f"{block}\n" for block in range(14000, 14111)))
        bad.flush()
        run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-l", bad.name, path)


def _fragmented(path: Path) -> None:
    """Files with indirect and index blocks of several levels, holes, and a hash tree directory, by debugfs."""
    _make(64, "-t", "ext4", "-b", "1024", "-O", "^has_journal", "-E", "lazy_itable_init=0")(path)
    _fragment(path)


def _fragmented_ext2(path: Path) -> None:
    _make(64, "-t", "ext2", "-b", "1024")(path)
    _fragment(path)


def _fragment(path: Path) -> None:
    """One sparse file with a block every 700 blocks: three levels of a block map, an extent tree of two levels."""
    need("debugfs")
    with tempfile.TemporaryDirectory() as folder:
        sparse = Path(folder) / "sparse"
        with sparse.open("wb") as file:
            for i in range(400):
                file.seek(i * 700 * 1024)
                file.write(bytes([i % 255 + 1]) * 1024)
        commands = [f"write {sparse} sparse", "mkdir big", "cd big"]
        small = Path(folder) / "small"
        small.write_bytes(b"x")
        commands += [f"write {small} a_rather_long_name_to_fill_the_directory_{i:04d}" for i in range(300)]
        run("debugfs", "-w", "-f", "-", path, stdin="\n".join(commands).encode())
    run("e2fsck", "-fyD", path, ok=(0, 1))


def dirty(path: Path, *, files: int = 300) -> dict[str, bytes]:
    """Write through the kernel, force the log out, and keep the image as a power failure would have left it.

    Returns name -> content of the files that were fsynced, whose blocks only the journal knows.
    """
    expected = {}
    crashed = path.with_suffix(".crashed")
    with (
        loop_device(path) as device,
        mounted(["mount", device, path.with_suffix(".mnt")], path.with_suffix(".mnt")) as top,
    ):
        for i in range(files):
            data = bytes([i % 251 + 1]) * (i * 37)
            (top / f"j{i}").write_bytes(data)
            expected[f"j{i}"] = data
        os.sync()
        for i in range(0, files, 3):
            (top / f"j{i}").unlink()
            del expected[f"j{i}"]
        for i in range(16):
            data = bytes([i + 1]) * (i * 30000 + 1)
            with (top / f"late{i}").open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            expected[f"late{i}"] = data
        folder = os.open(top, os.O_RDONLY)
        try:
            os.fsync(folder)
            fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", SHUTDOWN_LOGFLUSH))
        finally:
            os.close(folder)
        run("cp", "--sparse=always", path, crashed)  # unmounting would write the bitmaps to their places
    crashed.replace(path)
    path.with_suffix(".mnt").rmdir()
    return expected


def _recover(base: Callable[[Path], None]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        base(path)
        dirty(path)

    return make


GENERATORS: dict[str, Callable[[Path], None]] = {
    "ext2-1k": _make(32, "-t", "ext2", "-b", "1024"),
    "ext2-rev0": _make(16, "-t", "ext2", "-r", "0", "-b", "1024", tree=False),
    "ext2-2k-notsparse": _make(300, "-t", "ext2", "-b", "2048", "-O", "^sparse_super,^resize_inode"),
    "ext3-1k": _make(32, "-t", "ext3", "-b", "1024"),
    "ext3-4k": _make(64, "-t", "ext3", "-b", "4096"),
    "ext4-1k": _make(64, "-t", "ext4", "-b", "1024"),
    "ext4-4k": _make(300, "-t", "ext4", "-b", "4096"),
    "ext4-64k": _make(512, "-t", "ext4", "-b", "65536"),
    "ext4-bigalloc": _make(160, "-t", "ext4", "-O", "bigalloc", "-C", "65536"),
    "ext4-bigalloc-1k": _make(100, "-t", "ext4", "-b", "1024", "-O", "bigalloc", "-C", "4096"),
    "ext4-metabg": _make(700, "-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"),
    "ext4-sparse2": _make(700, "-t", "ext4", "-b", "4096", "-O", "sparse_super2,^sparse_super,^resize_inode"),
    "ext4-sparse2b": _make(300, "-t", "ext4", "-O", "sparse_super2,^resize_inode", "-E", "num_backup_sb=1"),
    "ext4-inline": _make(64, "-t", "ext4", "-O", "inline_data", "-I", "256"),
    "ext4-nocsum": _make(64, "-t", "ext4", "-O", "^metadata_csum,uninit_bg,^64bit"),
    "ext4-nocsum-1k": _make(200, "-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg,64bit"),
    "ext4-noflex": _make(400, "-t", "ext4", "-O", "^flex_bg"),
    "ext4-casefold": _make(64, "-t", "ext4", "-O", "casefold", "-E", "encoding=utf8"),
    "ext4-encrypt": _make(64, "-t", "ext4", "-O", "encrypt,verity,ea_inode,large_dir,project,quota"),
    "ext4-stable": _make(64, "-t", "ext4", "-O", "stable_inodes,metadata_csum_seed"),
    "ext4-orphan": _make(64, "-t", "ext4", "-O", "orphan_file"),
    "ext4-mmp": _make(64, "-t", "ext4", "-O", "mmp"),
    "ext4-nojournal": _make(64, "-t", "ext4", "-O", "^has_journal"),
    "ext4-fastcommit": _make(64, "-t", "ext4", "-O", "fast_commit"),
    "ext4-smallgroup": _make(64, "-t", "ext4", "-b", "4096", "-g", "256"),
    "ext4-inode128": _make(64, "-t", "ext4", "-I", "128"),
    "ext4-lazy": _make(600, "-t", "ext4", "-b", "1024", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"),
    "ext4-bad": _bad_blocks,
    "ext4-fragmented": _fragmented,
    "ext2-fragmented": _fragmented_ext2,
}

# These mount through the kernel and need root and loop devices.
DIRTY_GENERATORS: dict[str, Callable[[Path], None]] = {
    "ext3-4k-recover": _recover(GENERATORS["ext3-4k"]),
    "ext4-4k-recover": _recover(GENERATORS["ext4-4k"]),
}

BIGALLOC = frozenset(name for name in GENERATORS if "bigalloc" in name)


def journal_device(path: Path) -> None:
    """An external journal without a file system that uses it."""
    need("mke2fs")
    sparse_file(path, 8 * MiB)
    run("mke2fs", "-q", "-F", "-O", "journal_dev", "-b", "4096", path)


def used_by_dumpe2fs(path: Path) -> ExtentList:
    """Bytes in use: the complement of the free lists. Not for bigalloc, where the lists are short."""
    need("dumpe2fs")
    text = run("dumpe2fs", path)
    block_size = int(re.search(r"^Block size:\s+(\d+)", text, re.M)[1])  # type: ignore[index]
    count = int(re.search(r"^Block count:\s+(\d+)", text, re.M)[1])  # type: ignore[index]
    free = []
    for line in re.findall(r"^  Free blocks: (.*)$", text, re.M):
        for piece in filter(None, line.split(", ")):
            first, _, last = piece.partition("-")
            free.append((int(first) * block_size, (int(last or first) + 1) * block_size))
    return ExtentList(free).complement(count * block_size)


def used_by_debugfs(path: Path, block_size: int, count: int) -> ExtentList:
    """Bytes in use by asking for each block; slow, but right with bigalloc. Block 0 cannot be asked for."""
    need("debugfs")
    asked = "".join(f"testb {i} 1\n" for i in range(1, count)).encode()
    text = run("debugfs", "-f", "-", path, stdin=asked)
    marked = [int(n) for n in re.findall(r"^Block (\d+) marked in use$", text, re.M)]
    clear = len(re.findall(r"^Block \d+ not in use$", text, re.M))
    assert len(marked) + clear == count - 1
    return ExtentList((i * block_size, (i + 1) * block_size) for i in [0, *marked])


def unpack(packed: Path, path: Path) -> Path:
    """A gzip file, written with holes."""
    with gzip.open(packed) as source, path.open("wb") as target:
        while piece := source.read(1 * MiB):
            if any(piece):
                target.write(piece)
            else:
                target.seek(len(piece), os.SEEK_CUR)
        target.truncate(target.tell())
    return path


def e2fsck_status(path: Path, timeout: float = 60) -> int:
    """Exit code of a check that changes nothing: 0 is clean, 124 when it does not end in `timeout` seconds."""
    need("e2fsck")
    try:
        return subprocess.run(["e2fsck", "-fn", path], capture_output=True, check=False, timeout=timeout).returncode
    except subprocess.TimeoutExpired:
        return 124
