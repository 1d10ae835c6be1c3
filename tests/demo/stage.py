"""Where the demo happens: its folder, the words it says, and the programs it runs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.stuffing import mounts_below, unmount

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "demo"
_ROOM = 2 * 10**9
_PROGRAMS = {
    "sfdisk": "fdisk",
    "mkfs.fat": "dosfstools",
    "mcopy": "mtools",
    "mkntfs": "ntfs-3g",
    "mke2fs": "e2fsprogs",
    "mkswap": "util-linux",
    "zstd": "zstd",
}


class Failed(Exception):
    """A check that did not hold, in words."""


def say(text: str = "") -> None:
    print(text, flush=True)


def size(count: int) -> str:
    """A size for people."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


class Chapters:
    """Numbered headlines, each closed with the seconds that it took."""

    def __init__(self, total: int) -> None:
        self._total, self._number = total, 0

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        self._number += 1
        say(f"\n=== {self._number}/{self._total}  {title}")
        started = time.monotonic()
        yield
        say(f"    ({time.monotonic() - started:.1f} s)")


def prepare() -> None:
    """An empty ./demo: what an earlier run left goes first. Raises Failed when something is missing."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.environ.update(LC_ALL="C.UTF-8", MTOOLS_SKIP_CHECK="1", JURYMAST_STATE=str(FOLDER / "state"))
    missing = sorted({package for program, package in _PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        raise Failed(f"programs are missing. Please run: sudo apt-get install {' '.join(missing)}")
    for mount in mounts_below(FOLDER):  # what a run that was killed left
        if not unmount(mount):
            raise Failed(f"{mount} of an earlier run is still mounted and in use")
    if FOLDER.exists():
        shutil.rmtree(FOLDER)
    free = shutil.disk_usage(ROOT).free
    if free < _ROOM:
        raise Failed(f"{size(_ROOM)} of free space are needed, and {ROOT} has {size(free)}")
    (FOLDER / "work").mkdir(parents=True)


def run(*argv: str | Path, ok: Sequence[int] = (0,), stdin: str = "", quiet: bool = True) -> str:
    """Run a program of the machine; what it printed. Raises Failed when it ends with another code than `ok`."""
    done = subprocess.run(
        [str(a) for a in argv], input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    text = done.stdout.decode(errors="replace")
    if done.returncode not in ok:
        raise Failed(f"{shlex.join(map(str, argv))} ended with {done.returncode}:\n{text}")
    if not quiet:
        say(f"    $ {shlex.join(_short(a) for a in argv)}   -> {done.returncode}")
    return text


def jurymast(*arguments: str | Path, ok: int = 0) -> None:
    """Run the command as a person would, its output on the screen. Raises Failed on any other exit code than `ok`."""
    say(f"    $ jurymast {shlex.join(_short(a) for a in arguments)}")
    installed = Path(sys.prefix, "bin", "jurymast")
    own = Path(sys.prefix).parent == ROOT and installed.exists()
    argv = [str(installed)] if own else [sys.executable, "-m", "recovery"]
    done = subprocess.run([*argv, *map(str, arguments)], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != ok:
        raise Failed(f"jurymast {arguments[0]} ended with exit code {done.returncode}, and not {ok}")


def _short(argument: str | Path) -> str:
    return str(argument).replace(f"{ROOT}/", "")
