"""A real PostgreSQL server on a free port, run by an unprivileged user (it refuses root)."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

_PLACES = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
INITDB = next((p / "initdb" for p in _PLACES if (p / "initdb").exists()), None) or shutil.which(
    "initdb"
)


class Server:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = Path(str(INITDB)).parent
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def make(self) -> None:
        password = self.folder / "password"
        password.write_text("s3cret")
        if self._as:
            os.chown(password, self._as["user"], self._as["group"])
        self._run(
            "initdb", "-D", f"{self.folder}/data", "-U", "shop", "-A", "scram-sha-256",
            f"--pwfile={password}", "-E", "UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -F"
        self._run(
            "pg_ctl", "-D", f"{self.folder}/data", "-w", "-t", "60", "-o", options,
            "-l", f"{self.folder}/log", "start",
        )  # fmt: skip

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", mode, "stop")

    def run(self, *statements: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[arg-type]

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, dbname="postgres", user="shop", password="s3cret"
        )

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.bin / program, *arguments], check=True, cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **self._as,
        )  # fmt: skip


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    if INITDB is None:
        pytest.skip("needs PostgreSQL's server: apt-get install postgresql")
    # Not in pytest's folder, which only root may enter.
    folder = Path(tempfile.mkdtemp(prefix="retaild-postgresql-"))
    server = Server(folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def table(server: Server) -> Server:
    server.run(
        "DROP TABLE IF EXISTS line",
        "CREATE TABLE line (id bigint PRIMARY KEY, receipt int, article text, pieces numeric,"
        " price double precision, sold timestamptz NOT NULL)",
    )
    return server
