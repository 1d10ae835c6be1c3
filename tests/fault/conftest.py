"""What the tests of failures share: little disks, made once for each worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import little
from tests.support.command import jurymast


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def tree(shared: Path) -> Path:
    root = shared / "tree"
    little.fill(root)
    return root


@pytest.fixture(scope="session")
def disk(shared: Path, tree: Path) -> Path:
    """GPT: 1 ext4, 2 FAT16. Not to be written."""
    return little.disk(shared / "disk.img", tree)


@pytest.fixture(scope="session")
def volume(shared: Path, tree: Path) -> Path:
    """A bare ext4 volume of 24 MiB. Not to be written."""
    return little.ext4(shared / "volume.img", tree)


@pytest.fixture(scope="session")
def archive(shared: Path, disk: Path) -> Path:
    """The disk in an archive, proven."""
    path = shared / "disk.jmi"
    jurymast("backup", disk, path, "--json", ok=0)
    return path


@pytest.fixture(scope="session")
def volume_archive(shared: Path, volume: Path) -> Path:
    path = shared / "volume.jmi"
    jurymast("backup", volume, path, "--json", ok=0)
    return path
