"""Mounting places for archives under a folder of our own, and unmounting them when nobody of us uses them any more.

Who uses a mount is written down as locked files beside it: the kernel frees such a lock when its process dies, so that
what a killed program left behind is found and unmounted by the next one. A mount that a person asked for by hand
(`jurymast places mount`) has a file without a lock, and stays until it is unmounted by hand.

    ROOT/sdb1-1234-ABCD            the folder that is mounted on
    ROOT/.sdb1-1234-ABCD.users/    one locked file for each process; "kept"
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from formats.base.errors import RecoveryError, Refused
from recovery.engine import blkdev, mounts
from recovery.engine.device import is_read_only, write_protected
from recovery.engine.identity import identify
from recovery.engine.inventory import Overlap, disk_of, same_thing
from recovery.engine.mountways import MountFailed, mount_device, unmount
from recovery.engine.storage import Storage
from recovery.engine.unmounted import Unmounted, look_at_one
from recovery.engine.usage import refuse_held

ROOT = Path("/run/jurymast/mnt")
_KEPT = "kept"
_LOCK_PATIENCE = 150.0  # seconds: another Jurymast may be mounting, which replays a journal


@dataclass(frozen=True, slots=True)
class Attached:
    """A device that is mounted below ROOT. `users`: how many running programs of ours use it; `kept`: by hand."""

    device: str
    folder: str
    fstype: str
    read_only: bool
    users: int
    kept: bool


class Attachments:
    """What this process uses. Thread-safe. To be released at the end: `release_all`."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}  # folder to the descriptor that holds our lock
        self._lock = threading.Lock()

    def attach(
        self,
        device: str,
        *,
        read_only: bool,
        sources: Iterable[str] = (),
        stop: Callable[[], bool] | None = None,
    ) -> str:
        """Mount it (or join a mount of ours) and return its folder. `sources`: disks that it must not lie on.

        Raises Refused when it is unsafe or in use, Unsupported when the kernel has no driver, MountFailed.
        """
        with self._lock, _books():
            folder = _attach(device, read_only=read_only, sources=tuple(sources), stop=stop)
            if str(folder) not in self._held:
                self._held[str(folder)] = _sign_in(folder)
            return str(folder)

    def release_all(self) -> list[RecoveryError]:
        """Unmount what nobody else uses. What cannot be unmounted stays, and is told."""
        troubles: list[RecoveryError] = []
        with self._lock:
            if not self._held:
                return []
            with _books():
                for folder in list(self._held):
                    _sign_out(Path(folder), self._held.pop(folder))
                    try:
                        _leave(Path(folder))
                    except RecoveryError as error:
                        troubles.append(error)
        return troubles

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(self._held)


def keep(device: str, *, read_only: bool) -> Attached:
    """Mount it until `detach`. Raises as Attachments.attach."""
    with _books():
        folder = _attach(device, read_only=read_only, sources=(), stop=None)
        (_users_of(folder) / _KEPT).touch(mode=0o600)
        return next(one for one in ours() if one.folder == str(folder))


def detach(what: str) -> Attached:
    """Unmount a device or folder of ours. Raises Refused when it is none, or a running program of ours uses it."""
    with _books():
        wanted = os.path.realpath(what)
        found = next((one for one in ours() if wanted in (one.folder, os.path.realpath(one.device))), None)
        if found is None:
            raise Refused(
                f"{what} was not mounted by Jurymast.", "`jurymast places` shows what is. Others: umount FOLDER."
            )
        if found.users:
            raise Refused(
                f"{found.folder} is used by another Jurymast that is running.", "Let its job end, or stop it first."
            )
        (_users_of(Path(found.folder)) / _KEPT).unlink(missing_ok=True)
        try:
            _leave(Path(found.folder))
        except RecoveryError:
            if Path(found.folder).is_mount():
                (_users_of(Path(found.folder)) / _KEPT).touch(mode=0o600)
            raise
        return found


def ours() -> list[Attached]:
    """What is mounted below ROOT."""
    found: dict[str, Attached] = {}
    for mount in mounts.all_mounts():
        folder = Path(mount.mountpoint)
        if folder.parent == _root():
            users = _users_of(folder)
            found[mount.mountpoint] = Attached(
                mount.device, mount.mountpoint, mount.fstype, mount.read_only, _living(users), (users / _KEPT).exists()
            )
    return list(found.values())


def sweep() -> list[RecoveryError]:
    """Unmount what programs left behind that were killed. What cannot be unmounted stays, and is told."""
    if os.geteuid() != 0 or not ROOT.is_dir():
        return []
    troubles: list[RecoveryError] = []
    with _books():
        for one in ours():
            if not one.users and not one.kept:
                try:
                    _leave(Path(one.folder))
                except RecoveryError as error:
                    troubles.append(error)
        for folder in _root().iterdir():
            if folder.is_dir() and not folder.name.startswith(".") and not folder.is_mount():
                _clear(folder)
    return troubles


def refuse_same_disk(device: str, sources: Iterable[str]) -> None:
    """Raise Refused when a backup of `sources` would lie on the disk that it is of."""
    for source in sources:
        try:
            same = disk_of(source).identity.path == disk_of(device).identity.path
        except RecoveryError:  # a source that is gone is told when it is opened
            continue
        if same or same_thing(source, device) is not Overlap.NONE:
            raise Refused(
                f"{device} lies on the disk that is backed up ({source}).",
                "Choose a destination on another disk: a backup on the same disk dies with it.",
            )


