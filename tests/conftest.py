"""For all tests: the state folder of the program is a temporary one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def state_of_all_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Also for the commands that tests start."""
    before = os.environ.get("JURYMAST_STATE")
    os.environ["JURYMAST_STATE"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["JURYMAST_STATE"]
    else:
        os.environ["JURYMAST_STATE"] = before
