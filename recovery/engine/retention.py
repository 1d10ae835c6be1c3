"""Which old archives may go: only those that enough newer, proven ones of the same series stand in for.

The proof is taken from the archive itself: its manifest, under the archive's id and digests, says how it was read
back. A report that lies beside it can only speak against it. Whatever is not understood, stays, and what it might
need stays with it.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from formats.archive.model import Manifest
from formats.archive.opening import is_archive, open_sound
from formats.archive.sink import PARTIAL
from formats.archive.verify import verify
from formats.base.errors import DeviceError, FormatError, RecoveryError, Unsupported
from formats.base.source import FileSource
from recovery.engine.proof import Verdict

DELETING = ".deleting"  # name of a first part whose archive is being deleted
REPORTS = (".report.json", ".report.txt")
_PART = re.compile(r"(.+)\.(\d{3,5})$")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_DAY = 86400
_REPORT_LIMIT = 16 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Held:
    """One archive of a folder. `parts`: its files, the first one first. `size`: bytes of all.

    `created`: UTC as in the manifest. `why`: why it does not count as proven; '' when it does.
    """

    path: Path
    parts: tuple[Path, ...]
    size: int
    archive_id: str
    series: str
    created: str
    mtime: float
    why: str

    @property
    def proven(self) -> bool:
        return not self.why


@dataclass(slots=True)
class Decision:
    """`delete`, oldest first; `kept`: (path, why) of those that might have been expected to go."""

    delete: list[Held] = field(default_factory=list)
    kept: list[tuple[Path, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Survey:
    """`held`: archives whose name matches. `odd`: what cannot be judged, and why. `blocked`: why nothing may go."""

    held: tuple[Held, ...]
    odd: tuple[tuple[Path, str], ...]
    blocked: str
    needed: frozenset[str]  # ids of archives that another one names as its parent


def survey(
    folder: Path,
    pattern: str,
    *,
    check: Callable[[], None] = lambda: None,
    on_look: Callable[[str], None] = lambda _: None,
) -> Survey:
    """Look at every archive of `folder`. `pattern`: of file names, as in a shell. Raises DeviceError."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.is_symlink())
    except OSError as error:
        raise DeviceError(str(folder), "list", 0, 0, error.errno or 0, "Check the name of the folder.") from error
    names = {entry.name for entry in entries}
    held: list[Held] = []
    odd: list[tuple[Path, str]] = []
    needed: set[str] = set()
    blocked = ""
    for path in entries:
        check()
        part = _PART.match(path.name)
        if path.name.endswith((PARTIAL, DELETING, *REPORTS)) or (part and part[1] in names):
            continue
        matches = fnmatchcase(path.name, pattern)
        if not matches and not _looks_like_archive(path):
            continue
        on_look(str(path))
        try:
            found, parents = _look(path, names)
        except Unsupported as error:
            blocked = f"{path.name} cannot be understood by this version, and might need the others: {error}"
            continue
        except (RecoveryError, OSError) as error:
            if matches:
                odd.append((path, f"it cannot be opened as a sound archive: {error}"))
            continue
        needed |= parents
        if matches:
            held.append(found)
    return Survey(tuple(held), tuple(odd), blocked, frozenset(needed))


def decide(
    found: Survey,
    keep: int,
    *,
    protect: Iterable[Path] = (),
    now: float | None = None,
    proof: Callable[[Held], str] | None = None,
) -> Decision:
    """What may go when `keep` (at least 1) newer ones of the same series must be proven. Pure but for `proof`.

    `proof`: a further test of each archive that would stand in for others: why it fails, '' when it does not.
    """
    decision = Decision(kept=list(found.odd))
    held = [_not_of_tomorrow(item, time.time() if now is None else now) for item in found.held]
    protected = {path.resolve() for path in protect}
    if found.blocked:
        decision.kept += [(item.path, found.blocked) for item in held]
        return decision
    for series in sorted({item.series for item in held}):
        members = sorted((i for i in held if i.series == series), key=lambda i: (i.created, i.mtime), reverse=True)
        newest = {members[0].path, max(members, key=lambda i: i.mtime).path}
        proven: list[Held] = []
        for item in members:
            newer = sum(1 for other in proven if other.created > item.created)
            if newer < keep:
                if item.proven and proof and (why := proof(item)):
                    item = replace(item, why=why)
                if item.proven:
                    proven.append(item)
                else:
                    decision.kept.append((item.path, f"does not count as proven: {item.why}"))
                continue
            reason = _must_stay(item, newest, protected, found.needed)
            if reason:
                decision.kept.append((item.path, reason))
            else:
                decision.delete.append(item)
    decision.delete.sort(key=lambda i: (i.created, i.mtime))
    return decision