def _attach(device: str, *, read_only: bool, sources: tuple[str, ...], stop: Callable[[], bool] | None) -> Path:
    if os.geteuid() != 0:
        raise Refused("Only root may mount.", "Start Jurymast with sudo, or mount it by other means.")
    identity = identify(device)
    if not identity.is_block:
        raise Refused(f"{device} is a file, not a device.", "Its folder can be chosen directly.")
    if not read_only:
        refuse_same_disk(identity.path, sources)
    known = next((one for one in ours() if os.path.realpath(one.device) == identity.path), None)
    if known is not None and (joined := _join(known, read_only)):
        return joined
    storage = Storage()
    node = storage.node_of(identity.path)
    elsewhere = [m.mountpoint for m in (storage.mounts_of_node(node) if node else ())]
    if elsewhere:
        raise Refused(
            f"{identity.path} is mounted at {', '.join(elsewhere)} already.", "Choose that folder in the list."
        )
    if storage.swaps_of(identity.path):
        raise Refused(f"{identity.path} is swap space in use.", "Choose another place.")
    refuse_held(identity, storage)
    if not read_only and is_read_only(identity):
        raise write_protected(identity)
    found = look_at_one(identity.path, disk_of(identity.path))
    if found is None:
        raise Refused(
            f"{identity.path} holds no file system that can be mounted.",
            "Choose another, or put a file system on it first (mkfs). BitLocker and LUKS have to be unlocked first.",
        )
    if found.unsafe and not read_only:
        raise Refused(f"{found.device} is not written to: {found.unsafe}", found.advice)
    return _mount(found, read_only, stop)


def _join(known: Attached, read_only: bool) -> Path | None:
    """A mount of ours that will do; None when it was taken down, to be made anew."""
    folder = Path(known.folder)
    alive = _answers(folder)
    if alive and (read_only or not known.read_only):
        return folder
    if alive and (known.users or known.kept):
        raise Refused(
            f"{known.device} is mounted read-only at {known.folder}, and in use.",
            f"When it is free: jurymast places unmount {known.device}",
        )
    unmount(folder, lazy=not alive)
    return None


def _answers(folder: Path) -> bool:
    """False when the stick was pulled out."""
    try:
        next(folder.iterdir(), None)
    except OSError:
        return False
    return True


def _mount(found: Unmounted, read_only: bool, stop: Callable[[], bool] | None) -> Path:
    folder = _root() / _name(found)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        _users_of(folder).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise MountFailed(f"{folder} cannot be made: {error.strerror}.") from error
    try:
        mount_device(found.device, found.fstype, folder, read_only=read_only, stop=stop)
        mount = next((m for m in mounts.all_mounts() if m.mountpoint == str(folder)), None)
        if mount is None:
            raise MountFailed(f"{found.device} is not mounted, although mount said so.")
        if mount.read_only and not read_only:
            raise Refused(
                f"{found.device} can be mounted read-only only: its file system has errors, or is protected.",
                "Let its own system check it (chkdsk, fsck), or choose another place.",
            )
    except BaseException:
        if folder.is_mount():
            unmount(folder)
        _clear(folder)
        raise
    return folder


def _name(found: Unmounted) -> str:
    """Of harmless letters only: the UUID comes from the disk."""
    uuid = re.sub(r"[^0-9A-Za-z-]", "", found.uuid)[:40]
    device = re.sub(r"[^0-9A-Za-z-]", "_", Path(found.device).name)
    return f"{device}-{uuid}" if uuid else device


def _leave(folder: Path) -> None:
    """Unmount it when nobody of us uses it."""
    users = _users_of(folder)
    if _living(users) or (users / _KEPT).exists():
        return
    if folder.is_mount():
        unmount(folder)
    _clear(folder)


def _clear(folder: Path) -> None:
    """Remove what is left of a mount that is gone. Only empty folders: nothing of a disk can be hit."""
    users = _users_of(folder)
    try:
        for name in _listing(users):
            name.unlink(missing_ok=True)
        for place in (users, folder):
            if place.exists():
                place.rmdir()
    except OSError:  # in use by somebody, or not empty: it does no harm
        return


def _root() -> Path:
    return Path(os.path.realpath(ROOT))


def _users_of(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.users"


def _sign_in(folder: Path) -> int:
    path = _users_of(folder) / f"{os.getpid()}-{time.monotonic_ns()}"
    fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    blkdev.lock_exclusively(fd)
    return fd


def _sign_out(folder: Path, fd: int) -> None:
    os.close(fd)
    _living(_users_of(folder))  # removes what nobody holds


def _living(users: Path) -> int:
    """How many programs hold a lock; files of those that are gone are removed."""
    count = 0
    for path in _listing(users):
        if path.name == _KEPT:
            continue
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if blkdev.lock_exclusively(fd):
                path.unlink(missing_ok=True)
            else:
                count += 1
        finally:
            os.close(fd)
    return count


def _listing(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


@contextmanager
def _books() -> Iterator[None]:
    """One program at a time mounts, unmounts, and writes down who uses what. Raises Refused when it never comes."""
    try:
        ROOT.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(_root() / ".lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"{ROOT} cannot be used: {error.strerror}.", "Mounting needs root: use sudo.") from error
    try:
        end = time.monotonic() + _LOCK_PATIENCE
        while not blkdev.lock_exclusively(fd):
            if time.monotonic() > end:
                raise Refused("Another Jurymast is mounting something, and does not come to an end.", "Look for it.")
            time.sleep(0.05)
        yield
    finally:
        os.close(fd)
