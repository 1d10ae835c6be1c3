"""Finding the structure of an archive: by its footer, from a writer that has not committed, or by a walk."""

from __future__ import annotations

from pathlib import Path

from formats.archive.index import SpanRef, unpack_index
from formats.archive.layout import FOOTER_SIZE, FORMAT_VERSION, HEADER_SIZE, Footer, Kind
from formats.archive.model import Manifest
from formats.archive.parts import PartsSource, open_files, open_parts
from formats.archive.reader import ArchiveReader, Structure
from formats.archive.rebuild import rebuild
from formats.archive.record import RecordHeader, parse_header
from formats.archive.record import decode as decode_payload
from formats.archive.writer import ArchiveWriter
from formats.base.decode import decode
from formats.base.errors import DeviceError, FormatError, Inconsistent, NotThisFormat, Truncated, Unsupported
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource

_TAIL = HEADER_SIZE + FOOTER_SIZE


def is_archive(source: BlockSource) -> bool:
    """True when a record stands at the front or a footer at the end."""
    for offset in (0, source.size - _TAIL):
        try:
            parse_header(source.read_at(offset, HEADER_SIZE), offset)
            return True
        except (FormatError, DeviceError):
            continue
        except Unsupported:
            return True
    return False


def open_archive(path: str | Path) -> ArchiveReader:
    """Open an archive, by its footer, or by a walk over all records when that is damaged or missing.

    Raises DeviceError when it cannot be read, NotThisFormat when it is none, Unsupported for a newer version,
    Corrupt when nothing of its header is left.
    """
    parts = open_parts(Path(path))
    try:
        return ArchiveReader(parts, structure_of(parts))
    except BaseException:
        parts.close()
        raise


def open_sound(path: str | Path) -> ArchiveReader:
    """As open_archive, by the footer alone: a quick look at many, where one that is damaged is left alone.

    Raises DeviceError, FormatError (also for what is no archive), Unsupported.
    """
    parts = open_parts(Path(path))
    try:
        return ArchiveReader(parts, _by_footer(parts, []))
    except BaseException:
        parts.close()
        raise


def reader_of(writer: ArchiveWriter) -> ArchiveReader:
    """A reader of what a writer has written so far, from the files themselves. After end_data()."""
    parts = open_files(writer.sink.name, writer.sink.partial_paths())
    checkpoints = sorted({ref.checkpoint for ref in writer.index} | {writer.last_checkpoint})
    maps = {volume: tuple(places) for volume, places in writer.map_offsets.items()}
    return ArchiveReader(parts, Structure(writer.manifest, tuple(writer.index), checkpoints, maps, False, (), {}, {}))


def structure_of(parts: PartsSource) -> Structure:
    """See open_archive()."""
    problems = [
        Problem(Severity.ERROR, "archive.part_missing", f"Part {n} of the archive is missing ({parts.name}.{n:03d}).")
        for n in parts.missing
    ]
    try:
        return _by_footer(parts, problems)
    except (FormatError, DeviceError) as error:
        if parts.size == 0:
            raise NotThisFormat("archive", 0, "the file is empty", source=parts.name) from None
        problems.append(
            Problem(
                Severity.ERROR,
                "archive.tail_damaged",
                f"The end of the archive is damaged or missing ({error}). Its index was rebuilt from the records.",
            )
        )
        return rebuild(parts, problems)


def _record(parts: PartsSource, offset: int, kind: Kind) -> tuple[RecordHeader, bytes]:
    header = parse_header(parts.read_at(offset, HEADER_SIZE), offset)
    if header.kind != kind:
        raise Inconsistent(header.what, offset, "kind of record", expected=kind.name, found=header.kind)
    return header, decode_payload(header, parts.read_at(header.payload_offset, header.stored_size))


def _by_footer(parts: PartsSource, problems: list[Problem]) -> Structure:
    if parts.size < _TAIL:
        raise Truncated("archive", 0, "is shorter than a footer", source=parts.name)
    found, plain = _record(parts, parts.size - _TAIL, Kind.FOOTER)
    footer = decode(Footer, plain, "FOOTER", found.offset, parts.name)
    if footer.version != FORMAT_VERSION:
        raise Unsupported("archive", f"format version {footer.version}", "Use a newer version of Jurymast.")
    if any(footer.reserved):
        raise Unsupported("archive", "being an increment of another archive", "Use a newer version of Jurymast.")
    if footer.archive_size != parts.size:
        raise Inconsistent("FOOTER", found.offset, "archive size", expected=footer.archive_size, found=parts.size)
    if footer.parts != parts.parts:
        raise Inconsistent("FOOTER", found.offset, "number of parts", expected=footer.parts, found=parts.parts)
    manifest = Manifest.from_bytes(
        _either(parts, footer.manifest_a, footer.manifest_b, Kind.MANIFEST, found, problems), footer.manifest_a
    )
    if manifest.archive_id != found.archive_id:
        raise Inconsistent("MANIFEST", footer.manifest_a, "archive id")
    refs: list[SpanRef] = unpack_index(
        _either(parts, footer.index_a, footer.index_b, Kind.INDEX, found, problems),
        footer.index_a,
        [-(-volume.size // manifest.block_size) for volume in manifest.volumes],
    )
    checkpoints = sorted({ref.checkpoint for ref in refs} | {footer.last_checkpoint})
    maps = {
        i: tuple(v.details["map"])
        for i, v in enumerate(manifest.volumes)
        if isinstance(v.details.get("map"), list) and all(isinstance(o, int) for o in v.details["map"])
    }
    return Structure(manifest, refs, checkpoints, maps, True, problems, {}, {})


def _either(
    parts: PartsSource, first: int, second: int, kind: Kind, footer: RecordHeader, problems: list[Problem]
) -> bytes:
    """The plain payload of one of two copies. Raises what the second raised."""
    for offset in (first, second):
        try:
            header, plain = _record(parts, offset, kind)
            if header.archive_id != footer.archive_id:
                raise Inconsistent(header.what, offset, "belongs to another archive")
            return plain
        except (FormatError, DeviceError) as error:
            if offset == second:
                raise
            problems.append(
                Problem(Severity.WARNING, "archive.copy_damaged", f"First copy of {kind.name}: {error}", offset)
            )
    raise Inconsistent("FOOTER", footer.offset, f"names no {kind.name}")
