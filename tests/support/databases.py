"""Database servers of our own, in a temporary folder, on a Unix socket only."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tools import need, need_root

PG_HOME = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Postgres:
    """`data`: the cluster. `sockets`: folder that psql takes as PGHOST. The server and its owner are user postgres."""

    bin: Path
    data: Path
    sockets: Path

    @property
    def env(self) -> dict[str, str]:
        return {"PGHOST": str(self.sockets), "PGUSER": "postgres", "JURYMAST_DB_USER": "postgres"}

    def tool(self, name: str, *argv: str | Path, ok: bool = True, timeout: float = 60) -> str:
        done = subprocess.run(
            ["runuser", "-u", "postgres", "--", str(self.bin / name), *map(str, argv)],
            env={**os.environ, **self.env, "LC_ALL": "C.UTF-8"}, capture_output=True, timeout=timeout, check=False,
            cwd="/",
        )  # fmt: skip
        text = done.stdout.decode() + done.stderr.decode()
        assert not ok or done.returncode == 0, (name, argv, text)
        return text

    def sql(self, text: str) -> str:
        return self.tool("psql", "-XAtqc", text, "postgres").strip()

    def in_backup(self) -> int:
        """Sessions that hold a backup: those of ours that are connected."""
        return int(self.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jurymast'"))


@contextmanager
def postgres(folder: Path, data: Path | None = None) -> Iterator[Postgres]:
    """A running cluster in `folder`, new with checksums, or the one in `data`."""
    need_root()
    need("runuser")
    homes = sorted(PG_HOME.glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not homes:
        pytest.skip("no PostgreSQL server here (apt-get install postgresql)")
    folder.mkdir(parents=True, exist_ok=True)
    for place in [folder, *folder.parents]:  # user postgres must get there
        if place.stat().st_uid == os.geteuid() and str(place) not in ("/", "/tmp"):
            place.chmod(place.stat().st_mode | 0o011)
    shutil.chown(folder, "postgres")
    server = Postgres(homes[-1].parent, data or folder / "data", folder)
    if data is None:
        server.tool("initdb", "-k", "-A", "trust", "--no-sync", "-U", "postgres", "-D", server.data)
        with (server.data / "postgresql.conf").open("a") as file:
            file.write("listen_addresses=''\nfsync=on\nshared_buffers='16MB'\nmax_wal_size='64MB'\n")
            file.write("wal_keep_size='256MB'\n")
    options = f"-k {folder} -c listen_addresses="
    server.tool("pg_ctl", "-w", "-D", server.data, "-l", folder / "log", "-o", options, "start")
    try:
        yield server
    finally:
        server.tool("pg_ctl", "-w", "-D", server.data, "-m", "immediate", "stop", ok=False)


@contextmanager
def busy(server: Postgres, clients: int = 2) -> Iterator[None]:
    """pgbench writes all the time."""
    server.tool("pgbench", "-i", "-q", "-s", "2", "postgres")
    load = subprocess.Popen(
        ["runuser", "-u", "postgres", "--", str(server.bin / "pgbench"), "-c", str(clients), "-T", "60", "postgres"],
        env={**os.environ, **server.env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    time.sleep(0.3)
    assert load.poll() is None
    try:
        yield
        assert load.poll() is None, "the load had ended before the test"
    finally:
        load.terminate()
        load.wait(20)


@dataclass(frozen=True)
class MariaDB:
    """`options`: file that the client takes as --defaults-extra-file."""

    client: str
    options: Path

    def sql(self, text: str, *, wait: float = 30) -> str:
        argv = [self.client, f"--defaults-extra-file={self.options}", "-BN", "-e", text]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=wait, check=False)
        assert done.returncode == 0, (text, done.stderr)
        return done.stdout.strip()


@contextmanager
def mariadb(folder: Path) -> Iterator[MariaDB]:
    """A server of our own in `folder`. It is 200 MB of packages, so `make test` does not install it."""
    need_root()
    found = [shutil.which(name) for name in ("mariadbd", "mariadb-install-db", "mariadb")]
    if not all(found):
        pytest.skip("no MariaDB server here (apt-get install mariadb-server)")
    server, install, client = (str(path) for path in found)
    base = Path(server).resolve().parents[1]
    for place in (folder, *folder.parents):
        if place.stat().st_uid == os.geteuid() and str(place) not in ("/", "/tmp"):
            place.chmod(place.stat().st_mode | 0o011)
    shutil.chown(folder, "nobody")
    data, socket, options = folder / "data", folder / "s.sock", folder / "my.cnf"
    common = ["--no-defaults", f"--basedir={base}", f"--datadir={data}", "--user=nobody"]
    make = [install, *common, "--skip-test-db", "--auth-root-authentication-method=normal"]
    done = subprocess.run(make, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    options.write_text(f"[client]\nsocket={socket}\nuser=root\n")
    settings = ["--skip-networking", "--innodb-buffer-pool-size=16M", "--log-bin=log", "--server-id=1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([server, *common, f"--socket={socket}", *settings], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while not socket.exists() and time.monotonic() < end:
            time.sleep(0.1)
        yield MariaDB(client, options)
    finally:
        process.kill()
        process.wait(20)
