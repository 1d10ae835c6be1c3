"""What a person must know of the state of a source or target before it is worked on, with what can be done about it."""

from __future__ import annotations

from formats.base.units import in_words
from recovery.engine.inspection import DiskReport, VolumeReport

_HIBERNATED = "ntfs.hibernated"
_UNLOCK = (
    "To store only what is used, unlock it first and back up the unlocked device; the archive then holds it in clear."
)
_INSIDE = "To store only what is used, back up the volumes that stand on it instead (such as /dev/GROUP/VOLUME)."
_RAW_ADVICE = {
    "BitLocker": f"{_UNLOCK} (cryptsetup open --type bitlk DEVICE NAME, with the password or recovery key.)",
    "crypto_LUKS": f"{_UNLOCK} (cryptsetup open DEVICE NAME.)",
    "LVM2_member": _INSIDE,
    "linux_raid_member": "To store only what is used, back up the assembled array (/dev/md...) instead.",
}
_TABLE_ADVICE = {
    "gpt.lost": "The disk is stored as one piece, so nothing is left out. Its partitions may be found again with "
    "testdisk: try that on a copy, never on this disk.",
    "table.unreadable": "Its partitions may be found again with testdisk, on a copy.",
    "gpt.primary_damaged": "A restore writes both copies anew. Other systems may not see the partitions until then.",
    "gpt.orphan_backup": "When partitions are missing in the list, that table may be the right one: look at it with "
    "gdisk, on a copy.",
}


def of_source(report: DiskReport) -> list[str]:
    """What is stored whole and how large that is, a Windows that is hibernated, and what is wrong with the table."""
    found = []
    for volume in report.volumes:
        if volume.map is not None and volume.map.why_raw:
            advice = _RAW_ADVICE.get(volume.content.identity.kind, "")
            whole = f"That is {in_words(volume.map.extents.total)}."
            found.append(" ".join(part for part in (f"{volume.title}: {volume.map.why_raw}", whole, advice) if part))
        found += [f"{volume.title}: {problem.text}" for problem in volume.problems if problem.code == _HIBERNATED]
    for problem in report.table.problems:
        found.append(" ".join(part for part in (_sentence(problem.text), _TABLE_ADVICE.get(problem.code, "")) if part))
    return found


def of_target(report: DiskReport | None, numbers: frozenset[int] | None) -> list[str]:
    """What is lost that a list of partitions does not show. `numbers`: of those that are overwritten, None for all."""
    if report is None:
        return []
    hit = [v for v in report.volumes if (numbers is None or v.number in numbers) and _is_hibernated(v)]
    return [
        f"{volume.title} of the target holds a hibernated Windows: what was open in it and not saved is lost as well."
        for volume in hit
    ]


def _is_hibernated(volume: VolumeReport) -> bool:
    return any(problem.code == _HIBERNATED for problem in volume.problems)


def _sentence(text: str) -> str:
    """With a capital letter and a full stop, so that another sentence can follow."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
