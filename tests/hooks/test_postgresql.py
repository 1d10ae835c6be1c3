"""The PostgreSQL hook against a real server that is written to: held, released whatever happens, and restorable."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.command import environment, jurymast
from tests.support.databases import Postgres, busy, postgres

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    # Not below pytest's folder, which is made private again whenever another run begins: the server has another user.
    with TemporaryDirectory(prefix="jurymast-test-") as folder, postgres(Path(folder)) as found, busy(found):
        yield found


@pytest.fixture
def call(server: Postgres, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The adapter, as the installed hook runs it."""
    (tmp_path / "state").mkdir(mode=0o700)

    def run(phase: str, job: str = "j1", pid: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "recovery.hooks_adapter", "postgresql", phase],
            input=json.dumps({"job_id": job, "pid": pid or os.getpid()}), capture_output=True, text=True, timeout=60,
            env={**environment(), **server.env, "JURYMAST_HOOK_STATE": str(tmp_path / "state"), **env}, check=False,
        )  # fmt: skip

    return run


def until(wanted: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if wanted():
            return True
        time.sleep(0.1)
    return False


def test_a_copy_made_between_freeze_and_thaw_starts_and_is_sound(
    server: Postgres, call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """The copy is not of one instant: only with the label that the hook reports can it be restored."""
    copy = tmp_path / "copy" / "data"
    copy.parent.mkdir()
    assert call("prepare").returncode == 0
    frozen = call("freeze")
    assert frozen.returncode == 0 and "backup begun at" in frozen.stdout, frozen.stdout
    assert server.in_backup() == 1
    before = int(server.sql("SELECT count(*) FROM pgbench_history"))
    shutil.copytree(server.data, copy, ignore=shutil.ignore_patterns("postmaster.*"))
    assert server.in_backup() == 1
    thawed = call("thaw")
    assert thawed.returncode == 0, thawed.stdout
    assert server.in_backup() == 0
    for segment in (server.data / "pg_wal").glob("0*"):  # what an archive of the log would have
        shutil.copy(segment, copy / "pg_wal" / segment.name)
    label = re.search(r"--- backup_label ---\n(.*?)--- end of backup_label ---", thawed.stdout, re.DOTALL)
    assert label is not None and "START WAL LOCATION" in label[1]
    (copy / "backup_label").write_text(label[1])
    for path in (copy, *copy.rglob("*")):
        shutil.chown(path, "postgres", "postgres")
    with postgres(tmp_path / "copy", copy) as restored:
        assert restored.sql("SELECT pg_is_in_recovery()") == "f"
        assert int(restored.sql("SELECT count(*) FROM pgbench_history")) >= before
        assert restored.sql("SELECT sum(abalance) FROM pgbench_accounts") == restored.sql(
            "SELECT sum(bbalance) FROM pgbench_branches"
        )
        if (restored.bin / "pg_amcheck").exists():
            restored.sql("CREATE EXTENSION amcheck")
            restored.tool("pg_amcheck", "--heapallindexed", "-d", "postgres")
        restored.tool("pg_ctl", "-w", "-D", copy, "-m", "fast", "stop")
        assert "Bad checksums:  0" in restored.tool("pg_checksums", "--check", "-D", copy)


def test_it_is_let_go_when_the_backup_is_killed(
    server: Postgres, call: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with subprocess.Popen(["sleep", "60"]) as backup:
        assert call("freeze", "killed", backup.pid).returncode == 0
        assert server.in_backup() == 1
        backup.kill()
    assert until(lambda: server.in_backup() == 0)
    assert "gone" in call("thaw", "killed").stdout


def test_it_is_let_go_after_its_limit_and_the_thaw_says_so(
    server: Postgres, call: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert call("freeze", "limit", JURYMAST_HOLD_SECONDS="0.5").returncode == 0
    assert until(lambda: server.in_backup() == 0)
    thawed = call("thaw", "limit")
    assert thawed.returncode == 1 and "0.5 seconds, which is the limit" in thawed.stdout


def test_a_session_that_somebody_ended_is_told(
    server: Postgres, call: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert call("freeze", "ended").returncode == 0
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jurymast'")
    assert until(lambda: server.in_backup() == 0)
    thawed = call("thaw", "ended")
    assert thawed.returncode == 1 and thawed.stdout.strip()


def test_no_server_and_wrong_calls(call: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for phase in ("prepare", "freeze"):
        done = call(phase, PGHOST="/nowhere")
        assert done.returncode == 1 and "No such file" in done.stdout
    assert call("thaw").returncode == 1
    assert call("abort").returncode == 0
    assert "no job id" in call("freeze", "../x").stdout


def test_a_whole_backup_with_the_installed_hook_and_one_that_is_killed(server: Postgres, tmp_path: Path) -> None:
    hooks, state, image = tmp_path / "hooks.d", tmp_path / "state", tmp_path / "d.img"
    state.mkdir(mode=0o700)
    jurymast("hooks", "install", "postgresql", "--hooks-dir", hooks, "--json", ok=0)
    hook = hooks / "50-postgresql"
    settings = f"export PGHOST={server.sockets} PGUSER=postgres JURYMAST_HOOK_STATE={state}\nexec "
    hook.write_text(hook.read_text().replace("exec ", settings, 1))
    image.write_bytes(os.urandom(1 << 20) + bytes(3 << 20))
    done = jurymast("backup", image, tmp_path / "a.jmi", "--hooks-dir", hooks, "--json", ok=0)
    told = {c["moment"]: c for c in done.told["commands"]}
    assert list(told) == ["prepare", "freeze", "thaw"] and "START WAL LOCATION" in told["thaw"]["output"]
    kept = json.loads(jurymast("info", tmp_path / "a.jmi", "--json", ok=0).stdout)
    assert kept["commands"] == done.told["commands"]
    options = ["--hooks-dir", hooks, "--bandwidth", "64K"]
    killed = subprocess.Popen(
        [sys.executable, "-m", "recovery", "backup", image, tmp_path / "b.jmi", *options],
        env=environment(), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert until(lambda: server.in_backup() == 1)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert until(lambda: server.in_backup() == 0)
    assert not (tmp_path / "b.jmi").exists()
