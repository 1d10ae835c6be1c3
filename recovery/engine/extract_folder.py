"""A folder as the destination: everything through directory descriptors, nothing followed, nothing overwritten.

A file is written under a temporary name and gets its own when it is complete, so that what is interrupted never looks
good. The safety of names rests on three things: each name is one component (safenames), each directory is opened
with O_NOFOLLOW below its parent's descriptor, and a name that exists already is never opened for writing.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from formats.base.errors import Cancelled, RecoveryError
from formats.base.zeros import is_zero
from fs.tree import NodeKind
from recovery.engine.content import Damage
from recovery.engine.extract import Item
from recovery.engine.extract_metadata import apply_metadata, apply_to_link, times_of
from recovery.engine.extract_places import DIRECTORY, ENDS_ALL, NEW, TRIES, Opened, Places, TargetFailed
from recovery.engine.safenames import another_name, attribute_name, encode, stream_file_name, with_suffix

DAMAGED = ".damaged"
STREAM_ATTRIBUTE = "user.ntfs-stream."
_STREAM_LIMIT = 64 * 1024  # XATTR_SIZE_MAX of Linux
_LINKS_KEPT = 200_000  # hard-linked files whose other names are still to come, about 60 MB


class Folder(Places):
    """See the module. Use as a context manager. `windows` None: as the file system of the folder needs it."""

    def __init__(self, path: Path, *, overwrite: bool = False, windows: bool | None = None) -> None:
        super().__init__(path, overwrite=overwrite, windows=windows)
        self._links: dict[int, tuple[tuple[bytes, ...], int]] = {}

    # directories

    def enter(self, item: Item) -> bool:
        here = self._stack[-1].fd
        name = item.name
        for number in range(2, TRIES):
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
                fd = os.open(raw, DIRECTORY, dir_fd=here)
            except OSError as error:
                self._refused(item, error)
                return False
            if name != item.name:
                item.tally.rename(item.path, name, "another entry has this name on the target")
            self._made(raw)
            self._stack.append(Opened(fd, raw, made))
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

    # files

    def file(self, item: Item) -> None:
        node = item.node
        shared = node.links > 1
        if shared and self._link_to_first(item):
            return
        here = self._stack[-1].fd
        damage = Damage()
        try:
            fd = os.open(self._temporary, NEW, 0o600, dir_fd=here)
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

    def _link_to_first(self, item: Item) -> bool:
        """Make `item` a hard link to the name that this file got before. False: it has to be written anew."""
        known = self._links.get(item.node.number)
        if known is None:
            return False
        parts, inode = known
        fd = os.dup(self._stack[0].fd)
        try:
            for part in parts[:-1]:
                below = os.open(part, DIRECTORY, dir_fd=fd)
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
            if error.errno in ENDS_ALL:
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
            if isinstance(error, OSError) and error.errno in ENDS_ALL:
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
            fd = os.open(temporary, NEW, 0o600, dir_fd=parent)
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