def full_check(workers: int, check: Callable[[], None]) -> Callable[[Held], str]:
    """For decide(): reads the whole archive."""

    def proof(item: Held) -> str:
        try:
            with open_sound(item.path) as reader:
                result = verify(reader, workers=workers, progress=lambda _: check())
        except (FormatError, DeviceError, Unsupported) as error:
            return str(error)
        return "" if result.good else f"{result.damage_count} places of it are damaged now"

    return proof


def series_of(manifest: Manifest) -> str:
    """Equal for archives of the same disks and partitions of the same machine; what is in doubt is another series."""
    disks = []
    for disk in manifest.disks:
        identity = disk.get("identity")
        identity = identity if isinstance(identity, dict) else {}
        table = disk.get("table")
        lasting = [identity.get(name) for name in ("serial", "wwn")]
        disks.append(
            [
                *lasting,
                None if any(lasting) else identity.get("path"),  # /dev/sda is another name after the next start
                *(identity.get(name) for name in ("kind", "model", "start")),
                disk.get("size"),
                disk.get("whole"),
                table.get("disk_id") if isinstance(table, dict) else None,
            ]
        )
    machine = manifest.details.get("machine")
    name = machine.get("name") if isinstance(machine, dict) else None
    volumes = [[volume.disk, volume.role, volume.number] for volume in manifest.volumes]
    text = json.dumps([name, disks, volumes], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def why_not_proven(manifest: Manifest) -> str:
    """Why an archive whose manifest is this does not count as proven; '' when it does."""
    details = manifest.details
    if details.get("complete") is not True:
        return "it was not completed"
    if details.get("outcome") != "ok":
        return f"its backup ended with {details.get('outcome')!r}"
    for volume in manifest.volumes:
        proof = volume.details.get("proof")
        verdict = proof.get("verdict") if isinstance(proof, dict) else None
        if verdict not in (Verdict.PROVEN.value, Verdict.STORED_RAW.value):
            return f"{volume.details.get('title', 'a volume')} was not proven ({verdict})"
    commands = details.get("commands")
    for command in commands if isinstance(commands, list) else []:
        if not isinstance(command, dict) or command.get("ok") is not True:
            return "a command that belongs to it failed"
    return ""


def _look(path: Path, names: set[str]) -> tuple[Held, frozenset[str]]:
    with open_sound(path) as reader:
        manifest = reader.manifest
        whole = reader.structure.complete and not reader.problems
        size = reader.source.size
    more = sorted(name for name in names if (part := _PART.match(name)) and part[1] == path.name)
    why = why_not_proven(manifest) or _spoken_against(path)
    if not whole:
        why = "a part of it is damaged"
    created = str(manifest.details.get("created", ""))
    if not _TIME.fullmatch(created):
        raise Unsupported("archive", f"being without the time of its making ({created!r})")
    parents = {str(manifest.details[name]) for name in ("parent", "parent_id") if manifest.details.get(name)}
    parts = (path, *(path.with_name(name) for name in more))  # the footer knows how many there must be
    found = Held(path, parts, size, manifest.archive_id.hex(), series_of(manifest), created, path.stat().st_mtime, why)
    return found, frozenset(parents)


def _spoken_against(path: Path) -> str:
    """What a report beside it says against it: a later check may have found damage."""
    report = path.with_name(path.name + REPORTS[0])
    try:
        with report.open("rb") as file:
            body: Any = json.loads(file.read(_REPORT_LIMIT))
        outcome, damaged = body.get("outcome"), body.get("damaged_archive")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, AttributeError, RecursionError):
        return "the report beside it cannot be read"
    return "" if outcome == "ok" and not damaged else f"the report beside it says {outcome!r}"


def _not_of_tomorrow(item: Held, now: float) -> Held:
    latest = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + _DAY))
    return replace(item, why="it was made in the future: a clock was wrong") if item.created > latest else item


def _must_stay(item: Held, newest: set[Path], protected: set[Path], needed: frozenset[str]) -> str:
    if item.path in newest:
        return "it is the newest"
    if item.path.resolve() in protected:
        return "it was just made"
    return "another archive needs it" if item.archive_id in needed else ""


def _looks_like_archive(path: Path) -> bool:
    try:
        with FileSource(path) as source:
            return is_archive(source)
    except RecoveryError:
        return False


def part_files(folder: Path, name: str) -> Sequence[Path]:
    """The further parts and reports of the archive `name`, whether or not its first part is there."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if ((part := _PART.match(entry.name)) and part[1] == name) or entry.name in {name + end for end in REPORTS}
    )
