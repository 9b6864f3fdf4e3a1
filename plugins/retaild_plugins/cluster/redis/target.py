"""Publishes into Redis: a JSON text per record, which disappears when it is not published anew.

`<prefix>:recommendations:id:<customer>` and `<prefix>:products:id:<product>`;
`<prefix>:<data set>:published` says when the newest publication was made and of how many records.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import redis

from retaild.api import BuildContext, ConfigError, TransientError
from retaild.api.service import password_file
from retaild.api.target import Dataset, Record
from retaild_plugins.cluster.redis.config import RedisTargetConfig

#: Records in one request. Each is a transaction: who reads sees a record whole, old or new.
BATCH = 1000
TIMEOUT_SECONDS = 10.0

T = TypeVar("T")


class RedisTarget:
    def __init__(self, config: RedisTargetConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._client: Any = None

    def open(self) -> None:
        """Raises ConfigError for a missing or wrong password, TransientError if it is away."""
        config = self._config
        tls: dict[str, Any] = {"ssl": True} if config.tls else {}
        if config.tls and config.ca_file:
            tls["ssl_ca_certs"] = str(config.ca_file)
        self._client = redis.Redis(
            host=config.host, port=config.port, db=config.database, username=config.user,
            password=self._password(), socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS, **tls,
        )  # fmt: skip
        try:
            self._client.ping()
        except redis.AuthenticationError as error:
            raise ConfigError(
                f"Redis at {config.host}:{config.port} refuses the user {config.user!r}.",
                hint="See `user` and `password` of the target.",
            ) from error
        except redis.RedisError as error:
            raise self._away(error) from error

    def _password(self) -> str:
        if self._config.password is not None:
            return self._config.password.get_secret_value()
        own = password_file(self._context.services_dir / "redis")
        try:
            return own.read_text("utf-8").strip()
        except OSError as error:
            raise ConfigError(
                f"There is no password for Redis at {self._config.host}:{self._config.port}.",
                hint="Set `password`, or let retaild run the service `redis`.",
            ) from error

    def _away(self, error: Exception) -> TransientError:
        return TransientError(
            f"Redis at {self._config.host}:{self._config.port} did not do it: {error}.",
            hint="See `retaildctl service status`, or whether its address is right.",
        )

    def key(self, dataset: Dataset, name: str) -> str:
        return f"{self._config.prefix}:{dataset}:{name}"

    def publish(self, dataset: Dataset, records: Iterable[Record]) -> int:
        """Also removes what the newest publication does not have.

        Raises TransientError, with part of the new records written.
        """
        if self._client is None:
            raise TransientError("The target is not open.", hint="Open it first.")
        members, count = self.key(dataset, "ids"), 0
        new = f"{members}.new"
        try:
            self._client.delete(new)
            for batch in _batches(records):
                self._write(dataset, batch, new)
                count += len(batch)
            self._remove_gone(dataset, members, new)
            if count:
                self._client.rename(new, members)
            else:
                self._client.delete(members)
            said = json.dumps({"at": round(time.time(), 3), "records": count})
            self._client.set(self.key(dataset, "published"), said)
        except redis.RedisError as error:
            raise self._away(error) from error
        return count

    def _write(self, dataset: Dataset, batch: Sequence[Record], new: str) -> None:
        seconds = round(self._config.ttl_hours * 3600)
        with self._client.pipeline(transaction=True) as pipe:
            for record in batch:
                body = json.dumps(record.body, separators=(",", ":"))
                pipe.set(self.key(dataset, f"id:{record.id}"), body, ex=seconds)
            pipe.sadd(new, *(record.id for record in batch))
            pipe.expire(new, seconds)
            pipe.execute()

    def _remove_gone(self, dataset: Dataset, members: str, new: str) -> None:
        gone = self._client.sdiff(members, new)
        for batch in _batches(sorted(gone)):
            names = (name.decode() if isinstance(name, bytes) else name for name in batch)
            self._client.unlink(*(self.key(dataset, f"id:{name}") for name in names))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
