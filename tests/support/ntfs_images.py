"""NTFS images for tests: made by mkntfs and ntfs-3g, then changed on the disk where no tool can make the state.

Every generator writes a small sparse image to the path it is given. Needs root, FUSE and ntfs-3g.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.support.tools import need, need_root, run, sparse_file
from tests.support.tree import populate

MiB = 1 << 20
CLUSTER_SIZES = tuple(512 << i for i in range(13))  # 512 bytes to 2 MiB


def make(path: Path, *, size: int = 16 * MiB, cluster: int = 4096, sector: int = 512, label: str = "") -> None:
    """An empty volume."""
    need("mkntfs")
    sparse_file(path, size)
    run("mkntfs", "-F", "-Q", "-q", "-c", str(cluster), "-s", str(sector), "-L", label, path)


@contextmanager
def mount(path: Path) -> Iterator[Path]:
    """The volume mounted writable by ntfs-3g, beside the image. Ends when ntfs-3g has written everything."""
    need("ntfs-3g")
    need_root()
    where = path.with_name(path.name + ".mnt")
    where.mkdir()
    # user_xattr chooses a stream interface too, so it must come first.
    options = "compression,user_xattr,streams_interface=windows,no_detach"
    # In the foreground: umount returns before a server in the background has written its last records.
    with subprocess.Popen(["ntfs-3g", "-o", options, path, where], stderr=subprocess.PIPE) as server:
        try:
            for _ in range(500):
                if where.is_mount() or server.poll() is not None:
                    break
                time.sleep(0.01)
            assert where.is_mount(), f"ntfs-3g did not mount {path}"
            yield where
        finally:
            for _ in range(100):
                if subprocess.run(["umount", where], check=False, capture_output=True).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                server.terminate()
            server.communicate(timeout=60)
            where.rmdir()


class Editor:
    """Changes records of an image in place. A reader of its own, apart from the product's, and good for tests only:
    it trusts what it reads, and wants $MFT's first records in one piece."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("r+b")
        boot = self.at(0, 512)
        sector, code = struct.unpack_from("<HB", boot, 11)
        self.cluster = sector * (code if code <= 128 else 1 << (256 - code))
        total, self.mft, self.mirror = struct.unpack_from("<QQQ", boot, 40)
        self.clusters = total * sector // self.cluster
        self.end = total * sector
        (code,) = struct.unpack_from("<b", boot, 64)
        self.size = code * self.cluster if code > 0 else 1 << -code

    def __enter__(self) -> Editor:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def at(self, offset: int, length: int) -> bytes:
        self.file.seek(offset)
        return self.file.read(length)

    def put(self, offset: int, data: bytes) -> None:
        self.file.seek(offset)
        self.file.write(data)

    def place(self, number: int) -> int:
        """Where record `number` lies, in bytes."""
        at = number * self.size
        for first, length in self._mft_runs():
            if at < length * self.cluster:
                return first * self.cluster + at
            at -= length * self.cluster
        raise AssertionError(f"no record {number}")

    def _mft_runs(self) -> list[tuple[int, int]]:
        data = self._fixed(self.mft * self.cluster)
        return self.runs(data, self.find(data, 0x80))

    def _fixed(self, where: int) -> bytearray:
        data = bytearray(self.at(where, self.size))
        usa, count = struct.unpack_from("<HH", data, 4)
        for i in range(1, count):
            data[i * 512 - 2 : i * 512] = data[usa + 2 * i : usa + 2 * i + 2]
        return data

    def read(self, number: int) -> bytearray:
        """Record `number`, its fixups applied."""
        return self._fixed(self.place(number))

    def write(self, number: int, data: bytearray) -> None:
        """Put a record back, with fixups, and into the mirror when it belongs there."""
        data = bytearray(data)
        usa, count = struct.unpack_from("<HH", data, 4)
        for i in range(1, count):
            data[usa + 2 * i : usa + 2 * i + 2] = data[i * 512 - 2 : i * 512]
            data[i * 512 - 2 : i * 512] = data[usa : usa + 2]
        self.put(self.place(number), data)
        if number < 4:
            self.put(self.mirror * self.cluster + number * self.size, data)

    @staticmethod
    def find(data: bytearray, kind: int, name: str = "") -> int:
        """Where the attribute of this type and name stands in a record."""
        (at,) = struct.unpack_from("<H", data, 20)
        while True:
            found, length = struct.unpack_from("<II", data, at)
            assert found != 0xFFFFFFFF, f"no attribute {kind:#x} {name}"
            count, begin = data[at + 9], struct.unpack_from("<H", data, at + 10)[0]
            if found == kind and data[at + begin : at + begin + 2 * count].decode("utf-16-le") == name:
                return int(at)
            at += length

    @staticmethod
    def runs(data: bytearray, at: int) -> list[tuple[int, int]]:
        """(first cluster, clusters) of a non-resident attribute without holes."""
        here, lcn, runs = at + struct.unpack_from("<H", data, at + 32)[0], 0, []
        while data[here]:
            low, high = data[here] & 15, data[here] >> 4
            length = int.from_bytes(data[here + 1 : here + 1 + low], "little")
            lcn += int.from_bytes(data[here + 1 + low : here + 1 + low + high], "little", signed=True)
            if high:
                runs.append((lcn, length))
            here += 1 + low + high
        return runs

    def replace(self, data: bytearray, at: int, new: bytes) -> bytearray:
        """The record with the attribute at `at` replaced by `new`, whose length field is set."""
        new = bytearray(new.ljust((len(new) + 7) & ~7, b"\0"))
        struct.pack_into("<I", new, 4, len(new))
        (end,) = struct.unpack_from("<I", data, 24)
        (old,) = struct.unpack_from("<I", data, at + 4)
        result = data[:at] + new + data[at + old : end]
        struct.pack_into("<I", result, 24, len(result))
        assert len(result) <= self.size
        return result.ljust(self.size, b"\0")

    def mark(self, clusters: list[int], used: bool) -> None:
        """Set or clear bits of $Bitmap."""
        data = self.read(6)
        places = [
            lcn * self.cluster + i
            for lcn, length in self.runs(data, self.find(data, 0x80))
            for i in (0, length * self.cluster)
        ]
        for cluster in clusters:
            at, left = 0, cluster // 8
            for begin, end in zip(places[::2], places[1::2], strict=True):
                if left < end - begin:
                    at = begin + left
                    break
                left -= end - begin
            byte = self.at(at, 1)[0]
            bit = 1 << (cluster % 8)
            self.put(at, bytes([byte | bit if used else byte & ~bit]))


