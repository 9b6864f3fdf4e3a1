"""Publishes into Elasticsearch, and finds products there.

Each publication is an index of its own behind an alias: who searches meanwhile reads the old one
until the new one is whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from elasticsearch import ApiError, AuthenticationException, Elasticsearch, TransportError
from elasticsearch.helpers import BulkIndexError, streaming_bulk

from retaild.api import BuildContext, ConfigError, RetaildError, TransientError
from retaild.api.service import password_file
from retaild.api.target import Dataset, Found, Record
from retaild_plugins.cluster.elasticsearch.config import ElasticsearchTargetConfig

#: A search that takes longer is given up: the server answers by itself then.
SEARCH_SECONDS = 0.5
BULK_RECORDS = 500
#: Of a longer question the first words count.
MAX_WORDS = 12
#: Elasticsearch pages no further than this.
MAX_WINDOW = 10_000


class ElasticsearchTarget:
    def __init__(self, config: ElasticsearchTargetConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._client: Elasticsearch | None = None

    def open(self) -> None:
        """Raises ConfigError without a password, TransientError while it does not answer."""
        config = self._config
        trust: dict[str, Any] = {"ca_certs": str(config.ca_file)} if config.ca_file else {}
        self._client = Elasticsearch(
            config.url, basic_auth=(config.user, self._password()), max_retries=0,
            request_timeout=config.timeout_seconds,
            **trust,
        )  # fmt: skip
        self._ask(lambda client: client.cluster.health(timeout="5s"))

    def _password(self) -> str:
        if self._config.password is not None:
            return self._config.password.get_secret_value()
        own = password_file(self._context.services_dir / "elasticsearch")
        try:
            return own.read_text("utf-8").strip()
        except OSError as error:
            raise ConfigError(
                f"There is no password for Elasticsearch at {self._config.url}.",
                hint="Set `password`, or let retaild run the service `elasticsearch`.",
            ) from error

    def _ask(self, question: Any) -> Any:
        """Raises TransientError, or ConfigError if it does not let us in."""
        if self._client is None:
            raise TransientError("The target is not open.", hint="Open it first.")
        try:
            return question(self._client)
        except AuthenticationException as error:
            raise ConfigError(
                f"Elasticsearch at {self._config.url} refuses the user {self._config.user!r}.",
                hint="See `user` and `password` of the target.",
            ) from error
        except (ApiError, TransportError) as error:
            raise TransientError(
                f"Elasticsearch at {self._config.url} did not do it: {error}.",
                hint="See `retaildctl service status`, or whether its address is right.",
            ) from error

    # -- publishing --------------------------------------------------------------------------------

    def alias(self, dataset: Dataset) -> str:
        """The name under which others read the data set."""
        return f"{self._config.prefix}-{dataset}"

    def publish(self, dataset: Dataset, records: Iterable[Record]) -> int:
        index = f"{self.alias(dataset)}-{time.time_ns()}"
        self._ask(lambda c: c.indices.create(index=index, **self._definition(dataset)))
        try:
            count = self._fill(index, records)
            self._ask(lambda c: c.indices.refresh(index=index))
            self._switch(self.alias(dataset), index)
        except BaseException:
            self._remove([index])
            raise
        self._remove(self._outdated(dataset, index))
        return count

    def _fill(self, index: str, records: Iterable[Record]) -> int:
        def work(client: Elasticsearch) -> int:
            done = streaming_bulk(
                client, _actions(index, records), chunk_size=BULK_RECORDS, max_retries=3
            )
            return sum(1 for _ in done)

        try:
            return int(self._ask(work))
        except BulkIndexError as error:
            raise RefusedRecordsError(error) from error

    def _switch(self, alias: str, index: str) -> None:
        """One request: there is no moment without the alias, nor one with two indices."""
        actions = [
            {"remove": {"index": "*", "alias": alias, "must_exist": False}},
            {"add": {"index": index, "alias": alias}},
        ]
        self._ask(lambda c: c.indices.update_aliases(actions=actions))

    def _outdated(self, dataset: Dataset, newest: str) -> list[str]:
        """Also what a publication left that was cut off."""
        pattern = f"{self.alias(dataset)}-*"
        found = self._ask(lambda c: c.indices.get(index=pattern, features="aliases"))
        return [name for name in found if name != newest and name < newest]

    def _remove(self, indices: list[str]) -> None:
        for index in indices:
            self._ask(lambda c, i=index: c.indices.delete(index=i, ignore_unavailable=True))

    def _definition(self, dataset: Dataset) -> Mapping[str, Any]:
        own = {"number_of_shards": 1, "number_of_replicas": 0}
        if dataset == "recommendations":
            return {"settings": own, "mappings": {"enabled": False}}
        # What people type is looked for in all of these together.
        searched = {"type": "keyword", "index": False, "copy_to": "all"}
        text = {"type": "text", "analyzer": self._config.analyzer, "index_prefixes": {}}
        properties = {
            "product_id": {"type": "keyword", "normalizer": "lowercase", "copy_to": "all"},
            "name": searched,
            "brand": searched,
            "category": {"type": "keyword"},
            "units_28d": {"type": "double"},
            "all": text,
        }
        return {"settings": own, "mappings": {"dynamic": False, "properties": properties}}

    # -- searching ---------------------------------------------------------------------------------

    def search(self, text: str, category: str | None, limit: int, offset: int) -> Found:
        """All words must fit, with a slip of the finger each; an id that fits whole comes first."""
        size = max(0, min(limit, MAX_WINDOW - offset))
        answer = self._ask(
            lambda c: c.options(request_timeout=SEARCH_SECONDS).search(
                index=self.alias("products"), query=query_for(text, category), source=False,
                size=size, from_=min(offset, MAX_WINDOW), track_total_hits=True,
            )
        )  # fmt: skip
        hits = answer["hits"]
        return Found([hit["_id"] for hit in hits["hits"]], int(hits["total"]["value"]))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class RefusedRecordsError(RetaildError):
    key = "elasticsearch.refused"

    def __init__(self, error: BulkIndexError) -> None:
        first = next(iter(error.errors[0].values())) if error.errors else {}
        why = first.get("error", {})
        super().__init__(
            f"Elasticsearch refuses {len(error.errors)} records, the first with id "
            f"{first.get('_id')!r}: {why.get('reason', why)}.",
            hint="What was published before is still there. Correct the record's source.",
        )


def query_for(text: str, category: str | None) -> dict[str, Any]:
    """Every word must fit: whole, by its beginning, or with a slip of the finger.

    Of what fits alike, the product comes first that is sold more.
    """
    own_id = text.strip().casefold()
    whole = [
        {"term": {"product_id": {"value": own_id, "boost": 1000}}},
        {"prefix": {"product_id": {"value": own_id, "boost": 50}}},
    ]
    words = {"bool": {"must": [_fits(word) for word in text.split()[:MAX_WORDS]]}}
    matching = {"bool": {"should": [*whole, words], "minimum_should_match": 1}}
    filters = [{"term": {"category": category}}] if category else []
    return {
        "function_score": {
            "query": {"bool": {"must": [matching], "filter": filters}},
            "field_value_factor": {"field": "units_28d", "modifier": "log2p", "missing": 0},
        }
    }


def _fits(word: str) -> dict[str, Any]:
    whole = {"match": {"all": {"query": word, "operator": "and", "boost": 10}}}
    beginning = {"prefix": {"all": {"value": word.casefold(), "boost": 3}}}
    slip = {"match": {"all": {"query": word, "fuzziness": "AUTO", "prefix_length": 1}}}
    return {"bool": {"should": [whole, beginning, slip], "minimum_should_match": 1}}


def _actions(index: str, records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    for record in records:
        yield {"_op_type": "create", "_index": index, "_id": record.id, "_source": record.body}
