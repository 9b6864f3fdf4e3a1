"""Feast with its online store in a real Redis."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from retaild_plugins.features.feast.backend import FeastBackend
from retaild_plugins.features.feast.config import FeastConfig, RedisOnline
from retaild_plugins.features.feast.online import connection_string

from retaild.api import BuildContext, ConfigError, Lake, TransientError
from retaild.api.service import make_password
from retaild.testing.features import (
    CUSTOMER,
    CUSTOMER_ROWS,
    MONDAY,
    NEXT_MONDAY,
    PRODUCT,
    customer_rows,
)
from retaild.testing.service import free_ports

pytestmark = [
    # ibis still calls a method of DuckDB that DuckDB has deprecated.
    pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning"),
    pytest.mark.skipif(
        shutil.which("redis-server") is None, reason="there is no redis-server on this machine"
    ),
]
#: With all that a connection string could stumble over.
PASSWORD = 'comma,equal=quote"12'


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Of a Redis with PASSWORD."""
    [port] = free_ports(1)
    quoted = PASSWORD.replace('"', '\\"')
    (tmp_path / "redis.conf").write_text(
        f'bind 127.0.0.1\nport {port}\nrequirepass "{quoted}"\nsave ""\n'
    )
    process = subprocess.Popen(
        ["redis-server", str(tmp_path / "redis.conf")], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    try:
        _wait(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int) -> None:
    until = time.monotonic() + 10
    with redis.Redis(port=port, password=PASSWORD) as client:
        while time.monotonic() < until:
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                return
    raise AssertionError("redis-server does not answer")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.overwrite(CUSTOMER.table, customer_rows(CUSTOMER_ROWS))
    return lake


@pytest.fixture
def make(lake: Lake, tmp_path: Path) -> Iterator[Callable[..., FeastBackend]]:
    made = []

    def backend(**settings: Any) -> FeastBackend:
        config = FeastConfig.model_validate({"online": "redis", "redis": settings})
        context = BuildContext(
            "features", tmp_path / "features", lake.root, threads=2,
            services_dir=tmp_path / "service",
        )  # fmt: skip
        made.append(FeastBackend(config, context))
        made[-1].open()
        return made[-1]

    yield backend
    for one in made:
        one.close()


def _read(backend: FeastBackend, name: str, customers: list[str]) -> list[Any]:
    rows = [{"customer_id": customer} for customer in customers]
    found = backend._store.get_online_features(features=[f"customer:{name}"], entity_rows=rows)
    values: list[Any] = found.to_dict()[name]
    return values


def _keys(port: int) -> dict[bytes, int]:
    """Key -> seconds that it has left."""
    with redis.Redis(port=port, password=PASSWORD) as client:
        return {key: int(client.ttl(key)) for key in client.scan_iter("*")}


def test_what_is_materialized_is_read_from_redis_and_ends(
    make: Callable[..., FeastBackend], port: int
) -> None:
    backend = make(port=port, password=PASSWORD, ttl_hours=2)
    backend.apply([CUSTOMER])
    assert backend.materialize(NEXT_MONDAY) == {"customer": 2}
    assert _read(backend, "receipts", ["ann", "bob", "carl"]) == [3, 7, None]
    left = _keys(port)
    assert len(left) == 2
    assert all(7000 < seconds <= 7200 for seconds in left.values())


def test_what_was_written_before_lives_on_and_follows_what_changed(
    make: Callable[..., FeastBackend], lake: Lake, port: int
) -> None:
    """The same moment with another value: a late receipt was counted."""
    backend = make(port=port, password=PASSWORD, ttl_hours=1)
    backend.apply([CUSTOMER])
    backend.materialize(NEXT_MONDAY)
    with redis.Redis(port=port, password=PASSWORD) as client:
        for key in client.scan_iter("*"):
            client.expire(key, 5)
    rows = customer_rows(CUSTOMER_ROWS)
    place = rows.schema.get_field_index("receipts")
    more = [None if n is None else n + 10 for n in rows["receipts"].to_pylist()]
    changed = rows.set_column(place, rows.schema.field(place), [more])
    lake.overwrite(CUSTOMER.table, changed)
    backend.materialize(NEXT_MONDAY)
    assert _read(backend, "receipts", ["ann", "bob"]) == [13, 17]
    assert min(_keys(port).values()) > 3500


def test_views_that_are_gone_leave_redis(make: Callable[..., FeastBackend], port: int) -> None:
    backend = make(port=port, password=PASSWORD)
    backend.apply([CUSTOMER, PRODUCT])
    backend.materialize(NEXT_MONDAY)
    assert _keys(port)
    backend.apply([PRODUCT])
    assert _keys(port) == {}


def test_training_goes_on_without_redis(make: Callable[..., FeastBackend]) -> None:
    import pyarrow as pa

    [nobody] = free_ports(1)
    backend = make(port=nobody, password="x")
    backend.apply([CUSTOMER])
    asked = pa.table(
        {"customer_id": ["ann"],
         "event_timestamp": pa.array([MONDAY + timedelta(days=1)], pa.timestamp("us", tz="UTC"))}
    )  # fmt: skip
    assert backend.historical(asked, ["customer:receipts"])["customer__receipts"].to_pylist() == [1]
    with pytest.raises(TransientError, match=f"127.0.0.1:{nobody}"):
        backend.materialize(NEXT_MONDAY)


def test_a_wrong_password_is_said_without_it(make: Callable[..., FeastBackend], port: int) -> None:
    backend = make(port=port, password="a guess")
    backend.apply([CUSTOMER])
    with pytest.raises(ConfigError, match="refuses the user 'default'") as caught:
        backend.materialize(NEXT_MONDAY)
    assert "a guess" not in str(caught.value)


def test_the_password_of_retailds_own_service_is_found(
    make: Callable[..., FeastBackend], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="let retaild run the service"):
        make()
    password = make_password(tmp_path / "service" / "redis")
    config = make()._store.config.online_store.connection_string
    assert password in config


def test_tls_and_database_are_passed_on() -> None:
    config = RedisOnline(host="redis.example.com", database=3, tls=True, ca_file=Path("/ca.pem"))
    said = connection_string(config, "x")
    assert said.startswith("redis.example.com:6379,db=3,")
    assert ",ssl=true,ssl_ca_certs=" in said