def encode_runs(runs: list[tuple[int | None, int]]) -> bytes:
    """Mapping pairs of (first cluster or None for a hole, clusters)."""
    out, before = b"", 0
    for lcn, length in runs:
        size = length.bit_length() // 8 + 1
        body = length.to_bytes(size, "little", signed=True)
        if lcn is None:
            out += bytes([size]) + body
            continue
        delta = lcn - before
        before = lcn
        wide = (delta if delta >= 0 else ~delta).bit_length() // 8 + 1
        out += bytes([size | wide << 4]) + body + delta.to_bytes(wide, "little", signed=True)
    return out + b"\0"


def record_of(path: Path, name: str) -> int:
    """The MFT record of a file, as ntfsinfo says."""
    text = run("ntfsinfo", "-F", name, path)
    line = next(line for line in text.splitlines() if "Dumping Inode" in line)
    return int(line.split()[2])


def small(path: Path, cluster: int = 4096, sector: int = 512) -> None:
    """The tree of tests.support.tree on clusters of a given size."""
    make(path, size=96 * MiB if cluster > 65536 else 24 * MiB, cluster=cluster, sector=sector, label="tree")
    with mount(path) as root:
        populate(root)


def rich(path: Path) -> None:
    """Fragments, attribute lists, named streams, holes, compression, a junction, a deep path."""
    make(path, size=32 * MiB, label="Ünï")
    rng = random.Random(1)
    with mount(path) as root:
        (root / "comp").mkdir()
        os.setxattr(root / "comp", "system.ntfs_attrib_be", struct.pack(">I", 0x810))
        (root / "frag").mkdir()
        for i in range(1200):
            (root / "frag" / f"h{i}").write_bytes(rng.randbytes(4096))
        os.sync()
        for i in range(0, 1200, 2):
            (root / "frag" / f"h{i}").unlink()
        with (root / "sparse.bin").open("wb") as file:
            file.truncate(200 * MiB)
            for offset in (0, MiB, 77 * MiB, 200 * MiB - 10):
                file.seek(offset)
                file.write(b"DATA-%d" % offset)
        (root / "ads.txt").write_text("main")
        (root / "ads.txt:small").write_text("resident stream")
        (root / "ads.txt:big").write_bytes(rng.randbytes(300000))
        (root / "linked.bin").write_bytes(b"hard linked" * 500)
        (root / "links").mkdir()
        for i in range(300):
            os.link(root / "linked.bin", root / "links" / f"a rather long hard link name number {i:04d}.bin")
        (root.joinpath(*["deep"] * 40)).mkdir(parents=True)
        (root / "junction").mkdir()
        target = "\\??\\C:\\Windows".encode("utf-16-le")
        body = struct.pack("<HHHH", 0, len(target), len(target) + 2, 0) + target + b"\0\0\0\0"
        head = struct.pack("<IHH", 0xA0000003, len(body), 0)
        os.setxattr(root / "junction", "system.ntfs_reparse_data", head + body)
    with mount(path) as root:  # ntfs-3g compresses only below directories that were so when it mounted
        (root / "comp" / "text.txt").write_text("the quick brown fox " * 60000)
        mixed = b"".join(b"A" * 65536 if i % 2 else rng.randbytes(65536) for i in range(20))
        (root / "comp" / "mixed.bin").write_bytes(mixed)
        free = os.statvfs(root)
        (root / "big_fragmented.bin").write_bytes(rng.randbytes(free.f_bavail * free.f_frsize - 3 * MiB))


