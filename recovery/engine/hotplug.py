"""News of disks that come and go, from udev. Where no udev runs, there is no news, and a face looks when asked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event

from recovery.engine.partition_nodes import UDEV_CONTROL

_LOOK_EVERY = 0.5  # seconds between two looks at the wish to stop
_log = logging.getLogger(__name__)


def has_udev() -> bool:
    """Whether udev runs here, so that `watch` has something to listen to."""
    return UDEV_CONTROL.exists()


def watch(on_change: Callable[[], None], stop: Event) -> None:
    """Call `on_change` after every change of block devices (a burst counts once) until `stop`. Blocks: for a thread."""
    if not has_udev():
        return
    try:
        import pyudev

        monitor = pyudev.Monitor.from_netlink(pyudev.Context())
        monitor.filter_by("block")
        monitor.start()
        while not stop.is_set():
            if monitor.poll(timeout=_LOOK_EVERY) is None:
                continue
            while monitor.poll(timeout=_LOOK_EVERY / 2) is not None and not stop.is_set():
                continue
            on_change()
    except (ImportError, OSError) as error:  # no libudev, or no right to listen: the screen still has its refresh key
        _log.info("no news of disks: %s", error)
