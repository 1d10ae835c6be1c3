"""Running other people's programs, and saying clearly when one is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

os.environ["PATH"] += ":/usr/sbin:/sbin"

CORPORA = Path(__file__).resolve().parents[3] / "shared" / "corpora"


def run(*argv: str | Path, ok: tuple[int, ...] = (0,), stdin: bytes | None = None, timeout: float = 240) -> str:
    """Run a program; its output as text. Fails the test when the exit code is not one of `ok`."""
    done = subprocess.run(
        [str(a) for a in argv], input=stdin, capture_output=True, timeout=timeout,
        env={**os.environ, "LC_ALL": "C.UTF-8", "MTOOLS_SKIP_CHECK": "1"},
    )  # fmt: skip
    text = done.stdout.decode(errors="replace")
    assert done.returncode in ok, f"{argv}: exit {done.returncode}\n{text}\n{done.stderr.decode(errors='replace')}"
    return text


def need(*programs: str) -> None:
    """Skip, with the reason, when a program is missing. `make test` installs all of them when it is root."""
    missing = [p for p in programs if shutil.which(p) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")


def need_corpora() -> Path:
    """The folder of images that others made; it lies beside the checkout and is not part of the project."""
    if not CORPORA.is_dir():
        pytest.skip("no corpora beside the checkout")
    return CORPORA


@contextmanager
def loop_device(image: Path, *, sector_size: int = 512, read_only: bool = False) -> Iterator[Path]:
    """A loop device over `image`, taken down again whatever happens."""
    need_root()
    need("losetup")
    options = ["-b", str(sector_size)] + (["-r"] if read_only else [])
    device = run("losetup", "-f", "--show", *options, image).strip()
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "-d", device], check=False)


@contextmanager
def mounted(argv: list[str | Path], where: Path) -> Iterator[Path]:
    """Run a mount command (such as ntfs-3g IMAGE DIR) and unmount `where` whatever happens."""
    need_root()
    where.mkdir(parents=True, exist_ok=True)
    run(*argv)
    try:
        yield where
    finally:
        for _ in range(20):
            if subprocess.run(["umount", where], check=False, capture_output=True).returncode == 0:
                break
            subprocess.run(["sleep", "0.1"], check=False)


def sparse_file(path: Path, size: int) -> Path:
    """A file of `size` bytes that is one hole."""
    with path.open("wb") as file:
        file.truncate(size)
    return path
