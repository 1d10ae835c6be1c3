"""The only place where other programs are started: argument lists, a time limit, bounded output, clear errors."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from formats.base.errors import Cancelled, RecoveryError
from formats.base.units import KiB, MiB

OUTPUT_LIMIT = 4 * MiB  # of each stream; a checker on a hostile volume can print for ever
_GRACE = 5.0  # seconds from the request to end to the end by force
_LINGER = 1.0  # seconds that output is waited for after a command ended: what it left in the background may hold it
_LOOK_EVERY = 0.1
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# A command must be ended with its children: they get a group of their own.
OWN_GROUP: dict[str, Any] = {"start_new_session": True}
if sys.platform == "win32":
    OWN_GROUP = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}

# Which Debian package brings a program (dpkg -S on Debian 12 and 13).
DEBIAN_PACKAGES = {
    "badblocks": "e2fsprogs",
    "blkid": "util-linux",
    "blockdev": "util-linux",
    "btrfs": "btrfs-progs",
    "cryptsetup": "cryptsetup-bin",
    "dmsetup": "dmsetup",
    "dumpe2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "efibootmgr": "efibootmgr",
    "fsck.exfat": "exfatprogs",
    "fsck.fat": "dosfstools",
    "fusermount3": "fuse3",
    "grub-install": "grub2-common",
    "losetup": "mount",
    "lvm": "lvm2",
    "mdadm": "mdadm",
    "mkfs.fat": "dosfstools",
    "mkswap": "util-linux",
    "mount": "mount",
    "mount.exfat-fuse": "exfat-fuse",
    "ntfs-3g": "ntfs-3g",
    "ntfsfix": "ntfs-3g",
    "ntfsinfo": "ntfs-3g",
    "ntfsresize": "ntfs-3g",
    "partx": "util-linux",
    "resize2fs": "e2fsprogs",
    "sfdisk": "fdisk",
    "sgdisk": "gdisk",
    "smartctl": "smartmontools",
    "swaplabel": "util-linux",
    "systemctl": "systemd",
    "tune2fs": "e2fsprogs",
    "udevadm": "udev",
    "umount": "mount",
    "wipefs": "util-linux",
    "xfs_repair": "xfsprogs",
}


class ToolMissing(RecoveryError):
    """The program is not installed; `advice` names the Debian package."""

    def __init__(self, program: str) -> None:
        self.program = program
        package = DEBIAN_PACKAGES.get(program, program)
        self.advice = f"Install it with: apt-get install {package}"
        super().__init__(f"the program {program} is needed and not installed (Debian package {package})")


class ToolTimeout(RecoveryError):
    """The program did not end within its time and was killed."""

    def __init__(self, argv: Sequence[str], seconds: float) -> None:
        self.argv, self.seconds = tuple(argv), seconds
        super().__init__(f"{' '.join(argv)}: not finished after {seconds:g} seconds, and stopped")


class ToolFailed(RecoveryError):
    """The program ended with an exit code that was not expected, or by a signal (negative `code`)."""

    def __init__(self, argv: Sequence[str], code: int, stdout: str, stderr: str) -> None:
        self.argv, self.code, self.stdout, self.stderr = tuple(argv), code, stdout, stderr
        said = (stderr.strip() or stdout.strip() or "it said nothing").splitlines()[-1]
        ended = f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
        super().__init__(f"{' '.join(argv)}: {ended}: {said}")


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended. `stdout` keeps the first and `stderr` the last OUTPUT_LIMIT bytes, as text."""

    stdout: str
    stderr: str
    code: int


