"""Which files call a directory their parent: how a directory is listed whose index is lost."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from formats.base.errors import RecoveryError
from formats.base.problem import Severity
from fs.ntfs.attribute import END, FILE_NAME, HEAD, RESIDENT_BYTES
from fs.ntfs.findings import Findings
from fs.ntfs.inode import VALUE_AT
from fs.ntfs.mft import Mft
from fs.ntfs.record import RECORD_MASK
from fs.ntfs.scan import Scan

MAX_NAMES = 8_000_000  # 128 MB of arrays


class Strays:
    """Made by one pass over the file table when it is first asked."""

    def __init__(self, mft: Mft, findings: Findings) -> None:
        self._mft, self._findings = mft, findings
        self._parents: array[int] = array("Q")
        self._children: array[int] = array("Q")
        self._scanned = False

    def of(self, parent: int) -> Iterator[int]:
        """The numbers of the files that name `parent`, each once for each of its names there, ascending."""
        if not self._scanned:
            self._scan()
        at = -1
        while True:
            try:
                at = self._parents.index(parent, at + 1)
            except ValueError:
                return
            yield self._children[at]

    def _scan(self) -> None:
        self._scanned = True
        scan = Scan(self._mft, self._findings)
        try:
            for slab, _, number, _, base, first, end in scan.items():
                child = base or number
                for parent in parents(slab, first, end):
                    if len(self._parents) >= MAX_NAMES:
                        text = f"The file table has more than {MAX_NAMES} names; the rest was not searched for files."
                        self._findings.add(Severity.ERROR, "ntfs.too_many_names", text)
                        return
                    self._parents.append(parent)
                    self._children.append(child)
        except RecoveryError as error:
            text = f"The file table could not be searched to its end: {error}."
            self._findings.add(Severity.ERROR, "ntfs.mft_record", text)
        finally:
            scan.close()


def parents(slab: bytearray, at: int, end: int) -> Iterator[int]:
    """The parent of each $FILE_NAME among the attributes in slab[at:end]; ends at the first damaged one."""
    while at + RESIDENT_BYTES <= end:
        kind, length = HEAD.unpack_from(slab, at)
        if kind == END or length < RESIDENT_BYTES or length & 7 or at + length > end:
            return
        if kind == FILE_NAME and not slab[at + 8]:
            _, begin = VALUE_AT.unpack_from(slab, at + 0x10)
            if begin + 8 <= length:
                yield int.from_bytes(slab[at + begin : at + begin + 8], "little") & RECORD_MASK
        at += length
