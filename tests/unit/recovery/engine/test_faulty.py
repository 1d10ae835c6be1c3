"""The failing media themselves: they must fail where they are told to, and nowhere else."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.faulty import bad_sectors, failing_writes

MIB = 1 << 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(random.Random(1).randbytes(MIB))
    return path


def test_only_the_chosen_sectors_are_bad(image: Path, tmp_path: Path) -> None:
    data = image.read_bytes()
    with bad_sectors(image, [(0, 512), (8192 + 512, 8192 + 1024), (MIB - 512, MIB)], tmp_path) as path:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        try:
            failed = []
            for at in range(0, 16384, 512):
                try:
                    assert os.pread(fd, 512, at) == data[at : at + 512]
                except OSError as error:
                    assert error.errno == errno.EIO
                    failed.append(at)
            assert failed == [0, 8192 + 512]
            with pytest.raises(OSError, match="Input/output error"):
                os.pread(fd, 512, MIB - 512)
        finally:
            os.close(fd)


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_writes_fail_after_so_many_bytes(image: Path, tmp_path: Path, error: str) -> None:
    before = image.read_bytes()
    with failing_writes(image, 65536, tmp_path, error=error) as path:
        fd = os.open(path, os.O_RDWR)
        try:
            assert os.pwrite(fd, b"a" * 65536, 4096) == 65536
            with pytest.raises(OSError) as caught:
                os.pwrite(fd, b"b" * 4096, 0)
            assert errno.errorcode[caught.value.errno or 0] == error
            assert os.pread(fd, 8192, 0) == before[:4096] + b"a" * 4096
        finally:
            os.close(fd)
    assert image.read_bytes() == before[:4096] + b"a" * 65536 + before[4096 + 65536 :]


def test_it_ends_when_the_test_run_is_killed(image: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.support.faulty import bad_sectors\n"
        "with bad_sectors(Path(sys.argv[1]), [(0, 512)], Path(sys.argv[2])) as p:\n"
        "    print(p, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, image, tmp_path], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        path = Path(run.stdout.readline().strip())
        assert path.exists()
        run.send_signal(signal.SIGKILL)
        run.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and (str(path.parent) in Path("/proc/mounts").read_text() or _servers(image)):
        time.sleep(0.05)
    assert str(path.parent) not in Path("/proc/mounts").read_text()
    assert _servers(image) == []


def _servers(image: Path) -> list[str]:
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if "nbdkit" in line and str(image) in line]
