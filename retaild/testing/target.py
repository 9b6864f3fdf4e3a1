"""What every deploy target must do. Subclass `TargetConformance`, give it a target, run pytest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from retaild.api import TransientError
from retaild.api.target import DATASETS, Dataset, DeployTarget, Record

#: What others read of a data set by its ids: their bodies, None for an id that is not there.
Reader = Callable[[Dataset, list[str]], Mapping[str, Mapping[str, Any] | None]]
#: More than any target sends in one request.
MANY = 2500
_STRANGE = ("plain", "with space", "a:b/c", "Käse-7", "quote'\"", "10%", "{}")


class BrokenOffError(Exception):
    """Raised among the records, as a snapshot that cannot be read on would."""


def record(dataset: Dataset, name: str, figure: float = 1.5) -> Record:
    """As the host makes them: the id is in the body, too."""
    if dataset == "products":
        return Record(name, {"product_id": name, "description": f"MUG {figure}", "price": figure})
    answers = [{"product_id": "A", "score": figure, "reason": "für Sie"}]
    return Record(name, {"customer_id": name, "recommendations": answers})


class TargetConformance:
    """Subclass it, and give as fixtures:

    - `target`: opened, empty, and closed after the test;
    - `read`: a Reader, by the way that others take;
    - `away`: not opened, its server or place not there.
    """

    @pytest.mark.parametrize("dataset", DATASETS)
    def test_what_is_published_is_found(
        self, target: DeployTarget, read: Reader, dataset: Dataset
    ) -> None:
        records = [record(dataset, name) for name in _STRANGE]
        assert target.publish(dataset, iter(records)) == len(_STRANGE)
        found = read(dataset, [*_STRANGE, "nobody"])
        assert found == {**{one.id: dict(one.body) for one in records}, "nobody": None}

    def test_a_publication_replaces_the_one_before(
        self, target: DeployTarget, read: Reader
    ) -> None:
        target.publish("products", [record("products", name) for name in ("a", "b")])
        assert target.publish("products", [record("products", "b", 2.5)]) == 1
        found = read("products", ["a", "b"])
        assert found == {"a": None, "b": dict(record("products", "b", 2.5).body)}

    def test_the_data_sets_are_apart(self, target: DeployTarget, read: Reader) -> None:
        target.publish("products", [record("products", "1")])
        target.publish("recommendations", [record("recommendations", "1")])
        target.publish("products", [record("products", "2")])
        assert read("products", ["1"]) == {"1": None}
        assert read("recommendations", ["1"]) == {"1": dict(record("recommendations", "1").body)}

    def test_the_same_again_changes_nothing(self, target: DeployTarget, read: Reader) -> None:
        records = [record("products", name) for name in ("a", "b")]
        assert target.publish("products", records) == 2
        before = read("products", ["a", "b"])
        assert target.publish("products", records) == 2
        assert read("products", ["a", "b"]) == before

    def test_nothing_can_be_published(self, target: DeployTarget, read: Reader) -> None:
        target.publish("products", [record("products", "a")])
        assert target.publish("products", []) == 0
        assert read("products", ["a"]) == {"a": None}

    def test_many_records_come_as_a_stream(self, target: DeployTarget, read: Reader) -> None:
        names = [f"p{number}" for number in range(MANY)]
        assert target.publish("products", (record("products", name) for name in names)) == MANY
        assert None not in read("products", [names[0], names[MANY // 2], names[-1]]).values()

    def test_what_was_there_stays_if_it_breaks_off(
        self, target: DeployTarget, read: Reader
    ) -> None:
        """Each record of before is found, as it was or new; after it all goes on."""
        names = [f"p{number}" for number in range(MANY)]
        target.publish("products", (record("products", name) for name in names))

        def broken() -> Iterator[Record]:
            yield from (record("products", name, 2.5) for name in names[: MANY // 2])
            raise BrokenOffError

        with pytest.raises(BrokenOffError):
            target.publish("products", broken())
        old_and_new = [[dict(record("products", n, f).body) for f in (1.5, 2.5)] for n in names]
        found = read("products", names)
        assert all(found[n] in both for n, both in zip(names, old_and_new, strict=True))
        assert target.publish("products", [record("products", "z")]) == 1
        assert read("products", ["p0", "z"])["p0"] is None

    def test_who_reads_meanwhile_misses_no_record(self, target: DeployTarget, read: Reader) -> None:
        names = [f"p{number}" for number in range(MANY)]
        target.publish("products", (record("products", name) for name in names))
        sample, done, missed, looks = [names[0], names[-1]], threading.Event(), [], 0

        def publish() -> None:
            try:
                for figure in (2.5, 3.5, 4.5):
                    target.publish("products", (record("products", n, figure) for n in names))
            finally:
                done.set()

        thread = threading.Thread(target=publish)
        thread.start()
        while not done.is_set() or not looks:
            missed += [name for name, body in read("products", sample).items() if body is None]
            looks += 1
        thread.join()
        assert not missed
        expected = {name: dict(record("products", name, 4.5).body) for name in sample}
        assert read("products", sample) == expected

    def test_it_is_opened_again_after_it_was_closed(
        self, target: DeployTarget, read: Reader
    ) -> None:
        target.publish("products", [record("products", "a")])
        target.close()
        target.close()
        target.open()
        assert read("products", ["a"]) == {"a": dict(record("products", "a").body)}
        assert target.publish("products", [record("products", "b")]) == 1

    def test_what_cannot_be_reached_says_that_it_may_work_later(self, away: DeployTarget) -> None:
        """By `open` or by the first publication, and `close` does no harm then."""
        try:
            with pytest.raises(TransientError) as raised:
                _open_and_publish(away)
            assert raised.value.hint
        finally:
            away.close()


def _open_and_publish(target: DeployTarget) -> None:
    target.open()
    target.publish("products", [record("products", "a")])
