"""Every image is made once a session, by whichever worker asks first, and must not be changed: take a copy()."""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support import ext_images, fat_images, ntfs_images, raw_images, table_images
from tests.support.scene import Scene, make_disk
from tests.support.tools import need_root
from tests.trip.engine import Image, Scenes
from tests.trip.patient import Patient, scratch_folder

AREAS: dict[str, dict[str, Callable[[Path], None]]] = {
    "ntfs": ntfs_images.GENERATORS,
    "ext": {**ext_images.GENERATORS, **ext_images.DIRTY_GENERATORS},
    "fat": fat_images.GENERATORS,
    "raw": raw_images.GENERATORS,
    "table": table_images.GENERATORS,
}


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this session share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "trip-images"
    folder.mkdir(exist_ok=True)
    return folder


def once(shelf: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The file `name` on the shelf, made by `make` in a folder of its own when nobody has done it yet."""
    path = shelf / name
    with (shelf / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            work = shelf / f"{name}.work"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            make(work / name)
            (work / name).rename(path)
            shutil.rmtree(work)
    return path


@pytest.fixture(scope="session")
def image(shelf: Path) -> Image:
    """image(area, name): the path of that image."""

    def get(area: str, name: str) -> Path:
        if area == "ntfs":
            need_root()
        return once(shelf, f"{area}-{name}", AREAS[area][name])

    return get


@pytest.fixture(scope="session")
def scene(shelf: Path) -> Scenes:
    """scene(scheme, sector_size): a whole disk; see tests/support/scene.py."""

    def get(scheme: str, sector_size: int = 512) -> Scene:
        need_root()
        name = f"disk-{scheme}-{sector_size}"

        def make(path: Path) -> None:
            made = make_disk(path, scheme=scheme, sector_size=sector_size)
            (shelf / f"{name}.scene").write_bytes(pickle.dumps(made))

        path = once(shelf, name, make)
        made: Scene = pickle.loads((shelf / f"{name}.scene").read_bytes())
        return replace(made, path=path)

    return get


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder for archives and targets; emptied at once, for sparse files add up."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def fast_place() -> Iterator[Path]:
    """As `place`, in memory if there is room."""
    with TemporaryDirectory(prefix="trip-", dir=scratch_folder()) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def patient() -> Iterator[Patient]:
    """A process for images that may do harm."""
    with Patient() as process:
        yield process