def fragmented_mft(path: Path) -> None:
    """$MFT in so many pieces that it needs an attribute list of its own."""
    make(path, size=10 * MiB, cluster=1024)
    with mount(path) as root:
        (root / "a").mkdir()
        count = 0
        try:
            while True:
                (root / "a" / f"{count}").write_bytes(b"x" * 1024)
                count += 1
        except OSError:
            os.sync()
        for i in range(0, count, 2):
            (root / "a" / f"{i}").unlink(missing_ok=True)
        (root / "b").mkdir()
        try:
            for i in range(count):
                (root / "b" / f"{i}").write_bytes(b"y" * 20)
        except OSError:
            os.sync()


def bad_clusters(path: Path) -> None:
    """Clusters 3000 to 3001 and 3100 in $BadClus:$Bad and in $Bitmap, as chkdsk /r leaves them."""
    make(path, label="bad")
    with Editor(path) as image:
        data = image.read(8)
        at = image.find(data, 0x80, "$Bad")
        (pairs,) = struct.unpack_from("<H", data, at + 32)
        rest = image.clusters - 3101
        runs = encode_runs([(None, 3000), (3000, 2), (None, 98), (3100, 1), (None, rest)])
        image.write(8, image.replace(data, at, bytes(data[at : at + pairs]) + runs))
        image.mark([3000, 3001, 3100], True)


def dirty(path: Path) -> None:
    """ntfsfix sets the dirty flag and empties the journal."""
    small(path)
    run("ntfsfix", path)


def paging(path: Path) -> None:
    """pagefile.sys, swapfile.sys and a hiberfil.sys of zeros in the root directory, PAGEFILE.SYS elsewhere."""
    make(path, label="paging")
    rng = random.Random(2)
    with mount(path) as root:
        (root / "Windows").mkdir()
        (root / "pagefile.sys").write_bytes(rng.randbytes(3 * MiB))
        (root / "SwapFile.sys").write_bytes(rng.randbytes(MiB))
        (root / "hiberfil.sys").write_bytes(bytes(2 * MiB))
        (root / "Windows" / "pagefile.sys").write_bytes(rng.randbytes(MiB))
        (root / "kept.bin").write_bytes(rng.randbytes(MiB))


def hibernated(path: Path) -> None:
    """hiberfil.sys holds a session."""
    make(path, label="asleep")
    with mount(path) as root:
        (root / "hiberfil.sys").write_bytes(b"hibr" + bytes(MiB - 4))
        (root / "pagefile.sys").write_bytes(b"p" * MiB)


def bitmap_lag(path: Path) -> None:
    """Two clusters of dir/f11_1000003.bin are free according to $Bitmap."""
    small(path)
    number = record_of(path, "dir/f11_1000003.bin")
    with Editor(path) as image:
        data = image.read(number)
        lcn, _ = image.runs(data, image.find(data, 0x80))[0]
        image.mark([lcn + 5, lcn + 9], False)


def no_primary_boot(path: Path) -> None:
    """Sector 0 is zeros; the backup is good."""
    small(path)
    with Editor(path) as image:
        image.put(0, bytes(512))


