"""Linux swap as a small file system: the first page is in use, the rest is worth nothing after a restart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from formats.base.errors import Unsupported
from formats.base.extent import Extent
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from fs.api import Identity, PagingFile, Reference
from fs.swap.header import SwapHeader, read_header

CONTENT_LEFT_OUT = "swap.content_left_out"


class SwapVolume:
    """Implements fs.api.FileSystem."""

    map_follows_references = True

    def __init__(self, header: SwapHeader, volume_size: int) -> None:
        self._header, self._volume_size = header, volume_size
        left_out = header.size - header.page_size
        self._problems = (
            Problem(
                Severity.INFO,
                CONTENT_LEFT_OUT,
                f"This is swap space: its header with label and UUID is kept, its content ({left_out} bytes) "
                "is left out, for it is worth nothing after a restart.",
                header.page_size,
            ),
        )

    @property
    def identity(self) -> Identity:
        head = self._header
        return Identity("swap", head.label, head.uuid, head.page_size, head.size)

    @property
    def problems(self) -> Sequence[Problem]:
        return self._problems

    def allocated(self) -> Iterator[Extent]:
        """The first page (boot bits, header, list of bad pages, mark), and what lies behind the swap area."""
        yield Extent(0, self._header.page_size)
        if self._header.size < self._volume_size:
            yield Extent(self._header.size, self._volume_size)

    def paging_files(self) -> Sequence[PagingFile]:
        return ()

    def references(self) -> Iterator[Reference]:
        yield Reference(Extent(0, self._header.page_size), "swap header")


def open_volume(source: BlockSource) -> SwapVolume:
    """The swap area in `source`.

    Raises NotThisFormat, Corrupt and DeviceError as `read_header` does, and Unsupported when a suspended session is
    stored in it: then the content is the user's work and must not be left out.
    """
    header = read_header(source)
    if header.session:
        raise Unsupported("swap header", f"leaving out a suspended session ({header.session})")
    return SwapVolume(header, source.size)
