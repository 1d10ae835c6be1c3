"""Images made once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.support.fat_images import FAT

Image = Callable[[str], Path]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Path of a generated image by its name in tests.support.fat_images.FAT; do not write to it."""
    folder = tmp_path_factory.mktemp("fat")

    @cache
    def make(name: str) -> Path:
        FAT[name](folder / name)
        return folder / name

    return make
