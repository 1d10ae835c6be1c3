"""Who made a disk and what is printed on its label: model, serial number, WWN, transport, from sysfs and udev.

sysfs is asked first, because it answers the same with and without a running udevd; the udev database fills what
sysfs does not have. Sources: Documentation/ABI/stable/sysfs-block, SPC-4 7.8.15 (unit serial number page 0x80),
and what kernels 6.1 to 6.18 show.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from recovery.engine import sysblock

# A piece of the device's place in sysfs, and the transport that it means. The first that matches wins.
_TRANSPORTS = (
    ("/usb", "usb"),
    ("/nvme", "nvme"),
    ("/virtio", "virtio"),
    ("/mmc_host", "mmc"),
    ("/ata", "sata"),
    ("/end_device-", "sas"),
    ("/rport-", "fc"),
    ("/session", "iscsi"),
    ("/vbd-", "xen"),
    ("/VMBUS", "hyperv"),
)


@dataclass(frozen=True, slots=True)
class Hardware:
    """Each '' when it cannot be told. `wwn` is written as lsblk does: 0x5002538e40123456, or eui.… for NVMe."""

    model: str = ""
    serial: str = ""
    wwn: str = ""
    transport: str = ""


def hardware_of(disk: Path) -> Hardware:
    """`disk`: the sysfs folder of a whole disk."""
    kind = disk.name.rstrip("0123456789")
    if kind == "loop":
        return Hardware(model="Loop device", transport="loop")
    if kind == "dm-":
        return Hardware(_text(disk, "dm/name"), "", _text(disk, "dm/uuid"), "dm")
    if kind == "md":
        return Hardware(f"RAID {_text(disk, 'md/level')}".strip(), "", _text(disk, "md/uuid"), "md")
    device = disk / "device"
    udev = _udev(sysblock.text(disk, "dev"))
    model = _model(device) or udev.get("ID_MODEL", "").replace("_", " ")
    serial = (
        _text(device, "serial")
        or _text(disk, "serial")
        or _unit_serial(device)
        or _usb_serial(disk)
        or udev.get("ID_SERIAL_SHORT", "")
    )
    wwn = _text(disk, "wwid") or _text(device, "wwid") or udev.get("ID_WWN_WITH_EXTENSION", "")
    return Hardware(_one_line(model), _one_line(serial), _wwn(wwn), _transport(disk, udev))


def _text(folder: Path, name: str) -> str:
    return sysblock.text(folder, name)


def _one_line(value: str) -> str:
    """Labels come from the device and may hold anything: only what can be printed, single blanks."""
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())


def _model(device: Path) -> str:
    vendor, model = _text(device, "vendor"), _text(device, "model") or _text(device, "name")
    # "ATA" is what the kernel's translation layer says for every SATA disk; virtio and NVMe give a PCI number.
    if vendor and vendor != "ATA" and not vendor.startswith("0x") and not model.startswith(vendor):
        return f"{vendor} {model}"
    return model


def _unit_serial(device: Path) -> str:
    """SCSI page 0x80: byte 1 the page, bytes 2-3 the length (big-endian), then the number."""
    page = sysblock.raw(device, "vpd_pg80")
    if len(page) < 4 or page[1] != 0x80:
        return ""
    length = int.from_bytes(page[2:4], "big")
    return page[4 : 4 + length].decode("ascii", "replace").strip(" \0")


def _usb_serial(disk: Path) -> str:
    """The serial number of the USB device above, for sticks and adapters that have no SCSI page."""
    for folder in disk.parents:
        if (folder / "idVendor").exists():
            return _text(folder, "serial")
    return ""


def _wwn(value: str) -> str:
    value = _one_line(value)
    if value.startswith("naa."):
        return "0x" + value[4:]
    if value.startswith("t10."):  # made up by the kernel from the model and the serial number: nothing new
        return ""
    return value


def _transport(disk: Path, udev: dict[str, str]) -> str:
    place = str(disk)
    for piece, transport in _TRANSPORTS:
        if piece in place:
            return transport
    return udev.get("ID_BUS", "")


def _udev(dev: str) -> dict[str, str]:
    """The udev database's properties of a block device; empty where no udevd keeps one."""
    if str(sysblock.SYS) != "/sys" or not Path("/run/udev/data").is_dir():
        return {}
    try:
        import pyudev
    except ImportError:
        return {}
    try:
        major, minor = dev.split(":")
        number = os.makedev(int(major), int(minor))
        found = pyudev.Devices.from_device_number(pyudev.Context(), "block", number)
        return {str(key): str(value) for key, value in found.properties.items()}
    except (ImportError, OSError, ValueError, KeyError, pyudev.DeviceNotFoundError):
        return {}
