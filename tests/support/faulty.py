"""Media that fail on purpose: bad sectors to read, and writes that stop with an error after so many bytes.

Made with nbdkit (filters ddrescue and delay, plugin eval) as a file through nbdfuse, and a loop device on top of it
where a block device is wanted. Everything ends with the `with`, and also when the test run itself is killed.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import loop_device, need, need_root, run

SECTOR = 512
_servers: dict[Path, subprocess.Popen[bytes]] = {}


@contextmanager
def bad_sectors(image: Path, bad: Sequence[tuple[int, int]], scratch: Path, *, delay_ms: int = 0) -> Iterator[Path]:
    """A read-only file with the content of `image`, in which reads of any byte of the `bad` ranges give EIO.

    `bad`: (start, end) in bytes, multiples of 512, ascending, disjoint. A read that touches one fails as a whole
    down here; the kernel splits buffered reads by pages, direct ones come through as they are.
    `scratch`: a folder for what is made on the way.
    """
    size = image.stat().st_size
    mapfile = scratch / "bad.map"
    lines, at = ["0x0 + 1"], 0
    for start, end in bad:
        assert start % SECTOR == 0 and end % SECTOR == 0 and at <= start < end <= size, (start, end)
        lines += [f"{at:#x} {start - at:#x} +"] if start > at else []
        lines.append(f"{start:#x} {end - start:#x} -")
        at = end
    lines += [f"{at:#x} {size - at:#x} +"] if at < size else []
    mapfile.write_text("# made by a test\n" + "\n".join(lines) + "\n")
    filters = ["--filter=delay"] if delay_ms else []
    options = [f"rdelay={delay_ms}ms"] if delay_ms else []
    plugin = ["file", str(image), f"ddrescue-mapfile={mapfile}", *options]
    with served(["nbdkit", "-r", *filters, "--filter=ddrescue", *plugin], scratch) as path:
        yield path


@contextmanager
def bad_sectors_device(
    image: Path, bad: Sequence[tuple[int, int]], scratch: Path, *, sector_size: int = 512, delay_ms: int = 0
) -> Iterator[Path]:
    """As `bad_sectors`, as a read-only loop device that, like a disk, fails for single sectors."""
    with (
        bad_sectors(image, bad, scratch, delay_ms=delay_ms) as path,
        loop_device(path, sector_size=sector_size, read_only=True) as device,
    ):
        # Else the loop device reads the file through the page cache, and a bad sector takes 4 KiB with it.
        run("losetup", "--direct-io=on", device)
        yield device


@contextmanager
def failing_writes(image: Path, after: int, scratch: Path, *, error: str = "ENOSPC") -> Iterator[Path]:
    """A file over `image` that takes writes of `after` bytes in all; those beyond give `error` and change nothing.

    `error`: ENOSPC or EIO. Reads always work. Asking for zeros or a hole is not possible there, as on plain media.
    """
    assert error in ("ENOSPC", "EIO")
    counter = scratch / "written"
    counter.write_text("0")
    disk, count = shlex.quote(str(image)), shlex.quote(str(counter))
    # The data are read even when they are refused: nbdkit makes EIO of a pipe that nobody empties.
    pwrite = (
        f"read n < {count} || :; n=$((n + $3)); "
        f"if [ $n -gt {after} ]; then cat >/dev/null; echo '{error} no more' >&2; exit 1; fi; "
        f"echo $n > {count}; dd of={disk} oflag=seek_bytes seek=$4 bs=1M conv=notrunc status=none"
    )
    methods = [
        f"get_size=echo {image.stat().st_size}",
        f"pread=dd if={disk} iflag=skip_bytes,count_bytes,fullblock skip=$4 count=$3 bs=1M status=none",
        f"pwrite={pwrite}",
        f"flush=sync {disk}",
    ]
    with served(["nbdkit", "eval", *methods], scratch) as path:
        yield path


@contextmanager
def failing_writes_device(
    image: Path, after: int, scratch: Path, *, error: str = "EIO", sector_size: int = 512
) -> Iterator[Path]:
    """As `failing_writes`, as a loop device: the error comes when the kernel writes back, so at the flush."""
    with (
        failing_writes(image, after, scratch, error=error) as path,
        loop_device(path, sector_size=sector_size) as device,
    ):
        yield device


@contextmanager
def hanging(image: Path, scratch: Path, *, bad: tuple[int, int] | None = None) -> Iterator[tuple[Path, Path]]:
    """A read-only file with the content of `image`, and a switch: while that file exists, reads do not return.

    Once one hangs, a file "hang.now" appears beside the switch.

    `bad`: a range of bytes; reads that touch it give EIO when they are of 4 KiB or more, and only smaller ones,
    which go around the page cache, hang.
    """
    switch, disk = scratch / "hang", shlex.quote(str(image))
    place = shlex.quote(str(switch))
    hang = f"while [ -e {place} ]; do touch {place}.now; sleep 0.05; done; "
    if bad is not None:
        touched = f"[ $4 -lt {bad[1]} ] && [ $(($4 + $3)) -gt {bad[0]} ]"
        hang = f"if {touched}; then if [ $3 -ge 4096 ]; then echo 'EIO bad' >&2; exit 1; fi; {hang} fi; "
    pread = f"{hang}dd if={disk} iflag=skip_bytes,count_bytes,fullblock skip=$4 count=$3 bs=1M status=none"
    with served(["nbdkit", "-r", "eval", f"get_size=echo {image.stat().st_size}", f"pread={pread}"], scratch) as path:
        try:
            yield path, switch
        finally:
            switch.unlink(missing_ok=True)


@contextmanager
def lying(image: Path, at: int, scratch: Path) -> Iterator[Path]:
    """A file over `image` that takes every write and says that all is well, but byte `at` is always stored as 0x5A."""
    disk = shlex.quote(str(image))
    pwrite = (
        f"dd of={disk} oflag=seek_bytes seek=$4 bs=1M conv=notrunc status=none; "
        f"printf Z | dd of={disk} oflag=seek_bytes seek={at} bs=1 conv=notrunc status=none"
    )
    methods = [
        f"get_size=echo {image.stat().st_size}",
        f"pread=dd if={disk} iflag=skip_bytes,count_bytes,fullblock skip=$4 count=$3 bs=1M status=none",
        f"pwrite={pwrite}",
        f"flush=sync {disk}",
    ]
    with served(["nbdkit", "eval", *methods], scratch) as path:
        yield path


@contextmanager
def served(server: list[str], scratch: Path) -> Iterator[Path]:
    """What an nbdkit command line serves, as a file below `scratch`. See vanish()."""
    need_root()
    need("nbdkit", "nbdfuse", "fusermount3", "setpriv")
    folder = scratch / "faulty"
    folder.mkdir(exist_ok=True)
    path = folder / "disk"
    log = scratch / "faulty.log"
    with log.open("wb") as output:
        # The kernel sends SIGTERM when the test run dies, and nbdfuse unmounts and ends its nbdkit then.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "nbdfuse", path, "[", server[0], "--exit-with-parent", *server[1:], "]"],
            stdout=output,
            stderr=output,
        )
        try:
            deadline = time.monotonic() + 20
            while not path.exists():
                assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
                time.sleep(0.02)
            _servers[path] = process
            yield path
        finally:
            _servers.pop(path, None)
            _end(process, folder)


def vanish(path: Path) -> None:
    """The file behind `path` (from served() or what is built on it) goes away, as a disk that is pulled out."""
    process = _servers[path]
    process.kill()
    process.wait()


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(50):  # a loop device that is just being detached may hold it for a moment
        if subprocess.run(["fusermount3", "-u", folder], check=False, capture_output=True).returncode == 0:
            break
        time.sleep(0.05)
    else:
        subprocess.run(["fusermount3", "-uz", folder], check=False, capture_output=True)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
