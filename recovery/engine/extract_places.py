"""Names in a folder that is being filled: temporary ones, those that are taken, and those that get in each other's way.

Everything goes through directory descriptors; what exists is never opened, followed or replaced unasked.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from formats.base.closing import Closing
from formats.base.errors import DeviceError
from fs.walk import shown
from recovery.engine.extract import Item
from recovery.engine.mounts import mount_carrying
from recovery.engine.safenames import another_name, encode

_NAMES_KEPT = 500_000  # of a directory that was there before, about 40 MB
TRIES = 10_000  # names for one that is taken
ENDS_ALL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENODEV, errno.ENOTCONN, errno.ESTALE})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES})
_WINDOWS_RULES = frozenset({"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "cifs", "smb3", "9p"})
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TargetFailed(DeviceError):
    """The target takes nothing any more; the file that met it is named."""


class Opened:
    """A directory that is being filled. `made`: by this run; else `names` has hashes of what this run made in it."""

    __slots__ = ("fd", "made", "name", "names")

    def __init__(self, fd: int, name: bytes, made: bool) -> None:
        self.fd, self.name, self.made = fd, name, made
        self.names: set[int] = set()


class Places(Closing):
    """A folder, and the directories in it that stand open: see the module. Use as a context manager."""

    def __init__(self, path: Path, *, overwrite: bool = False, windows: bool | None = None) -> None:
        self._path, self._overwrite = path, overwrite
        self._umask = os.umask(0)
        os.umask(self._umask)
        try:
            path.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceError(str(path), "making the folder", 0, 0, error.errno or 0) from error
        self._stack = [Opened(fd, b"", False)]
        self.windows = bool(windows)
        self._links_work = True
        self._temporary = b".jurymast-%d.part" % os.getpid()
        try:
            self._try_out()
            if windows is None:
                self.windows = _windows_rules(path) or self._refuses_names()
        except BaseException:
            self.close()
            raise

    def _try_out(self) -> None:
        """Whether anything can be made here at all, before the first file is read."""
        here = self._stack[0].fd
        try:
            os.close(os.open(self._temporary, NEW, 0o600, dir_fd=here))
            self._discard()
        except OSError as error:
            number = error.errno or 0
            advice = "Is there a half-made file of an earlier run? Remove it." if number == errno.EEXIST else ""
            raise DeviceError(str(self._path), "writing into the folder", 0, 0, number, advice) from error

    def _refuses_names(self) -> bool:
        """Whether ':' or '?' mean something here: FUSE does not tell what file system it is, so it is tried out."""
        here = self._stack[0].fd
        name = self._temporary + b":?"
        try:
            os.close(os.open(name, NEW, 0o600, dir_fd=here))
            os.unlink(name, dir_fd=here)
        except OSError:
            return True
        if self._kind(self._temporary) is None:
            return False
        self._discard()  # ntfs-3g made a file with a stream of it
        return True

    def _is_ours(self, raw: bytes) -> bool:
        """Whether an existing name was made by this run. In a directory that we made, everything is ours.

        Names count without case, because the target may see it so. Past the bound the answer is no, and what
        would have got another name is told as kept back.
        """
        directory = self._stack[-1]
        return directory.made or _folded(raw) in directory.names

    def _made(self, raw: bytes) -> None:
        directory = self._stack[-1]
        if not directory.made and len(directory.names) < _NAMES_KEPT:
            directory.names.add(_folded(raw))

    def _discard(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._temporary, dir_fd=self._stack[-1].fd)

    def _place(self, item: Item, wanted: str) -> bytes:
        """Give the temporary file its name; b'' (and a loss told) when something is there that must stay."""
        here = self._stack[-1].fd
        name = wanted
        for number in range(2, TRIES):
            raw = encode(name)
            if self._name_it(raw):
                self._made(raw)
                if name != wanted:
                    item.tally.rename(item.path, name, "another entry has this name on the target")
                return raw
            if self._is_ours(raw):
                name = another_name(wanted, number)
                continue
            found = self._kind(raw)
            if found is None:
                continue  # gone again
            if not self._overwrite or stat.S_ISDIR(found):
                item.tally.lose(item.path, "extract.exists", f"{wanted} exists already in the target; it was kept")
                return b""
            os.rename(self._temporary, raw, src_dir_fd=here, dst_dir_fd=here)
            self._made(raw)
            return raw
        item.tally.lose(item.path, "extract.name", "no free name was found on the target")
        return b""

    def _name_it(self, raw: bytes) -> bool:
        """False: there is something of that name. A link cannot replace anything, which a rename could."""
        here = self._stack[-1].fd
        if self._links_work:
            try:
                os.link(self._temporary, raw, src_dir_fd=here, dst_dir_fd=here, follow_symlinks=False)
                os.unlink(self._temporary, dir_fd=here)
                return True
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self._links_work = False  # FAT, exFAT, some network file systems
        if self._kind(raw) is not None:
            return False
        os.rename(self._temporary, raw, src_dir_fd=here, dst_dir_fd=here)
        return True

    def _kind(self, raw: bytes) -> int | None:
        try:
            return os.lstat(raw, dir_fd=self._stack[-1].fd).st_mode
        except FileNotFoundError:
            return None

    # failures

    def _ended(self, item: Item, error: OSError) -> TargetFailed:
        number = error.errno or 0
        full = number in (errno.ENOSPC, errno.EDQUOT)
        advice = "The target is full. Choose one with more room." if full else "The target does not take any more."
        return TargetFailed(f"{self._path}: {shown(item.path)}", "write", 0, item.node.size, number, advice)

    def _refused(self, item: Item, error: OSError) -> None:
        """The target does not take this one: told as a loss, or the end of everything."""
        if error.errno in ENDS_ALL:
            raise self._ended(item, error) from error
        reason = error.strerror or str(error)
        item.tally.lose(item.path, "extract.refused", f"the target does not take it: {reason}")

    def close(self) -> None:
        """Close everything; what is half written is removed."""
        while self._stack:
            directory = self._stack.pop()
            for name in (self._temporary, self._temporary + b"s"):
                with suppress(OSError):
                    os.unlink(name, dir_fd=directory.fd)
            os.close(directory.fd)


def _folded(raw: bytes) -> int:
    return hash(raw.decode("utf-8", "surrogateescape").casefold())


def _windows_rules(path: Path) -> bool:
    mount = mount_carrying(path)
    return mount is not None and mount.fstype in _WINDOWS_RULES
