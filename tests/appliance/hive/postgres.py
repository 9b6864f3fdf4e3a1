"""A PostgreSQL for a test: on loopback, with a password, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

#: Debian keeps the server's programs out of the path.
_DEBIAN = Path("/usr/lib/postgresql/15/bin")


def program(name: str) -> str | None:
    return shutil.which(name, path=f"{_DEBIAN}:{os.environ.get('PATH', '')}")


@contextmanager
def postgres(port: int, password: str) -> Iterator[None]:
    """With a superuser `hive` and an empty database `metastore`. It refuses to run as root."""
    root = Path(mkdtemp(prefix="retaild-postgres-"))
    try:
        secret = root / "secret"
        secret.write_text(password)
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            for path in (root, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        data = root / "data"
        _run("initdb", "-D", str(data), "-U", "hive", "-A", "scram-sha-256", "--pwfile",
             str(secret), "-E", "UTF8", "--locale=C", "--no-sync")  # fmt: skip
        options = f"-p {port} -h 127.0.0.1 -k {root} -F"
        _run("pg_ctl", "-D", str(data), "-w", "-o", options, "-l", str(root / "log"), "start")
        try:
            _run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "hive", "metastore",
                 password=password)  # fmt: skip
            yield
        finally:
            _run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)


def query(port: int, password: str, sql: str) -> str:
    """The rows, a line each, columns with | between."""
    return _run("psql", "-h", "127.0.0.1", "-p", str(port), "-U", "hive", "-d", "metastore",
                "-AtXc", sql, password=password)  # fmt: skip


def _run(name: str, *words: str, password: str = "") -> str:
    path = program(name)
    assert path is not None
    command: Sequence[str] = [path, *words]
    user = "postgres" if os.getuid() == 0 else None
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "PGPASSWORD": password}
    done = subprocess.run(
        command, user=user, env=environment, cwd="/", capture_output=True,
        stdin=subprocess.DEVNULL, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, f"{name}: {done.stderr}"
    return done.stdout.strip()
