"""Images are made once a session and must not be changed; a test that changes one takes a copy()."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.ntfs_images import GENERATORS
from tests.support.ntfs_wof import wof
from tests.support.partclone import PartcloneMap, used_map
from tests.support.tools import need, need_root

Partclone = Callable[[str], PartcloneMap]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The path of the image of this name."""
    need_root()
    folder = tmp_path_factory.mktemp("ntfs")

    def get(name: str) -> Path:
        path = folder / name
        if not path.exists():
            (wof if name == "wof" else GENERATORS[name])(path)
        return path

    return get


@pytest.fixture(scope="session")
def partclone(image: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Partclone]:
    """What partclone.ntfs counts as used on the image of this name.

    partclone sleeps two seconds in every run, so all runs begin at the first question.
    """
    need("partclone.ntfs")
    with ThreadPoolExecutor(8) as pool:
        names = [name for name in GENERATORS if name != "no-primary-boot"]
        runs = {
            name: pool.submit(used_map, "partclone.ntfs", image(name), tmp_path_factory.mktemp("partclone"))
            for name in names
        }
        yield lambda name: runs[name].result()


@pytest.fixture
def copy(image: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of the image of this name, to be changed."""

    def get(name: str) -> Path:
        target = tmp_path / name
        shutil.copyfile(image(name), target)
        return target

    return get
