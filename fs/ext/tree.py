"""The files of an ext2, ext3 or ext4 volume, as they are once the journal has been replayed.

Each directory is shown in one place only, so no walk goes round in circles. A directory belongs where its entry '..'
says; when nothing fits, to the first directory that led to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice

from formats.base.errors import ChecksumMismatch, DeviceError, FormatError, Inconsistent, RecoveryError, Unsupported
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from fs.api import Identity
from fs.ext.access import Access, RawInode
from fs.ext.bitmap import View
from fs.ext.data import BytesReader, MappedReader, byte_runs
from fs.ext.directory import DirEntry, entries
from fs.ext.findings import Findings
from fs.ext.htree import leaf_blocks
from fs.ext.inode import (
    CASEFOLD_FLAG,
    EA_INODE_FLAG,
    ENCRYPT_FLAG,
    INDEX_FLAG,
    INLINE_DATA_FLAG,
    ROOT_INODE,
    Inode,
    checksum_complaint,
    decode_inode,
    has_map,
)
from fs.ext.listing import directory_entries
from fs.ext.names import REPLACEMENT, folded, no_key_name, shown_name
from fs.ext.node import ENTRY_KINDS, Key, largest_size, make_node
from fs.ext.superblock import DIR_INDEX, FILETYPE
from fs.ext.volume import ExtVolume, open_volume
from fs.ext.xattr import all_attributes, inline_data
from fs.tree import Node, NodeKind, NodeReader, Run, StreamInfo

BATCH_FIRST, BATCH_MOST = 256, 16384  # entries whose inodes are looked up together
ADOPTED_MOST = 65536  # directories whose entry '..' names another one
TOLD_MOST = 16384
PAGE_BITS = 15
LINK_LIMIT = 64 << 10  # bytes of the target of a symlink
NOT_FOR_FILES = frozenset({"ext.journal", "ext.needs_recovery"})  # problems of a volume that speak of copying it


def open_tree(source: BlockSource) -> ExtTree:
    """The files of the ext volume on `source`.

    Raises NotThisFormat, Unsupported (features, journal devices), FormatError or DeviceError without a usable
    superblock or group descriptors.
    """
    return ExtTree(open_volume(source))


class ExtTree:
    """Implements fs.tree.FileTree. `number` of a Node is its inode."""

    def __init__(self, volume: ExtVolume) -> None:
        self._volume = volume
        self._findings = Findings()
        self._told: set[tuple[str, str]] = set()
        view, uncertain = volume.view()
        self._access = Access(volume.superblock, view, self._tell)
        if volume.superblock.needs_recovery and not uncertain and not self._has_root(view):
            on_disk = volume.view_on_disk()
            if self._has_root(on_disk):
                uncertain = "its replay would leave no root directory"
                self._access = Access(volume.superblock, on_disk, self._tell)
        self._listed: dict[int, bytearray] = {}  # bits of the directories that were shown where they belong
        self._adopted: dict[int, int] = {}  # directory -> the directory that shows it, against its entry '..'
        if uncertain:
            self._findings.warning(
                "ext.journal",
                f"the journal cannot be followed ({uncertain}), so the files are shown as they are on the disk, "
                "without what was written last",
            )
        elif volume.superblock.needs_recovery:
            self._findings.add(
                Severity.INFO, "ext.needs_recovery",
                "the file system was not unmounted cleanly; the files are shown as they are after the replay of "
                "its journal",
            )  # fmt: skip

    @property
    def identity(self) -> Identity:
        return self._volume.identity

    @property
    def problems(self) -> Sequence[Problem]:
        """See FileTree. Bounded: of each kind the first ones, and a count."""
        of_volume = [p for p in self._volume.problems if p.code not in NOT_FOR_FILES]
        return [*of_volume, *self._findings.problems()]

    @property
    def root(self) -> Node:
        """The root directory; raises FormatError, DeviceError when its inode cannot be read."""
        raw, offset = self._access.raw_inode(ROOT_INODE)
        found = RawInode(ROOT_INODE, raw, offset, checksum_complaint(self._access.sb, ROOT_INODE, raw))
        self._complain(found)
        return make_node(self._access.sb, ROOT_INODE, raw, offset, "", ROOT_INODE)

    def children(self, directory: Node) -> Iterator[Node]:
        """See FileTree. Raises FormatError, or DeviceError when the medium fails, if no block can be read."""
        inode = self._directory(directory)
        found = directory_entries(self._access, inode)
        head = list(islice(found, 2))
        if inode.number != ROOT_INODE:
            said = next((entry.inode for entry in head if entry.name == b".."), 0)
            self._claim(inode, self._parent(directory), said)
        rest = chain(head, found)
        del head
        size = BATCH_FIRST
        seen: set[int] = set()
        while batch := list(islice(rest, size)):
            for node in self._nodes(inode, batch):
                if node.kind is NodeKind.DIRECTORY:
                    if node.number in seen:
                        self._entry_problem(inode, node.number, "is a second name of the same directory")
                        continue
                    seen.add(node.number)
                yield node
            size = min(size * 4, BATCH_MOST)

    def child(self, directory: Node, name: str) -> Node | None:
        """See FileTree. Names in encrypted directories are the encoded ones."""
        inode = self._directory(directory)
        if name in (".", ".."):
            return None
        try:
            stored = name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return None
        if inode.flags & ENCRYPT_FLAG or REPLACEMENT in name:
            return self._search(inode, lambda entry: self._shown(inode, entry.name) == name)
        if inode.flags & CASEFOLD_FLAG:
            wanted = folded(name)
            return self._search(inode, lambda entry: folded(shown_name(entry.name)) == wanted)
        if inode.flags & INDEX_FLAG and self._access.sb.compat & DIR_INDEX and not inode.flags & INLINE_DATA_FLAG:
            sure, entry = self._look_up(inode, stored)
            if entry is not None:
                return next(iter(self._nodes(inode, [entry])), None)
            if sure:
                return None
        return self._search(inode, lambda entry: entry.name == stored)

    def open(self, node: Node, stream: str = "") -> NodeReader:
        """See FileTree. Symlinks give their target."""
        if stream:
            raise Unsupported(f"inode {node.number}", f"a named stream ({stream!r}), for ext has none,")
        if node.kind is NodeKind.SYMLINK:
            return BytesReader(self._target(node))
        if node.kind is not NodeKind.FILE:
            raise Unsupported(f"inode {node.number}", f"reading the content of a {node.kind}")
        inode = self._readable(node)
        if inode.flags & INLINE_DATA_FLAG:
            return BytesReader(self._inline(inode))
        return MappedReader(self._access, inode, inode.size)

    def streams(self, node: Node) -> Sequence[StreamInfo]:
        return ()

    def runs(self, node: Node, stream: str = "") -> Iterator[Run]:
        """See FileTree; also of directories and of symlinks with a block. Where the map is damaged, a hole."""
        if stream:
            raise Unsupported(f"inode {node.number}", f"a named stream ({stream!r}), for ext has none,")
        inode = self._inode(node)
        if not has_map(self._access.sb, inode) or inode.size > largest_size(self._access.sb, inode):
            return iter(())
        return byte_runs(self._access, inode)

    def link_target(self, node: Node) -> str:
        if node.kind is not NodeKind.SYMLINK:
            raise Unsupported(f"inode {node.number}", f"the target of a {node.kind}")
        return self._target(node).split(b"\0")[0].decode("utf-8", "surrogateescape")

    def xattrs(self, node: Node) -> dict[str, bytes]:
        """See FileTree. Those that are damaged are left out and become Problems."""
        return all_attributes(self._access, self._inode(node))

    def _has_root(self, view: View) -> bool:
        try:
            raw, offset = Access(self._volume.superblock, view, self._tell).raw_inode(ROOT_INODE)
        except (FormatError, DeviceError):
            return False
        return decode_inode(self._volume.superblock, ROOT_INODE, raw, offset).is_directory

    def _tell(self, code: str, error: RecoveryError) -> None:
        text = str(error)
        if (code, text) in self._told:
            return
        if len(self._told) >= TOLD_MOST:
            self._told.clear()
        self._told.add((code, text))
        offset = error.offset if isinstance(error, FormatError | DeviceError) else None
        self._findings.error(code, text, offset)

    def _entry_problem(self, directory: Inode, number: int, what: str) -> None:
        self._tell(
            "ext.directory",
            Inconsistent(
                f"inode {directory.number} directory", directory.offset, f"an entry for inode {number} {what}"
            ),
        )

    def _complain(self, found: RawInode) -> None:
        if found.complaint:
            self._tell(
                "ext.inode",
                ChecksumMismatch(
                    f"inode {found.number}", found.offset, found.complaint, source=self._volume.source.name
                ),
            )

    def _inode(self, node: Node) -> Inode:
        """Raises FormatError, DeviceError."""
        if isinstance(node.key, Key) and node.key.inode is not None:
            return node.key.inode
        raw, offset = self._access.raw_inode(node.number)
        self._complain(RawInode(node.number, raw, offset, checksum_complaint(self._access.sb, node.number, raw)))
        return decode_inode(self._access.sb, node.number, raw, offset)

    def _parent(self, node: Node) -> int:
        return node.key.parent if isinstance(node.key, Key) else 0

    def _directory(self, node: Node) -> Inode:
        inode = self._inode(node)
        if not inode.is_directory:
            raise Inconsistent(f"inode {inode.number}", inode.offset, "it is no directory", found=oct(inode.mode))
        return inode

    def _readable(self, node: Node) -> Inode:
        """The inode of a file or symlink whose content can be read. Raises Unsupported, FormatError, DeviceError."""
        inode = self._inode(node)
        if inode.flags & ENCRYPT_FLAG:
            raise Unsupported(f"inode {inode.number}", "reading what is encrypted (fscrypt), without its key,")
        if inode.size > largest_size(self._access.sb, inode):
            raise Inconsistent(
                f"inode {inode.number}", inode.offset + 4, "size",
                expected=f"0 to {largest_size(self._access.sb, inode)}", found=inode.size,
            )  # fmt: skip
        return inode

    def _inline(self, inode: Inode) -> bytes:
        """The content of a file in its inode; what was never written reads as zeros."""
        data = inode.block
        if inode.size > len(data):
            data += inline_data(self._access, inode)[0]
        return data[: inode.size].ljust(inode.size, b"\0")

    def _target(self, node: Node) -> bytes:
        inode = self._readable(node)
        if inode.flags & INLINE_DATA_FLAG:
            return self._inline(inode)
        if has_map(self._access.sb, inode):
            if inode.size > LINK_LIMIT:
                raise Inconsistent(
                    f"inode {inode.number} symlink", inode.offset + 4, "length", expected=f"0 to {LINK_LIMIT}",
                    found=inode.size,
                )  # fmt: skip
            return MappedReader(self._access, inode, inode.size).read_at(0, inode.size)
        if inode.size >= len(inode.block):
            raise Inconsistent(
                f"inode {inode.number} symlink", inode.offset + 4, "length of a target in the inode",
                expected=f"0 to {len(inode.block) - 1}", found=inode.size,
            )  # fmt: skip
        return inode.block[: inode.size]

    def _claim(self, inode: Inode, parent: int, said: int) -> None:
        """Take `parent` for the one place of a directory whose entry '..' names `said`; raises Inconsistent."""
        number = inode.number
        page = self._listed.setdefault(number >> PAGE_BITS, bytearray(1 << PAGE_BITS >> 3))
        byte, bit = (number & ((1 << PAGE_BITS) - 1)) >> 3, 1 << (number & 7)
        adopter = self._adopted.get(number)
        if adopter is None and said == parent:
            page[byte] |= bit
        elif adopter is None and not page[byte] & bit and len(self._adopted) < ADOPTED_MOST:
            self._adopted[number] = parent
            self._tell(
                "ext.directory",
                Inconsistent(
                    f"inode {number} directory", inode.offset, "entry '..'", expected=f"inode {parent}", found=said
                ),
            )
        elif adopter != parent:
            error = Inconsistent(
                f"inode {number} directory", inode.offset, "it is shown elsewhere",
                expected=f"inode {adopter or said} as its parent", found=parent,
            )  # fmt: skip
            self._tell("ext.directory", error)
            raise error

    def _search(self, inode: Inode, matches: Callable[[DirEntry], bool]) -> Node | None:
        for entry in directory_entries(self._access, inode):
            if entry.name not in (b".", b"..") and matches(entry):
                for node in self._nodes(inode, [entry]):
                    return node
        return None

    def _look_up(self, inode: Inode, name: bytes) -> tuple[bool, DirEntry | None]:
        """(whether the answer is certain, entry) by the hash tree."""
        sb = self._access.sb
        if inode.size > largest_size(sb, inode) or (not sb.hash_flags and not name.isascii()):
            return False, None  # how the bytes were hashed depends on the machine that wrote them
        size = -(-inode.size // sb.block_size) * sb.block_size
        try:
            for block, data in leaf_blocks(sb, inode, MappedReader(self._access, inode, size), name):
                for entry in entries(sb, inode, data, block * sb.block_size):
                    if entry.name == name:
                        return True, entry
        except (FormatError, DeviceError, Unsupported):
            return False, None
        return True, None

    def _shown(self, directory: Inode, name: bytes) -> str:
        if directory.flags & ENCRYPT_FLAG and name not in (b".", b".."):
            return no_key_name(self._access.sb, directory, name)
        return shown_name(name)

    def _nodes(self, directory: Inode, batch: Sequence[DirEntry]) -> Iterator[Node]:
        """Nodes for entries, in their order; '.', '..' and what leads nowhere are left out."""
        sb = self._access.sb
        first, own = sb.first_inode, directory.number
        wanted: list[DirEntry] = []
        for entry in batch:
            number, _, stored = entry
            if stored == b"." or stored == b"..":
                continue
            if number < first or number == own or not stored:
                self._entry_problem(directory, number, f"has the name {shown_name(stored)!r}")
                continue
            wanted.append(entry)
        inodes = {found.number: found for found in self._access.raw_inodes(entry.inode for entry in wanted)}
        plain = not directory.flags & ENCRYPT_FLAG
        typed = bool(sb.incompat & FILETYPE)
        for number, file_type, stored in wanted:
            found = inodes[number]
            try:
                name = stored.decode() if plain else self._shown(directory, stored)
            except UnicodeDecodeError:
                name = shown_name(stored)
            if plain and (b"/" in stored or b"\0" in stored):
                self._entry_problem(directory, number, f"has the impossible name {stored!r}")
                name = shown_name(stored)
            if found.error is not None:
                self._tell("ext.inode", found.error)
                kind = ENTRY_KINDS.get(file_type, NodeKind.OTHER) if typed else NodeKind.OTHER
                note = f"damaged: its inode cannot be read ({found.error})"
                yield Node(name, number, kind, 0, note=note, key=Key(None, own))
                continue
            if found.complaint:
                self._complain(found)
            node = make_node(sb, number, found.raw, found.offset, name, own)
            if not node.mode or (not node.links and found.raw[0x14:0x18] != b"\0\0\0\0"):
                self._entry_problem(directory, number, f"({name!r}) leads to an inode that is not in use")
                continue
            if node.attributes & EA_INODE_FLAG:
                self._entry_problem(directory, number, f"({name!r}) leads to the value of an attribute")
            if typed and file_type and node.kind is not ENTRY_KINDS.get(file_type):
                self._entry_problem(directory, number, f"({name!r}) does not tell its type: {node.kind}")
            yield node
