"""Measure: run as `make bench`, with options as in `make bench BENCH="--size 2G --repeat 3"`."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.measure import Cost, apart, pipeline
from tests.bench.table import Line, goal_text, goals, markdown
from tests.bench.volume import (
    DEFAULT_SIZE,
    ROOM,
    GiB,
    call,
    make_big_ext4,
    make_big_ntfs,
    make_ext4,
    make_ntfs,
    memory_free,
)
from tests.support.stuffing import mounts_below, unmount

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "build" / "bench.md"
JURYMAST = (sys.executable, "-m", "recovery")
_PIECE = 4 << 20
ZSTD = ("zstd", "-1", "-T2", "-q", "-c")
UNZSTD = ("zstd", "-d", "-q", "-c")

TITLES = {
    "capture": ("capture", "Jurymast capture (BLAKE3, zstd -1, deduplication)"),
    "partclone": ("capture", "partclone.ntfs -c \\| zstd -1 -T2"),
    "ntfsclone": ("capture", "ntfsclone -s \\| zstd -1 -T2 (no checksums)"),
    "zstd": ("capture", "zstd -1 -T2 over the used bytes alone (floor)"),
    "proven": ("capture", "Jurymast capture, read-back and proof"),
    "restore": ("restore", "Jurymast restore"),
    "partclone-restore": ("restore", "zstd -d \\| partclone.restore -C"),
    "ntfsclone-restore": ("restore", "zstd -d \\| ntfsclone -r"),
    "checked": ("restore", "Jurymast restore and read-back"),
    "extract-ntfs": ("extract-ntfs", "Jurymast extract, all files of the NTFS"),
    "ntfs-3g": ("extract-ntfs", "cp -a of all files from ntfs-3g"),
    "extract-ext4": ("extract-ext4", "Jurymast extract, the same files from ext4"),
    "debugfs": ("extract-ext4", "debugfs rdump of the same files"),
    "map-ext4": ("map", "Jurymast inspect: used blocks of an empty 15 TiB ext4"),
    "map-ntfs": ("map", "Jurymast inspect: used blocks of an empty 8 TiB NTFS"),
    "start": ("start", "jurymast --version"),
    "info": ("start", "jurymast info"),
}


class Bench:
    """The rows, each a method that runs once and tells its cost and the bytes that it wrote."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._image = folder / "volume.img"
        self._log = folder / "log"
        self.used = 0

    def run(self, keys: list[str], repeat: int) -> list[Line]:
        """All `keys`, `repeat` rounds; the machine's moods then hit all rows alike."""
        costs: dict[str, list[Cost]] = {key: [] for key in keys}
        output: dict[str, int] = {}
        if any(TITLES[key][0] != "map" and key != "start" for key in keys):
            _say(f"making an NTFS volume of {self._size / GiB:.1f} GiB")
            self.used = apart(make_ntfs, self._image, self._size)
        self._pipeline((*JURYMAST, "--help"))  # compiles what is not compiled yet
        for number in range(repeat):
            for key in (k for k in TITLES if k in costs):
                cost, written = self._row(key)()
                costs[key].append(cost)
                output[key] = written
                _say(f"round {number + 1}: {TITLES[key][1]}: {cost.cpu:.1f} s user+sys, {cost.wall:.1f} s wall")
        return [Line(k, *TITLES[k], costs[k], output[k]) for k in TITLES if k in costs]

    def _row(self, key: str) -> Callable[[], tuple[Cost, int]]:
        rows: dict[str, Callable[[], tuple[Cost, int]]] = {
            "capture": lambda: self._backup("--no-verify"),
            "proven": lambda: self._backup(),
            "partclone": lambda: self._piped(self._partclone),
            "ntfsclone": lambda: self._piped(self._ntfsclone),
            "zstd": self._floor,
            "restore": lambda: self._restore("--no-verify"),
            "checked": lambda: self._restore(),
            "partclone-restore": lambda: self._unpiped(
                self._partclone, lambda to: ("partclone.restore", "-C", "-L", os.devnull, "-s", "-", "-O", to)
            ),
            "ntfsclone-restore": lambda: self._unpiped(
                self._ntfsclone, lambda to: ("ntfsclone", "-q", "-r", "--overwrite", to, "-")
            ),
            "extract-ntfs": lambda: self._extract(self._image),
            "ntfs-3g": self._copy_mounted,
            "extract-ext4": lambda: self._extract(self._ext4()),
            "debugfs": lambda: self._into_folder(
                lambda to: self._pipeline(("debugfs", "-R", f"rdump / {to}", self._ext4()))
            ),
            "map-ext4": lambda: self._map(make_big_ext4),
            "map-ntfs": lambda: self._map(make_big_ntfs),
            "start": lambda: (self._pipeline((*JURYMAST, "--version")), 0),
            "info": self._info,
        }
        return rows[key]

    def _pipeline(self, *programs: tuple[str | Path, ...], stdin: Path | None = None, out: Path | None = None) -> Cost:
        return pipeline(*programs, stdin=stdin, stdout=out, log=self._log)

    @property
    def _partclone(self) -> tuple[str | Path, ...]:
        return ("partclone.ntfs", "-c", "-L", os.devnull, "-s", self._image, "-o", "-")

    @property
    def _ntfsclone(self) -> tuple[str | Path, ...]:
        return ("ntfsclone", "-q", "-s", "-O", "-", self._image)

    def _backup(self, *options: str) -> tuple[Cost, int]:
        archive = self._folder / "volume.jmi"
        cost = self._pipeline((*JURYMAST, "backup", *options, self._image, archive))
        size = archive.stat().st_size
        self._remove("volume.jmi*")
        return cost, size

    def _piped(self, source: tuple[str | Path, ...]) -> tuple[Cost, int]:
        out = self._folder / "piped.zst"
        cost = self._pipeline(source, ZSTD, out=out)
        size = out.stat().st_size
        out.unlink()
        return cost, size

    def _floor(self) -> tuple[Cost, int]:
        used, out = self._folder / "used", self._folder / "used.zst"
        self._pipeline(self._partclone, out=used)
        cost = self._pipeline((*ZSTD, used), out=out)
        size = out.stat().st_size
        used.unlink()
        out.unlink()
        return cost, size

    def _restore(self, *options: str) -> tuple[Cost, int]:
        archive = self._folder / "volume.jmi"
        self._pipeline((*JURYMAST, "backup", "--no-verify", self._image, archive))
        target = self._old_disk()
        # As the peers do it: they discard nothing.
        cost = self._pipeline((*JURYMAST, "restore", "--yes", "--unused", "leave", *options, archive, target))
        call("ntfsfix", "-n", target)
        self._remove("volume.jmi*")
        return cost, 0

    def _old_disk(self) -> Path:
        """A target whose space is there already, as that of a disk is.

        A new file in memory costs what the hypervisor asks for each page that it took back: more than the restore.
        """
        target = self._folder / "target.img"
        with target.open("ab") as file:
            while file.tell() < self._size:
                file.write(b"\xa5" * min(_PIECE, self._size - file.tell()))
        return target

    def _unpiped(
        self, source: tuple[str | Path, ...], sink: Callable[[Path], tuple[str | Path, ...]]
    ) -> tuple[Cost, int]:
        packed = self._folder / "piped.zst"
        self._pipeline(source, ZSTD, out=packed)
        cost = self._pipeline(UNZSTD, sink(self._old_disk()), stdin=packed)
        packed.unlink()
        return cost, 0

    def _ext4(self) -> Path:
        """The same files on ext4. It stays, so that it is made once."""
        image = self._folder / "files.ext4"
        if not image.exists():
            tree = self._folder / "tree"
            self._pipeline((*JURYMAST, "extract", self._image, tree))
            apart(make_ext4, image, tree, self._size)
            shutil.rmtree(tree)
        return image

    def _extract(self, image: Path) -> tuple[Cost, int]:
        return self._into_folder(lambda to: self._pipeline((*JURYMAST, "extract", image, to)))

    def _copy_mounted(self) -> tuple[Cost, int]:
        """What the driver takes counts too: it ends when it is unmounted."""
        where = self._folder / "from"
        where.mkdir(exist_ok=True)
        mount = ("ntfs-3g", "-o", "ro,no_detach", self._image, where)
        wait = f"until mountpoint -q {where}; do sleep 0.02; done"
        return self._into_folder(
            lambda to: self._pipeline(mount, ("sh", "-ec", f"{wait}; cp -a {where}/. {to}; umount {where}"))
        )

    def _into_folder(self, copy: Callable[[Path], Cost]) -> tuple[Cost, int]:
        out = self._folder / "out"
        out.mkdir()
        cost = copy(out)
        written = sum(p.stat().st_size for p in out.rglob("*") if p.is_file() and not p.is_symlink())
        shutil.rmtree(out)
        return cost, written

    def _map(self, make: Callable[[Path], int]) -> tuple[Cost, int]:
        image = self._folder / "big.img"
        apart(make, image)
        cost = self._pipeline((*JURYMAST, "inspect", image))
        image.unlink()
        return cost, 0

    def _info(self) -> tuple[Cost, int]:
        archive = self._folder / "volume.jmi"
        self._pipeline((*JURYMAST, "backup", "--no-verify", self._image, archive))
        cost = self._pipeline((*JURYMAST, "info", archive))
        self._remove("volume.jmi*")
        return cost, 0

    def _remove(self, pattern: str) -> None:
        for path in self._folder.glob(pattern):
            path.unlink()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _size(text: str) -> int:
    factors = {"M": 1 << 20, "G": 1 << 30}
    try:
        return int(float(text[:-1]) * factors[text[-1:].upper()])
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 6G or 512M") from None


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Speed beside the peers, on the same volume.")
    parser.add_argument("--size", type=_size, default=DEFAULT_SIZE, help="of the NTFS volume (default 6G)")
    parser.add_argument("--repeat", type=int, default=1, help="rounds; the table shows the median")
    parser.add_argument("--only", action="append", choices=list(TITLES), help="only this row (again for more)")
    return parser.parse_args()


