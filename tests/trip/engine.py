"""The engine in this process, one call a job, as a face would use it. No job may end in a fault of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from formats.archive.opening import open_archive
from formats.base.extent import ExtentList
from recovery.engine.cancel import CancelToken
from recovery.engine.executor import execute
from recovery.engine.plan import Plan
from recovery.engine.planners.backup import BackupRequest
from recovery.engine.planners.clone import CloneRequest
from recovery.engine.planners.restore import RestoreRequest
from recovery.engine.prepare import plan_verify, prepare_backup, prepare_clone, prepare_restore
from recovery.engine.report import Report
from recovery.engine.settings import Settings
from tests.support.scene import Scene


def backup(source: Path | tuple[Path, ...], archive: Path, settings: Settings | None = None, **options: Any) -> Report:
    """`options`: fields of BackupRequest."""
    sources = source if isinstance(source, tuple) else (source,)
    request = BackupRequest(tuple(str(s) for s in sources), str(archive), **options)
    return run(prepare_backup(request), settings)


def restore(archive: Path, target: Path, settings: Settings | None = None, **options: Any) -> Report:
    """`options`: fields of RestoreRequest."""
    return run(prepare_restore(RestoreRequest(str(archive), str(target), **options)), settings)


def clone(source: Path, target: Path, settings: Settings | None = None, **options: Any) -> Report:
    """`options`: fields of CloneRequest."""
    return run(prepare_clone(CloneRequest(str(source), str(target), **options)), settings)


def verify(archive: Path) -> Report:
    return run(plan_verify(str(archive)))


def run(plan: Plan[Any], settings: Settings | None = None) -> Report:
    report = execute(plan, settings or Settings(), lambda event: None, CancelToken())
    assert "Internal error" not in report.error, report.error
    report.to_text()
    return report


def held(archive: Path, disk: int = 0) -> ExtentList:
    """Bytes of a disk that the archive says it holds, by the maps of all its volumes."""
    with open_archive(archive) as reader:
        found: list[tuple[int, int]] = []
        for number, volume in enumerate(reader.manifest.volumes):
            if volume.disk == disk:
                found += reader.map(number).shift(volume.disk_offset)
        return ExtentList(found)


def details(archive: Path) -> list[dict[str, Any]]:
    """What the manifest says of each volume."""
    with open_archive(archive) as reader:
        return [{"role": v.role, "number": v.number, **v.details} for v in reader.manifest.volumes]


Image = Callable[[str, str], Path]
Scenes = Callable[..., Scene]
