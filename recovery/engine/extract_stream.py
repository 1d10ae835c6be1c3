"""A tar or a zip as the destination: written front to back, so it can go to a pipe.

tar: POSIX.1-2001 pax with times in nanoseconds, owners, hard links, devices, and extended attributes as
SCHILY.xattr.* (as GNU tar and star write them). zip: UTF-8 names, ZIP64 where needed, modes and links as Info-ZIP
has them (APPNOTE.TXT 6.3, external file attributes of "version made by" 3).
"""

from __future__ import annotations

import errno
import io
import stat
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from formats.base.errors import Cancelled, RecoveryError
from formats.base.units import GiB, MiB
from fs.tree import NodeKind
from fs.walk import shown
from recovery.engine.content import Damage, Piece
from recovery.engine.extract import Item
from recovery.engine.extract_folder import DAMAGED, STREAM_ATTRIBUTE
from recovery.engine.extract_metadata import mode_of
from recovery.engine.extract_places import TargetFailed
from recovery.engine.safenames import another_name, encode, stream_file_name, with_suffix

_LINKS_KEPT = 200_000
_UMASK = 0o022
_STREAM_LIMIT = 64 * 1024
_ZEROS = bytes(MiB)
_EARLIEST, _LATEST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)  # of a date in a zip


class _Names:
    """The directories that stand open, as a path inside of the archive."""

    def __init__(self) -> None:
        self._open: list[str] = []

    def enter(self, name: str) -> None:
        self._open.append(name)

    def leave(self) -> None:
        self._open.pop()

    def of(self, name: str) -> str:
        return "/".join([*self._open, name])


class _Bytes(io.RawIOBase):
    """What is left of a file's content as a file to read from: for tarfile, which wants one. Always `size` bytes."""

    def __init__(self, pieces: Iterator[Piece], size: int) -> None:
        self._pieces, self._left = pieces, size
        self._rest = memoryview(b"")
        self._zeros = 0

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        out = bytearray()
        while len(out) < wanted:
            if not self._rest and not self._zeros:
                piece = next(self._pieces, None)
                if piece is None:
                    self._zeros = wanted - len(out)  # the content ended early; the header's size stands already
                elif piece.data is None:
                    self._zeros = piece.length
                else:
                    self._rest = memoryview(piece.data)
                continue
            room = wanted - len(out)
            if self._zeros:
                count = min(room, self._zeros, len(_ZEROS))
                out += _ZEROS[:count]
                self._zeros -= count
            else:
                out += self._rest[:room]
                self._rest = self._rest[room:]
        self._left -= len(out)
        return bytes(out)


