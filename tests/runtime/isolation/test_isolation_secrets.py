"""Canaries: secrets and a card number, used by real processes, and then looked for everywhere."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from retaild.api.lake import Lake
from retaild.runtime.component.channel import connect
from retaild.runtime.component.identity import SOCKET

from .wild.retaild_wild import CARD
from .wild_house import WildHouse, eventually, wild_house

pytestmark = pytest.mark.slow

#: A sink's key, a source's password, the secret of the client at Keycloak.
SECRETS = {
    "duty.key": "canary-pagerduty-0123456789abcde",
    "till.password": "canary-till-password",
    "keycloak.secret": "canary-keycloak-client-secret",
}
SPELLED = (*SECRETS.values(), CARD, "4111 1111 1111 1111", "4111-1111-1111-1111")

CONFIG = """
[access]
required = "always"
[lake]
interval_seconds = 0.2
[alerts]
group_wait_seconds = 0
[alert.duty]
plugin = "pagerduty"
url = "{url}/v2/enqueue"
routing_key = {{file = "duty.key"}}
[identity]
plugin = "keycloak"
server_url = "{url}"
realm = "shop"
client_secret = {{file = "keycloak.secret"}}
[source.speaks_of_a_card]
plugin = "wild"
folder = "."
how = "speaks_of_a_card"
password = {{file = "till.password"}}
[source.speaks_of_a_card.limits]
failures = 2
[source.tills]
plugin = "tabular"
path = "in"
pattern = "*.csv"
settle_seconds = 0
"""
HEADER = "receipt_id,product_id,description,quantity,unit_price,event_time\n"
ROWS = (
    f"1,A,paid with {CARD},1,2.50,2024-03-01 10:00:00\n"
    "2,A,paid with 4111 1111 1111 1111,1,2.50,2024-03-01 10:00:00\n"
    f"3,A,Cup,{CARD},2.50,2024-03-01 10:00:00\n"
    "4,A,Cup,1,2.50,2024-03-01 10:00:00\n"
)


class Rude(BaseHTTPRequestHandler):
    """Keycloak's metadata, and to all else a refusal that repeats it, with the secrets in it."""

    heard: ClassVar[list[bytes]] = []

    def do_GET(self) -> None:
        issuer = f"http://127.0.0.1:{self.server.server_port}/realms/shop"  # type: ignore[attr-defined]
        names = ("authorization_endpoint", "token_endpoint", "end_session_endpoint", "jwks_uri")
        found = {"issuer": issuer, **{name: f"{issuer}/{name}" for name in names}}
        self._answer(200, found)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.heard.append(body + str(self.headers).encode())
        said = self.heard[-1].decode("utf-8", "replace")
        self._answer(400, {"error": "invalid_client", "error_description": said, "errors": [said]})

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[str]:
    """Its address."""
    Rude.heard.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Rude)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, receiver: str) -> Iterator[WildHouse]:
    """Everything that has a secret has used it, and every door has been given a card number."""
    folder = tmp_path_factory.mktemp("secrets")
    for name, secret in SECRETS.items():
        (folder / name).write_text(secret + "\n")
        (folder / name).chmod(0o600)
    (folder / "in").mkdir()
    with wild_house(folder, CONFIG.format(url=receiver)) as house:
        (folder / "in" / f"export {CARD}.csv").write_text(HEADER + ROWS)
        house.tell("speaks_of_a_card", "go")
        _sign_in(house)
        eventually(lambda: house.row("source.speaks_of_a_card")["state"] == "quarantined")
        # The quarantine is told to the sink, which is refused with its own key repeated.
        eventually(lambda: any(SECRETS["duty.key"].encode() in one for one in Rude.heard))
        eventually(lambda: Lake(house.data.lake).exists("silver.dead_letter"))
        eventually(lambda: "sink.duty.refused" in house.alerts())
        assert any(b"canary-keycloak" in one for one in Rude.heard)
        yield house


def _sign_in(house: WildHouse) -> None:
    """As a browser that comes back with a code: redeeming it takes the client's secret."""
    arguments = {"redirect_uri": "http://x/", "code": "c", "nonce": "n", "verifier": "v" * 43}
    eventually((house.data.run / SOCKET).exists)
    connection: socket.socket = connect(house.data.run, SOCKET)
    with connection, connection.makefile("rwb") as line:
        line.write(json.dumps({"call": "finish", "arguments": arguments}).encode() + b"\n")
        line.flush()
        assert "error" in json.loads(line.readline())


def traces(text: bytes | str) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [one for one in SPELLED if one.encode() in data]


def ctl(house: WildHouse, *words: object) -> Any:
    command = [sys.executable, "-m", "retaild.cli", *map(str, words), "--json"]
    command += ["-c", str(house.config)]
    done = subprocess.run(command, env=house.environment, capture_output=True, check=True)
    assert traces(done.stdout + done.stderr) == []
    return json.loads(done.stdout)


def test_no_process_shows_them(house: WildHouse) -> None:
    daemon = psutil.Process(house.daemon())
    pids = [process.pid for process in (daemon, *daemon.children(recursive=True))]
    assert len(pids) >= 8  # with workers, fork server, and what it forked
    for pid in pids:
        with suppress(FileNotFoundError):  # a job that has ended
            for name in ("environ", "cmdline"):
                assert traces(Path(f"/proc/{pid}/{name}").read_bytes()) == [], (pid, name)


def test_no_file_below_the_data_directory_holds_them(house: WildHouse) -> None:
    """Nor the daemon's own output. Secrets stay in the files that the configuration names."""
    files = [path for path in house.data.root.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert {path: traces(path.read_bytes()) for path in files if traces(path.read_bytes())} == {}
    assert traces((house.folder / "output").read_bytes()) == []
    # What is compressed, opened.
    lake = Lake(house.data.lake)
    tables = {name: lake.dataset(name).to_table().to_pylist() for name in lake.names()}
    assert traces(repr(tables)) == []
    # The search finds what is there: the number masked, and the secret's place.
    assert "411111******1111" in repr(tables["silver.dead_letter"])
    assert b"411111******1111" in house.data.worker_log("source.speaks_of_a_card").read_bytes()
    assert b"till.password" in (house.data.run / "active.json").read_bytes()


def test_no_answer_shows_them(house: WildHouse) -> None:
    for text in ("status", "alert list", "alert history --messages", "plugin list", "source list",
                 "config show", "audit list"):  # fmt: skip
        assert ctl(house, *text.split())


def test_the_debug_bundle_does_not_hold_them(house: WildHouse, tmp_path: Path) -> None:
    file = tmp_path / "debug.tar.gz"
    ctl(house, "bundle", "debug", file)
    assert traces(_opened(file)) == []


def test_a_backup_holds_secrets_only_if_it_is_told_to(house: WildHouse, tmp_path: Path) -> None:
    """It holds log, lake, state and the configuration, which names the files of the secrets."""
    plain, full = tmp_path / "plain.tar.gz", tmp_path / "full.tar.gz"
    made = ctl(house, "backup", "create", plain)
    assert traces(_opened(plain)) == []
    assert any("Secrets" in sentence for sentence in made["left_out"])
    ctl(house, "backup", "create", full, "--with-secrets")
    assert traces(_opened(full)) == list(SECRETS.values())
    assert full.stat().st_mode & 0o077 == 0


def _opened(archive: Path) -> bytes:
    with tarfile.open(archive) as tar:
        parts = [tar.extractfile(member) for member in tar if member.isfile()]
        return b"\n".join(part.read() for part in parts if part is not None)
