"""How each file system is mounted and unmounted: which helper, which options, and what its failures mean.

Always nosuid, nodev, noexec: what lies on a disk is somebody's data, never a program for us. Read-only mounts do not
replay a journal either, for that would write. Options: ext4(5), xfs(5), btrfs(5) (rescue=nologreplay since Linux 5.9),
the kernel's filesystems/f2fs, ntfs-3g(8) (norecover: refuse a journal of Windows instead of emptying it), mount(8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from formats.base.errors import RecoveryError, Refused, Unsupported
from recovery.engine.run import Completed, find_tool, run_tool

_ALWAYS = ("nosuid", "nodev", "noexec")
_MOUNT_PATIENCE = 120.0  # seconds; a journal may have to be replayed
_UNMOUNT_PATIENCE = 1800.0  # everything that is still in memory is written then, at the speed of a stick


class MountFailed(RecoveryError):
    """The system did not mount or unmount it. `advice` says what can be done."""

    def __init__(self, text: str, advice: str = "") -> None:
        self.advice = advice
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class _Way:
    """`name`: for mount -t. `writing`, `reading`: further options. `program`: of a FUSE file system, else ''."""

    name: str
    writing: str = ""
    reading: str = ""
    program: str = ""
    package: str = ""


_EXT = (_Way("ext4", reading="noload"),)
_FAT = (_Way("vfat"),)
_WAYS: dict[str, tuple[_Way, ...]] = {
    "ext2": _EXT,
    "ext3": _EXT,
    "ext4": _EXT,
    "xfs": (_Way("xfs", "nouuid", "nouuid,norecovery"),),
    "btrfs": (_Way("btrfs", reading="rescue=nologreplay"),),
    "f2fs": (_Way("f2fs", reading="norecovery"),),
    "fat12": _FAT,
    "fat16": _FAT,
    "fat32": _FAT,
    "exfat": (_Way("exfat"), _Way("exfat-fuse", program="mount.exfat-fuse", package="exfat-fuse")),
    "ntfs": (_Way("ntfs-3g", "norecover", "norecover", "ntfs-3g", "ntfs-3g"), _Way("ntfs3")),
}
# What the helpers say about a volume of Windows that must not be written (ntfs-3g(8), fs/ntfs3/super.c).
_WINDOWS = ("hibernat", "unclean", "unsafe state", "dirty", "fast restart")


def mount_device(
    device: str, fstype: str, folder: Path, *, read_only: bool, stop: Callable[[], bool] | None = None
) -> None:
    """Mount it on `folder`. `fstype`: as our recognition names it.

    Raises Unsupported when neither the kernel nor a program can, Refused for a volume that Windows has not let go,
    MountFailed, Cancelled, and what run_tool raises.
    """
    for way in _WAYS.get(fstype, ()):
        if way.program and find_tool(way.program) is None:
            continue
        done = run_tool(_argv(way, device, folder, read_only), _MOUNT_PATIENCE, ok=None, stop=stop)
        if done.code == 0:
            if way.program:
                _harden(folder, read_only)
            return
        if not _unknown(done):
            raise _failure(device, fstype, done)
    raise _no_driver(device, fstype)


def _argv(way: _Way, device: str, folder: Path, read_only: bool) -> list[str]:
    own = way.reading if read_only else way.writing
    options = ",".join(["ro" if read_only else "rw", *_ALWAYS, *([own] if own else [])])
    # -i: the kernel's own driver, and not a helper that is called by the same name.
    return ["mount", *([] if way.program else ["-i"]), "-t", way.name, "-o", options, device, str(folder)]


def _harden(folder: Path, read_only: bool) -> None:
    """Some FUSE file systems drop options on the way (exfat-fuse: noexec): the mount point gets them once more."""
    options = ",".join(["remount", "bind", "ro" if read_only else "rw", *_ALWAYS])
    run_tool(["mount", "-i", "-o", options, str(folder)], _MOUNT_PATIENCE)


def _unknown(done: Completed) -> bool:
    return "unknown filesystem type" in done.stderr or "not supported by kernel" in done.stderr


def _no_driver(device: str, fstype: str) -> Unsupported:
    ways = _WAYS.get(fstype, ())
    packages = [way.package for way in ways if way.package]
    modules = [way.name for way in ways if not way.program]
    advice = f"The running kernel has no driver for it ({', '.join(modules)}). " if modules else ""
    if packages:
        advice += f"Install one with: apt-get install {' '.join(packages)}. "
    return Unsupported(device, f"mounting {fstype} on this system", advice + "Or choose another place.")


def _failure(device: str, fstype: str, done: Completed) -> RecoveryError:
    said = " ".join((done.stderr.strip() or done.stdout.strip() or "it said nothing").split())
    if fstype == "ntfs" and any(word in said.lower() for word in _WINDOWS):
        return Refused(
            f"{device} is not mounted: Windows has not let go of it ({said[:200]}).",
            "Start Windows and shut it down fully (shutdown /s /f /t 0), or run chkdsk /f on it, or choose another.",
        )
    advice = "Its file system may be damaged: let its own system check it (fsck, chkdsk), or choose another place."
    if fstype == "btrfs":
        advice = "When it spans several disks, attach all of them (btrfs device scan). " + advice
    return MountFailed(f"{device} ({fstype}) could not be mounted: {said[:300]}", advice)


def unmount(folder: Path, *, lazy: bool = False) -> None:
    """Write everything out and take it down. `lazy`: when the disk is gone. Raises MountFailed when it is in use."""
    done = run_tool(["umount", *(["-l"] if lazy else []), str(folder)], _UNMOUNT_PATIENCE, ok=None)
    if done.code != 0:
        said = " ".join(done.stderr.split())
        raise MountFailed(
            f"{folder} could not be unmounted: {said[:300]}",
            "Close what uses it (a shell that stands in it, an open file), then: jurymast places unmount "
            + str(folder),
        )
