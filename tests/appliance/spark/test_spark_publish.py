"""Everybody ranked by Spark, published into real Redis and Elasticsearch by the job for it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from elasticsearch import Elasticsearch
from retaild_plugins.cluster.elasticsearch import plugin as elastic
from retaild_plugins.cluster.elasticsearch.config import ElasticsearchServiceConfig
from retaild_plugins.cluster.redis.config import RedisServiceConfig
from retaild_plugins.cluster.redis.plugin import retaild_services
from retaild_plugins.cluster.spark.als.trainer import AlsTrainer

from retaild.api import BuildContext, Lake, TrainingContext
from retaild.api.service import password_file
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.host.registry import PluginRegistry
from retaild.runtime import registry
from retaild.runtime.context import JobContext
from retaild.runtime.jobs import materialize, publish
from retaild.runtime.jobs.batch_slates import CannotScoreError, NoChampionError
from retaild.runtime.registry_writer import RegistryWriter, Trained
from retaild.runtime.state import State
from retaild.testing.service import free_ports, running
from retaild.testing.trainer import TableFeatures

from .test_spark_als import BEGIN, sale_table, shop

pytestmark = [
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server"),
    # MLflow still uses a loader strategy that SQLAlchemy has deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader"),
]

LAST = BEGIN.timestamp() + 20 * 7 * 86_400


@pytest.fixture
def context(
    tmp_path: Path, software_dir: Path, installed: Callable[..., object]
) -> Iterator[JobContext]:
    """A shop in May 2024 whose lake is filled, with Redis and Elasticsearch beside it."""
    installed(elastic.SOFTWARE)
    data = DataDir(tmp_path)
    data.create()
    services = tmp_path / "service"
    port, search, transport = free_ports(3)

    def built(name: str) -> BuildContext:
        return BuildContext(
            name, services / name, data.lake, software_dir=software_dir, services_dir=services
        )

    stated = {
        "retaild": {
            "software_dir": str(software_dir),
            "clock_offset_seconds": LAST - time.time(),
        },
        "recommendations": {"published_by": "mllib", "excluded_products": ["g0-0"], "count": 5},
        "trainer": {"mllib": {"plugin": "spark", "rank": 8, "iterations": 5, "holdout_weeks": 2}},
        "target": {
            "redis": {"port": port},
            "elasticsearch": {"url": f"http://127.0.0.1:{search}"},
        },
    }
    Lake(data.lake).overwrite("silver.sale", sale_table(shop()))
    store = RedisServiceConfig(port=port, memory_mib=32)
    index = ElasticsearchServiceConfig(port=search, transport_port=transport, heap_mib=384)
    with (
        running(retaild_services()[0], store, built("redis")),
        running(elastic.retaild_services()[0], index, built("elasticsearch")),
    ):
        state, plugins = State(data.state_db), PluginRegistry.load(data)
        settings = Settings.model_validate(stated)
        yield JobContext("publish", settings, data, plugins, state, threading.Event(), 1)


def trained(context: JobContext) -> None:
    """The first version of `mllib`, registered and promoted."""
    workdir = context.data.root / "work"
    workdir.mkdir()
    lake = context.lake()
    trainer = context.build("trainer", "mllib")
    assert isinstance(trainer, AlsTrainer)
    result = trainer.train(TrainingContext(lake, TableFeatures(lake), workdir))
    writer = RegistryWriter(context.data, context.state)
    writer.open()
    version = writer.register(Trained("mllib", "spark", "1", result, None, 1.0))
    writer.promote("mllib", version.version, "A test.")
    assert registry.champion(context.data, "mllib") is not None


def test_batch_scores_reach_redis_and_elasticsearch(
    spark_context: BuildContext, context: JobContext
) -> None:
    """By the shop's rules; somebody who came after training gets what the server answers."""
    materialize.run(context)
    with pytest.raises(NoChampionError):
        publish.run(context)
    trained(context)
    context.lake().append("silver.sale", sale_table([("late", "newcomer", 139.9, ["g3-1"])]))
    materialize.run(context)
    done = publish.run(context)
    assert done["model_version"] == 1
    assert (done["batch"]["customers"], done["batch"]["others"]) == (100, 1)
    assert done["targets"]["redis"]["recommendations"] == 101
    found = published(context)
    assert sorted(found) == sorted([*(f"c{person:03}" for person in range(100)), "newcomer"])
    for person in range(100):
        slate = found[f"c{person:03}"]["recommendations"]
        assert [offer["rank"] for offer in slate] == [1, 2, 3, 4, 5]
        scores = [offer["score"] for offer in slate]
        assert scores == sorted(scores, reverse=True)
        # Whoever buys from a kind's ten products is offered these, but never what is excluded.
        assert {offer["product_id"][:2] for offer in slate} == {f"g{person % 4}"}
        assert "g0-0" not in {offer["product_id"] for offer in slate}
    assert len(found["newcomer"]["recommendations"]) == 5
    assert done["targets"]["elasticsearch"]["recommendations"] == 101
    assert indexed(context) == found


def test_a_trainer_that_cannot_score_is_named(
    spark_context: BuildContext, context: JobContext
) -> None:
    materialize.run(context)
    rules = context.settings.recommendations.model_copy(update={"published_by": "price"})
    settings = context.settings.model_copy(update={"recommendations": rules})
    with pytest.raises(CannotScoreError):
        publish.run(replace(context, settings=settings))


def published(context: JobContext) -> dict[str, Any]:
    """customer -> what Redis holds."""
    port = context.settings.target["redis"].settings["port"]
    password = password_file(context.data.root / "service/redis").read_text()
    client = redis.Redis(port=port, password=password, decode_responses=True)
    try:
        ids = client.smembers("retaild:recommendations:ids")
        return {name: json.loads(client.get(f"retaild:recommendations:id:{name}")) for name in ids}
    finally:
        client.close()


def indexed(context: JobContext) -> dict[str, Any]:
    """customer -> what Elasticsearch holds."""
    password = password_file(context.data.root / "service/elasticsearch").read_text().strip()
    url = context.settings.target["elasticsearch"].settings["url"]
    with Elasticsearch(url, basic_auth=("retaild", password)) as client:
        hits = client.search(index="retaild-recommendations", size=200)["hits"]["hits"]
        return {hit["_id"]: hit["_source"] for hit in hits}
