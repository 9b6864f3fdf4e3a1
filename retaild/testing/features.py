"""What every feature backend must do. Subclass `FeatureBackendConformance`, give it `make`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from retaild.api import FeatureBackend, Lake, RetaildError
from retaild.pipeline.features import Feature, FeatureView

#: Builds a backend that is not open yet, on this lake, with this directory for itself.
BackendFactory = Callable[[Lake, Path], FeatureBackend]

TTL = timedelta(days=10)
CUSTOMER = FeatureView(
    "customer", "customer_id", "gold.customer_moments", "event_timestamp", TTL,
    (
        Feature("receipts", "int64", "How many."),
        Feature("gap", "float64", "Null where unknown."),
        Feature("segment", "string", "A text."),
    ),
)  # fmt: skip
PRODUCT = FeatureView(
    "product", "product_id", "gold.product_moments", "known_at", TTL,
    (Feature("receipts", "int64", "Same name as the customer's."),),
)  # fmt: skip

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
NEXT_MONDAY = MONDAY + timedelta(days=7)
TICK = timedelta(microseconds=1)

#: (customer, moment, receipts, gap, segment): ann has two rows, bob one.
CUSTOMER_ROWS: list[tuple[Any, ...]] = [
    ("ann", MONDAY, 1, None, "new"),
    ("ann", NEXT_MONDAY, 3, 2.5, "regular"),
    ("bob", MONDAY, 7, 4.0, None),
]


def customer_rows(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    names = ("customer_id", "event_timestamp", "receipts", "gap", "segment")
    types = (pa.string(), pa.timestamp("us", tz="UTC"), pa.int64(), pa.float64(), pa.string())
    schema = pa.schema(list(zip(names, types, strict=True)))
    return pa.Table.from_pylist([dict(zip(names, r, strict=True)) for r in rows], schema=schema)


def asked(*rows: tuple[str | None, datetime | None]) -> pa.Table:
    """Entity rows for `historical`, numbered so that their order shows."""
    return pa.table(
        {
            "customer_id": pa.array([who for who, _ in rows], pa.string()),
            "event_timestamp": pa.array([t for _, t in rows], pa.timestamp("us", tz="UTC")),
            "number": pa.array(range(len(rows)), pa.int64()),
        }
    )


class FeatureBackendConformance:
    """Provide the fixture `make`."""

    @pytest.fixture
    def make(self) -> BackendFactory:
        raise NotImplementedError

    @pytest.fixture
    def lake(self, tmp_path: Path) -> Lake:
        lake = Lake(tmp_path / "lake")
        lake.overwrite(CUSTOMER.table, customer_rows(CUSTOMER_ROWS))
        products = pa.table(
            {
                "product_id": ["tea"],
                "known_at": pa.array([MONDAY], pa.timestamp("us", tz="UTC")),
                "receipts": pa.array([40], pa.int64()),
            }
        )
        lake.overwrite(PRODUCT.table, products)
        return lake

    @pytest.fixture
    def backend(self, make: BackendFactory, lake: Lake, tmp_path: Path) -> Iterator[FeatureBackend]:
        backend = make(lake, tmp_path / "features")
        backend.open()
        backend.apply([CUSTOMER, PRODUCT])
        yield backend
        backend.close()

    def _receipts(self, backend: FeatureBackend, *rows: Any) -> list[int | None]:
        joined = backend.historical(asked(*rows), ["customer:receipts"])
        values: list[int | None] = joined["customer__receipts"].to_pylist()
        return values

    def test_a_row_holds_from_its_moment_on_and_never_before(self, backend: FeatureBackend) -> None:
        found = self._receipts(
            backend,
            ("ann", MONDAY - TICK),
            ("ann", MONDAY),
            ("ann", NEXT_MONDAY - TICK),
            ("ann", NEXT_MONDAY),
        )
        assert found == [None, 1, 1, 3]

    def test_a_value_expires_after_its_ttl(self, backend: FeatureBackend) -> None:
        last = NEXT_MONDAY + TTL
        assert self._receipts(backend, ("ann", last), ("ann", last + TICK)) == [3, None]

    def test_what_is_not_known_is_null(self, backend: FeatureBackend) -> None:
        rows = [("carl", MONDAY), (None, MONDAY), ("ann", None), ("ann", MONDAY)]
        assert self._receipts(backend, *rows) == [None, None, None, 1]

    def test_rows_come_back_in_their_order_with_their_own_columns(
        self, backend: FeatureBackend
    ) -> None:
        rows = [("ann", NEXT_MONDAY), ("bob", MONDAY), ("carl", MONDAY), ("ann", MONDAY)] * 50
        joined = backend.historical(asked(*rows), ["customer:receipts"])
        assert joined["number"].to_pylist() == list(range(200))
        assert joined["customer_id"].to_pylist() == [who for who, _ in rows]
        assert joined["customer__receipts"].to_pylist() == [3, 7, None, 1] * 50

    def test_columns_are_named_and_typed_by_their_view(self, backend: FeatureBackend) -> None:
        both = asked(("ann", NEXT_MONDAY), ("bob", MONDAY)).append_column(
            "product_id", pa.array(["tea", "tea"])
        )
        wanted = ["product:receipts", *CUSTOMER.references]
        joined = backend.historical(both, wanted)
        names = ["product__receipts", "customer__receipts", "customer__gap", "customer__segment"]
        assert joined.column_names == [*both.column_names, *names]
        assert [joined.schema.field(name).type for name in names] == [
            pa.int64(), pa.int64(), pa.float64(), pa.string(),
        ]  # fmt: skip
        assert joined.select(names).to_pylist() == [
            dict(zip(names, (40, 3, 2.5, "regular"), strict=True)),
            dict(zip(names, (40, 7, 4.0, None), strict=True)),
        ]

    def test_moments_may_be_in_any_time_zone(self, backend: FeatureBackend) -> None:
        zone = timezone(timedelta(hours=-8))
        rows = asked(("ann", NEXT_MONDAY.astimezone(zone)), ("ann", NEXT_MONDAY - TICK))
        moved = rows.set_column(
            1, "event_timestamp", rows["event_timestamp"].cast(pa.timestamp("us", tz="-08:00"))
        )
        joined = backend.historical(moved, ["customer:receipts"])
        assert joined["customer__receipts"].to_pylist() == [3, 1]

    def test_no_rows_are_no_rows(self, backend: FeatureBackend) -> None:
        joined = backend.historical(asked(), list(CUSTOMER.references))
        assert (joined.num_rows, joined.num_columns) == (0, 6)

    def test_a_new_version_of_the_table_is_seen_at_once(
        self, backend: FeatureBackend, lake: Lake
    ) -> None:
        assert self._receipts(backend, ("bob", NEXT_MONDAY)) == [7]
        later = [*CUSTOMER_ROWS, ("bob", NEXT_MONDAY, 8, 3.0, None)]
        lake.overwrite(CUSTOMER.table, customer_rows(later))
        assert self._receipts(backend, ("bob", NEXT_MONDAY), ("bob", MONDAY)) == [8, 7]

    def test_unknown_features_are_named(self, backend: FeatureBackend) -> None:
        with pytest.raises(RetaildError, match="customer:shoe_size"):
            backend.historical(asked(("ann", MONDAY)), ["customer:shoe_size"])

    def test_rows_without_a_usable_key_or_moment_are_refused(self, backend: FeatureBackend) -> None:
        rows = asked(("ann", MONDAY))
        with pytest.raises(RetaildError, match="customer_id"):
            backend.historical(rows.drop_columns("customer_id"), ["customer:receipts"])
        local = rows.set_column(
            1, "event_timestamp", rows["event_timestamp"].cast(pa.timestamp("us"))
        )
        with pytest.raises(RetaildError, match="event_timestamp"):
            backend.historical(local, ["customer:receipts"])

    def test_applying_again_removes_what_is_gone(self, backend: FeatureBackend) -> None:
        backend.apply([PRODUCT])
        with pytest.raises(RetaildError, match="customer:receipts"):
            backend.historical(asked(("ann", MONDAY)), ["customer:receipts"])
        backend.apply([CUSTOMER, PRODUCT])
        assert self._receipts(backend, ("ann", MONDAY)) == [1]

    def test_materializing_takes_the_newest_row_of_each_entity(
        self, backend: FeatureBackend
    ) -> None:
        assert backend.materialize(NEXT_MONDAY) == {"customer": 2, "product": 1}
        assert backend.materialize(MONDAY - TICK) == {"customer": 0, "product": 0}
        # bob and the tea were last seen on the first Monday: ten days later they have expired.
        assert backend.materialize(MONDAY + TTL + TICK) == {"customer": 1, "product": 0}

    def test_a_missing_table_has_no_values(self, make: BackendFactory, tmp_path: Path) -> None:
        backend = make(Lake(tmp_path / "empty"), tmp_path / "other")
        backend.open()
        try:
            backend.apply([CUSTOMER])
            assert self._receipts(backend, ("ann", MONDAY)) == [None]
            assert backend.materialize(MONDAY) == {"customer": 0}
        finally:
            backend.close()

    def test_closing_twice_or_unopened_is_fine(
        self, make: BackendFactory, lake: Lake, tmp_path: Path
    ) -> None:
        backend = make(lake, tmp_path / "closed")
        backend.close()
        backend.open()
        backend.close()
        backend.close()
