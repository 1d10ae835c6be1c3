"""The part files of an archive as one source. A missing part leaves a hole, it does not hide the others."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from formats.archive.layout import HEADER_SIZE, Kind, PartHead
from formats.archive.record import decode, parse_header
from formats.archive.sink import part_path
from formats.base.closing import Closing
from formats.base.decode import decode as decode_layout
from formats.base.errors import DeviceError, FormatError, RecoveryError, Truncated, Unsupported
from formats.base.extent import ExtentList
from formats.base.source import FileSource, check_range


class PartsSource(Closing):
    """A BlockSource over the parts that are there. `missing`: numbers (1-based) of parts that are not.

    `starts`: archive offset of each part that is there.
    """

    sector_size = 512

    def __init__(self, name: str, files: Sequence[FileSource], starts: Sequence[int], missing: Sequence[int]) -> None:
        self.name, self._files, self.starts = name, list(files), list(starts)
        self.missing = tuple(missing)
        self.size = self.starts[-1] + self._files[-1].size

    @property
    def parts(self) -> int:
        return len(self._files) + len(self.missing)

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        pieces = []
        while length:
            i = bisect_right(self.starts, offset) - 1
            local = offset - self.starts[i] if i >= 0 else 0
            if i < 0 or local >= self._files[i].size:
                advice = f"Put part {', '.join(map(str, self.missing)) or '?'} beside the others."
                raise DeviceError(self.name, "read (in a part that is missing)", offset, length, 2, advice)
            size = min(length, self._files[i].size - local)
            pieces.append(self._files[i].read_at(local, size))
            offset, length = offset + size, length - size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def extents_known(self) -> ExtentList | None:
        return None

    def close(self) -> None:
        for file in self._files:
            file.close()


def open_parts(path: Path) -> PartsSource:
    """The archive `path`, one file or several. Raises DeviceError when no part can be opened."""
    numbers = [1] if path.exists() else []
    pattern = re.compile(re.escape(path.name) + r"\.(\d{3,5})$")
    if path.parent.is_dir():
        for entry in path.parent.iterdir():
            match = pattern.match(entry.name)
            if match and int(match[1]) > 1:
                numbers.append(int(match[1]))
    numbers.sort()
    if not numbers:
        raise DeviceError(str(path), "open", 0, 0, 2, "Check the name of the archive.")
    return _assemble(str(path), [(n, part_path(path, n)) for n in numbers])


def open_files(name: str, paths: Sequence[Path]) -> PartsSource:
    """Parts by their present names, in order and complete: for reading back before the commit."""
    return _assemble(name, list(enumerate(paths, 1)))


def _assemble(name: str, parts: Sequence[tuple[int, Path]]) -> PartsSource:
    files: list[FileSource] = []
    starts: list[int] = []
    try:
        for position, (number, path) in enumerate(parts):
            file = FileSource(path)
            files.append(file)
            follows = (position == 0 and number == 1) or (position > 0 and parts[position - 1][0] == number - 1)
            after = starts[-1] + files[-2].size if starts else 0
            start = _stated_start(file)
            if start is None:
                start = after if follows or number == 1 else after + 1
            starts.append(max(start, after))
    except RecoveryError:
        for file in files:
            file.close()
        raise
    there = {number for number, _ in parts}
    return PartsSource(name, files, starts, [n for n in range(1, max(there)) if n not in there])


def _stated_start(file: FileSource) -> int | None:
    """Where a part says that it begins; None for part 1 and when its first record is damaged."""
    try:
        header = parse_header(file.read_at(0, HEADER_SIZE), 0)
        if header.kind != Kind.PART:
            return 0 if header.kind == Kind.HEADER and header.sequence == 0 else None
        plain = decode(header, file.read_at(HEADER_SIZE, header.stored_size))
        return int(decode_layout(PartHead, plain, "PART", 0, file.name).start)
    except (FormatError, Truncated, Unsupported):
        return None
