"""Images are made once a session and must not be changed; a test that changes one takes a copy()."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.ntfs_images import GENERATORS
from tests.support.tools import need_root


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The path of the image of this name."""
    need_root()
    folder = tmp_path_factory.mktemp("ntfs")

    def get(name: str) -> Path:
        path = folder / name
        if not path.exists():
            GENERATORS[name](path)
        return path

    return get


@pytest.fixture
def copy(image: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of the image of this name, to be changed."""

    def get(name: str) -> Path:
        target = tmp_path / name
        shutil.copyfile(image(name), target)
        return target

    return get
