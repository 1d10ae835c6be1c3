"""One copy of every generated image for all tests of this folder; tests must not change them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.table_images import GENERATORS


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """image(name): the path of that image, made on first use."""
    folder = tmp_path_factory.mktemp("tables")

    def get(name: str) -> Path:
        path = folder / f"{name}.img"
        if not path.exists():
            GENERATORS[name](path)
        return path

    return get
