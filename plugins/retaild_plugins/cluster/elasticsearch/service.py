"""The managed service `elasticsearch`: one node that listens on loopback."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from elasticsearch import ApiError, Elasticsearch, TransportError

from retaild.api import BuildContext, ConfigError, Endpoint, Server, TransientError
from retaild.api.service import Figures, make_password, software_home, write_private
from retaild_plugins.cluster.elasticsearch.config import ElasticsearchServiceConfig

USER = "retaild"
#: Seconds that a probe waits for an answer.
PROBE_SECONDS = 4.0
_ROUNDS = 10_000
#: It refuses to run as root; in a user namespace of its own it is somebody else, with our files.
_NOT_ROOT = ("unshare", "--user", "--map-user=1500", "--map-group=1500")


class ElasticsearchService:
    def __init__(self, config: ElasticsearchServiceConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._root = context.state_dir
        self._client: Elasticsearch | None = None

    def open(self) -> None:
        """Write its configuration. The password is made once."""
        home = self._home()
        for name in ("data", "logs", "tmp", "conf"):
            (self._root / name).mkdir(parents=True, exist_ok=True, mode=0o750)
        conf = self._root / "conf"
        for name in ("log4j2.properties", "jvm.options"):
            shutil.copyfile(home / "config" / name, conf / name)
        (conf / "elasticsearch.yml").write_text(self._settings(), "utf-8")
        password = make_password(self._root)
        write_private(conf / "users", f"{USER}:{hashed(password)}\n")
        write_private(conf / "users_roles", f"superuser:{USER}\n")
        # That it does not answer yet is told once, by the probe.
        logging.getLogger("elastic_transport").setLevel(logging.ERROR)
        self._client = Elasticsearch(
            f"http://127.0.0.1:{self._config.port}", basic_auth=(USER, password),
            request_timeout=PROBE_SECONDS, max_retries=0,
        )  # fmt: skip

    def _home(self) -> Path:
        jars = software_home(self._context.software_dir, "elasticsearch") / "jars"
        return next(jars.glob("elasticsearch-*"))

    def _settings(self) -> str:
        settings = {
            "cluster.name": "retaild",
            "node.name": self._context.instance,
            "path.data": self._root / "data",
            "path.logs": self._root / "logs",
            "network.host": "127.0.0.1",
            "http.port": self._config.port,
            "transport.port": self._config.transport_port,
            "discovery.type": "single-node",
            # A box that other things fill would otherwise make every index read-only; retaild's
            # doctor looks after the disk.
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            "action.auto_create_index": "false",
            "xpack.security.enabled": "true",
            "xpack.security.http.ssl.enabled": "false",
            "xpack.security.transport.ssl.enabled": "false",
            "xpack.security.authc.realms.file.file1.order": 0,
        }
        return "".join(f"{key}: {value}\n" for key, value in settings.items())

    def servers(self) -> Sequence[Server]:
        heap = self._config.heap_mib
        environment = {
            "ES_JAVA_HOME": str(java_home()),
            "ES_PATH_CONF": str(self._root / "conf"),
            "ES_JAVA_OPTS": f"-Xms{heap}m -Xmx{heap}m",
            "ES_TMPDIR": str(self._root / "tmp"),
            "LIBFFI_TMPDIR": str(self._root / "tmp"),
            "HOME": str(self._root / "tmp"),
            # The launcher that starts the server and waits for it.
            "CLI_JAVA_OPTS": "-Xms16m -Xmx64m -XX:+UseSerialGC",
        }
        command = (
            *(_NOT_ROOT if os.geteuid() == 0 else ()),
            str(self._home() / "bin/elasticsearch"),
        )
        return [Server("elasticsearch", command, environment, self._root, stop_seconds=20.0)]

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint("http", self._config.port),
            Endpoint("transport", self._config.transport_port),
        ]

    def probe(self) -> Figures:
        if self._client is None:
            raise TransientError("Elasticsearch is not open.", hint="Wait.")
        try:
            health = self._client.cluster.health()
            stats = self._client.indices.stats(metric=["docs", "store"])
        except (ApiError, TransportError) as error:
            raise TransientError(
                f"Elasticsearch does not answer yet: {error}.", hint="It takes some ten seconds."
            ) from error
        total = stats["_all"]["primaries"]
        return {
            "status": str(health["status"]),
            "documents": float(total.get("docs", {}).get("count", 0)),
            "disk_mib": round(total.get("store", {}).get("size_in_bytes", 0) / 2**20, 1),
        }

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def java_home() -> Path:
    """Of the `java` on the path. Raises ConfigError."""
    java = shutil.which("java")
    if java is None:
        raise ConfigError(
            "There is no Java on this machine.",
            hint="Install it: apt-get install openjdk-17-jre-headless.",
        )
    return Path(os.path.realpath(java)).parents[1]


def hashed(password: str) -> str:
    """As Elasticsearch's file realm reads it: PBKDF2 with HMAC-SHA-512, 32 bytes."""
    salt = secrets.token_bytes(32)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS, 32)
    return f"{{PBKDF2}}{_ROUNDS}${_text(salt)}${_text(key)}"


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
