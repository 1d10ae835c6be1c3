"""A folder as the destination: everything through directory descriptors, nothing followed, nothing overwritten.

A file is written under a temporary name and gets its own when it is complete, so that what is interrupted never looks
good. The safety of names rests on three things: each name is one component (safenames), each directory is opened
with O_NOFOLLOW below its parent's descriptor, and a name that exists already is never opened for writing.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from formats.base.errors import Cancelled, DeviceError, RecoveryError
from formats.base.zeros import is_zero
from fs.tree import NodeKind
from fs.walk import shown
from recovery.engine.content import Damage
from recovery.engine.extract import Item
from recovery.engine.extract_metadata import apply_metadata, apply_to_link, times_of
from recovery.engine.mounts import mount_carrying
from recovery.engine.safenames import another_name, attribute_name, encode, stream_file_name, with_suffix

DAMAGED = ".damaged"
STREAM_ATTRIBUTE = "user.ntfs-stream."
_STREAM_LIMIT = 64 * 1024  # XATTR_SIZE_MAX of Linux
_LINKS_KEPT = 200_000  # hard-linked files whose other names are still to come, about 60 MB
_TICK = 0.05  # seconds; the clock of most file systems goes in steps of up to 10 ms
_TRIES = 10_000  # names for one that is taken
_ENDS_ALL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENODEV, errno.ENOTCONN, errno.ESTALE})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES})
_WINDOWS_RULES = frozenset({"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "cifs", "smb3", "9p"})
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TargetFailed(DeviceError):
    """The target takes nothing any more; the file that met it is named."""


class _Open:
    """A directory that is being filled. `made`: by this run."""

    __slots__ = ("fd", "made", "name")

    def __init__(self, fd: int, name: bytes, made: bool) -> None:
        self.fd, self.name, self.made = fd, name, made


class Folder:
    """See the module. Use as a context manager. `windows` None: as the file system of the folder needs it."""

    def __init__(self, path: Path, *, overwrite: bool = False, windows: bool | None = None) -> None:
        self._path, self._overwrite = path, overwrite
        self._umask = os.umask(0)
        os.umask(self._umask)
        try:
            path.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceError(str(path), "making the folder", 0, 0, error.errno or 0) from error
        self._stack = [_Open(fd, b"", False)]
        self.windows = _windows_rules(path) if windows is None else windows
        self._links_work = True
        self._links: dict[int, tuple[tuple[bytes, ...], int]] = {}
        self._temporary = b".jurymast-%d.part" % os.getpid()
        try:
            self._began = self._clock()
        except BaseException:
            self.close()
            raise

    def _clock(self) -> int:
        """What the target's own clock says (ctime of a file made now): what is newer was made by this run."""
        here = self._stack[0].fd
        try:
            fd = os.open(self._temporary, _NEW, 0o600, dir_fd=here)
            try:
                now = first = os.fstat(fd).st_ctime_ns
                deadline = time.monotonic() + _TICK
                while now == first and time.monotonic() < deadline:
                    # The clock goes in steps; one step further, nothing older can look as if it were ours.
                    time.sleep(0.001)
                    os.fchmod(fd, 0o600)
                    now = os.fstat(fd).st_ctime_ns
                return now
            finally:
                os.close(fd)
                os.unlink(self._temporary, dir_fd=here)
        except OSError as error:
            number = error.errno or 0
            advice = "Is there a half-made file of an earlier run? Remove it." if number == errno.EEXIST else ""
            raise DeviceError(str(self._path), "writing into the folder", 0, 0, number, advice) from error

    # directories

    def enter(self, item: Item) -> bool:
        here = self._stack[-1].fd
        name = item.name
        for number in range(2, _TRIES):
            raw = encode(name)
            made = False
            try:
                try:
                    os.mkdir(raw, 0o700, dir_fd=here)
                    made = True
                except FileExistsError:
                    if self._is_ours(raw):
                        # Two entries with one name on the target: case, a damaged directory, names made safe.
                        name = another_name(item.name, number)
                        continue
                fd = os.open(raw, _DIRECTORY, dir_fd=here)
            except OSError as error:
                self._refused(item, error)
                return False
            if name != item.name:
                item.tally.rename(item.path, name, "another entry has this name on the target")
            self._stack.append(_Open(fd, raw, made))
            return True
        item.tally.lose(item.path, "extract.name", "no free name was found on the target")
        return False

    def leave(self, item: Item) -> None:
        directory = self._stack.pop()
        try:
            if directory.made:
                self._streams(directory.fd, item)
                apply_metadata(directory.fd, item, self._umask)
        finally:
            os.close(directory.fd)

    def _is_ours(self, raw: bytes) -> bool:
        """Whether an existing name was made by this run. In a directory that we made, everything is ours."""
        if self._stack[-1].made:
            return True
        try:
            return os.lstat(raw, dir_fd=self._stack[-1].fd).st_ctime_ns >= self._began
        except OSError:
            return False

    # files

    def file(self, item: Item) -> None:
        node = item.node
        shared = node.links > 1
        if shared and self._link_to_first(item):
            return
        here = self._stack[-1].fd
        damage = Damage()
        try:
            fd = os.open(self._temporary, _NEW, 0o600, dir_fd=here)
        except OSError as error:
            self._refused(item, error)
            return
        placed = b""
        try:
            try:
                self._fill(fd, item, damage, "")
                if damage and damage.total >= node.size:
                    item.tally.lose(item.path, "extract.unreadable", damage.to_text())
                    return
                self._streams(fd, item)
                apply_metadata(fd, item, self._umask)
                inode = os.fstat(fd).st_ino if shared else 0
            finally:
                os.close(fd)
            name = with_suffix(item.name, DAMAGED) if damage else item.name
            placed = self._place(item, name)
        except (Cancelled, TargetFailed):
            raise
        except RecoveryError as error:
            item.tally.lose(item.path, "extract.unreadable", str(error))
            return
        except OSError as error:
            self._refused(item, error)
            return
        finally:
            if not placed:
                self._discard()
        if not placed:
            return
        item.tally.files += 1
        if damage:
            item.tally.lose(item.path, "extract.damaged", f"{damage.to_text()}; kept as {os.fsdecode(placed)}")
        elif shared and len(self._links) < _LINKS_KEPT:
            self._links[node.number] = ((*(d.name for d in self._stack[1:]), placed), inode)
        elif shared:
            item.tally.not_kept("hard links (too many to remember; made as separate files)", item.path)

    def _discard(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._temporary, dir_fd=self._stack[-1].fd)

    def _fill(self, fd: int, item: Item, damage: Damage, stream: str) -> None:
        """Write the content; holes are left out. OSErrors that end everything leave as DeviceError."""
        end = written = 0
        for offset, length, data in item.content(damage, stream):
            end = offset + length
            if data is None or (length <= 65536 and is_zero(data)):
                continue
            count = os.pwrite(fd, data, offset)
            while count < length:
                count += os.pwrite(fd, memoryview(data)[count:], offset + count)
            written = end
        if written < end:
            os.ftruncate(fd, end)

    def _place(self, item: Item, wanted: str) -> bytes:
        """Give the temporary file its name; b'' (and a loss told) when something is there that must stay."""
        here = self._stack[-1].fd
        name = wanted
        for number in range(2, _TRIES):
            raw = encode(name)
            if self._name_it(raw):
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

    def _link_to_first(self, item: Item) -> bool:
        """Make `item` a hard link to the name that this file got before. False: it has to be written anew."""
        known = self._links.get(item.node.number)
        if known is None:
            return False
        parts, inode = known
        fd = os.dup(self._stack[0].fd)
        try:
            for part in parts[:-1]:
                below = os.open(part, _DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = below
            if os.lstat(parts[-1], dir_fd=fd).st_ino != inode:
                return False
            self._discard()
            os.link(
                parts[-1], self._temporary, src_dir_fd=fd, dst_dir_fd=self._stack[-1].fd, follow_symlinks=False
            )  # fmt: skip
            try:
                item.tally.links += bool(self._place(item, item.name))
                return True
            finally:
                self._discard()  # a rename between two names of one file does nothing
        except OSError as error:
            if error.errno in _ENDS_ALL:
                raise self._ended(item, error) from error
            item.tally.not_kept("hard links (made as separate files)", item.path)
            return False
        finally:
            os.close(fd)

    def symlink(self, item: Item, target: str) -> None:
        try:
            made = target.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            item.tally.lose(item.path, "extract.skipped", "where the link leads is no valid text")
            return
        here = self._stack[-1].fd
        try:
            self._discard()
            os.symlink(made, self._temporary, dir_fd=here)
            try:
                placed = self._place(item, item.name)
                if placed:
                    apply_to_link(placed, item, here)
                    item.tally.links += 1
            finally:
                self._discard()
        except OSError as error:
            self._refused(item, error)

    def special(self, item: Item) -> None:
        node = item.node
        kinds = {
            NodeKind.CHARACTER_DEVICE: stat.S_IFCHR,
            NodeKind.BLOCK_DEVICE: stat.S_IFBLK,
            NodeKind.FIFO: stat.S_IFIFO,
        }
        if node.kind not in kinds:
            item.tally.not_kept("sockets (they mean nothing without their program)", item.path)
            return
        here = self._stack[-1].fd
        try:
            self._discard()
            number = os.makedev(*node.device) if node.device else 0
            os.mknod(self._temporary, kinds[node.kind] | 0o600, number, dir_fd=here)
            try:
                placed = self._place(item, item.name)
                if placed:
                    apply_to_link(placed, item, here)
                    os.chmod(placed, (node.mode or 0o600) & 0o777, dir_fd=here)
                    item.tally.files += 1
            finally:
                self._discard()
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno in _ENDS_ALL:
                raise self._ended(item, error) from error
            item.tally.not_kept("device nodes and pipes", item.path)

    # streams

    def _streams(self, fd: int, item: Item) -> None:
        """Named streams as attributes where they fit, else as files beside."""
        if item.kind != "ntfs":
            return
        for info in item.streams():
            raw = attribute_name(STREAM_ATTRIBUTE + info.name)
            if raw is not None and info.size <= _STREAM_LIMIT:
                damage = Damage()
                try:
                    whole = b"".join(
                        p.data if p.data is not None else bytes(p.length) for p in item.content(damage, info.name)
                    )
                except Cancelled:
                    raise
                except RecoveryError as error:
                    item.tally.lose(f"{item.path}:{info.name}", "extract.unreadable", str(error))
                    continue
                if not damage:
                    try:
                        os.setxattr(fd, raw, whole)
                        continue
                    except OSError:
                        pass  # no room for it, or no attributes at all: then as a file
            self._stream_file(item, info.name)

    def _stream_file(self, item: Item, stream: str) -> None:
        beside = Item(item.tree, item.node, f"{item.path}:{stream}", "", item.tally, item.check, item.kind)
        parent = self._stack[-1].fd
        name = stream_file_name(item.name, stream, windows=self.windows)
        temporary = self._temporary + b"s"
        damage = Damage()
        try:
            fd = os.open(temporary, _NEW, 0o600, dir_fd=parent)
            try:
                try:
                    self._fill(fd, beside, damage, stream)
                    times = times_of(item.node)
                    if times:
                        with suppress(OverflowError):
                            os.utime(fd, ns=times)
                finally:
                    os.close(fd)
                wanted = with_suffix(name, DAMAGED) if damage else name
                self._place_stream(beside, wanted, temporary)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
        except (Cancelled, TargetFailed):
            raise
        except RecoveryError as error:
            item.tally.lose(beside.path, "extract.unreadable", str(error))
        except OSError as error:
            self._refused(beside, error)
        if damage:
            item.tally.lose(beside.path, "extract.damaged", damage.to_text())

    def _place_stream(self, beside: Item, wanted: str, temporary: bytes) -> None:
        own, self._temporary = self._temporary, temporary
        try:
            placed = self._place(beside, wanted)
        finally:
            self._temporary = own
        if placed:
            beside.tally.rename(beside.path, os.fsdecode(placed), "a named stream, as a file of its own")

    # failures

    def _ended(self, item: Item, error: OSError) -> TargetFailed:
        number = error.errno or 0
        full = number in (errno.ENOSPC, errno.EDQUOT)
        advice = "The target is full. Choose one with more room." if full else "The target does not take any more."
        return TargetFailed(f"{self._path}: {shown(item.path)}", "write", 0, item.node.size, number, advice)

    def _refused(self, item: Item, error: OSError) -> None:
        """The target does not take this one: told as a loss, or the end of everything."""
        if error.errno in _ENDS_ALL:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _windows_rules(path: Path) -> bool:
    mount = mount_carrying(path)
    return mount is not None and mount.fstype in _WINDOWS_RULES
