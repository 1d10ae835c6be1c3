"""Real files of this machine to fill volumes with, and NTFS volumes mounted to take them.

For the demo and the bench: needs nothing but Python and ntfs-3g, and works for ordinary users too.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_STEP = 1 << 20
_PLAIN_NAME = re.compile(r'[^\x00-\x1f"*/:<>?\\|]*[^\x00-\x1f"*/:<>?\\| .]')
_DEVICE_NAME = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class Picked(NamedTuple):
    """A file of the machine: where it is, the name it gets (relative, '/' between), and its size in bytes."""

    source: Path
    name: str
    size: int


def fits_everywhere(name: str) -> bool:
    """True when Windows takes `name` (one path component) too: no forbidden character, no trailing dot, no device."""
    return len(name) <= 120 and bool(_PLAIN_NAME.fullmatch(name)) and not _DEVICE_NAME.fullmatch(name)


def pick(
    roots: Sequence[Path], limit: int, *, skip: set[str] | None = None, most: int = 1 << 20, largest: int = 64 << 20
) -> list[Picked]:
    """Readable regular files below `roots`, in order of their paths: `limit` bytes in all, `most` files.

    No two names differ in case alone. `skip`: names that are taken; the new ones are added to it. `largest`: bytes of
    one file, so that one big database does not take all the room.
    """
    taken = set() if skip is None else skip
    found: list[Picked] = []
    room = limit
    for root in roots:
        for path in _files(root):
            name = str(path.relative_to(root.anchor))
            try:
                size = path.stat().st_size
            except OSError:
                continue
            if size > min(room, largest) or name.casefold() in taken or not os.access(path, os.R_OK):
                continue
            taken.add(name.casefold())
            found.append(Picked(path, name, size))
            room -= size
            if room < 1 << 16 or len(found) >= most:
                return found
    return found


def _files(root: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(root):
        below[:] = sorted(n for n in below if fits_everywhere(n) and n != "__pycache__")
        for name in sorted(names):
            path = Path(folder, name)
            if fits_everywhere(name) and path.is_file() and not path.is_symlink():
                yield path


def copy(picked: Sequence[Picked], to: Path) -> dict[str, str]:
    """Copy into the folder `to`; SHA-256 of each file by its name. A file that changed or vanished is left out."""
    digests: dict[str, str] = {}
    for source, name, _ in picked:
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        try:
            reading = source.open("rb")
        except OSError:
            continue
        with reading, target.open("wb") as writing:
            while data := reading.read(_STEP):
                writing.write(data)
                digest.update(data)
        digests[name] = digest.hexdigest()
    return digests


def digests_below(root: Path) -> dict[str, str]:
    """SHA-256 of every regular file below `root`, by its relative name."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    found[str(path.relative_to(root))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


@contextmanager
def ntfs_mounted(image: Path, where: Path, *options: str) -> Iterator[Path]:
    """`image` mounted at `where` by ntfs-3g, by root or by an ordinary user; unmounted again whatever happens.

    Raises OSError when it cannot be mounted, such as in a container without /dev/fuse.
    """
    where.mkdir(parents=True, exist_ok=True)
    # In the foreground: its end, and not that of umount, says that everything was written. In a session of its own,
    # so that Ctrl-C reaches us first.
    server = subprocess.Popen(
        ["ntfs-3g", "-o", ",".join(("no_detach", *options)), image, where],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        while not where.is_mount():
            if server.poll() is not None:
                _, told = server.communicate()
                raise OSError(told.decode(errors="replace").strip().splitlines()[-1:] or "ntfs-3g ended")
            time.sleep(0.01)
        yield where
    finally:
        for _ in range(100):
            if server.poll() is not None or unmount(where):
                break
            time.sleep(0.1)
        else:
            server.terminate()
        server.communicate(timeout=120)
        where.rmdir()


def unmount(where: Path) -> bool:
    """Take down a mount of ours; False when it is busy."""
    for argv in (["umount", where], ["fusermount3", "-u", where]):
        try:
            if subprocess.run(argv, check=False, capture_output=True).returncode == 0:
                return True
        except FileNotFoundError:
            continue
    return False


def mounts_below(root: Path) -> list[Path]:
    """Mount points in the folder `root`, the deepest first: what a killed run left behind."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4])
        if Path(place).is_relative_to(root):
            found.append(Path(place))
    return sorted(found, key=lambda p: len(p.parts), reverse=True)
