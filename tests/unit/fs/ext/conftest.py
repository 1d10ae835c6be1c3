"""Images are made once for the whole session, and only when a test asks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.ext_images import DIRTY_GENERATORS, GENERATORS
from tests.support.ext_trees import RICH_GENERATORS

ImageMaker = Callable[[str], Path]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> ImageMaker:
    """name -> path of a read-only image."""
    folder = tmp_path_factory.mktemp("ext")

    def make(name: str) -> Path:
        path = folder / f"{name}.img"
        if not path.exists():
            {**GENERATORS, **DIRTY_GENERATORS, **RICH_GENERATORS}[name](path)
        return path

    return make
