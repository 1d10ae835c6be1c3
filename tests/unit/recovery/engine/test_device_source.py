"""Reading devices and image files: exact bytes, absolute places in errors, refusals in words."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.base.errors import DeviceError, Refused, Truncated
from recovery.engine.device import open_source
from tests.support.disks import MIB, partitioned_loop
from tests.support.faulty import bad_sectors, bad_sectors_device
from tests.support.tools import loop_device, mounted, run, sparse_file

SIZE = 3 * MIB + 4096 + 512


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "image"
    path.write_bytes(random.Random(5).randbytes(SIZE))
    return path


@contextmanager
def held_by_another_process(path: Path) -> Iterator[None]:
    code = "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_EXCL); print('x', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        try:
            yield
        finally:
            other.kill()


@settings(max_examples=60, deadline=None)
@given(offset=st.integers(-2, SIZE + 2), length=st.integers(-2, SIZE + 2))
def test_any_range_of_a_file_is_exact_or_refused(image: Path, offset: int, length: int) -> None:
    data = image.read_bytes()
    with open_source(image) as source:
        assert (source.size, source.sector_size, source.name) == (SIZE, 512, str(image))
        for read in (source.read_at, source.read_direct):
            if offset < 0 or length < 0 or offset + length > SIZE:
                with pytest.raises(Truncated):
                    read(offset, length)
            else:
                assert read(offset, length) == data[offset : offset + length]


@pytest.mark.root
@pytest.mark.parametrize("sector", [512, 4096])
def test_a_device_is_exact(image: Path, tmp_path: Path, sector: int) -> None:
    data = image.read_bytes()[: SIZE // sector * sector]
    image = tmp_path / "image"
    image.write_bytes(data)
    with loop_device(image, sector_size=sector, read_only=True) as device, open_source(device) as source:
        assert source.sector_size == sector
        assert source.size == len(data)
        assert source.extents_known() is None
        rng = random.Random(sector)
        for _ in range(60):
            offset = rng.randrange(source.size)
            length = rng.randrange(min(source.size - offset, 70000) + 1)
            assert source.read_at(offset, length) == data[offset : offset + length]
            assert source.read_direct(offset, length) == data[offset : offset + length]
        source.drop_cache(0, source.size)
        source.check_size()


@pytest.mark.root
def test_the_bad_sector_is_named_by_its_absolute_offset(image: Path, tmp_path: Path) -> None:
    data = image.read_bytes()
    bad = MIB + 4096 + 1024
    with bad_sectors_device(image, [(bad, bad + 512)], tmp_path) as device, open_source(device) as source:
        with pytest.raises(DeviceError) as caught:
            source.read_at(0, 2 * MIB)
        page = MIB + 4096
        assert page <= caught.value.offset <= bad and caught.value.errno == errno.EIO
        assert "dmesg" in caught.value.advice
        assert source.read_at(0, page) == data[:page]
        # Around the cache the seven neighbours in the page can be saved.
        saved = {}
        for at in range(page, page + 4096, 512):
            try:
                saved[at] = source.read_direct(at, 512)
            except DeviceError as error:
                assert (error.offset, error.length, error.errno) == (bad, 512, errno.EIO)
        assert saved == {at: data[at : at + 512] for at in range(page, page + 4096, 512) if at != bad}


@pytest.mark.root
def test_a_bad_place_in_an_image_file(image: Path, tmp_path: Path) -> None:
    with bad_sectors(image, [(8192, 8704)], tmp_path, delay_ms=1) as path, open_source(path) as source:
        assert source.read_at(0, 8192) == image.read_bytes()[:8192]
        with pytest.raises(DeviceError) as caught:
            source.read_at(8192, 512)
        assert (caught.value.offset, caught.value.device) == (8192, str(path))


def test_a_file_that_shrinks_or_grows_is_noticed(tmp_path: Path) -> None:
    path = sparse_file(tmp_path / "a", MIB)
    with open_source(path) as source:
        os.truncate(path, 1000)
        with pytest.raises(Truncated) as caught:
            source.read_at(0, MIB)
        assert (caught.value.offset, caught.value.found) == (1000, "1000 bytes")
        with pytest.raises(Truncated):
            source.read_direct(4096, 512)
        os.truncate(path, 2 * MIB)
        with pytest.raises(Refused, match=f"from {MIB} to {2 * MIB} bytes"):
            source.check_size()


def test_holes_are_known(tmp_path: Path) -> None:
    path = sparse_file(tmp_path / "a", 64 * MIB)
    with path.open("r+b") as file:
        for at in (0, 10 * MIB, 63 * MIB):
            file.seek(at)
            file.write(b"x" * 65536)
    with open_source(path) as source:
        known = source.extents_known()
        assert known is not None and known.total == 3 * 65536
        assert all(known.covers(at, at + 65536) for at in (0, 10 * MIB, 63 * MIB))
    with open_source(sparse_file(tmp_path / "b", MIB)) as source:
        known = source.extents_known()
        assert known is not None and known.total == 0


@pytest.mark.root
def test_mounted_writable_is_refused_and_read_only_is_not(tmp_path: Path) -> None:
    image, where = tmp_path / "a.img", tmp_path / "m"
    with partitioned_loop(image, 40 * MIB, "size=32MiB\n") as (device, nodes):
        run("mkfs.ext4", "-q", "-F", nodes[0])
        with mounted(["mount", nodes[0], where], where):
            for path in (image, device, nodes[0]):
                with pytest.raises(Refused, match=f"{nodes[0]} on {where}") as caught:
                    open_source(path)
                assert caught.value.advice == f"Unmount it first: umount {where}"
                with open_source(path, allow_mounted=True) as source:
                    assert len(source.read_at(0, 4096)) == 4096
        with mounted(["mount", "-o", "ro,noload", nodes[0], where], where), open_source(device) as source:
            assert source.read_at(510, 2) == b"\x55\xaa"
        with open_source(nodes[0]):  # nobody can mount it while it is read
            assert subprocess.run(["mount", nodes[0], where], check=False, capture_output=True).returncode != 0


@pytest.mark.root
def test_held_by_another_is_refused_by_name(image: Path) -> None:
    with loop_device(image) as device:
        with (
            held_by_another_process(device),
            pytest.raises(Refused, match=r"python.*\(process \d+\) has /dev/loop"),
        ):
            open_source(device)
        with held_by_another_process(device), open_source(device, allow_mounted=True) as source:
            assert source.size > 0
        open_source(device).close()


@pytest.mark.root
def test_reading_changes_nothing(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "a.img", 16 * MIB)
    run("mkfs.ext4", "-q", "-F", image)
    before, changed = hashlib.sha256(image.read_bytes()).digest(), image.stat().st_mtime_ns
    with loop_device(image) as device, open_source(device) as source:
        source.read_at(0, source.size)
        source.read_direct(0, MIB)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(source.fileno(), b"x")
    assert (hashlib.sha256(image.read_bytes()).digest(), image.stat().st_mtime_ns) == (before, changed)


@pytest.mark.root
def test_a_medium_that_vanishes_while_it_is_read(image: Path, tmp_path: Path) -> None:
    with bad_sectors(image, [], tmp_path) as path:
        source = open_source(path)
        assert len(source.read_at(0, 512)) == 512
        run("fusermount3", "-uz", path.parent)
        subprocess.run(["fusermount3", "-u", path.parent], check=False, capture_output=True)
        servers = run("pgrep", "-f", f"nbdfuse {path}").split()
        for pid in servers:
            os.kill(int(pid), signal.SIGKILL)
        with pytest.raises(DeviceError) as caught:
            for _ in range(100):
                source.drop_cache(0, SIZE)
                source.read_at(2 * MIB, 512)
                time.sleep(0.02)
        assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENXIO)
        source.close()


def test_too_large_a_direct_read_is_refused(tmp_path: Path) -> None:
    with open_source(sparse_file(tmp_path / "a", 64 * MIB)) as source, pytest.raises(Refused, match="direct read"):
        source.read_direct(0, 17 * MIB)
