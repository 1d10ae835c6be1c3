"""PostgreSQL 9.6 and later: a backup begun and ended in one session (PostgreSQL manual, "Making a Base Backup").

It does not stop the writers: it makes a checkpoint, and has the server write what a copy of moving files needs.
"""

from __future__ import annotations

import json
import os

from formats.base.errors import Unsupported
from recovery.engine.companions import HeldSession, SessionLost
from recovery.hooks_adapter.database import Limits, as_user, hold_limit

_MARKER = "jurymast-done"
_OLDEST = 90600
_RENAMED = 150000  # server_version_num from which on the functions are called pg_backup_start and pg_backup_stop


class PostgreSQL:
    name = "postgresql"
    title = "PostgreSQL 9.6 and later: pg_backup_start, pg_backup_stop"
    settings: tuple[str, ...] = (
        "# The system user whose session it is (only used by root):",
        "export JURYMAST_DB_USER=postgres",
        "# Where the server listens, as psql takes it:",
        "#export PGHOST=/var/run/postgresql PGPORT=5432",
        "# After so many seconds the backup mode is left, and the backup told that it failed:",
        "#export JURYMAST_HOLD_SECONDS=3600",
    )

    @property
    def limits(self) -> Limits:
        return Limits(freeze=50.0, hold=hold_limit(3600.0, 86400.0), thaw=30.0)

    def connect(self) -> HeldSession:
        argv = ["psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-d", "postgres"]
        env = {
            "PGCONNECT_TIMEOUT": "5",
            "PGAPPNAME": "jurymast",
            "PGCLIENTENCODING": "UTF8",
            "PGOPTIONS": f"{os.environ.get('PGOPTIONS', '')} -c client_min_messages=warning".strip(),
        }
        return HeldSession(as_user(argv), env)

    def check(self, session: HeldSession) -> str:
        version = _version(session)
        if _one(session, "SELECT pg_is_in_recovery()", 10) == "t":
            return f"PostgreSQL {version // 10000}, a standby.\n"
        return f"PostgreSQL {version // 10000}.\n"

    def freeze(self, session: HeldSession) -> str:
        version = _version(session)
        call = (
            "pg_backup_start('jurymast', true)" if version >= _RENAMED else "pg_start_backup('jurymast', true, false)"
        )
        lsn = _one(session, f"SELECT {call}", self.limits.freeze)
        return f"PostgreSQL {version // 10000}: backup begun at {lsn}.\n"

    def thaw(self, session: HeldSession) -> str:
        version = _version(session)
        # Not waiting for the archive of the log: the backup must not hang on it. One row as JSON is one line.
        call = "pg_backup_stop(false)" if version >= _RENAMED else "pg_stop_backup(false, false)"
        found = json.loads(_one(session, f"SELECT row_to_json(b) FROM {call} AS b", self.limits.thaw))
        text = f"PostgreSQL: backup ended at {found['lsn']}.\n"
        for name, key in (("backup_label", "labelfile"), ("tablespace_map", "spcmapfile")):
            if found.get(key):
                text += f"--- {name} ---\n{found[key].rstrip()}\n--- end of {name} ---\n"
        return text


def _version(session: HeldSession) -> int:
    version = int(_one(session, "SELECT current_setting('server_version_num')", 10))
    if version < _OLDEST:
        raise Unsupported("database", f"PostgreSQL {version}", "Version 9.6 is the oldest.")
    return version


def _one(session: HeldSession, query: str, timeout: float) -> str:
    lines = session.ask(f"{query};\n\\echo {_MARKER}\n", _MARKER, timeout)
    if len(lines) != 1:
        raise SessionLost(f"psql gave {len(lines)} lines for one value: {lines[:3]}")
    return lines[0]
