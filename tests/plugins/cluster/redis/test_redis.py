"""The real Redis: as a service, and published into. It starts in a blink, so it runs each time."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from retaild_plugins.cluster.redis import plugin
from retaild_plugins.cluster.redis.config import RedisServiceConfig, RedisTargetConfig
from retaild_plugins.cluster.redis.target import RedisTarget

from retaild.api import BuildContext, ConfigError, ServiceSpec, Spec, TransientError
from retaild.api.service import password_file
from retaild.api.target import Dataset, Record
from retaild.testing.plugin import check_sample, specs_in
from retaild.testing.service import ServiceConformance, free_ports, running
from retaild.testing.target import Reader, TargetConformance

FOLDER = Path(plugin.__file__).parent
needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="there is no redis-server (Debian: redis-server)"
)


@pytest.mark.parametrize(("kind", "spec"), specs_in(plugin))
def test_the_sample_configures_it(kind: str, spec: Spec) -> None:
    sample = (FOLDER / "sample.toml").read_text("utf-8")
    check_sample(kind, spec, tomllib.loads(sample), {"service", "target"})
    assert sample in (FOLDER / "README.md").read_text("utf-8")


@pytest.fixture
def spec() -> ServiceSpec:
    return plugin.retaild_services()[0]


@pytest.fixture
def config() -> RedisServiceConfig:
    return RedisServiceConfig(port=free_ports(1)[0], memory_mib=32)


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    services = tmp_path / "service"
    return BuildContext("redis", services / "redis", tmp_path / "lake", services_dir=services)


@needs_redis
class TestRedisService(ServiceConformance):
    pass


@pytest.fixture
def target(
    spec: ServiceSpec, config: RedisServiceConfig, context: BuildContext
) -> Iterator[RedisTarget]:
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server (Debian: redis-server)")
    with running(spec, config, context):
        made = RedisTarget(RedisTargetConfig(port=config.port, ttl_hours=1), context)
        made.open()
        yield made
        made.close()


@pytest.fixture
def reader(config: RedisServiceConfig, context: BuildContext, target: RedisTarget) -> Iterator[Any]:
    password = password_file(context.state_dir).read_text()
    client = redis.Redis(port=config.port, password=password, decode_responses=True)
    yield client
    client.close()


@needs_redis
class TestRedisTarget(TargetConformance):
    @pytest.fixture
    def read(self, reader: Any) -> Reader:
        def read(dataset: Dataset, ids: list[str]) -> dict[str, Any]:
            found = reader.mget([f"retaild:{dataset}:id:{name}" for name in ids])
            return {n: text and json.loads(text) for n, text in zip(ids, found, strict=True)}

        return read

    @pytest.fixture
    def away(self, context: BuildContext) -> RedisTarget:
        own = {"port": free_ports(1)[0], "password": "none"}
        return RedisTarget(RedisTargetConfig.model_validate(own), context)


def _records(*ids: str) -> list[Record]:
    return [Record(name, {"customer_id": name, "recommendations": [1.5, "ä"]}) for name in ids]


def test_records_are_found_by_their_ids_and_end_by_themselves(
    target: RedisTarget, reader: Any
) -> None:
    assert target.publish("recommendations", _records("17850", "a b:c")) == 2
    found = json.loads(reader.get("retaild:recommendations:id:a b:c"))
    assert found == {"customer_id": "a b:c", "recommendations": [1.5, "ä"]}
    assert 3500 < reader.ttl("retaild:recommendations:id:17850") <= 3600
    assert json.loads(reader.get("retaild:recommendations:published"))["records"] == 2


def test_what_is_gone_disappears_and_other_data_sets_stay(target: RedisTarget, reader: Any) -> None:
    target.publish("products", _records("P1"))
    target.publish("recommendations", _records(*map(str, range(2500))))
    target.publish("recommendations", _records("1", "2"))
    assert sorted(reader.smembers("retaild:recommendations:ids")) == ["1", "2"]
    assert len(list(reader.scan_iter("retaild:recommendations:id:*"))) == 2
    assert target.publish("recommendations", []) == 0
    assert list(reader.scan_iter("retaild:recommendations:id:*")) == []
    assert reader.get("retaild:products:id:P1")


def test_a_publication_that_fails_leaves_what_was_there(target: RedisTarget, reader: Any) -> None:
    target.publish("products", _records("old"))

    def broken() -> Iterator[Record]:
        yield from _records("new")
        raise RuntimeError("the lake is gone")

    with pytest.raises(RuntimeError):
        target.publish("products", broken())
    assert reader.get("retaild:products:id:old")
    assert reader.smembers("retaild:products:ids") == {"old"}


def test_what_was_published_survives_a_restart(
    spec: ServiceSpec, config: RedisServiceConfig, context: BuildContext
) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server (Debian: redis-server)")
    for expected in (None, "17850"):
        with running(spec, config, context):
            password = password_file(context.state_dir).read_text()
            with redis.Redis(port=config.port, password=password, decode_responses=True) as client:
                assert client.get("kept") == expected
                client.set("kept", "17850")


def test_wrong_passwords_and_absent_servers_are_told_apart(
    target: RedisTarget, config: RedisServiceConfig, context: BuildContext
) -> None:
    wrong = RedisTargetConfig.model_validate({"port": config.port, "password": "no"})
    with pytest.raises(ConfigError, match="refuses the user"):
        RedisTarget(wrong, context).open()
    [nobody] = free_ports(1)
    away = RedisTargetConfig.model_validate({"port": nobody, "password": "no"})
    with pytest.raises(TransientError, match=str(nobody)):
        RedisTarget(away, context).open()


def test_without_a_service_people_are_told_to_set_a_password(tmp_path: Path) -> None:
    context = BuildContext("redis", tmp_path, tmp_path, services_dir=tmp_path / "none")
    with pytest.raises(ConfigError, match="let retaild run the service"):
        RedisTarget(RedisTargetConfig(), context).open()