class Tar:
    """See the module. `file` is written from front to back and stays open."""

    windows = False

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._name, self._names = name, _Names()
        self._links: dict[int, str] = {}
        self._tar = tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, bufsize=MiB)  # noqa: SIM115

    def close(self) -> None:
        """Write the end. Without it the tar is visibly incomplete."""
        with _failing(self._name, "the end"):
            self._tar.close()

    def enter(self, item: Item) -> bool:
        self._add(self._info(item, item.name, tarfile.DIRTYPE), item)
        self._names.enter(item.name)
        return True

    def leave(self, item: Item) -> None:
        self._names.leave()

    def file(self, item: Item) -> None:
        node = item.node
        first = self._links.get(node.number) if node.links > 1 else None
        if first is not None:
            info = self._info(item, item.name, tarfile.LNKTYPE)
            info.linkname = first
            self._add(info, item)
            item.tally.links += 1
            return
        if self._content(item, item.name, "") and node.links > 1:
            if len(self._links) < _LINKS_KEPT:
                self._links[node.number] = self._names.of(item.name)
            else:
                item.tally.not_kept("hard links (too many to remember; made as separate files)", item.path)
        for stream in item.streams():
            if stream.size <= _STREAM_LIMIT:
                continue
            beside = Item(item.tree, node, f"{item.path}:{stream.name}", "", item.tally, item.check)
            self._content(beside, stream_file_name(item.name, stream.name, windows=False), stream.name)

    def _content(self, item: Item, name: str, stream: str) -> bool:
        damage = Damage()
        try:
            size = item.tree.open(item.node, stream).size
        except Cancelled:
            raise
        except RecoveryError as error:
            item.tally.lose(item.path, "extract.unreadable", str(error))
            return False
        info = self._info(item, name, tarfile.REGTYPE, attributes=not stream)
        info.size = size
        try:
            self._add(info, item, _Bytes(item.content(damage, stream), size))
        except (Cancelled, TargetFailed):
            raise
        except RecoveryError as error:
            raise TargetFailed(
                self._name, f"reading {item.path} ({error}) for the write", 0, size, errno.EIO
            ) from error
        item.tally.files += 1
        if damage:
            item.tally.lose(item.path, "extract.damaged", f"{damage.to_text()}; zeros stand there in the tar")
            note = f"{item.path}: {damage.to_text()}\n".encode("utf-8", "backslashreplace")
            about = self._info(item, with_suffix(name, DAMAGED + ".txt"), tarfile.REGTYPE, attributes=False)
            about.size = len(note)
            self._add(about, item, io.BytesIO(note))
        return True

    def symlink(self, item: Item, target: str) -> None:
        info = self._info(item, item.name, tarfile.SYMTYPE)
        info.linkname = target
        self._add(info, item)
        item.tally.links += 1

    def special(self, item: Item) -> None:
        kinds = {
            NodeKind.CHARACTER_DEVICE: tarfile.CHRTYPE,
            NodeKind.BLOCK_DEVICE: tarfile.BLKTYPE,
            NodeKind.FIFO: tarfile.FIFOTYPE,
        }
        if item.node.kind not in kinds:
            item.tally.not_kept("sockets (they mean nothing without their program)", item.path)
            return
        info = self._info(item, item.name, kinds[item.node.kind])
        if item.node.device:
            info.devmajor, info.devminor = item.node.device
        self._add(info, item)
        item.tally.files += 1

    def _info(self, item: Item, name: str, kind: bytes, *, attributes: bool = True) -> tarfile.TarInfo:
        node = item.node
        info = tarfile.TarInfo(self._names.of(name))
        info.type = kind
        info.mode = mode_of(node, _UMASK, owned=True)
        headers: dict[str, str] = {}
        info.uid, info.gid = node.uid or 0, node.gid or 0
        for key, value in (("mtime", node.times.modified), ("atime", node.times.accessed)):
            if value is not None:
                sign, whole = ("-", -value) if value < 0 else ("", value)
                headers[key] = f"{sign}{whole // 10**9}.{whole % 10**9:09d}"
        if node.times.modified is not None and 0 <= node.times.modified < 8**11 * 10**9:
            info.mtime = node.times.modified // 10**9
        if attributes and kind in (tarfile.REGTYPE, tarfile.DIRTYPE):
            for key, data in self._attributes(item).items():
                # The tar module writes UTF-8; bytes that are no UTF-8 go through as they are.
                headers[f"SCHILY.xattr.{key}"] = data.decode("utf-8", "surrogateescape")
        info.pax_headers = headers
        return info

    def _attributes(self, item: Item) -> dict[str, bytes]:
        found = {k: v for k, v in item.xattrs().items() if not k.startswith("system.ntfs_") and "=" not in k}
        for stream in item.streams():
            if stream.size > _STREAM_LIMIT or "=" in stream.name:
                continue
            damage = Damage()
            try:
                data = b"".join(
                    p.data if p.data is not None else bytes(p.length) for p in item.content(damage, stream.name)
                )
            except Cancelled:
                raise
            except RecoveryError as error:
                item.tally.lose(f"{item.path}:{stream.name}", "extract.unreadable", str(error))
                continue
            if damage:
                item.tally.lose(f"{item.path}:{stream.name}", "extract.damaged", damage.to_text())
            found[STREAM_ATTRIBUTE + stream.name] = data
        return found

    def _add(self, info: tarfile.TarInfo, item: Item, content: IO[bytes] | _Bytes | None = None) -> None:
        with _failing(self._name, item.path):
            try:
                self._tar.addfile(info, content)
            except UnicodeEncodeError:
                item.tally.lose(item.path, "extract.skipped", "its name, link or an attribute is no valid text")


