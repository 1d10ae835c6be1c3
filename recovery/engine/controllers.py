"""Disks that are there and not to be seen: behind controllers in RAID, VMD or Optane mode, or without a driver.

From sysfs alone: the class, vendor and device of each PCI device, whether a driver is bound to it, and what ahci says
of NVMe disks that the firmware hid behind it. Sources: the PCI Code and ID Assignment Specification (class 01: mass
storage), Linux drivers/pci/controller/vmd.c (table vmd_ids, Linux 6.12) and drivers/ata/ahci.c (remapped_nvme).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from recovery.engine import sysblock

INTEL = "8086"
VMD_IDS = frozenset(("201d", "28c0", "467f", "4c3d", "7d0b", "9a0b", "a77f", "ad0b", "b06f", "b60b"))
_CLASSES = {
    "0100": "SCSI",
    "0101": "IDE",
    "0104": "RAID",
    "0106": "SATA",
    "0107": "SAS",
    "0108": "NVMe",
}  # the first two bytes of the class; others (flash, virtio) have drivers of many kinds
_SWITCH = (
    "Switch the controller to AHCI in the firmware set-up (often under Storage, SATA Operation, Intel RST or VMD), "
    "start Jurymast again, and switch it back afterwards: a Windows that was installed in the other mode starts only "
    "in that."
)


@dataclass(frozen=True, slots=True)
class Hidden:
    """`place`: of the controller on the PCI bus. `text`: why disks are not seen. `advice`: what can be done."""

    place: str
    text: str
    advice: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def hidden_disks() -> list[Hidden]:
    """Every controller whose disks cannot be seen, by its place; nothing when all is well."""
    folder = sysblock.SYS / "bus" / "pci" / "devices"
    try:
        devices = sorted(folder.iterdir())
    except OSError:
        return []
    return [found for device in devices if (found := _look(device)) is not None]


def _look(device: Path) -> Hidden | None:
    kind = sysblock.text(device, "class").removeprefix("0x")[:4]
    vendor, number = (sysblock.text(device, name).removeprefix("0x") for name in ("vendor", "device"))
    place, driver = device.name, (device / "driver").exists()
    if vendor == INTEL and number in VMD_IDS:
        if not driver:
            return Hidden(
                place,
                f"This machine's disks hide behind Intel VMD/RST ({vendor}:{number} at {place}), and the running "
                "kernel has no driver for it (vmd).",
                _SWITCH,
            )
        return None
    remapped = sysblock.number(device, "remapped_nvme")
    if remapped:
        return Hidden(
            place,
            f"{remapped} NVMe disk(s) hide behind the SATA controller at {place}: Intel RST is in RAID or Optane mode.",
            _SWITCH,
        )
    if kind in _CLASSES and not driver:
        name = _CLASSES[kind]
        advice = "The running kernel may be too old for it, or lack its module: try a newer rescue system."
        return Hidden(
            place,
            f"A {name} controller ({vendor}:{number} at {place}) has no driver here: its disks cannot be seen.",
            _SWITCH if name == "RAID" and vendor == INTEL else advice,
        )
    return None
