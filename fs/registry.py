"""What lies in a volume, and whether a copy may leave anything of it out.

The rules, from the safest side; whatever is in doubt is stored whole, and a sentence says why:

1. A member of an array, a pool or an encrypted volume goes before everything: what looks like a file system in it
   is a part of another layer. (As `blkid -p` does; it stops at the first of them.)
2. A file system is MAPPED when its parser opens it and no other format claims the same volume.
3. Two strong claims contradict each other (`blkid -p` says "ambivalent"): one of them is left over from earlier,
   and there is no telling which. Discs that carry ISO 9660 with UDF or HFS on purpose are no contradiction.
4. Signatures of little weight (two bytes of magic, a copy at the end of the volume, headers of which only the
   spare is left) count only when nothing else is found. So what an older format left behind does not hide a newer
   file system, unless its main header is still complete.
5. A parser that finds damage or a feature that it does not know: RAW, with what it said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from formats.base.errors import Cancelled, DeviceError, NotThisFormat, RecoveryError, Unsupported
from formats.base.problem import Problem, Severity
from formats.base.source import BlockSource
from formats.base.units import MiB
from fs.api import FileSystem, Identity
from fs.parsers import PARSERS, Parser
from fs.recognise.model import Family, Match
from fs.recognise.peek import Peek
from fs.recognise.signatures import recognise

AMBIVALENT, UNREADABLE = "recognise.ambivalent", "recognise.unreadable"
DISC_KINDS = frozenset({"udf", "iso9660", "hfs", "hfsplus"})
REASONS = {
    Family.CRYPTO: "{0} encrypts this volume, so its used blocks cannot be told: the whole partition is stored.",
    Family.ARRAY: "This is a member of a {0} array; only the array knows what its blocks mean: the whole partition "
    "is stored.",
    Family.POOL: "This belongs to {0}, which decides what its blocks mean: the whole partition is stored.",
    Family.FILESYSTEM: "{0} is recognised, but Jurymast has no map of its used blocks: the whole partition is stored.",
    Family.OTHER: "{0} is recognised, and nothing of it may be left out: the whole partition is stored.",
}


class Handling(StrEnum):
    """MAPPED: a parser knows the blocks in use. RAW: the whole volume is stored."""

    MAPPED = "mapped"
    RAW = "raw"


@dataclass(frozen=True)
class Content:
    """What was found in a volume.

    `identity.kind` is the name that blkid gives ('' when nothing or nothing certain was found). `filesystem`: only
    when MAPPED. `problems`: of recognising and opening; the file system collects its own later ones. `why_raw`: a
    sentence for people, '' when MAPPED.
    """

    handling: Handling
    identity: Identity
    filesystem: FileSystem | None
    problems: tuple[Problem, ...]
    why_raw: str


@dataclass
class _Attempts:
    """What the parsers said: who opened, who was sure that it is not theirs, who complained (by name)."""

    opened: list[tuple[Parser, FileSystem]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    complaints: dict[str, RecoveryError] = field(default_factory=dict)


def identify_volume(source: BlockSource, parsers: Sequence[Parser] = PARSERS) -> Content:
    """Recognise the content of `source` (a partition or a disk without a table).

    Never raises for what the bytes are or for a medium that fails: that becomes RAW with Problems.
    """
    peek = Peek(source)
    matches = recognise(peek)
    container = next((m for m in matches if m.container and m.strong), None)
    if container is not None:
        content = _contained(source, container, matches)
    else:
        attempts = _try_parsers(source, parsers)
        matches = [m for m in matches if m.signature.parser not in attempts.refused]
        content = _decide(source, peek, matches, attempts)
    return _with_problems(content, _unreadable(peek, content))


def _try_parsers(source: BlockSource, parsers: Sequence[Parser]) -> _Attempts:
    result = _Attempts()
    for parser in parsers:
        try:
            result.opened.append((parser, parser.open_volume(source)))
        except NotThisFormat:
            result.refused.add(parser.name)
        except Cancelled:
            raise
        except RecoveryError as error:
            result.complaints[parser.name] = error
    return result


def _contained(source: BlockSource, container: Match, matches: list[Match]) -> Content:
    """Rule 1. A second strong signature is named, unless it is the content that is seen through the container."""
    rivals = [m for m in matches if m is not container and m.strong and (m.container or _hides(container, m))]
    problems = container.found.problems
    if rivals:
        problems += (_ambivalent([container.kind, *(m.kind for m in rivals)], f"It is treated as {container.kind}."),)
    return _raw(source, container, problems)


def _hides(container: Match, inside: Match) -> bool:
    """True when `inside` cannot be the content of `container`.

    Metadata at the end of a member leave the file system visible at its start, but such a file system never
    reaches over the metadata.
    """
    if not container.signature.shows_content:
        return True
    return 0 < container.offset < inside.found.size <= container.offset + 2 * MiB


def _decide(source: BlockSource, peek: Peek, matches: list[Match], attempts: _Attempts) -> Content:
    """Rules 2 to 5."""
    opened_names = {parser.name for parser, _ in attempts.opened}
    rivals = [m for m in matches if m.strong and m.signature.parser not in opened_names]
    if len(attempts.opened) == 1 and not rivals:
        return _mapped(attempts.opened[0][1])
    claims = [fs.identity.kind for _, fs in attempts.opened] + [m.kind for m in rivals]
    if len(set(claims)) > 1 and not set(claims) <= DISC_KINDS:
        problem = _ambivalent(claims, "The whole partition is stored.")
        problems = (problem, *_complaints(rivals, attempts))
        return Content(Handling.RAW, _nobody(source), None, problems, problem.text)
    chosen = next(iter(rivals or matches), None)
    if chosen is not None:
        return _raw(source, chosen, (*chosen.found.problems, *_complaints([chosen], attempts)))
    # A place that cannot be read says nothing about what was there, whoever asked for it.
    told = {name: error for name, error in attempts.complaints.items() if not isinstance(error, DeviceError)}
    if told:
        return _damaged_unseen(source, told)
    unreadable = next(iter(attempts.complaints.values()), None)
    return _unknown(source, peek, unreadable)


def _mapped(filesystem: FileSystem) -> Content:
    return Content(Handling.MAPPED, filesystem.identity, filesystem, tuple(filesystem.problems), "")


def _raw(source: BlockSource, match: Match, problems: tuple[Problem, ...]) -> Content:
    found = match.found
    identity = Identity(match.kind, found.label, found.uuid, found.block_size, found.size or source.size)
    told = next((p.text for p in problems if p.severity is not Severity.INFO and not _names_rivals(p)), "")
    return Content(
        Handling.RAW,
        identity,
        None,
        problems,
        told or REASONS[match.signature.family].format(match.signature.title or match.kind),
    )


def _complaints(matches: list[Match], attempts: _Attempts) -> tuple[Problem, ...]:
    """What the parsers of `matches` said, unless the signature itself tells it better (suspended swap)."""
    return tuple(
        _complaint(match.kind, attempts.complaints[match.signature.parser])
        for match in matches
        if match.signature.parser in attempts.complaints and not match.found.problems
    )


def _complaint(kind: str, error: RecoveryError) -> Problem:
    offset = getattr(error, "offset", None)
    if isinstance(error, Unsupported):
        text = f"This {kind} volume uses something that Jurymast does not know ({error.feature}); it is stored whole."
        return Problem(Severity.WARNING, f"{kind}.unsupported", text, offset)
    if isinstance(error, DeviceError):
        text = f"This {kind} volume cannot be read where it matters ({error}); it is stored whole."
        return Problem(Severity.ERROR, f"{kind}.unreadable", text, offset)
    return Problem(Severity.ERROR, f"{kind}.damaged", f"This {kind} volume is damaged ({error}); stored whole.", offset)


def _nobody(source: BlockSource) -> Identity:
    return Identity("", "", "", 0, source.size)


def _damaged_unseen(source: BlockSource, complaints: dict[str, RecoveryError]) -> Content:
    """A parser complains about something whose signature is not even credible; its name is all that is known."""
    problems = tuple(_complaint(name, error) for name, error in complaints.items())
    kind = next(iter(complaints)) if len(complaints) == 1 else ""
    return Content(Handling.RAW, Identity(kind, "", "", 0, source.size), None, problems, problems[0].text)


def _unknown(source: BlockSource, peek: Peek, unreadable: RecoveryError | None) -> Content:
    """`unreadable`: what a parser met; it is told here only where peeking met nothing."""
    problems: tuple[Problem, ...] = ()
    if unreadable is not None and not peek.unreadable:
        text = f"What this volume holds cannot be told ({unreadable}); it is stored whole."
        problems = (Problem(Severity.ERROR, UNREADABLE, text, getattr(unreadable, "offset", None)),)
    if unreadable is None and not peek.unreadable and _looks_empty(source):
        why = "Nothing was recognised in this partition, which looks empty: the whole partition is stored."
    else:
        why = "The contents of this partition are unknown: the whole partition is stored."
    return Content(Handling.RAW, _nobody(source), None, problems, why)


def _looks_empty(source: BlockSource) -> bool:
    """The first and the last MiB are zero, and a source that knows its holes has nothing else."""
    known = source.extents_known()
    if known is not None:
        return not len(known)
    length = min(MiB, source.size)
    try:
        ends = (source.read_at(0, length), source.read_at(source.size - length, length))
        return not any(end.strip(b"\0") for end in ends)
    except RecoveryError:
        return False


def _ambivalent(kinds: list[str], consequence: str) -> Problem:
    return Problem(
        Severity.WARNING,
        AMBIVALENT,
        f"Signatures of {' and '.join(kinds)} were found in one volume; one of them may be left over from earlier. "
        f"{consequence}",
    )


def _names_rivals(problem: Problem) -> bool:
    return problem.code == AMBIVALENT


def _unreadable(peek: Peek, content: Content) -> tuple[Problem, ...]:
    """One Problem for all places that the medium refused."""
    if not peek.unreadable:
        return ()
    first = peek.unreadable[0]
    missed = content.handling is Handling.RAW
    consequence = "so a signature may have been missed" if missed else "but its file system could be opened"
    return (
        Problem(
            Severity.WARNING,
            UNREADABLE,
            f"{len(peek.unreadable)} places where the content is told cannot be read, the first at offset "
            f"{first.start}, {consequence}.",
            first.start,
        ),
    )


def _with_problems(content: Content, more: tuple[Problem, ...]) -> Content:
    if not more:
        return content
    return Content(content.handling, content.identity, content.filesystem, (*content.problems, *more), content.why_raw)