def reparse(tag: int, data: bytes) -> bytes:
    """The value of a reparse point."""
    return struct.pack("<IHH", tag, len(data), 0) + data


def link_data(substitute: str, shown: str, flags: int | None = None) -> bytes:
    """The data of a junction or, with `flags`, of a symbolic link."""
    one, other = substitute.encode("utf-16-le"), shown.encode("utf-16-le")
    head = struct.pack("<HHHH", 0, len(one), len(one) + 2, len(other))
    return head + (b"" if flags is None else struct.pack("<I", flags)) + one + b"\0\0" + other + b"\0\0"


STRANGE = {
    "junction": (0xA0000003, link_data("\\??\\C:\\Windows", "C:\\Windows")),
    "symlink": (0xA000000C, link_data("..\\target.txt", "..\\target.txt", 1)),
    "symlink-no-print": (0xA000000C, link_data("\\??\\D:\\x", "", 0)),
    "lx-symlink": (0xA000001D, struct.pack("<I", 2) + "ziel/ä".encode()),
    "dedup": (0x80000013, bytes(64)),
    "cloud": (0x9000601A, bytes(32)),
    "wim": (0x80000017, struct.pack("<IIII", 1, 1, 1, 0)),
    "nfs-link": (0x80000014, struct.pack("<Q", 0x014B4E4C) + "a/b".encode("utf-16-le")),
    "app": (0x8000001B, bytes(16)),
    "unknown": (0x80004711, bytes(32)),
}
MAX_NAME = "n" * 251 + "\U0001f600" + "ä."


def strange(path: Path) -> None:
    """What is neither plain file nor directory, extended attributes, descriptors, names that are hard to compare."""
    make(path, size=24 * MiB, label="strange")
    with mount(path) as root:
        (root / "r").mkdir()
        for name, (tag, data) in STRANGE.items():
            node = root / "r" / name
            if name == "junction":
                node.mkdir()
            else:
                node.write_bytes(b"here" if name in ("cloud", "dedup") else b"")
            os.setxattr(node, "system.ntfs_reparse_data", reparse(tag, data))
        (root / "interix").mkdir()
        (root / "interix" / "link").symlink_to("../r/somewhere ü")
        (root / "interix" / "long").symlink_to("x/" * 700 + "end")
        os.mknod(root / "interix" / "char", 0o020644, os.makedev(4, 300))
        os.mknod(root / "interix" / "block", 0o060644, os.makedev(259, 1))
        (root / "names").mkdir()
        for name in (
            "Straße",
            "ÄÖÜ",
            "äöÜ.txt",
            "case",
            "CASE",
            "Case",
            "dotted i İı",
            "😀.txt",
            "e\u0301",
            "ÿ",
            MAX_NAME,
        ):
            (root / "names" / name).write_text(name)
        dos = root / "names" / "a long name for dos.text"
        dos.write_text("dos")
        os.setxattr(dos, "system.ntfs_dos_name", b"ALONGN~1.TEX")
        (root / "ea.txt").write_text("ea")
        first = (struct.pack("<IBBH", 24, 0, 5, 7) + b"COLOR\0crimson").ljust(24, b"\0")
        second = (struct.pack("<IBBH", 312, 0x80, 2, 300) + b"BG\0" + b"v" * 300).ljust(312, b"\0")
        os.setxattr(root / "ea.txt", "system.ntfs_ea", first + second)
        (root / "private").write_text("mode")
        (root / "private").chmod(0o600)
        (root / "old").write_text("times")
        os.utime(root / "old", ns=(-11644473600_000000000 + 12345600, 1234567890_123456700))
        os.setxattr(root / "old", "system.ntfs_crtime_be", struct.pack(">q", 129_000_000_000_000_001))
        (root / "dir").mkdir()
        (root / "dir:of directory").write_text("a directory has streams too")


GENERATORS: dict[str, Callable[[Path], None]] = {
    **{f"cluster-{size}": partial(small, cluster=size) for size in CLUSTER_SIZES},
    "4kn": partial(small, sector=4096),
    "rich": rich,
    "fragmented-mft": fragmented_mft,
    "bad-clusters": bad_clusters,
    "dirty": dirty,
    "paging": paging,
    "hibernated": hibernated,
    "bitmap-lag": bitmap_lag,
    "no-primary-boot": no_primary_boot,
    "strange": strange,
}
