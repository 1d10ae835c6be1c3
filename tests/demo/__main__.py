"""Back up, wipe, restore, compare: run as `make demo`. Ends with 1 when any check does not hold."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from pathlib import Path

from tests.demo.disk import WORK, Disk
from tests.demo.judge import check_file_systems, check_table, compare_files
from tests.demo.stage import FOLDER, Chapters, Failed, jurymast, prepare, say, size

DISK = FOLDER / "disk.img"
ARCHIVE = FOLDER / "disk.jmi"
DAMAGED = FOLDER / "work" / "damaged.jmi"


def _play() -> None:
    started = time.monotonic()
    prepare()
    chapters = Chapters(7)
    disk = Disk(DISK)
    with chapters.chapter("A disk is made: EFI, NTFS, ext4 and swap, filled with files of this machine"):
        disk.make()
        say(f"    {DISK.name}: {size(disk.size)} long, {size(disk.used_on_host())} of it in use")
    with chapters.chapter("Backup: read what is used, store it, read the archive back, prove it"):
        jurymast("backup", DISK, ARCHIVE)
    with chapters.chapter("What is in the archive?"):
        jurymast("info", ARCHIVE)
    with chapters.chapter("Disaster: the disk is overwritten with noise, partition table included"):
        say(f"    {size(disk.wipe())} overwritten")
        jurymast("inspect", DISK)
    with chapters.chapter("Restore: first the plan, then the data, the partition table last"):
        jurymast("restore", ARCHIVE, DISK, "--dry-run")
        jurymast("restore", ARCHIVE, DISK, "--yes")
    with chapters.chapter("Judged by other people's tools: table, file systems, and every single file"):
        check_table(disk)
        check_file_systems(disk)
        files = compare_files(disk)
    with chapters.chapter("Would it notice a damaged archive? One byte in the middle of a copy is changed"):
        _damage(ARCHIVE, DAMAGED)
        jurymast("verify", DAMAGED, ok=5)
        say("    Exit code 5: the damage was found, and what it hit is named.")
    shutil.rmtree(WORK)
    seconds = time.monotonic() - started
    say(
        f"""
DEMO PASSED in {seconds:.0f} s: a disk of {size(disk.size)} became an archive of {size(ARCHIVE.stat().st_size)}, was
destroyed, and came back: the file systems check clean and all {files} files are equal.

What to try next (in this folder; the disk and the archive are still in ./demo):
  .venv/bin/jurymast disks                                  the disks of this machine
  .venv/bin/jurymast inspect demo/disk.img                  what is on a disk or image
  .venv/bin/jurymast verify demo/disk.jmi                   read all of an archive again
  .venv/bin/jurymast restore demo/disk.jmi new.img --yes    into a new image file
  .venv/bin/jurymast clone demo/disk.img other.img --yes    disk to disk, no archive between
  zstd -d < demo/disk.jmi | strings | less                  stock zstd reads the data of an archive
  sudo .venv/bin/jurymast backup /dev/sdX /mnt/usb/pc.jmi   a real disk (not the one that you run from)
  make test                                                 everything, with all tests
  make bench                                                speed beside partclone and ntfsclone"""
    )


def _damage(source: Path, to: Path) -> None:
    shutil.copyfile(source, to)
    with to.open("r+b") as file:
        file.seek(to.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x40]))


def _stop(number: int, _: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        _play()
    except Failed as error:
        say(f"\nDEMO FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nStopped. Nothing is left mounted; the next run clears ./demo.")
        return 130
    return 0


sys.exit(main())