def _place(size: int) -> tuple[Path, int, str]:
    """Where to work, the size of the volume that fits there, and what has to be said about both."""
    shared = Path("/dev/shm")
    if not (shared.is_mount() and os.access(shared, os.W_OK)):
        RESULT.parent.mkdir(exist_ok=True)
        return RESULT.parent, size, "Not in memory: the disk is measured too."
    room = min(memory_free(), shutil.disk_usage(shared).free) * 0.8
    fitting = int(min(size, room / ROOM)) >> 20 << 20
    note = "" if fitting == size else f"Scaled down from {size / GiB:.1f} GiB, for lack of memory."
    return shared, fitting, note


def _report(lines: list[Line], bench: Bench, size: int, note: str, arguments: list[str]) -> str:
    command = "make bench" + (f' BENCH="{" ".join(arguments)}"' if arguments else "")
    linux = platform.release().split("-")[0]
    about = f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {linux}, Python {platform.python_version()}"
    text = [f"Made by `{command}` ({about})."]
    if bench.used:
        text.append(f"NTFS of {size / GiB:.1f} GiB, {bench.used / 1e9:.2f} GB of files, in memory. {note}".strip())
    text += ["", markdown(lines), "", "```", goal_text(goals(lines)), "```", ""]
    return "\n".join(text)


def _stop(number: int, _: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    arguments = _parse()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.environ.update(LC_ALL="C.UTF-8", PYTHONPATH=str(ROOT))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled modules are kept, as in any installation
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    place, size, note = _place(arguments.size)
    if note:
        _say(note)
    folder = Path(tempfile.mkdtemp(prefix="jurymast-bench-", dir=place))
    os.environ["JURYMAST_STATE"] = str(folder / "state")
    try:
        bench = Bench(folder, size)
        lines = bench.run(arguments.only or list(TITLES), max(1, arguments.repeat))
    except (RuntimeError, OSError) as error:
        _say(f"BENCH FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        for mount in mounts_below(folder):
            unmount(mount)
        shutil.rmtree(folder, ignore_errors=True)
    text = _report(lines, bench, size, note, sys.argv[1:])
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text)
    print(text)
    return 0


sys.exit(main())
