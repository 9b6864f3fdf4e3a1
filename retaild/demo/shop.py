"""The demo's shop: its directory, its configuration, its running daemon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.demo.choice import Choice, settings_text

#: Marks a directory as the demo's own: only such a one is emptied.
_MARK = ".retaild-demo"
#: The last line of the data, in the shop's (London winter, so UTC) time.
LAST_SALE = datetime(2011, 12, 9, 12, 50, tzinfo=UTC)
DEFAULT_PORT = 8470


class NotTheDemosError(RetaildError):
    key = "demo.not_ours"

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"{directory} is not empty and was not made by the demo.",
            hint="Name another directory with --data; the demo empties its own at every start.",
        )


class DaemonDiedError(RetaildError):
    key = "demo.daemon_died"

    def __init__(self, code: int | None, log: Path) -> None:
        super().__init__(f"The daemon ended early (exit code {code}).", hint=f"See {log}.")


class AnswerError(RetaildError):
    key = "demo.answer"

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path} answered {status}: {body[:500]}")


@dataclass
class Shop:
    root: Path
    port: int
    #: "" or "edge": the embedded one; "appliance": with the servers of `choice`.
    profile: str = ""
    choice: Choice = field(default_factory=Choice)
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.root / "retaild.toml"

    @property
    def data(self) -> DataDir:
        return DataDir(self.root / "data")

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    def dropbox(self, name: str) -> Path:
        """A folder into which files are put; who takes them from there goes by its name."""
        return (self.inbox / name).absolute()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.root / "daemon.out"

    # -- laying out ----------------------------------------------------------------------------

    def lay_out(self) -> None:
        """An empty directory with the configuration and empty inboxes. Raises NotTheDemosError."""
        if self.root.exists() and any(self.root.iterdir()) and not (self.root / _MARK).exists():
            raise NotTheDemosError(self.root)
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        (self.root / _MARK).touch()
        for name in ("tills", "assumption", "nifi", "flume"):
            self.dropbox(name).mkdir(parents=True)
        template = (resources.files("retaild.demo") / "retaild.toml").read_text("utf-8")
        values = {
            "port": self.port,
            "inbox": self.inbox.absolute(),
            "clock_offset": f"{LAST_SALE.timestamp() - time.time():.0f}",
        }
        self.config.write_text(Template(template).substitute(values), "utf-8")
        if self.profile == "appliance":
            self._lay_out_appliance()

    def _lay_out_appliance(self) -> None:
        from retaild.runtime.profiles import FILE, text_of

        parts = self.root / "conf.d"
        parts.mkdir()
        (parts / FILE).write_text(text_of("appliance"), "utf-8")
        (parts / "60-demo.toml").write_text(settings_text(self.choice, self), "utf-8")

    def put(self, file: Path, box: str, name: str = "") -> None:
        """Put a file into an inbox the way an export should: whole, by renaming."""
        part = self.root / f"{file.name}.part"
        shutil.copyfile(file, part)
        part.rename(self.dropbox(box) / (name or file.name))

    # -- the daemon ----------------------------------------------------------------------------

    def start(self) -> int:
        """Its pid."""
        command = [sys.executable, "-m", "retaild.daemon", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.data.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the demo, which stops its daemon in order.
                start_new_session=True,
            )
        return self.process.pid

    def check_alive(self) -> None:
        """Raises DaemonDiedError."""
        if self.process is None or self.process.poll() is not None:
            code = None if self.process is None else self.process.returncode
            raise DaemonDiedError(code, self.log)

    def stop(self, timeout: float = 90.0) -> int | None:
        """SIGTERM, and the exit code; None if it had to be killed."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return None

    # -- its REST interface ----------------------------------------------------------------------

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, body)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """JSON (or text, for pages) of an answer; raises AnswerError for 4xx and 5xx."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data is not None else {}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                raw = answer.read()
                is_json = "json" in answer.headers.get("Content-Type", "")
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")
            raise AnswerError(method, path, error.code, said) from None
        return json.loads(raw) if is_json else raw.decode("utf-8", "replace")

    def answers(self, path: str) -> bool:
        """Whether a GET succeeds right now."""
        try:
            self.get(path)
        except (AnswerError, OSError):
            return False
        return True


def free_port(wanted: int | None) -> int:
    """`wanted`, else the usual port if it is free, else (or for 0) any free one."""
    if wanted:
        return wanted
    for port in (0,) if wanted == 0 else (DEFAULT_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("there is no free port on 127.0.0.1")
