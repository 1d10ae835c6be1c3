"""Mounting a source as a folder through FUSE, in the foreground or as a process of its own."""

from __future__ import annotations

import errno
import importlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from formats.base.errors import DeviceError, RecoveryError, Refused
from recovery.engine.browse import open_place
from recovery.engine.mountfs import MountedPlace

_READY = b"+"
_STOPPED = 8  # what fuse_main() of libfuse 3 returns when a signal ended it after the mount (seen with 3.14)
_CHOICE = "FUSE_LIBRARY_NAME"  # read by mfusepy


class FuseMissing(RecoveryError):
    """libfuse or the kernel's part of it is not there; `advice` names the Debian package."""


def mount(
    source: str,
    folder: str,
    *,
    background: bool = False,
    allow_other: bool = False,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Show SOURCE in `folder`, read-only, until it is unmounted (or SIGINT, SIGTERM come).

    `background`: a child process does it, and this returns as soon as the folder is there. `on_ready` is called
    when it is. Raises RecoveryError when the source cannot be opened, or the folder cannot be mounted on.
    """
    fuse = _library()
    where = _checked(folder)
    if background:
        _in_background(lambda ready: _serve(fuse, source, where, allow_other, ready), where)
        on_ready()
    else:
        _serve(fuse, source, where, allow_other, on_ready)


def _library() -> Any:
    """mfusepy over libfuse 3, else over libfuse 2; which it loads while it is imported."""
    reasons = []
    for name in ("fuse3", ""):
        if name:
            os.environ.setdefault(_CHOICE, name)
        else:
            os.environ.pop(_CHOICE, None)
        try:
            mfusepy = importlib.import_module("mfusepy")
            break
        except (ImportError, OSError, AttributeError) as error:
            reasons.append(str(error))
    else:
        missing = FuseMissing(f"Mounting needs libfuse, which was not found ({reasons[0]}).")
        missing.advice = "Install it with: apt-get install fuse3"
        raise missing
    if not Path("/dev/fuse").exists():
        missing = FuseMissing("The kernel offers no FUSE here: there is no /dev/fuse.")
        missing.advice = "Load it with: modprobe fuse. In a container, /dev/fuse must be given to it."
        raise missing
    return mfusepy


def _checked(folder: str) -> Path:
    path = Path(folder)
    try:
        if not path.is_dir():
            raise Refused(f"{folder} is not a directory.", "Make it first: mkdir " + folder)
        if any(path.iterdir()):
            raise Refused(f"{folder} is not empty; a mount would hide what is in it.", "Choose an empty directory.")
    except OSError as error:
        raise DeviceError(folder, "look", 0, 0, error.errno or 0) from error
    return path.resolve()


def _serve(fuse: Any, source: str, where: Path, allow_other: bool, on_ready: Callable[[], None]) -> None:
    with open_place(source) as (place, selector):
        if selector:
            raise Refused(
                f"All partitions of {place.name} are mounted together; {selector} cannot be chosen.",
                f"Mount {place.name}, and look into {where}/{selector}.",
            )
        served = False

        def ready() -> None:
            nonlocal served
            served = True
            on_ready()

        operations = MountedPlace(place, ready)
        options: dict[str, Any] = {"allow_other": True} if allow_other else {}
        # Only what has the default action is taken over by libfuse, which ends its loop and unmounts then.
        old = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
        try:
            fuse.FUSE(
                operations,
                str(where),
                foreground=True,
                nothreads=True,
                ro=True,
                nosuid=True,
                nodev=True,
                fsname="jurymast",
                **options,
            )
        except RuntimeError as error:
            if served and error.args == (_STOPPED,):
                return
            advice = "Is fuse3 installed (apt-get install fuse3)? allow_other needs user_allow_other in /etc/fuse.conf."
            raise DeviceError(str(where), "mount", 0, 0, errno.EIO, advice) from error
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def _in_background(serve: Callable[[Callable[[], None]], None], where: Path) -> None:
    """Run `serve` in a child; wait until it says that it is ready, or why it is not."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(serve, reading, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    if said[:1] == _READY:
        return
    os.waitpid(child, 0)
    text, _, advice = said.decode("utf-8", "replace").partition("\n")
    raise Refused(text or f"{where} could not be mounted.", advice)


def _child(serve: Callable[[Callable[[], None]], None], reading: int, writing: int) -> None:
    """Never returns: the caller's stack is not the child's business."""
    code = 1
    try:
        os.close(reading)
        os.setsid()

        def ready() -> None:
            for standard in (0, 1, 2):
                nothing = os.open(os.devnull, os.O_WRONLY if standard else os.O_RDONLY)
                os.dup2(nothing, standard)
                os.close(nothing)
            os.write(writing, _READY)
            os.close(writing)

        serve(ready)
        code = 0
    except RecoveryError as error:
        os.write(writing, f"{error}\n{error.advice}".encode("utf-8", "replace"))
    except BaseException as error:
        os.write(writing, f"Internal error: {type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(code)
