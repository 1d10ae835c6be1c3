"""MySQL 8 and later, MariaDB 10.4 and later: writers wait, while one session holds the locks made for backups.

MySQL manual, "LOCK INSTANCE FOR BACKUP"; MariaDB documentation, "BACKUP STAGE". Everybody who writes is held up, so
the limit is below ten seconds: this is for snapshots, not for reading a whole disk.
"""

from __future__ import annotations

import os
import re

from formats.base.errors import Unsupported
from recovery.engine.companions import HeldSession
from recovery.engine.run import find_tool
from recovery.hooks_adapter.database import Limits, as_user, hold_limit

_MARKER = "jurymast-done"
_MOST = 9.0  # seconds
_STAGES = ("START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT")


class MySQL:
    name = "mysql"
    title = "MySQL 8 and later, MariaDB 10.4 and later: writers wait, below 10 seconds"
    settings: tuple[str, ...] = (
        "# Name and password for the server, in a file that only root can read; root's own socket login needs none:",
        "#export JURYMAST_MY_CNF=/etc/jurymast/mysql.cnf",
        "# After so many seconds (9 at most) the locks are let go, and the backup told that it failed:",
        "#export JURYMAST_HOLD_SECONDS=8",
    )

    @property
    def limits(self) -> Limits:
        return Limits(freeze=_MOST, hold=hold_limit(8.0, _MOST), thaw=5.0)

    def connect(self) -> HeldSession:
        client = "mariadb" if find_tool("mariadb") else "mysql"
        options = os.environ.get("JURYMAST_MY_CNF", "")
        argv = [client, *([f"--defaults-extra-file={options}"] if options else [])]  # it must be the first
        return HeldSession(as_user([*argv, "--batch", "--skip-column-names", "--unbuffered"]), {})

    def check(self, session: HeldSession) -> str:
        version, maria = _version(session)
        return f"{'MariaDB' if maria else 'MySQL'} {version}.\n"

    def freeze(self, session: HeldSession) -> str:
        version, maria = _version(session)
        _ask(session, "SET SESSION lock_wait_timeout = 7;", 5.0)
        if maria:
            for stage in _STAGES:
                _ask(session, f"BACKUP STAGE {stage};", self.limits.freeze)
            position = _ask(session, "SHOW MASTER STATUS;", 5.0)
        else:
            _ask(session, "LOCK INSTANCE FOR BACKUP;", self.limits.freeze)
            _ask(session, "FLUSH TABLES WITH READ LOCK;", self.limits.freeze)
            position = _ask(session, "SELECT LOCAL FROM performance_schema.log_status;", 5.0)
        where = "; ".join(line.replace("\t", " ").strip() for line in position)
        return f"{'MariaDB' if maria else 'MySQL'} {version}: writers wait.\n" + (
            f"binary log: {where}\n" if where else ""
        )

    def thaw(self, session: HeldSession) -> str:
        _, maria = _version(session)
        if maria:
            _ask(session, "BACKUP STAGE END;", self.limits.thaw)
        else:
            _ask(session, "UNLOCK TABLES; UNLOCK INSTANCE;", self.limits.thaw)
        return "Writers go on.\n"


def _version(session: HeldSession) -> tuple[str, bool]:
    """What it says, and whether it is MariaDB. Raises Unsupported when it is too old."""
    version = "".join(_ask(session, "SELECT VERSION();", 5.0))
    number = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    maria = "mariadb" in version.lower()
    if number < ((10, 4) if maria else (8, 0)):
        raise Unsupported("database", f"version {version}", "MySQL 8 or MariaDB 10.4 is the oldest.")
    return version, maria


def _ask(session: HeldSession, statements: str, timeout: float) -> list[str]:
    return session.ask(f"{statements}\nSELECT '{_MARKER}';\n", _MARKER, timeout)
