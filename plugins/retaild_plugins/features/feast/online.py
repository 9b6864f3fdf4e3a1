"""Where features lie for reading: in a file of this machine, or in Redis, for many to read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retaild.api import BuildContext, ConfigError, TransientError
from retaild.api.service import password_file
from retaild_plugins.features.feast.config import FeastConfig, RedisOnline

#: Seconds that one request to Redis may take.
TIMEOUT_SECONDS = 10


def online_store(config: FeastConfig, context: BuildContext, file: Path) -> dict[str, Any]:
    """Feast's settings of it. Raises ConfigError where there is no password for Redis."""
    if config.online == "sqlite":
        return {"type": "sqlite", "path": str(file)}
    return {
        "type": "redis",
        "connection_string": connection_string(config.redis, _password(config.redis, context)),
        "key_ttl_seconds": round(config.redis.ttl_hours * 3600),
        # Else a row of the same moment is left as it is, and so is its end: what a late event has
        # changed would never arrive, and what is still good would disappear.
        "skip_dedup": True,
    }


def connection_string(redis: RedisOnline, password: str) -> str:
    """As Feast reads it: "host:port,name=value,..."; each value is JSON, in which no comma is."""
    values: dict[str, Any] = {
        "db": redis.database,
        "username": redis.user,
        "password": password,
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
    }
    if redis.tls:
        values["ssl"] = True
        if redis.ca_file:
            values["ssl_ca_certs"] = str(redis.ca_file)
    said = [f"{key}={_without_comma(json.dumps(value))}" for key, value in values.items()]
    return ",".join([f"{redis.host}:{redis.port}", *said])


def _without_comma(text: str) -> str:
    return text.replace(",", "\\u002c")


def _password(redis: RedisOnline, context: BuildContext) -> str:
    if redis.password is not None:
        return redis.password.get_secret_value()
    try:
        return password_file(context.services_dir / "redis").read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"There is no password for Redis at {redis.host}:{redis.port}.",
            hint="Set features.redis.password, or let retaild run the service `redis`.",
        ) from error


@contextmanager
def told(config: FeastConfig) -> Iterator[None]:
    """Redis' errors in words. Raises TransientError, and ConfigError for a wrong password."""
    if config.online == "sqlite":
        yield
        return
    import redis

    where = f"Redis at {config.redis.host}:{config.redis.port}"
    try:
        yield
    except redis.AuthenticationError as error:
        raise ConfigError(
            f"{where} refuses the user {config.redis.user!r}.",
            hint="See `user` and `password` in [features.redis].",
        ) from error
    except redis.RedisError as error:
        raise TransientError(
            f"{where} did not do it: {error}.",
            hint="See `retaildctl service status`, or whether its address is right.",
        ) from error
