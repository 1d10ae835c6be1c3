"""Independent judges of a volume: what files it holds, and whether its own checker is content.

read_tree() never uses our parsers: ntfs-3g, debugfs, mtools and exfat-fuse read the trees. All need only the image
file of one volume; NTFS and exFAT need root and FUSE.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import loop_device, mounted, need, need_root, run
from tests.support.tree import digest

EXT = ("ext2", "ext3", "ext4")
FAT = ("fat12", "fat16", "fat32", "vfat")
CHECKERS = {
    "ntfs": ("ntfsfix", "-n"),
    "exfat": ("fsck.exfat", "-n"),
    **dict.fromkeys(EXT, ("e2fsck", "-fn")),
    **dict.fromkeys(FAT, ("fsck.fat", "-n")),
}


def read_tree(kind: str, volume_image: Path, scratch: Path) -> dict[str, str]:
    """Path to SHA-256 of every regular file, as a program that is not ours reads `volume_image`.

    `kind`: as blkid or our Identity calls it. `scratch`: an existing folder; nothing is left in it.
    """
    out = scratch / "read-tree"
    out.mkdir()
    try:
        if kind == "ntfs":
            with ntfs_mounted(volume_image, out, "ro,norecover,streams_interface=windows"):
                return digest(out)
        if kind == "exfat":
            need("mount.exfat-fuse")
            with (
                loop_device(volume_image, read_only=True) as device,
                mounted(["mount.exfat-fuse", "-o", "ro", device, out], out),
            ):
                return digest(out)
        if kind in EXT:
            need("debugfs")
            run("debugfs", "-R", f"rdump / {out}", volume_image)
        elif kind in FAT:
            need("mcopy")
            run("mcopy", "-s", "-n", "-i", volume_image, "::/", f"{out}/")
        else:
            raise ValueError(f"no independent reader for {kind!r}")
        return digest(out)
    finally:
        shutil.rmtree(out)


def fsck(kind: str, image: Path) -> tuple[bool, str]:
    """Whether the file system's own checker finds nothing, and what it printed. Changes nothing."""
    if kind not in CHECKERS:
        raise ValueError(f"no checker for {kind!r}")
    argv = CHECKERS[kind]
    need(argv[0])
    done = subprocess.run([*argv, image], capture_output=True, timeout=240, check=False)
    return done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


@contextmanager
def ntfs_mounted(image: Path, where: Path, options: str) -> Iterator[Path]:
    """`image` under ntfs-3g at `where`; ends when the server has written everything and left.

    It stays in the foreground, for umount returns before a server in the background has finished.
    """
    need("ntfs-3g")
    need_root()
    argv = ["ntfs-3g", "-o", f"{options},no_detach", str(image), str(where)]
    # A file for its complaints: nobody reads a pipe while it runs, and of a damaged volume it has a lot to say.
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=told) as server,
    ):
        try:
            deadline = time.monotonic() + 20
            while not where.is_mount() and server.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            if not where.is_mount():
                server.terminate()
                server.wait(timeout=20)
                told.seek(0)
                raise AssertionError(f"ntfs-3g did not mount {image}: {told.read().decode(errors='replace')}")
            yield where
        finally:
            for _ in range(50):
                if not where.is_mount():
                    break
                subprocess.run(["umount", where], check=False, capture_output=True)
                time.sleep(0.05)
            else:
                server.terminate()
            server.wait(timeout=60)
