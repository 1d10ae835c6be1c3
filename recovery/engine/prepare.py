"""From a request to a Plan: look at the real disks and archives, and let the pure planners decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import combinations
from operator import add
from pathlib import Path
from typing import TypeVar

from formats.archive.opening import is_archive, open_archive
from formats.base.errors import RecoveryError, Refused
from formats.base.source import FileSource
from recovery.engine.activity import write_mark
from recovery.engine.cancel import CancelToken
from recovery.engine.device import is_read_only, open_source, write_protected
from recovery.engine.estimate import Expected, expected_size
from recovery.engine.health import warning_of
from recovery.engine.identity import ABSENT, DeviceIdentity, identify
from recovery.engine.inspection import DiskReport, inspect_source
from recovery.engine.inventory import Overlap, disk_of, holds_path, mounts_of, same_thing
from recovery.engine.mounts import mount_carrying
from recovery.engine.places import free_below
from recovery.engine.plan import BackupWork, CloneWork, Plan, PruneWork, RestoreWork, Step, VerifyWork, now
from recovery.engine.planners.backup import NOWHERE, BackupRequest, Room, plan_backup
from recovery.engine.planners.clone import CloneRequest, plan_clone
from recovery.engine.planners.prune import PruneRequest, plan_prune
from recovery.engine.planners.restore import ArchiveFacts, RestoreRequest, plan_restore
from recovery.engine.planners.writing import TargetFacts
from recovery.engine.retention import decide, full_check, survey
from recovery.engine.storage import Storage
from recovery.engine.usage import refuse_held

W = TypeVar("W")
OnLook = Callable[[str], None]


def _quiet(_: str) -> None:
    """Nobody wants to know what is looked at."""


def prepare_backup(
    request: BackupRequest, cancel: CancelToken | None = None, on_look: OnLook = _quiet
) -> Plan[BackupWork]:
    """Inspect all sources and plan. Raises RecoveryError. `on_look` is told what is looked at."""
    check = (cancel or CancelToken()).check
    disks: list[tuple[DeviceIdentity, DiskReport, tuple[int, ...]]] = []
    sizes: list[Expected] = []
    on_source = False
    for path in request.sources:
        with open_source(path, allow_mounted=request.force_live) as source:
            mark = write_mark(source.identity)
            report = inspect_source(
                source,
                numbers=request.numbers,
                include_paging=request.include_paging,
                on_volume=on_look,
                check=check,
            )
            disks.append((source.identity, report, mark))
            if request.archive != "-":
                on_look(f"how well {path} can be compressed")
                with_areas = request.numbers is None
                sizes.append(expected_size(source, report, with_areas=with_areas, check=check))
        if request.archive != "-":
            on_source = on_source or holds_path(path, request.archive)
    twice = any(same_thing(a, b) is not Overlap.NONE for a, b in combinations(request.sources, 2))
    room = _room(request.archive, sizes)
    plan = plan_backup(request, disks, archive_on_source=on_source, twice=twice, room=room)
    return _with_health(plan, request.sources)


def _room(archive: str, sizes: Sequence[Expected]) -> Room:
    """What is expected, and what is there."""
    if archive == "-" or not sizes:
        return NOWHERE
    mount = next(filter(None, map(mount_carrying, (Path(archive), *Path(archive).absolute().parents))), None)
    fat = mount is not None and mount.fstype in ("vfat", "msdos")
    return Room(reduce(add, sizes), free_below(archive), fat)


def prepare_restore(request: RestoreRequest, on_look: OnLook = _quiet) -> Plan[RestoreWork]:
    """Open the archive, look at the target, and plan. Raises RecoveryError."""
    target = look_at_target(request.target, on_look)
    with open_archive(request.archive) as reader:
        areas = {i: reader.map(i) for i, v in enumerate(reader.manifest.volumes) if v.role == "areas"}
        facts = ArchiveFacts(
            reader.manifest,
            areas,
            tuple(p.text for p in reader.problems),
            on_target=not target.absent and _shares(request.target, request.archive),
        )
    return _with_health(plan_restore(request, facts, target), (), request.target)


def prepare_clone(
    request: CloneRequest, cancel: CancelToken | None = None, on_look: OnLook = _quiet
) -> Plan[CloneWork]:
    """Inspect the source, look at the target, and plan. Raises RecoveryError."""
    check = (cancel or CancelToken()).check
    target = identify(request.target, may_be_absent=True)
    overlap = target.kind != ABSENT and same_thing(request.source, request.target) is not Overlap.NONE
    if overlap:
        raise Refused(
            f"{request.source} and {request.target} are the same disk, or one is a part of the other.",
            "Choose another target.",
        )
    with open_source(request.source, allow_mounted=request.force_live) as source:
        mark = write_mark(source.identity)
        report = inspect_source(
            source,
            numbers=frozenset({request.partition[0]}) if request.partition else None,
            include_paging=request.include_paging,
            on_volume=on_look,
            check=check,
        )
        identity = source.identity
    facts = look_at_target(request.target, on_look)
    plan = plan_clone(request, identity, report, facts, overlap=overlap, mark=mark)
    return _with_health(plan, (request.source,), request.target)


def _with_health(plan: Plan[W], sources: Sequence[str], target: str = "") -> Plan[W]:
    """The plan, with a warning of each disk that says of itself that it is failing."""
    warnings = [warning_of(disk_of(path).identity, target=False) for path in sources]
    if target and Path(target).exists():
        warnings.append(warning_of(disk_of(target).identity, target=True))
    found = tuple(warning for warning in warnings if warning)
    return dataclasses.replace(plan, warnings=(*plan.warnings, *found)) if found else plan


def plan_verify(archive: str, *, files: bool = False) -> Plan[VerifyWork]:
    """Verification changes nothing, so its plan is always the same. `files`: read every file as well."""
    steps = [Step("Read the whole archive", 0), Step("Walk the file systems from the archive", 0)]
    if files:
        steps.append(Step("Read every file from the archive", 0))
    work = VerifyWork(archive, files)
    return Plan("verify", f"Check {archive}", (), None, tuple(steps), (), (), work, now())


def prepare_prune(
    request: PruneRequest, cancel: CancelToken, on_look: OnLook = _quiet, workers: int = 2
) -> Plan[PruneWork]:
    """Look at all archives of the folder, and plan which of them go. Raises RecoveryError."""
    found = survey(Path(request.folder), request.pattern, check=cancel.check, on_look=on_look)
    protect = [Path(path) for path in request.protect]
    proof = full_check(workers, cancel.check) if request.full else None
    return plan_prune(request, decide(found, request.keep, protect=protect, proof=proof))


def look_at_target(path: str, on_look: OnLook = _quiet) -> TargetFacts:
    """What is on a target now, and whether it is in use. A file that does not exist yet is a target too."""
    identity = identify(path, may_be_absent=True)
    if identity.kind == ABSENT:
        return TargetFacts(identity, None)
    if identity.is_block and disk_of(path).live_medium:
        raise Refused(
            f"{path} is on the stick that you started from: the running system would be overwritten.",
            "Choose another target. As the place of an archive its data partition may be used.",
        )
    mounts = mounts_of(path)
    if mounts:
        places = ", ".join(sorted({mount.mountpoint for mount in mounts}))
        first = f"Unmount it first (umount {mounts[-1].mountpoint})"
        return TargetFacts(identity, None, f"{path} or a part of it is mounted at {places}.", first)
    refuse_held(identity, Storage())
    if identity.size == 0:
        raise Refused(
            f"{path} is empty (0 bytes).", "Remove it, so that it is made in the right size, or choose another."
        )
    if is_read_only(identity):
        raise write_protected(identity)
    with open_source(path) as source:
        report = inspect_source(source, with_map=False, on_volume=on_look)
    return TargetFacts(identity, report)


def _shares(target: str, archive: str) -> bool:
    if not Path(archive).exists():
        return False
    return holds_path(target, archive) or same_thing(target, archive) is not Overlap.NONE


def inspect_path(path: str, on_look: OnLook = _quiet) -> DiskReport:
    """Look at a device or image file without planning anything; a mounted one is looked at as it is."""
    with open_source(path, allow_mounted=True) as source:
        return inspect_source(source, follow=False, on_volume=on_look)


def is_jurymast_archive(path: str) -> bool:
    """True when `path` is an archive (or what is left of one)."""
    try:
        if not Path(path).is_file():
            return False
        with FileSource(path) as source:
            return is_archive(source)
    except RecoveryError:
        return False