class Zip:
    """See the module. Names follow the rules of Windows, because that is where zips go."""

    windows = True

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._name, self._names = name, _Names()
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False)
        self._used: list[set[str]] = [set()]

    def close(self) -> None:
        """Write the directory of the zip. Without it there is no zip."""
        with _failing(self._name, "the end"):
            self._zip.close()

    def enter(self, item: Item) -> bool:
        name = self._free(item)
        with _failing(self._name, item.path):
            self._zip.writestr(self._info(item, name + "/", stat.S_IFDIR), b"")
        self._names.enter(name)
        self._used.append(set())
        self._not_kept(item)
        return True

    def leave(self, item: Item) -> None:
        self._names.leave()
        self._used.pop()

    def file(self, item: Item) -> None:
        if item.node.links > 1:
            item.tally.not_kept("hard links (made as separate files)", item.path)
        self._not_kept(item)
        name = self._free(item)
        self._content(item, name, "")
        for stream in item.streams():
            beside = Item(item.tree, item.node, f"{item.path}:{stream.name}", "", item.tally, item.check)
            self._content(beside, stream_file_name(name, stream.name, windows=True), stream.name)

    def _content(self, item: Item, name: str, stream: str) -> None:
        damage = Damage()
        try:
            size = item.tree.open(item.node, stream).size
        except Cancelled:
            raise
        except RecoveryError as error:
            item.tally.lose(item.path, "extract.unreadable", str(error))
            return
        info = self._info(item, name, stat.S_IFREG)
        with _failing(self._name, item.path), self._zip.open(info, "w", force_zip64=size >= GiB) as out:
            for piece in item.content(damage, stream):
                left = piece.length
                while left:
                    part = _ZEROS[:left] if piece.data is None else piece.data
                    out.write(part)
                    left -= len(part)
        item.tally.files += 1
        if damage:
            item.tally.lose(item.path, "extract.damaged", f"{damage.to_text()}; zeros stand there in the zip")
            note = f"{item.path}: {damage.to_text()}\n".encode("utf-8", "backslashreplace")
            with _failing(self._name, item.path):
                self._zip.writestr(self._info(item, with_suffix(name, DAMAGED + ".txt"), stat.S_IFREG), note)

    def symlink(self, item: Item, target: str) -> None:
        with _failing(self._name, item.path):
            raw = target.encode("utf-8", "surrogatepass")
            self._zip.writestr(self._info(item, self._free(item), stat.S_IFLNK), raw)
        item.tally.links += 1

    def special(self, item: Item) -> None:
        item.tally.not_kept("device nodes, pipes and sockets", item.path)

    def _free(self, item: Item) -> str:
        """The name, or a variant where another entry of the directory differs by case only."""
        used, name, number = self._used[-1], item.name, 1
        while name.casefold() in used:
            number += 1
            name = another_name(item.name, number)
        if number > 1:
            item.tally.rename(item.path, name, "another entry differs by case only")
        used.add(name.casefold())
        return name

    def _not_kept(self, item: Item) -> None:
        if item.node.uid:
            item.tally.not_kept("owners", item.path)
        if any(not name.startswith("system.ntfs_") for name in item.xattrs()):
            item.tally.not_kept("extended attributes and access lists", item.path)

    def _info(self, item: Item, name: str, kind: int) -> zipfile.ZipInfo:
        node = item.node
        seconds = (node.times.modified or 0) // 10**9
        info = zipfile.ZipInfo(encode(self._names.of(name)).decode("utf-8", "replace"), _zip_time(seconds))
        info.create_system = 3
        info.external_attr = (kind | mode_of(node, _UMASK, owned=False)) << 16
        if kind == stat.S_IFDIR:
            info.external_attr |= 0x10
        else:
            info.compress_type = zipfile.ZIP_DEFLATED
        if node.times.modified is not None and -(1 << 31) <= seconds < 1 << 31:
            # "UT" extended timestamp of Info-ZIP: one time, in UTC.
            info.extra = b"UT\x05\x00\x01" + seconds.to_bytes(4, "little", signed=True)
        return info


def _zip_time(seconds: int) -> tuple[int, int, int, int, int, int]:
    """The local date of a zip entry, cut to what its field can hold."""
    try:
        when = time.localtime(seconds)
    except (OverflowError, ValueError, OSError):
        return _EARLIEST if seconds < 0 else _LATEST
    return max(_EARLIEST, min(_LATEST, when[:6]))


@contextmanager
def _failing(name: str, path: str) -> Iterator[None]:
    """What writing raises, as an error that names the file."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        full = number in (errno.ENOSPC, errno.EDQUOT)
        advice = "The target is full. Choose one with more room." if full else ""
        raise TargetFailed(f"{name}: {shown(path)}", "write", 0, 0, number, advice) from error
