"""The proof: the file system is walked once more, from the archive, and everything it refers to must be there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from formats.archive.reader import ArchiveReader
from formats.base.errors import RecoveryError
from formats.base.extent import Extent, ExtentList
from formats.base.problem import Severity
from formats.base.source import BlockSource
from fs.registry import Handling, identify_volume

_NAMED = 20
_CHECK_EVERY = 2048


class Verdict(StrEnum):
    """PROVEN: walked from the archive, nothing missing. STORED_RAW: every byte is there, nobody walked it."""

    PROVEN = "PROVEN"
    STORED_RAW = "STORED-RAW"
    FAILED = "FAILED"
    NOT_VERIFIED = "NOT-VERIFIED"


@dataclass(frozen=True, slots=True)
class Proof:
    """`references`: how many extents were followed. `missing`: who refers to bytes that are not there (the first)."""

    verdict: Verdict
    text: str
    references: int = 0
    missing: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.value,
            "text": self.text,
            "references": self.references,
            "missing": list(self.missing),
        }


NOT_VERIFIED = Proof(Verdict.NOT_VERIFIED, "The archive was not read back, because that was switched off.")


class _Switch:
    """A volume that turns strict after the file system was recognised: probing looks at places nobody stored."""

    def __init__(self, reader: ArchiveReader, volume: int) -> None:
        self._lenient = reader.volume(volume)
        self._held = reader.volume(volume, strict=True)
        self.strict = False
        self.name, self.size, self.sector_size = self._lenient.name, self._lenient.size, self._lenient.sector_size

    def read_at(self, offset: int, length: int) -> bytes:
        source: BlockSource = self._held if self.strict else self._lenient
        return source.read_at(offset, length)

    def extents_known(self) -> ExtentList | None:
        return self._held.extents_known()


def prove_volume(
    reader: ArchiveReader,
    volume: int,
    *,
    mapped: bool,
    kind: str,
    excluded: ExtentList,
    lost: ExtentList,
    check: Callable[[], None] = lambda: None,
) -> Proof:
    """Walk one volume. `kind`: the file system it was when it was imaged. `excluded`: left out on purpose.

    `lost`: bytes that verification found damaged. Never raises for damage: that is what the verdict says.
    """
    held = reader.map(volume)
    unreadable = reader.unreadable(volume)
    if len(lost):
        return Proof(Verdict.FAILED, f"{lost.total} bytes are damaged in the archive itself.")
    if not mapped:
        if len(unreadable):
            return Proof(Verdict.FAILED, f"{unreadable.total} bytes could not be read from the source.")
        return Proof(Verdict.STORED_RAW, "Every byte is stored and was read back; nobody walked the contents.")
    source = _Switch(reader, volume)
    content = identify_volume(source)
    file_system = content.filesystem
    if content.handling is not Handling.MAPPED or file_system is None or content.identity.kind != kind:
        found = content.identity.kind or "nothing"
        return Proof(Verdict.FAILED, f"The archive does not give back the {kind} volume: it shows {found}.")
    source.strict = True
    there = held.union(excluded)
    count, missing, hit = 0, _Names(), _Names()
    try:
        for reference in file_system.references():
            count += 1
            if count % _CHECK_EVERY == 0:
                check()
            start, end = reference.extent
            if not there.covers(start, end):
                missing.add(reference.owner, reference.extent)
            if len(unreadable) and unreadable.touches(start, end):
                hit.add(reference.owner, reference.extent)
    except RecoveryError as error:
        check()
        return Proof(Verdict.FAILED, f"The walk through the archive stopped: {error}", count)
    if missing.count:
        text = f"{missing.count} of {count} extents that the file system refers to are not in the archive."
        return Proof(Verdict.FAILED, text, count, tuple(missing.names))
    if len(unreadable):
        text = f"{unreadable.total} bytes could not be read from the source; {hit.count} extents are hit."
        return Proof(Verdict.FAILED, text, count, tuple(hit.names))
    errors = [p for p in file_system.problems if p.severity is Severity.ERROR]
    if errors:
        text = (
            f"The file system is damaged in the source already ({errors[0].text}). What it uses was stored and read "
            "back; repair it after the restore, or use another backup as well."
        )
        return Proof(Verdict.FAILED, text, count, tuple(p.text for p in errors[:_NAMED]))
    return Proof(Verdict.PROVEN, f"Walked from the archive: {count} extents, none missing.", count)


class _Names:
    def __init__(self) -> None:
        self.count = 0
        self.names: list[str] = []

    def add(self, owner: str, extent: Extent) -> None:
        self.count += 1
        if len(self.names) < _NAMED:
            self.names.append(f"{owner}, bytes {extent.start}..{extent.end}")