def find_tool(program: str) -> str | None:
    """The absolute path of `program`, looked for in PATH and in the sbin folders; None when it is missing."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":" + _SEARCH)


def run_tool(
    argv: Sequence[str],
    timeout: float = 120.0,
    stdin: bytes | None = None,
    *,
    ok: tuple[int, ...] | None = (0,),
    stop: Callable[[], bool] | None = None,
) -> Completed:
    """Run a program without a shell and wait for it, at most `timeout` seconds.

    `ok`: the exit codes that are no failure, None for all. `stop` is asked about five times a second; True ends
    the program with its children. It runs in the C locale, so that its words can be read by a program.
    Raises ToolMissing, ToolTimeout, ToolFailed, Cancelled.
    """
    program = find_tool(argv[0])
    if program is None:
        raise ToolMissing(argv[0])
    env = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", "") + ":" + _SEARCH}
    try:
        process = subprocess.Popen(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            start_new_session=True,  # so that its children end with it
        )
    except OSError as error:
        raise ToolFailed(argv, 127, "", f"it could not be started: {error.strerror}") from error
    except ValueError as error:  # a NUL inside an argument
        raise ToolFailed(argv, 127, "", f"it could not be started: {error}") from error
    return _wait(process, argv, timeout, stdin, ok, stop)


def run_at_terminal(argv: Sequence[str]) -> int:
    """Give our terminal to a program until it ends; its exit code. Raises ToolMissing, ToolFailed.

    No time limit: a person works with it. The terminal is taken back from its process group afterwards. For the main
    thread: a Ctrl-C meanwhile is meant for the program.
    """
    program = find_tool(argv[0])
    if program is None:
        raise ToolMissing(argv[0])
    old = signal.signal(signal.SIGINT, lambda number, frame: None)  # not ignored: the program would inherit that
    try:
        return subprocess.call([program, *argv[1:]])
    except OSError as error:
        raise ToolFailed(argv, 127, "", f"it could not be started: {error.strerror}") from error
    finally:
        signal.signal(signal.SIGINT, old)
        _take_terminal()


def _take_terminal() -> None:
    """A shell makes its own process group the terminal's; one that was killed leaves it so."""
    old = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.tcsetpgrp(0, os.getpgrp())
    except OSError:  # there is no terminal, or it is gone
        pass
    finally:
        signal.signal(signal.SIGTTOU, old)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a user's command ended. `code`: negative for a signal, 127 when it could not be started.

    `output`: what it printed, both streams as they came, the last bytes of it; `cut`: there was more.
    """

    code: int
    output: str
    cut: bool
    seconds: float
    timed_out: bool = False
    stopped: bool = False


def run_command(
    command: str | Sequence[str],
    timeout: float,
    *,
    env: Mapping[str, str],
    stdin: bytes | None = None,
    stop: Callable[[], bool] | None = None,
    limit: int = 64 * KiB,
) -> Ended:
    """Run a command that a user gave: a string through the system's shell, a list as it is. Never raises for its end.

    After `timeout` seconds, or when `stop` says so, its whole process group is asked to end (TERM), and five seconds
    later ended by force. What it left running in the background after a normal end is left alone. `env` is added to
    our own environment. It runs in the language of the user, not in that of run_tool().
    """
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            command,
            shell=isinstance(command, str),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": os.environ.get("PATH", "") + os.pathsep + _SEARCH, **env},
            **OWN_GROUP,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL inside
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Ended(127, f"it could not be started: {reason}", False, time.monotonic() - began)
    collector = _Collector(process.stdout, keep_tail=True, limit=limit)
    _feed(process, stdin)
    timed_out = stopped = False
    try:
        while True:
            try:
                process.wait(max(0.0, min(_LOOK_EVERY, began + timeout - time.monotonic())))
                break
            except subprocess.TimeoutExpired:
                stopped = stop is not None and stop()
                timed_out = not stopped and time.monotonic() - began >= timeout
                if stopped or timed_out:
                    _end_group(process)
                    break
    except BaseException:
        _kill_group(process)
        process.wait()
        raise
    collector.join(_LINGER)
    return Ended(process.returncode, collector.text(), collector.cut, time.monotonic() - began, timed_out, stopped)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask all of the group to end, and end by force what has not after _GRACE seconds."""
    deadline = time.monotonic() + _GRACE
    if sys.platform != "win32":
        try:
            os.killpg(process.pid, signal.SIGTERM)
            while time.monotonic() < deadline:
                process.poll()  # takes a dead leader away, so that the group can become empty
                os.killpg(process.pid, 0)
                time.sleep(0.05)
        except (ProcessLookupError, PermissionError):
            pass
    _kill_group(process)
    process.wait()


def _wait(
    process: subprocess.Popen[bytes],
    argv: Sequence[str],
    timeout: float,
    stdin: bytes | None,
    ok: tuple[int, ...] | None,
    stop: Callable[[], bool] | None,
) -> Completed:
    out, err = _Collector(process.stdout, keep_tail=False), _Collector(process.stderr, keep_tail=True)
    feeder = _feed(process, stdin)
    deadline = time.monotonic() + timeout
    try:
        while True:
            try:
                code = process.wait(max(0.0, min(0.2, deadline - time.monotonic())))
                break
            except subprocess.TimeoutExpired:
                if stop is not None and stop():
                    raise Cancelled(f"{argv[0]} was stopped, as asked") from None
                if time.monotonic() >= deadline:
                    raise ToolTimeout(argv, timeout) from None
    except BaseException:
        _kill_group(process)
        process.wait()
        raise
    finally:
        for worker in (out, err, feeder):
            if worker is not None:
                worker.join(5)
    done = Completed(out.text(), err.text(), code)
    if ok is not None and code not in ok:
        raise ToolFailed(argv, code, done.stdout, done.stderr)
    return done


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the program with its children. Not after a normal end: `mount` leaves a FUSE server behind on purpose."""
    if sys.platform == "win32":  # has no signals; taskkill is part of every Windows
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _feed(process: subprocess.Popen[bytes], data: bytes | None) -> threading.Thread | None:
    pipe = process.stdin
    if data is None or pipe is None:
        return None

    def write() -> None:
        try:
            with pipe:
                pipe.write(data)
        except OSError:  # the program did not want it all; its exit code tells the rest
            return

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


class _Collector(threading.Thread):
    """Reads a pipe to its end and keeps at most `limit` bytes of it, 0 for OUTPUT_LIMIT."""

    def __init__(self, pipe: IO[bytes] | None, *, keep_tail: bool, limit: int = 0) -> None:
        super().__init__(daemon=True)
        self._pipe, self._keep_tail, self._limit, self._kept = pipe, keep_tail, limit or OUTPUT_LIMIT, bytearray()
        self.cut = False  # more came than is kept
        self.start()

    def run(self) -> None:
        if self._pipe is None:
            return
        with self._pipe as pipe:
            while piece := os.read(pipe.fileno(), 1 << 16):
                if self._keep_tail or len(self._kept) < self._limit:
                    self._kept += piece
                    if len(self._kept) > self._limit:
                        self.cut = True
                        self._kept = self._kept[-self._limit :] if self._keep_tail else self._kept[: self._limit]

    def text(self) -> str:
        return bytes(self._kept).decode(errors="replace")
