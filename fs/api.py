"""What a file system must be able to say about itself.

Minimum contract: identity and `allocated()`. Metadata are walked once more from the archive by `references()`,
which is the proof that a copy is complete. All offsets are bytes from the start of the volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from formats.base.extent import Extent
from formats.base.problem import Problem


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a volume says it is.

    `kind`: ntfs, fat12, fat16, fat32, exfat, ext2, ext3, ext4, swap, … as blkid would say, lower case.
    `uuid`: as blkid prints it ('' when there is none). `block_size`: bytes (cluster for NTFS, FAT and exFAT).
    `size`: bytes that the file system claims, which may be less than the partition.
    """

    kind: str
    label: str
    uuid: str
    block_size: int
    size: int


@dataclass(frozen=True, slots=True)
class PagingFile:
    """A file whose content is worthless after a restart (pagefile.sys, hiberfil.sys, swapfile.sys).

    `extents`: ascending bytes on the volume. `active`: True for a hiberfil.sys that holds a session to be
    resumed; such a file is kept, for it may hold the user's unsaved work.
    """

    path: str
    extents: tuple[Extent, ...]
    active: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """Bytes that some metadata structure points to, and must therefore be in a complete copy.

    `owner` names who points, for a report: ``MFT record 42 $DATA``, ``inode 12``.
    """

    extent: Extent
    owner: str


class FileSystem(Protocol):
    """A volume whose structure one of our parsers understands. Read-only; safe to use from one thread."""

    @property
    def identity(self) -> Identity: ...

    @property
    def map_follows_references(self) -> bool:
        """True when `allocated` holds everything that `references` names, whatever the bitmap says."""

    @property
    def problems(self) -> Sequence[Problem]:
        """What was found so far (grows while `allocated` and `references` run): dirty, hibernated, damage."""

    def allocated(self) -> Iterator[Extent]:
        """Every byte that a copy must hold, ascending, disjoint, inside the volume.

        Raises FormatError or Unsupported when that cannot be told for certain; the caller then stores all.
        """

    def paging_files(self) -> Sequence[PagingFile]:
        """Files whose content may be left out. Empty when there are none or they cannot be told safely."""

    def references(self) -> Iterator[Reference]:
        """Walk all metadata and name every extent that they refer to, in any order.

        Reads the metadata through the source. A structure that cannot be read or decoded becomes a Problem of
        severity ERROR in `problems`, and the walk goes on. Ends for every input.
        """
