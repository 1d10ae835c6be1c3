"""The MySQL and MariaDB hook against a real MariaDB: writers wait, and go on whatever happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.command import environment
from tests.support.databases import MariaDB, mariadb

pytestmark = pytest.mark.root
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    # Not below pytest's folder, which is made private again whenever another run begins: the server has another user.
    with TemporaryDirectory(prefix="jurymast-test-") as folder, mariadb(Path(folder)) as found:
        found.sql("CREATE DATABASE d; CREATE TABLE d.t (n INT) ENGINE=InnoDB")
        yield found


@pytest.fixture
def call(server: MariaDB, tmp_path: Path) -> Call:
    (tmp_path / "state").mkdir(mode=0o700)

    def run(phase: str, job: str = "j1", pid: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "recovery.hooks_adapter", "mysql", phase],
            input=json.dumps({"job_id": job, "pid": pid or os.getpid()}), capture_output=True, text=True, timeout=60,
            env={
                **environment(), "JURYMAST_MY_CNF": str(server.options),
                "JURYMAST_HOOK_STATE": str(tmp_path / "state"), **env,
            },
            check=False,
        )  # fmt: skip

    return run


class Writer:
    """One row, written in a thread; `took`: seconds until it was committed."""

    def __init__(self, server: MariaDB) -> None:
        self.took = 0.0
        self._server, self._began = server, time.monotonic()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self._server.sql("INSERT INTO d.t VALUES (1)")
        self.took = time.monotonic() - self._began

    @property
    def waits(self) -> bool:
        return self.thread.is_alive()


def test_writers_wait_between_freeze_and_thaw(server: MariaDB, call: Call) -> None:
    prepared = call("prepare")
    assert prepared.returncode == 0 and "MariaDB" in prepared.stdout, prepared.stdout
    frozen = call("freeze")
    assert frozen.returncode == 0 and "writers wait" in frozen.stdout and "binary log: log." in frozen.stdout
    rows = server.sql("SELECT count(*) FROM d.t")
    writer = Writer(server)
    time.sleep(1)
    assert writer.waits and server.sql("SELECT count(*) FROM d.t") == rows
    thawed = call("thaw")
    assert thawed.returncode == 0 and "Writers go on" in thawed.stdout
    writer.thread.join(5)
    assert writer.took >= 1 and int(server.sql("SELECT count(*) FROM d.t")) == int(rows) + 1


def test_writers_go_on_when_the_backup_is_killed(server: MariaDB, call: Call) -> None:
    with subprocess.Popen(["sleep", "60"]) as backup:
        assert call("freeze", "killed", backup.pid).returncode == 0
        writer = Writer(server)
        time.sleep(0.5)
        assert writer.waits
        backup.kill()
    writer.thread.join(4)
    assert 0.5 <= writer.took < 4


def test_writers_go_on_after_the_limit_and_the_thaw_says_so(server: MariaDB, call: Call) -> None:
    assert call("freeze", "limit", JURYMAST_HOLD_SECONDS="1").returncode == 0
    writer = Writer(server)
    writer.thread.join(5)
    assert 0 < writer.took < 4
    thawed = call("thaw", "limit")
    assert thawed.returncode == 1 and "which is the limit" in thawed.stdout


def test_a_lock_that_is_not_to_be_had_ends_the_freeze_within_its_time(server: MariaDB, call: Call) -> None:
    """Somebody holds a table: the freeze gives up below ten seconds, and holds nobody up."""
    holder = threading.Thread(target=server.sql, args=("LOCK TABLES d.t WRITE; SELECT SLEEP(12)",))
    holder.start()
    time.sleep(0.5)
    began = time.monotonic()
    frozen = call("freeze", "busy")
    assert frozen.returncode == 1 and time.monotonic() - began < 11, frozen.stdout
    holder.join(20)
    writer = Writer(server)
    writer.thread.join(5)
    assert not writer.waits
