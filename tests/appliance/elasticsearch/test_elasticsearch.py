"""The real Elasticsearch: as a service, published into, searched."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from retaild_plugins.cluster.elasticsearch.config import (
    ElasticsearchServiceConfig,
    ElasticsearchTargetConfig,
)
from retaild_plugins.cluster.elasticsearch.plugin import (
    SOFTWARE,
    retaild_deploy_targets,
    retaild_services,
)
from retaild_plugins.cluster.elasticsearch.target import ElasticsearchTarget

from retaild.api import BuildContext, ConfigError, ServiceSpec, Software, TransientError
from retaild.api.service import password_file
from retaild.api.target import Dataset, Record
from retaild.testing.service import ServiceConformance, free_ports, running
from retaild.testing.target import Reader, TargetConformance

Contexts = Callable[..., BuildContext]

NAMES = ["RED GLASS HOLDER", "GLASSES CASE BLUE", "WHITE HANGING HEART", "HEARTS COAT HANGER"]


@pytest.fixture
def spec(installed: Callable[..., object]) -> ServiceSpec:
    installed(SOFTWARE)
    return retaild_services()[0]


@pytest.fixture
def config() -> ElasticsearchServiceConfig:
    port, transport = free_ports(2)
    return ElasticsearchServiceConfig(port=port, transport_port=transport, heap_mib=384)


@pytest.fixture
def context(context_of: Contexts) -> BuildContext:
    return context_of("elasticsearch")


class TestElasticsearchService(ServiceConformance):
    pass


@pytest.fixture
def target(
    spec: ServiceSpec, config: ElasticsearchServiceConfig, context_of: Contexts
) -> Iterator[ElasticsearchTarget]:
    own = ElasticsearchTargetConfig(url=f"http://127.0.0.1:{config.port}")
    with running(spec, config, context_of("elasticsearch")):
        made = retaild_deploy_targets()[0].build(own, context_of("search", "target"))
        made.open()
        yield made
        made.close()


class Server:
    """One for all tests of the suite: each has names of its own in it."""

    def __init__(self, port: int, root: Path) -> None:
        self.url, self.root = f"http://127.0.0.1:{port}", root
        self._numbers = itertools.count(1)
        secret = password_file(root / "service" / "elasticsearch").read_text("utf-8").strip()
        self.client = Elasticsearch(self.url, basic_auth=("retaild", secret), request_timeout=30)

    def target(self) -> ElasticsearchTarget:
        own = ElasticsearchTargetConfig(url=self.url, prefix=f"suite{next(self._numbers)}")
        context = BuildContext(
            "search", self.root / "search", self.root / "lake", services_dir=self.root / "service"
        )
        return ElasticsearchTarget(own, context)

    def read(self, alias: str, ids: list[str]) -> dict[str, Any]:
        """By the alias, as a web shop would; {} while there is no such alias."""
        while self.client.indices.exists_alias(name=alias):
            docs = self.client.mget(index=alias, ids=ids)["docs"]
            # The index behind the alias was the old one, and is gone: the answer is an error.
            if not any("error" in one for one in docs):
                return {one["_id"]: one.get("_source") for one in docs}
        return dict.fromkeys(ids)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, installed: Callable[[Software], Path],
    software_dir: Path,
) -> Iterator[Server]:  # fmt: skip
    installed(SOFTWARE)
    root = tmp_path_factory.mktemp("suite")
    port, transport = free_ports(2)
    own = ElasticsearchServiceConfig(port=port, transport_port=transport, heap_mib=384)
    context = BuildContext(
        "elasticsearch", root / "service" / "elasticsearch", root / "lake",
        software_dir=software_dir, services_dir=root / "service",
    )  # fmt: skip
    with running(retaild_services()[0], own, context):
        made = Server(port, root)
        yield made
        made.client.close()


class TestElasticsearchTarget(TargetConformance):
    @pytest.fixture
    def target(self, server: Server) -> Iterator[ElasticsearchTarget]:
        made = server.target()
        made.open()
        yield made
        made.close()

    @pytest.fixture
    def read(self, server: Server, target: ElasticsearchTarget) -> Reader:
        def read(dataset: Dataset, ids: list[str]) -> dict[str, Any]:
            return server.read(target.alias(dataset), ids)

        return read

    @pytest.fixture
    def away(self, context_of: Contexts) -> ElasticsearchTarget:
        [nobody] = free_ports(1)
        own = {"url": f"http://127.0.0.1:{nobody}", "password": "no"}
        config = ElasticsearchTargetConfig.model_validate(own)
        return ElasticsearchTarget(config, context_of("search", "target"))


def _products(names: list[str], units: float = 1.0) -> list[Record]:
    return [
        Record(
            f"1000{n}",
            {"product_id": f"1000{n}", "name": name, "category": "HOME", "units_28d": units * n},
        )
        for n, name in enumerate(names)
    ]


def test_what_is_published_is_found_the_way_people_type(target: ElasticsearchTarget) -> None:
    assert target.publish("products", _products(NAMES)) == len(NAMES)
    found = {
        words: list(target.search(words, None, 10, 0).ids)
        for words in ("glass", "red glass", "haert", "hea hang", "10002", "zzz")
    }
    assert found["glass"][0] in ("10000", "10001")
    assert set(found["glass"]) == {"10000", "10001"}
    assert found["red glass"] == ["10000"]
    assert found["haert"] == ["10002"]
    assert set(found["hea hang"]) == {"10002", "10003"}
    assert found["10002"][0] == "10002"
    assert found["zzz"] == []
    assert target.search("glass", "GARDEN", 10, 0).total == 0


def test_a_new_publication_replaces_the_old_and_a_failed_one_changes_nothing(
    target: ElasticsearchTarget,
) -> None:
    target.publish("products", _products(NAMES))

    def broken() -> Iterator[Record]:
        yield from _products(["ONLY THIS"])
        raise RuntimeError("the lake is gone")

    with pytest.raises(RuntimeError):
        target.publish("products", broken())
    assert target.search("glass", None, 10, 0).total == 2
    target.publish("products", _products(["ONLY THIS"]))
    assert target.search("glass", None, 10, 0).total == 0
    assert target.search("only", None, 10, 0).total == 1


def test_whoever_searches_meanwhile_finds_a_whole_publication(target: ElasticsearchTarget) -> None:
    """1,200 records go in three bulk requests; the alias moves when the last one is in."""
    many, few = _products(["GLASS"] * 1200), _products(["GLASS"] * 700)
    target.publish("products", many)
    totals, ended = list[int](), threading.Event()

    def search() -> None:
        while not ended.is_set():
            with suppress(TransientError):  # slower than half a second: a busy machine's
                totals.append(target.search("glass", None, 1, 0).total)

    with ThreadPoolExecutor(1) as pool:
        searching = pool.submit(search)
        for records in (few, many, few):
            assert target.publish("products", records) == len(records)
        ended.set()
        searching.result()
    assert len(totals) > 10
    assert set(totals) <= {700, 1200}
    assert target._client is not None
    (index,) = target._client.indices.get(index="retaild-products*")
    assert index.startswith("retaild-products-")


def test_a_wrong_password_and_a_server_that_is_away_are_told_apart(
    target: ElasticsearchTarget, config: ElasticsearchServiceConfig, context_of: Contexts
) -> None:
    url = f"http://127.0.0.1:{config.port}"
    wrong = ElasticsearchTargetConfig.model_validate({"url": url, "password": "no"})
    with pytest.raises(ConfigError, match="refuses the user 'retaild'"):
        retaild_deploy_targets()[0].build(wrong, context_of("search", "target")).open()
    [nobody] = free_ports(1)
    away = ElasticsearchTargetConfig.model_validate(
        {"url": f"http://127.0.0.1:{nobody}", "password": "no"}
    )
    with pytest.raises(TransientError):
        retaild_deploy_targets()[0].build(away, context_of("search", "target")).open()
