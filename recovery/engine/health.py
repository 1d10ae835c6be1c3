"""What a disk says of its own health, through smartctl where that is installed.

A dying disk may not answer: every question has a time limit, and is asked once a minute at most. A disk that sleeps is
not woken. Sources: smartctl(8) of smartmontools 7.3 (--json, -n standby, exit status) and its JSON, seen with 7.3; NVM
Express Base Specification 2.0, figure 207 (critical warning, percentage used).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from formats.base.errors import RecoveryError
from recovery.engine.identity import DeviceIdentity
from recovery.engine.run import ToolMissing, ToolTimeout, find_tool, run_tool

TIMEOUT = 5.0  # seconds for one disk
_KEPT = 60.0  # seconds that an answer is good for
_COMMAND_FAILED = 0b11  # bits of the exit status: the command line or the device could not be opened
_LIMIT = 1 << 53  # numbers above it are no counts
# ATA attributes that foretell an end, with the words for them (ids as every maker uses them).
_SECTORS = {5: "{} sectors replaced", 197: "{} sectors waiting to be replaced", 198: "{} sectors cannot be read"}
_NVME_WARNINGS = (
    "spare space is low",
    "too hot or too cold",
    "not reliable any more",
    "read-only now",
    "its backup of volatile memory failed",
    "its persistent memory is not reliable",
)  # bits of the critical warning, from bit 0


class Verdict(StrEnum):
    """FAILING: the disk itself says so, or has sectors that it cannot read. WORN: it works, but not for ever."""

    GOOD = "good"
    WORN = "worn"
    FAILING = "failing"
    SILENT = "does not answer"


@dataclass(frozen=True, slots=True)
class Health:
    """`notes`: what the verdict rests on, in words. `hours`, `celsius`, `used_percent`: None where not told."""

    verdict: Verdict
    notes: tuple[str, ...] = ()
    hours: int | None = None
    celsius: int | None = None
    used_percent: int | None = None

    @property
    def text(self) -> str:
        """For a list of disks: `health: failing (3 sectors replaced)`."""
        notes = f" ({', '.join(self.notes)})" if self.notes else ""
        return f"health: {self.verdict.value}{notes}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class HealthBook:
    """The answers of the disks, each by path and serial number: another disk at the same place is asked anew."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[float, Health | None]] = {}
        self._asking: dict[tuple[str, str], threading.Thread] = {}
        self._lock = threading.Lock()

    def known(self, disk: DeviceIdentity) -> Health | None:
        """What it said when it was last asked; does not ask."""
        return self._answers.get((disk.path, disk.serial), (0.0, None))[1]

    def ask(self, disks: Iterable[DeviceIdentity]) -> bool:
        """Ask all those whose answer is older than a minute, at once. True when there is anything new.

        Waits 2 * TIMEOUT seconds at most; a disk that has not answered by then is SILENT, and holds up no other.
        """
        if find_tool("smartctl") is None:
            return False
        now = time.monotonic()
        threads = {}
        with self._lock:
            for disk in disks:
                key = (disk.path, disk.serial)
                asked = self._answers.get(key, (-_KEPT, None))[0]
                if disk.is_block and now - asked >= _KEPT and key not in self._asking:
                    thread = threading.Thread(target=self._ask, args=(key,), name=f"health {disk.path}", daemon=True)
                    threads[key] = self._asking[key] = thread
                    thread.start()
        for key, thread in threads.items():
            thread.join(max(0.0, now + 2 * TIMEOUT - time.monotonic()))
            with self._lock:
                if key in self._asking:  # smartctl cannot be ended while it waits in the kernel
                    self._answers[key] = (time.monotonic(), Health(Verdict.SILENT))
        return bool(threads)

    def _ask(self, key: tuple[str, str]) -> None:
        found = _ask(key[0])
        with self._lock:
            self._answers[key] = (time.monotonic(), found)
            del self._asking[key]


BOOK = HealthBook()  # one for the process: a disk is not asked twice because two parts want to know


def warning_of(disk: DeviceIdentity, *, target: bool) -> str:
    """What a plan has to say of the health of a disk; '' for nothing. Asks it; see HealthBook.ask()."""
    BOOK.ask((disk,))
    health = BOOK.known(disk)
    if health is None or health.verdict is Verdict.GOOD or (health.verdict is Verdict.WORN and not target):
        return ""
    if target:
        advice = "Do not trust it with the only copy of anything."
    else:
        advice = "Image it before you do anything else with it, and do not go on using it."
    return f"{disk.path}: {health.text}. {advice}"


def _ask(path: str) -> Health | None:
    try:
        done = run_tool(["smartctl", "--json", "-H", "-A", "-n", "standby", path], TIMEOUT, ok=None)
    except ToolMissing:
        return None
    except ToolTimeout:
        return Health(Verdict.SILENT)
    except RecoveryError:
        return None
    if done.code < 0 or done.code & _COMMAND_FAILED:
        return None  # it sleeps, or is of a kind that has no such thing (a stick, a virtual disk)
    try:
        told = json.loads(done.stdout)
    except (ValueError, RecursionError):
        return None
    return read_health(told)


def read_health(told: Any) -> Health | None:
    """The verdict on the JSON of smartctl. Nothing in it is trusted to be there, or of its kind."""
    passed = _at(told, "smart_status", "passed")
    if not isinstance(passed, bool):
        return None
    failing = [] if passed else ["the disk itself expects to fail"]
    worn: list[str] = []
    used = _count(_at(told, "nvme_smart_health_information_log", "percentage_used"))
    for number, count in _attributes(told).items():
        # Sectors that were replaced are over and done with; the others are being lost now.
        (worn if number == 5 else failing).append(_SECTORS[number].format(count))
    warning = _count(_at(told, "nvme_smart_health_information_log", "critical_warning")) or 0
    failing += [text for bit, text in enumerate(_NVME_WARNINGS) if warning >> bit & 1]
    if used is not None and used >= 90:
        worn.append(f"{used} % of its life used")
    errors = _count(_at(told, "nvme_smart_health_information_log", "media_errors"))
    if errors:
        worn.append(f"{errors} errors of its memory")
    grown = _count(_at(told, "scsi_grown_defect_list"))
    if grown:
        worn.append(f"{grown} new defects")
    return Health(
        Verdict.FAILING if failing else Verdict.WORN if worn else Verdict.GOOD,
        tuple(failing + worn),
        _count(_at(told, "power_on_time", "hours")),
        _count(_at(told, "temperature", "current")),
        used,
    )


def _attributes(told: Any) -> dict[int, int]:
    """Those of _SECTORS that are not zero."""
    table = _at(told, "ata_smart_attributes", "table")
    found = {}
    for row in table if isinstance(table, list) else []:
        number, count = _at(row, "id"), _count(_at(row, "raw", "value"))
        if isinstance(number, int) and number in _SECTORS and count:
            found[number] = count & 0xFFFFFFFF  # some makers keep other things in the upper half
    return {number: count for number, count in found.items() if count}


def _at(told: Any, *names: str) -> Any:
    for name in names:
        told = told.get(name) if isinstance(told, dict) else None
    return told


def _count(value: Any) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LIMIT
    return value if good else None
