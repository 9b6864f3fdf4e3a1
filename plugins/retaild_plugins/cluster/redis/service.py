"""The managed service `redis`: one server that listens on loopback and keeps what it was told."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from retaild.api import BuildContext, ConfigError, Endpoint, Server, TransientError
from retaild.api.service import Figures, make_password, write_private
from retaild_plugins.cluster.redis.config import RedisServiceConfig

PROBE_SECONDS = 4.0
_MIB = 1024 * 1024


class RedisService:
    def __init__(self, config: RedisServiceConfig, context: BuildContext) -> None:
        self._config = config
        self._root = context.state_dir
        self._client: Any = None

    def open(self) -> None:
        """Write its configuration; the password is in there, for nobody else to read."""
        (self._root / "data").mkdir(parents=True, exist_ok=True, mode=0o750)
        password = make_password(self._root)
        write_private(self._conf, self._settings(password))
        self._client = redis.Redis(
            port=self._config.port, password=password, socket_timeout=PROBE_SECONDS,
            socket_connect_timeout=PROBE_SECONDS,
        )  # fmt: skip

    @property
    def _conf(self) -> Path:
        return self._root / "redis.conf"

    def _settings(self, password: str) -> str:
        settings = {
            "bind": "127.0.0.1",
            "port": self._config.port,
            "protected-mode": "yes",
            "requirepass": password,
            "daemonize": "no",
            "supervised": "no",
            "dir": self._root / "data",
            "appendonly": "yes",
            # A power cut costs a second of what can be published anew.
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory": self._config.memory_mib * _MIB,
            "maxmemory-policy": self._config.when_full,
            "maxclients": 512,
            "loglevel": "notice",
            "logfile": '""',
        }
        return "".join(f"{key} {value}\n" for key, value in settings.items())

    def servers(self) -> Sequence[Server]:
        program = shutil.which("redis-server")
        if program is None:
            raise ConfigError(
                "There is no redis-server on this machine.",
                hint="Install it: apt-get install redis-server.",
            )
        return [Server("redis", (program, str(self._conf)), directory=self._root)]

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("redis", self._config.port)]

    def probe(self) -> Figures:
        if self._client is None:
            raise TransientError("Redis is not open.")
        try:
            info = self._client.info()
        except redis.RedisError as error:
            raise TransientError(f"Redis does not answer: {error}.") from error
        if info.get("loading"):
            raise TransientError("Redis reads its data.", hint="It answers when it has it all.")
        keys = sum(db["keys"] for name, db in info.items() if name.startswith("db"))
        return {
            "keys": float(keys),
            "memory_mib": round(info["used_memory"] / _MIB, 1),
            "clients": float(info["connected_clients"]),
            "evicted": float(info["evicted_keys"]),
        }

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
