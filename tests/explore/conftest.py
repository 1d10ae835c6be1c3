"""One disk with four file systems and its archive, made once for all tests here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from recovery.cli.main import command
from tests.support.scene import Scene, make_disk
from tests.support.tools import need_root, run

MiB = 1 << 20


@dataclass(frozen=True)
class Made:
    """`archive`: of `scene.path`."""

    scene: Scene
    archive: Path


def jurymast(*argv: str | Path, ok: int = 0) -> str:
    """Run the command in this process; its standard output. Fails when it does not end with `ok`."""
    done = CliRunner().invoke(command, [str(a) for a in argv])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    assert done.exit_code == ok, f"{argv}: exit {done.exit_code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def jurymast_process(*argv: str | Path, ok: int = 0) -> bytes:
    """The same as a process of its own, for what a process has: its output as bytes, signals, pipes."""
    done = subprocess.run(
        [sys.executable, "-m", "recovery", *map(str, argv)], capture_output=True, check=False, env=environment(),
        timeout=120,
    )  # fmt: skip
    assert done.returncode == ok, (argv, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    assert b"Traceback" not in done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "LC_ALL": "C.UTF-8"}


def jurymast_json(*argv: str | Path, ok: int = 0) -> list[dict[str, Any]]:
    """Run the command with --json; all its lines. The last one is the result."""
    lines = [json.loads(line) for line in jurymast(*argv, "--json", ok=ok).splitlines()]
    assert lines[-1]["type"] == "result" and lines[-1]["exit_code"] == ok
    return lines


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    need_root()
    folder = tmp_path_factory.mktemp("explore")
    scene = make_disk(folder / "disk.img")
    archive = folder / "disk.jmi"
    jurymast("backup", scene.path, archive)
    return Made(scene, archive)


@pytest.fixture
def scratch_ext4(tmp_path: Path) -> Callable[[Callable[[Path], None]], Path]:
    """An ext4 volume with what a function put into a folder; with owners, links, devices, attributes."""

    def make(fill: Callable[[Path], None]) -> Path:
        tree = tmp_path / "tree"
        tree.mkdir()
        fill(tree)
        image = tmp_path / "ext4.img"
        run("mke2fs", "-q", "-F", "-t", "ext4", "-I", "256", "-d", tree, image, "64m")
        return image

    return make
