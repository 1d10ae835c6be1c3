"""The process between freeze and thaw: it holds the session, and lets go when its time is over or the backup is dead.

`freeze` starts it and waits until the database is frozen; `thaw` asks it to let go over a socket, and gets what there
is to report. Linux only, as the databases' own tools for this are.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formats.base.errors import RecoveryError, Refused
from recovery.engine.companions import HeldSession
from recovery.hooks_adapter.database import Database

_AFTERWARDS = 600.0  # seconds that a resident waits to tell that it had to let go
_LOOK_EVERY = 0.2
_MOST = 1 << 20  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Answer:
    ok: bool
    text: str

    def send(self, write: Callable[[bytes], Any]) -> None:
        write(json.dumps({"ok": self.ok, "text": self.text}).encode())

    @classmethod
    def parse(cls, data: bytes) -> Answer:
        if not data:
            return cls(False, "The process that holds the session ended without a word.\n")
        body = json.loads(data)
        return cls(bool(body["ok"]), str(body["text"]))


def freeze(database: Database, job: str, backup: int) -> Answer:
    """Start the resident. `backup`: process that it must not outlive for long, 0 for none."""
    place = socket_path(database, job)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(place) as name:
            listening.bind(name)
    except OSError as error:
        raise Refused(f"{place}: {error.strerror or error}.", "Is this job frozen already?") from error
    listening.listen(1)
    watched = _watch(backup)  # while the backup waits for us its number cannot be another's
    read, write = os.pipe()
    if os.fork() == 0:
        code = 1
        try:
            os.setsid()
            os.close(read)
            _silence()
            _Resident(database, listening, watched).live(write)
            code = 0
        finally:
            place.unlink(missing_ok=True)
            os._exit(code)  # not what the caller's own ending would do
    os.close(write)
    listening.close()
    with os.fdopen(read, "rb") as pipe:
        return Answer.parse(pipe.read(_MOST))


def thaw(database: Database, job: str) -> Answer:
    """Ask the resident to let go, and what there is to report."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(database.limits.thaw + 10)
        try:
            with _short(socket_path(database, job)) as name:
                line.connect(name)
            data = b""
            while piece := line.recv(1 << 16):
                data += piece
        except OSError:
            return Answer(False, "Nothing is held: it was never frozen, or the process that held it is gone.\n")
    return Answer.parse(data)


def socket_path(database: Database, job: str) -> Path:
    """In a folder that only this user can use. Raises Refused."""
    if not re.fullmatch(r"[0-9a-zA-Z]{1,32}", job):
        raise Refused(f"{job!r} is no job id.", "The hook is called by jurymast, with JSON on its standard input.")
    usual = Path("/run/jurymast-hooks") if os.geteuid() == 0 else Path(f"/tmp/jurymast-hooks-{os.geteuid()}")
    folder = Path(os.environ.get("JURYMAST_HOOK_STATE") or usual)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise Refused(f"{folder} is not a folder that only we can use.", f"Remove it: rm -r {folder}")
    return folder / f"{database.name}-{job}.sock"


@contextmanager
def _short(place: Path) -> Iterator[str]:
    """Another name of `place`: that of a socket must be shorter than 108 bytes (unix(7)), whatever its folder is."""
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{place.name}"
    finally:
        os.close(folder)


def _watch(backup: int) -> int:
    """A descriptor that becomes readable when that process ends; -1 for none."""
    if backup <= 0:
        return -1
    try:
        return os.pidfd_open(backup)
    except OSError:
        return -1


def _silence() -> None:
    """Let go of the hook's own standard streams, for which the backup waits."""
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        os.dup2(os.open(os.devnull, flags), number)


class _Resident:
    def __init__(self, database: Database, listening: socket.socket, watched: int) -> None:
        self._database, self._listening, self._watched = database, listening, watched
        self._session: HeldSession | None = None
        self._lost = ""  # why it had to let go before it was asked

    def live(self, tell: int) -> None:
        """Freeze, tell the hook through `tell`, and hold until asked, or until it must not any longer."""
        try:
            self._session = self._database.connect()
            answer = Answer(True, self._database.freeze(self._session))
        except (RecoveryError, ValueError) as error:
            answer = Answer(False, f"{error}\n")
        if not answer.ok:
            self._close()
        with os.fdopen(tell, "wb") as pipe:
            answer.send(pipe.write)
        if answer.ok:
            try:
                self._hold()
            finally:
                self._close()

    def _hold(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._listening, selectors.EVENT_READ, "asked")
        if self._watched >= 0:
            selector.register(self._watched, selectors.EVENT_READ, "dead")
        limit = self._database.limits.hold
        until = time.monotonic() + limit
        while True:
            left = until - time.monotonic()
            what = {key.data for key, _ in selector.select(max(0.0, min(_LOOK_EVERY, left)))}
            if "asked" in what:
                return self._answer()
            if "dead" in what:
                return None
            if not self._lost and self._session is not None and self._session.ended:
                self._let_go("The server or somebody else ended the session that held it.")
            if time.monotonic() >= until:
                if self._lost:
                    return None
                self._let_go(f"It was held for {limit:g} seconds, which is the limit, and let go.")
                until = time.monotonic() + _AFTERWARDS

    def _let_go(self, why: str) -> None:
        self._lost = f"{why} What was copied after that is not consistent.\n"
        self._close()

    def _answer(self) -> None:
        line, _ = self._listening.accept()
        with line:
            if self._session is None:
                answer = Answer(False, self._lost)
            else:
                try:
                    answer = Answer(True, self._database.thaw(self._session))
                except (RecoveryError, ValueError, KeyError) as error:
                    answer = Answer(False, f"{error}\n")
            self._close()
            answer.send(line.sendall)

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
