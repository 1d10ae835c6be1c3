"""Disks, maps and plans in words and text, for 80 columns: what every face says in the same way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from formats.base.units import in_words as size
from formats.table.model import Scheme
from fs.api import PagingFile
from recovery.engine.controllers import Hidden
from recovery.engine.events import Stage, VolumeJudged
from recovery.engine.inspection import DiskReport, VolumeReport
from recovery.engine.inventory import Disk
from recovery.engine.plan import BackupWork, Plan
from recovery.engine.unmounted import Unmounted

MAP_WIDTH = 76
NO_DISKS = (
    "No disks found. Check their cables and power. If the machine has some, its controller may be in RAID or VMD mode: "
    "look into its firmware setup, and switch it to AHCI."
)


def disk_map(report: DiskReport, width: int = MAP_WIDTH) -> str:
    """The volumes of a disk as a `span_map`."""
    return span_map(report.size, [(v.number, v.extent.start, v.extent.end) for v in report.volumes], width)


def span_map(size: int, spans: Iterable[tuple[int, int, int]], width: int = MAP_WIDTH) -> str:
    """One line, proportional, each span (number, start, end) at least one wide; dots are free space. Bytes.

    `width`: without the brackets at its ends.
    """
    cells = ["."] * width
    total = max(1, size)
    for number, start, stop in spans:
        first = min(width - 1, start * width // total)
        end = max(first + 1, min(width, -(-stop * width // total)))
        for at in range(first, end):
            cells[at] = "="
        for at, char in enumerate(str(number)):
            if first + at < width:
                cells[first + at] = char
    return "[" + "".join(cells) + "]"


def disk_name(disk: Disk) -> str:
    """Model and serial number, or the file behind it."""
    identity = disk.identity
    name = identity.model or identity.backing or ("image file" if identity.kind == "file" else "unknown model")
    return f"{name} serial {identity.serial}" if identity.serial else name


def hidden_lines(hidden: Sequence[Hidden]) -> list[str]:
    """Why disks of the machine are not to be seen, and what can be done; the same advice once."""
    lines = [found.text for found in hidden]
    return lines + list(dict.fromkeys(found.advice for found in hidden))


def disk_state(disk: Disk) -> str:
    """How it is connected and what uses it."""
    notes = [
        disk.identity.transport,
        "removable" if disk.removable else "",
        "read-only" if disk.read_only else "",
        "the stick you started from" if disk.live_medium else "this system runs from it" if disk.boot_medium else "",
        "mounted" if disk.mounts else "",
        "swap in use" if disk.swaps else "",
    ]
    return ", ".join(n for n in notes if n) or "not in use"


def unmounted_line(found: Unmounted) -> str:
    """A file system that is not mounted: its device, label, kind, size, and the disk that it is on."""
    disk = found.disk
    label = f'"{found.label}" ' if found.label else ""
    name = disk.backing or disk.model or "a disk of unknown model"
    stick = ", the stick you started from" if found.live_medium else ""
    return f"{found.device} {label}{found.fstype} {size(found.size)} on {name}{stick}"


def volume_line(volume: VolumeReport) -> str:
    """Number, size, kind, label, used bytes."""
    identity = volume.content.identity
    number = f"{volume.number:>3}" if volume.partition else "  -"
    kind = identity.kind or "unknown"
    used = f"{size(volume.map.used.total)} used" if volume.map and not volume.map.why_raw else "stored whole"
    if volume.map is None:
        used = ""
    return f"{number}  {size(volume.extent.length):>10}  {kind:<12} {identity.label[:18]:<18}  {used}".rstrip()


def disk_text(report: DiskReport) -> str:
    """A whole disk for people."""
    scheme = {Scheme.GPT: "GPT", Scheme.MBR: "MBR", Scheme.NONE: "no partition table"}[report.table.scheme]
    lines = [f"{report.name}: {size(report.size)}, {scheme}, sectors of {report.sector_size} bytes", disk_map(report)]
    for volume in report.volumes:
        lines.append(volume_line(volume))
        if volume.map and volume.map.why_raw:
            lines.append(f"       {volume.map.why_raw}")
        lines += [f"       left out: {p.path} ({size(sum(e.length for e in p.extents))})" for p in _excluded(volume)]
        lines += [f"       {p.severity.value}: {p.text}" for p in volume.problems]
    lines += [f"{p.severity.value}: {p.text}" for p in report.table.problems]
    return "\n".join(lines)


def _excluded(volume: VolumeReport) -> Sequence[PagingFile]:
    return volume.map.excluded if volume.map else ()


def plan_text(plan: Plan[Any]) -> str:
    """The Plan as it is reviewed: what happens, and everything that is lost."""
    lines = [*plan_head(plan), *plan_steps(plan)]
    for part in (plan_losses(plan), plan_room(plan), plan_warnings(plan)):
        lines += ["", *part] if part else []
    return "\n".join(lines)


def plan_head(plan: Plan[Any]) -> list[str]:
    """What, and onto what."""
    lines = [plan.title, f"Plan {plan.plan_id}", ""]
    if plan.target is not None:
        target = plan.target
        about = ", ".join(x for x in (target.model, f"serial {target.serial}" if target.serial else "") if x)
        lines.append(f"Target: {target.path}, {size(target.size)}{', ' + about if about else ''}")
    return lines


def plan_steps(plan: Plan[Any]) -> list[str]:
    """The steps in their order."""
    return [f"  {n}. {step.text}" for n, step in enumerate(plan.steps, 1)]


def plan_losses(plan: Plan[Any]) -> list[str]:
    """Everything that is lost, by name; nothing when nothing is."""
    lost = [f"  - {loss.what}, {size(loss.size)}" for loss in plan.losses]
    return ["THIS WILL BE LOST:", *lost] if lost else []


def plan_room(plan: Plan[Any]) -> list[str]:
    """How large an archive is expected to be, and what is free for it; nothing for other jobs."""
    work = plan.work
    if not isinstance(work, BackupWork) or work.expected is None:
        return []
    expected = work.expected
    free = f"; {size(work.free)} free" if work.free is not None else ""
    if not expected.samples:
        return [f"Size of the archive: at most {size(expected.at_most)}{free}."]
    return [
        f"Size of the archive: about {size(expected.low)} to {size(expected.high)} expected, at most "
        f"{size(expected.at_most)}{free}. Less where the same data repeat, or with a higher level."
    ]


def plan_warnings(plan: Plan[Any]) -> list[str]:
    """What must be known before."""
    notes = [f"  - {warning}" for warning in plan.warnings]
    return ["Please note:", *notes] if notes else []


_STAGES = {Stage.STORED: "stored blocks", Stage.PROOF: "file system", Stage.FILES: "files"}


def judged_text(event: VolumeJudged) -> str:
    """What is known of a volume: `partition 2 (ntfs, Data): file system PROVEN: ...`."""
    disk = f"disk {event.disk}, " if event.disk else ""
    verdict = f" {event.verdict}" if event.verdict else ""
    return f"{disk}{event.title}: {_STAGES[event.stage]}{verdict}: {event.text}"
