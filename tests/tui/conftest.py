"""What the tests of the screens share: the little disks of the tests of failures."""

from tests.fault.conftest import archive, disk, shared, tree, volume, volume_archive

__all__ = ["archive", "disk", "shared", "tree", "volume", "volume_archive"]
