"""What the tests of the screens share: the little disks of the tests of failures."""

from tests.fault.conftest import archive, disk, shared, tree, volume, volume_archive
from tests.tui.looked import backup, files, image

__all__ = ["archive", "backup", "disk", "files", "image", "shared", "tree", "volume", "volume_archive"]
