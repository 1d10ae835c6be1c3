"""Has anybody written to a disk? The kernel counts it; so a map that was made a minute ago can be trusted, or not."""

from __future__ import annotations

from pathlib import Path

from formats.base.errors import DeviceError
from recovery.engine.identity import DeviceIdentity

_SECTORS_WRITTEN = 6  # 0-based field of /sys/dev/block/M:N/stat (kernel documentation, block/stat)


def write_mark(identity: DeviceIdentity) -> tuple[int, ...]:
    """A value that changes whenever the device or image file was written; equal marks mean it was not.

    Devices: sectors written since the system started. Files: time of the last change and size.
    Raises DeviceError when it is gone.
    """
    try:
        if identity.is_block:
            fields = Path(f"/sys/dev/block/{identity.dev}/stat").read_text(encoding="ascii").split()
            return (int(fields[_SECTORS_WRITTEN]),)
        found = Path(identity.path).stat()
        return (found.st_mtime_ns, found.st_size)
    except OSError as error:
        raise DeviceError(identity.path, "look", 0, 0, error.errno or 0, "Is it still connected?") from error
