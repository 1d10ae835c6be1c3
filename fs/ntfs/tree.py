"""The files of an NTFS volume: implements fs.tree.FileTree.

A directory is shown only where its own record says that it lies, and once there: so no walk can go in a circle or
grow beyond the number of records, whatever the indexes of a damaged volume say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from formats.base.errors import DeviceError, FormatError, Inconsistent, RecoveryError, Unsupported
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from fs.api import Identity
from fs.ntfs.attribute import FILE_NAME, Attribute, parse_file_name, printable
from fs.ntfs.boot import find_boot
from fs.ntfs.content import ENCRYPTED_NOTE, WOF_STREAM, Content, content, reparse_of, special, stream_infos
from fs.ntfs.extents import plain_runs, unit_runs, wof_runs
from fs.ntfs.findings import Findings
from fs.ntfs.index import I30, DirectoryEntry, Index
from fs.ntfs.inode import DOS, Facts, Inodes, reparse_value
from fs.ntfs.mft import ROOT, Budget, Mft
from fs.ntfs.names import NAME_AT, Search, UpCase, name_bytes
from fs.ntfs.record import RECORD_MASK
from fs.ntfs.reparse import parse_reparse
from fs.ntfs.security import Security, extended_attributes
from fs.ntfs.state import volume_label
from fs.ntfs.strays import Strays
from fs.ntfs.walk import FREE_BYTES
from fs.tree import Node, NodeKind, NodeReader, Run, StreamInfo

FIRST_BATCH, BATCH = 64, 8192  # entries whose records are read together: few at first, to show something soon
MAX_KEPT = 10_000  # runs of one file that are kept between two questions
MAX_SEEN = 2_000_000  # names of one damaged directory that are remembered, to add only the others
DIRECTORY_ATTRIBUTE = 0x10
SELF = (".", "..")


class NtfsTree:
    """Made by open_tree()."""

    def __init__(self, source: BlockSource) -> None:
        self._findings = Findings()
        geometry = find_boot(source, self._findings)
        self._mft = Mft(source, geometry, self._findings)
        label = volume_label(self._mft, self._findings)
        size = geometry.sectors_end + geometry.sector_size
        self._identity = Identity("ntfs", label, f"{geometry.serial:016X}", geometry.cluster_size, size)
        self._inodes = Inodes(self._mft)
        self._security = Security(self._mft)
        self._strays = Strays(self._mft, self._findings)
        self._upcase: UpCase | None = None
        self._last: tuple[int, list[Attribute] | RecoveryError] = (-1, [])
        self._reported: dict[str, int] = {}
        limit = min(geometry.clusters * geometry.cluster_size, source.size)
        self._limit = limit + FREE_BYTES
        self._root = self._make_root()

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def root(self) -> Node:
        return self._root

    @property
    def problems(self) -> Sequence[Problem]:
        return self._findings.problems

    def children(self, directory: Node) -> Iterator[Node]:
        """See fs.tree. In the order of the index blocks; short (8.3) names are left out."""
        number = directory.number
        self._want_directory(directory)
        faults: list[RecoveryError] = []
        seen: set[int] = set()
        index: Index | None = None
        try:
            index = self._index(number)
        except RecoveryError as error:
            faults.append(error)
        if index is not None:
            yield from self._nodes(number, index.names(Budget(self._limit), faults), seen)
        if not faults:
            return
        for fault in faults:
            self._problem(
                "ntfs.index", f"Directory {printable(directory.name)!r} (MFT record {number}): {fault}.", fault
            )
        found = False
        for node in self._nodes(number, self._stray_entries(number, index), seen):
            found = True
            yield node
        if index is None and not found:
            raise faults[0]

    def child(self, directory: Node, name: str) -> Node | None:
        """See fs.tree. A name that differs only in case is found when there is none that is exactly the same."""
        self._want_directory(directory)
        number = directory.number
        try:
            raw = name_bytes(name)
        except ValueError:
            return None
        if name in SELF or not 0 < len(raw) <= 510:
            return None
        try:
            search = Search(self._letters(), raw)
            entry = self._index(number).find(search.order) or search.near
        except RecoveryError:
            return self._child_by_listing(directory, raw)
        if entry is None:
            return None
        record = int.from_bytes(entry[:6], "little") & RECORD_MASK
        sequence = int.from_bytes(entry[6:8], "little")
        try:
            length = int.from_bytes(entry[0x0A:0x0C], "little")
            key = entry[NAME_AT - 0x42 :][:length]
            value = parse_file_name(key, f"index of MFT record {number}", self._mft.record_offset(number))
            if value.space == DOS:
                value = value._replace(name=self._long_name(record, number) or value.name, space=0)
        except RecoveryError:
            return self._child_by_listing(directory, raw)
        return next(self._nodes(number, iter([DirectoryEntry(record, sequence, value)]), set()), None)

    def open(self, node: Node, stream: str = "") -> NodeReader:
        """See fs.tree. Raises Inconsistent when there is no such stream."""
        return self._content(node, stream).reader

    def streams(self, node: Node) -> Sequence[StreamInfo]:
        """See fs.tree. The stream in which WOF keeps the content of a compressed file is not one of its own."""
        found = self._attributes(node)
        reparse = reparse_of(self._mft, node.number, found)
        return stream_infos(found, hide=WOF_STREAM if reparse is not None and reparse.wof is not None else "")

    def runs(self, node: Node, stream: str = "") -> Iterator[Run]:
        """See fs.tree. Of what cannot be decoded, the runs are those of the data as they are stored."""
        found = self._attributes(node)
        opened = content(self._mft, node.number, found, stream, decode=False)
        if opened.stream is None:
            return
        if opened.wof is not None:
            yield from wof_runs(opened.stream, opened.wof)
        elif opened.units is not None:
            yield from unit_runs(opened.stream, opened.units)
        else:
            yield from plain_runs(opened.stream)

    def link_target(self, node: Node) -> str:
        """See fs.tree. Raises Inconsistent when the node is no link."""
        found = self._attributes(node)
        reparse = reparse_of(self._mft, node.number, found)
        if reparse is not None and reparse.kind is NodeKind.SYMLINK:
            return reparse.target
        if reparse is None:
            kind, target, _ = special(self._mft, node.number, self._inodes.one(node.number), found)
            if kind is NodeKind.SYMLINK:
                return target
        raise Inconsistent(f"MFT record {node.number}", self._mft.record_offset(node.number), "it is no link")

    def xattrs(self, node: Node) -> dict[str, bytes]:
        """See fs.tree. What is damaged is left out and becomes a problem."""
        found = self._attributes(node)
        number = node.number
        result: dict[str, bytes] = {}
        try:
            for name, value in extended_attributes(self._mft, number, found):
                result["user." + name.decode("utf-8", "surrogateescape")] = value
        except RecoveryError as error:
            self._problem("ntfs.ea", f"Extended attributes of MFT record {number}: {error}.", error)
        try:
            descriptor = self._security.descriptor(number, found)
            if descriptor is not None:
                result["system.ntfs_acl"] = descriptor
        except RecoveryError as error:
            self._problem("ntfs.security", f"Security descriptor of MFT record {number}: {error}.", error)
        try:
            reparse = reparse_value(self._mft, number, found)
            if reparse is not None:
                result["system.ntfs_reparse_data"] = reparse
        except RecoveryError as error:
            self._problem("ntfs.reparse", f"Reparse point of MFT record {number}: {error}.", error)
        return result

    def _content(self, node: Node, stream: str) -> Content:
        if not stream and node.note:
            raise Unsupported(f"file {printable(node.name)!r}", node.note)
        if not stream and node.kind is NodeKind.DIRECTORY:
            raise Unsupported(f"directory {printable(node.name)!r}", "reading it as a file")
        return content(self._mft, node.number, self._attributes(node), stream)

    def _attributes(self, node: Node) -> list[Attribute]:
        """All attributes of a file. The last answer is kept, for most callers ask several things of one file."""
        if self._last[0] != node.number:
            try:
                found: list[Attribute] | RecoveryError = self._mft.attributes(node.number)
            except DeviceError:
                raise  # it may pass
            except RecoveryError as error:
                found = error
            if not isinstance(found, RecoveryError) and sum(len(part.runs) for part in found) > MAX_KEPT:
                return found
            self._last = (node.number, found)
        answer = self._last[1]
        if isinstance(answer, RecoveryError):
            raise answer.with_traceback(None)
        return answer

    def _index(self, number: int) -> Index:
        return Index(self._mft, number, self._mft.attributes(number, data_runs=False), I30)

    def _letters(self) -> UpCase:
        if self._upcase is None:
            self._upcase = UpCase(self._mft, self._findings)
        return self._upcase

    def _want_directory(self, node: Node) -> None:
        if node.kind is not NodeKind.DIRECTORY:
            where = self._mft.record_offset(node.number)
            raise Inconsistent(f"MFT record {node.number}", where, "it is no directory", found=node.kind)

    def _make_root(self) -> Node:
        where = self._mft.record_offset(ROOT)
        try:
            facts = self._inodes.one(ROOT)
        except RecoveryError as error:
            text = (
                f"The record of the root directory is damaged; its files are searched for in the file table: {error}."
            )
            self._findings.add(Severity.ERROR, "ntfs.root", text, where)
            return Node("", ROOT, NodeKind.DIRECTORY, 0, attributes=DIRECTORY_ATTRIBUTE)
        return replace(self._node("", ROOT, facts), kind=NodeKind.DIRECTORY, note="")

    def _nodes(self, parent: int, entries: Iterator[DirectoryEntry], seen: set[int]) -> Iterator[Node]:
        """The nodes of `entries`, without those that are not so; `seen`: directories that were shown already."""
        size = FIRST_BATCH
        while batch := list(islice(entries, size)):
            size = min(size * 4, BATCH)
            batch = [entry for entry in batch if entry.file_name.space != DOS and entry.file_name.name not in SELF]
            facts = self._inodes.many({entry.record for entry in batch})
            for record, sequence, value in batch:
                if not value.name:
                    continue
                known = facts[record]
                try:
                    if not isinstance(known, Facts):
                        raise known
                    self._check(parent, record, sequence, value.name, known)
                    if known.directory:
                        if record in seen:
                            continue
                        seen.add(record)
                    yield self._node(value.name, record, known)
                except RecoveryError as error:
                    text = f"{printable(value.name)!r} in the directory of MFT record {parent} is left out: {error}."
                    self._problem("ntfs.entry", text, error)

    def _check(self, parent: int, record: int, sequence: int, name: str, facts: Facts) -> None:
        """Raises Inconsistent when the entry belongs to a file that is gone, or the directory lies elsewhere."""
        if sequence and sequence != facts.sequence:
            where, text = self._mft.record_offset(record), "it belongs to another file by now"
            raise Inconsistent(f"MFT record {record}", where, text, expected=sequence, found=facts.sequence)
        if facts.directory and (record == ROOT or (parent, name) != (facts.names[0] if facts.names else None)):
            where = self._mft.record_offset(record)
            raise Inconsistent(f"MFT record {record}", where, "it is a directory that lies elsewhere")

    def _node(self, name: str, number: int, facts: Facts) -> Node:
        kind = NodeKind.DIRECTORY if facts.directory else NodeKind.FILE
        size, note, device = 0 if facts.directory else facts.size, "", None
        attributes = facts.attributes | DIRECTORY_ATTRIBUTE if facts.directory else facts.attributes
        if facts.encrypted and not facts.directory:
            note = ENCRYPTED_NOTE
        target = None
        if facts.reparse is not None:
            where = self._mft.record_offset(number)
            try:
                reparse = parse_reparse(facts.reparse, facts.attributes, f"MFT record {number}", where)
            except FormatError as error:
                self._problem("ntfs.reparse", f"Reparse point of MFT record {number}: {error}.", error)
                note = note or "its reparse point is damaged"
                kind = kind if facts.directory else NodeKind.OTHER
            else:
                kind = reparse.kind or kind
                note, device = note or reparse.note, reparse.device
                target = reparse.target if kind is NodeKind.SYMLINK else None
                if reparse.tag in EMPTY_TAGS:
                    kind = NodeKind.OTHER
        elif facts.head:
            try:
                found = self._mft.attributes(number) if facts.head == b"?" else None
                other, text, device = special(self._mft, number, facts, found)
                kind = other or kind
                target = text if kind is NodeKind.SYMLINK else None
            except RecoveryError as error:
                self._problem("ntfs.special", f"MFT record {number}: {error}.", error)
        if kind in DEVICES:
            size = 0
        if target is not None:
            size = len(target.encode("utf-8", "surrogatepass"))
        if kind is NodeKind.DIRECTORY:
            note = ""
        return Node(name, number, kind, size, facts.times, facts.links, attributes=attributes, device=device, note=note)

    def _stray_entries(self, parent: int, index: Index | None) -> Iterator[DirectoryEntry]:
        """What records call `parent` their directory and the sound part of its index does not name."""
        known: set[int] = set()
        if index is not None:
            for entry in islice(index.names(Budget(self._limit), []), MAX_SEEN):
                known.add(hash((entry.record, entry.file_name.name)))
        before = -1
        for record in self._strays.of(parent):
            if record == before:
                continue
            before = record
            for entry in self._names_in(record, parent):
                if hash((record, entry.file_name.name)) not in known:
                    yield entry

    def _names_in(self, record: int, parent: int) -> Iterable[DirectoryEntry]:
        """The entries that directory `parent` should have for file `record`."""
        try:
            data, header = self._mft.record(record)
            found = self._mft.own_attributes(record, data, header, data_runs=False)
            found = self._mft.gather(record, found, data_runs=False)
            values = [
                parse_file_name(part.value, f"$FILE_NAME of MFT record {record}", part.offset)
                for part in found
                if part.type == FILE_NAME and part.value is not None
            ]
        except RecoveryError as error:
            self._problem("ntfs.entry", f"A file of the directory of MFT record {parent} is lost: {error}.", error)
            return []
        return [DirectoryEntry(record, header.sequence, value) for value in values if value.parent == parent]

    def _long_name(self, record: int, parent: int) -> str:
        names = [entry.file_name for entry in self._names_in(record, parent) if entry.file_name.space != DOS]
        return names[0].name if names else ""

    def _child_by_listing(self, directory: Node, raw: bytes) -> Node | None:
        letters = self._letters()
        near = None
        for node in self.children(directory):
            found = name_bytes(node.name)
            if found == raw:
                return node
            if near is None and letters.same(found, raw):
                near = node
        return near

    def _problem(self, code: str, text: str, error: RecoveryError) -> None:
        """Note damage; of each kind the first few are named."""
        count = self._reported[code] = self._reported.get(code, 0) + 1
        offset = error.offset if isinstance(error, FormatError) and error.offset >= 0 else None
        if count <= NAMED:
            self._findings.add(Severity.ERROR, code, text, offset)
        elif count == NAMED + 1:
            text = f"There are more than {NAMED} faults of this kind; the first {NAMED} are named."
            self._findings.add(Severity.ERROR, code, text)


NAMED = 50  # problems of one kind
DEVICES = (NodeKind.CHARACTER_DEVICE, NodeKind.BLOCK_DEVICE, NodeKind.FIFO, NodeKind.SOCKET)
EMPTY_TAGS = (0x8000001B,)  # have no content by nature


def open_tree(source: BlockSource) -> NtfsTree:
    """Open the files of the NTFS volume that fills `source`.

    Raises NotThisFormat when neither sector 0 nor the last sector carries the OEM id; Corrupt, Unsupported or
    DeviceError when its boot sectors or $MFT cannot be understood or read. The journal is not replayed.
    """
    return NtfsTree(source)
