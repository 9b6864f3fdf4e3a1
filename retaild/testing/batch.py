"""What every batch engine must do. Subclass `BatchConformance` and give it `open_engine`.

The expected values are worked out by hand from the definitions in the headers of the SQL files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from retaild.api import BatchEngine, BatchResult, Lake
from retaild.events import Customer, Event, Price, Product, Sale, Stock
from retaild.events.codec import decode_table, encode_events
from retaild.pipeline.batch import BatchTable, batch_tables
from retaild.pipeline.streams import bronze_schema, silver_schemas

#: Opens the engine under test on a lake's directory.
OpenEngine = Callable[[Path], BatchEngine]
Row = dict[str, Any]

MONDAY = datetime(2011, 12, 5, tzinfo=UTC)
DAY = timedelta(days=1)
_CENT = Decimal("0.0001")


def at(text: str) -> datetime:
    """A moment of the year 2011, UTC: '12-05 10:30'."""
    return datetime.fromisoformat(f"2011-{text}").replace(tzinfo=UTC)


def line(moment: datetime, receipt: str, quantity: str, price: str, **fields: Any) -> Sale:
    """A line of a pen, unless `fields` say otherwise; its id is all of it."""
    own = {
        "event_time": moment, "receipt_id": receipt, "quantity": quantity, "unit_price": price,
        "product_id": "PEN", "source": "tills", "currency": "GBP", **fields,
    }  # fmt: skip
    return Sale.model_validate({"event_id": "|".join(map(str, own.values())), **own})


def write_silver(lake: Lake, events: Sequence[Event]) -> None:
    """Put events into the silver tables of their families, one log entry each."""
    for family in sorted({event.family for event in events}):
        own = [event for event in events if event.family == family]
        table = decode_table(family, "json", encode_events(own))
        schema = bronze_schema(family)
        table = table.append_column(schema.field("_offset"), pa.array(range(len(own)), pa.int64()))
        moments = pa.array([MONDAY] * len(own), schema.field("_appended_at").type)
        table = table.append_column(schema.field("_appended_at"), moments)
        if family == "sale":
            amounts = [_amount(event) for event in own if isinstance(event, Sale)]
            place = table.schema.get_field_index("amount")
            table = table.set_column(place, "amount", pa.array(amounts, pa.decimal128(18, 4)))
        lake.overwrite(f"silver.{family}", table.cast(silver_schemas()[f"silver.{family}"]))


def _amount(sale: Sale) -> Decimal:
    exact = sale.quantity * sale.unit_price - sale.discount
    return (exact if sale.amount is None else sale.amount).quantize(_CENT, ROUND_HALF_UP)


class BatchConformance:
    """Provide the fixture `open_engine`."""

    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        raise NotImplementedError

    @pytest.fixture
    def lake(self, tmp_path: Path) -> Lake:
        return Lake(tmp_path / "lake")

    @pytest.fixture
    def build(self, open_engine: OpenEngine, lake: Lake) -> Callable[..., list[BatchResult]]:
        """Write events to silver and build all gold tables (or those given)."""

        def work(
            events: Sequence[Event] = (), tables: Sequence[BatchTable] | None = None
        ) -> list[BatchResult]:
            write_silver(lake, events)
            engine = open_engine(lake.root)
            try:
                return engine.run(batch_tables() if tables is None else tables)
            finally:
                engine.close()

        return work

    def rows(self, lake: Lake, name: str, *order: str) -> list[Row]:
        """All rows, sorted by the columns."""
        found: list[Row] = lake.dataset(name).to_table().to_pylist()
        return sorted(found, key=lambda row: tuple(row[column] for column in order))

    # -- the engine ----------------------------------------------------------------------------

    def test_empty_silver_gives_empty_tables_of_full_schema(
        self, build: Callable[..., list[BatchResult]], lake: Lake
    ) -> None:
        empty = build()
        assert [result.rows for result in empty] == [0] * len(batch_tables())
        schemas = {r.table: lake.dataset(r.table).schema for r in empty}
        build([line(MONDAY, "R1", "1", "1.00", customer_id="C1")])
        for name, schema in schemas.items():
            assert lake.dataset(name).schema.equals(schema), name

    def test_results_name_versions(
        self, build: Callable[..., list[BatchResult]], lake: Lake
    ) -> None:
        build([line(MONDAY, "R1", "1", "1.00")])
        second = {r.table: r for r in build([line(MONDAY, "R1", "1", "1.00")])}
        day = second["gold.product_day"]
        assert (day.rows, day.version) == (1, 1)
        assert day.read_versions == {"silver.sale": 1}
        assert second["gold.price_history"].read_versions["gold.product_week"] == 1
        assert lake.version("gold.product_day") == 1

    def test_a_table_alone_reads_what_the_lake_has(
        self, build: Callable[..., list[BatchResult]], lake: Lake
    ) -> None:
        build([line(MONDAY, "R1", "1", "1.00")])
        (history,) = [t for t in batch_tables() if t.name == "gold.price_history"]
        (result,) = build([line(MONDAY, "R1", "1", "1.00")], [history])
        assert (result.rows, result.read_versions["gold.product_week"]) == (1, 0)

    def test_a_new_run_replaces_the_rows(
        self, build: Callable[..., list[BatchResult]], lake: Lake
    ) -> None:
        build([line(MONDAY, "R1", "1", "1.00")])
        build([line(MONDAY + DAY, "R1", "2", "1.00")])
        (row,) = self.rows(lake, "gold.product_day")
        assert (row["day"], row["units"]) == (date(2011, 12, 6), 2.0)
        assert lake.dataset("gold.product_day", 0).to_table()["units"].to_pylist() == [1.0]

    # -- products by day and week --------------------------------------------------------------

    PEN_SALES = (
        line(at("12-05 09:00"), "R1", "2", "1.00", customer_id="C1"),
        line(at("12-05 09:00"), "R1", "1", "1.50", customer_id="C1"),
        line(at("12-05 10:00"), "R2", "4", "1.00", customer_id="C2"),
        line(at("12-05 23:59:59.999999"), "R3", "1", "1.50"),
        line(at("12-06 00:00"), "R4", "3", "2.00"),
        line(at("12-06 09:00"), "R5", "-3", "2.00", line_type="return"),
        line(at("12-06 09:00"), "R6", "1", "9.00", product_id="POST", line_type="service"),
        line(at("12-06 09:00"), "R7", "5", "0.00", line_type="adjustment"),
    )

    def test_product_day(self, build: Callable[..., list[BatchResult]], lake: Lake) -> None:
        """Two lines at 1.00 (6 pieces) and two at 1.50 (2 pieces): more pieces decide."""
        build(self.PEN_SALES)
        assert self.rows(lake, "gold.product_day", "day") == [
            {
                "product_id": "PEN", "day": date(2011, 12, 5), "units": 8.0,
                "revenue": Decimal("9.0000"), "receipts": 3, "customers": 2, "avg_price": 1.125,
                "modal_price": Decimal("1.0000"),
            },
            {
                "product_id": "PEN", "day": date(2011, 12, 6), "units": 3.0,
                "revenue": Decimal("6.0000"), "receipts": 1, "customers": 0, "avg_price": 2.0,
                "modal_price": Decimal("2.0000"),
            },
        ]  # fmt: skip

    def test_product_week(self, build: Callable[..., list[BatchResult]], lake: Lake) -> None:
        sunday, monday = at("12-11 23:59:59.999999"), at("12-12 00:00")
        build([
            *self.PEN_SALES,
            line(sunday, "R8", "1", "0.50"),
            line(monday, "R8", "2", "0.75"),  # another receipt of that number, in the next week
        ])  # fmt: skip
        assert self.rows(lake, "gold.product_week", "week") == [
            {
                "product_id": "PEN", "week": date(2011, 12, 5), "price": Decimal("1.0000"),
                "units": 12.0, "revenue": Decimal("15.5000"), "receipts": 5,
                "avg_price": pytest.approx(15.5 / 12), "min_price": Decimal("0.5000"),
                "max_price": Decimal("2.0000"),
            },
            {
                "product_id": "PEN", "week": date(2011, 12, 12), "price": Decimal("0.7500"),
                "units": 2.0, "revenue": Decimal("1.5000"), "receipts": 1, "avg_price": 0.75,
                "min_price": Decimal("0.7500"), "max_price": Decimal("0.7500"),
            },
        ]  # fmt: skip

    def test_receipts_of_two_stores_are_two(
        self, build: Callable[..., list[BatchResult]], lake: Lake
    ) -> None:
        moment = at("12-05 09:00")
        build([
            line(moment, "R1", "1", "1.00", customer_id="C1"),
            line(moment, "R1", "1", "1.00", customer_id="C1", store="north"),
        ])  # fmt: skip
        tables = ("gold.product_day", "gold.product_week", "gold.customer")
        assert [self.rows(lake, name)[0]["receipts"] for name in tables] == [2, 2, 2]
        assert self.rows(lake, "gold.customer_product")[0]["times_bought"] == 2

    # -- customers -----------------------------------------------------------------------------

    def test_customer(self, build: Callable[..., list[BatchResult]], lake: Lake) -> None:
        """C1 moved; C2 brought all back and never bought; C3 is only noted."""
        common = {"source": "crm"}
        build([
            line(at("12-05 09:00"), "R1", "2", "1.00", customer_id="C1", country="France"),
            line(at("12-05 09:00"), "R1", "1", "3.00", customer_id="C1", country="France"),
            line(at("12-07 09:00"), "R2", "1", "1.00", customer_id="C1", country="Spain"),
            line(at("12-08 09:00"), "R3", "-1", "1.00", customer_id="C1", line_type="return"),
            line(at("12-08 09:00"), "R4", "-1", "1.00", customer_id="C2", line_type="return",
                 country="Malta"),
            line(at("12-08 09:00"), "R5", "1", "1.00"),
            Customer(event_id="1", event_time=at("12-01"), customer_id="C3", segment="gold",
                     country="EIRE", consent=True, **common),
            Customer(event_id="2", event_time=at("12-02"), customer_id="C3", consent=False,
                     **common),
            Customer(event_id="3", event_time=at("12-02"), customer_id="C2", country="Italy",
                     **common),
        ])  # fmt: skip
        nothing = {"receipts": 0, "lines": 0, "revenue": Decimal("0.0000"), "first_sale": None,
                   "last_sale": None}  # fmt: skip
        unknown = {"segment": None, "consent": None}
        assert self.rows(lake, "gold.customer", "customer_id") == [
            {
                "customer_id": "C1", "country": "Spain", "segment": None, "consent": None,
                "receipts": 2, "lines": 3, "revenue": Decimal("6.0000"),
                "first_sale": at("12-05 09:00"), "last_sale": at("12-07 09:00"),
            },
            {"customer_id": "C2", "country": "Italy", **unknown, **nothing},
            {
                "customer_id": "C3", "country": "EIRE", "segment": "gold", "consent": False,
                **nothing,
            },
        ]  # fmt: skip

    def test_customer_product(self, build: Callable[..., list[BatchResult]], lake: Lake) -> None:
        build([
            line(at("12-05 09:00"), "R1", "2", "1.00", customer_id="C1"),
            line(at("12-05 09:05"), "R1", "1", "1.50", customer_id="C1"),
            line(at("12-07 09:00"), "R2", "1", "1.00", customer_id="C1"),
            line(at("12-08 09:00"), "R3", "-2", "1.00", customer_id="C1", line_type="return"),
            line(at("12-08 09:00"), "R4", "1", "1.00"),
        ])  # fmt: skip
        assert self.rows(lake, "gold.customer_product") == [
            {
                "customer_id": "C1", "product_id": "PEN", "times_bought": 2, "quantity": 4.0,
                "revenue": Decimal("4.5000"), "first_time": at("12-05 09:00"),
                "last_time": at("12-07 09:00"),
            }
        ]  # fmt: skip

    # -- prices and products -------------------------------------------------------------------

    def test_price_history(self, build: Callable[..., list[BatchResult]], lake: Lake) -> None:
        """Seen in four weeks: 1, 2, 2, 1 (and once 9, by one customer); one announcement."""
        days = {"11-14": "1.00", "11-21": "2.00", "11-28": "2.00", "12-05": "1.00"}
        build([
            *(
                line(at(f"{day} 09:0{minute}"), f"{day}-{minute}", "1", price)
                for day, price in days.items()
                for minute in range(3)
            ),
            line(at("12-12 09:00"), "R9", "100", "9.00"),
            Price(event_id="p", event_time=at("11-24"), source="desk", product_id="PEN",
                  price=Decimal("1.80"), currency="GBP", valid_from=at("11-24 06:00")),
        ])  # fmt: skip
        found = self.rows(lake, "gold.price_history", "valid_from")
        assert [(row["valid_from"], str(row["price"]), row["kind"]) for row in found] == [
            (at("11-14"), "1.0000", "observed"),
            (at("11-21"), "2.0000", "observed"),
            (at("11-24 06:00"), "1.8000", "announced"),
            (at("12-05"), "1.0000", "observed"),
        ]

    def test_price_history_of_what_hardly_sells(
        self, build: Callable[..., list[BatchResult]], lake: Lake
    ) -> None:
        """Where no week had three receipts, every week with the most it ever had counts."""
        build([
            line(at("11-14 09:00"), "R1", "1", "1.00"),
            line(at("12-05 09:00"), "R2", "1", "2.00"),
        ])  # fmt: skip
        found = self.rows(lake, "gold.price_history", "valid_from")
        assert [str(row["price"]) for row in found] == ["1.0000", "2.0000"]

    def test_product_without_master_data(
        self, build: Callable[..., list[BatchResult]], lake: Lake
    ) -> None:
        """The name most lines carry; the price most lines of the last 28 days carry."""
        build([
            line(at("01-03 09:00"), "R0", "9", "5.00", description="BLUE PEN"),
            line(at("01-04 09:00"), "R0", "9", "5.00", description="BLUE PEN"),
            line(at("12-01 09:00"), "R1", "1", "1.00", description="RED PEN"),
            line(at("12-05 09:00"), "R2", "1", "2.00", description="RED PEN"),
            line(at("12-06 09:00"), "R3", "1", "2.00", description="RED PEN 12"),
            line(at("12-07 09:00"), "R4", "-1", "2.00", description="RED PEN", line_type="return"),
        ])  # fmt: skip
        (row,) = self.rows(lake, "gold.product")
        assert row == {
            "product_id": "PEN", "name": "RED PEN", "category": "OTHER", "category_derived": True,
            "brand": None, "gtin": None, "currency": "GBP", "price": Decimal("2.0000"),
            "price_since": at("12-05"), "unit_cost": None, "cost_source": None, "on_hand": None,
            "stock_source": None, "image_url": None, "excluded": False,
            "first_sale": at("01-03 09:00"), "last_sale": at("12-06 09:00"), "units_28d": 3.0,
            "revenue_28d": Decimal("5.0000"),
        }  # fmt: skip

    def test_product_with_master_data(
        self, build: Callable[..., list[BatchResult]], lake: Lake
    ) -> None:
        """A field left out keeps its last known value; the source of the cost is told."""
        build([
            Product(event_id="1", event_time=at("12-01"), source="erp", product_id="PEN",
                    name="Pen", category="Writing", unit_cost=Decimal("0.40"), currency="EUR",
                    gtin="4006381333931", excluded=True),
            Product(event_id="2", event_time=at("12-02"), source="hand", product_id="PEN",
                    name="Fountain pen", excluded=False, image_url="/pen.png", brand="Nib"),
            line(at("12-05 09:00"), "R1", "1", "1.00", description="RED PEN"),
        ])  # fmt: skip
        (row,) = self.rows(lake, "gold.product")
        chosen = {
            "name": "Fountain pen", "category": "Writing", "category_derived": False,
            "brand": "Nib", "gtin": "4006381333931", "unit_cost": Decimal("0.4000"),
            "cost_source": "erp", "image_url": "/pen.png", "excluded": False, "currency": "EUR",
        }  # fmt: skip
        assert {name: row[name] for name in chosen} == chosen

    def test_derived_categories(self, build: Callable[..., list[BatchResult]], lake: Lake) -> None:
        """Fourteen bags and one in the plural make fifteen; fourteen lamps are too few."""
        names = [f"straw bag {n}" for n in range(14)] + ["LUNCH BAGS"]
        names += [f"lamp {n}" for n in range(14)] + ["123"]
        build([
            line(at("12-05 09:00"), "R1", "1", "1.00", product_id=f"P{n:02}", description=name)
            for n, name in enumerate(names)
        ])  # fmt: skip
        found = [row["category"] for row in self.rows(lake, "gold.product", "product_id")]
        assert found == ["BAG"] * 15 + ["OTHER"] * 15

    def test_product_price_is_the_announced_one_in_effect(
        self, build: Callable[..., list[BatchResult]], lake: Lake
    ) -> None:
        """The newest event is of 9 December: one promotion is over, one is on, one is to come."""

        def price(product: str, amount: str, start: str, end: str = "") -> Price:
            return Price.model_validate({
                "event_id": f"{product}{start}", "event_time": at("11-30"), "source": "desk",
                "product_id": product, "price": amount, "currency": "GBP",
                "valid_from": at(start), "valid_to": at(end) if end else None,
            })  # fmt: skip

        build([
            price("OVER", "2.00", "12-01"), price("OVER", "1.50", "12-05", "12-09 09:00"),
            price("ON", "2.00", "12-01"), price("ON", "1.50", "12-05", "12-09 09:01"),
            price("COMING", "2.00", "12-01"), price("COMING", "1.50", "12-10"),
            line(at("12-09 09:00"), "R1", "1", "7.00", product_id="ON"),
        ])  # fmt: skip
        found = self.rows(lake, "gold.product", "product_id")
        assert [(r["product_id"], str(r["price"]), r["price_since"]) for r in found] == [
            ("COMING", "2.0000", at("12-01")),
            ("ON", "1.5000", at("12-05")),
            ("OVER", "2.0000", at("12-01")),
        ]

    def test_stock_on_hand_is_the_count_less_what_moved_since(
        self, build: Callable[..., list[BatchResult]], lake: Lake
    ) -> None:
        """main: 10 counted, 3 sold and 1 back since; north: 4; what was before does not count."""

        def count(moment: str, on_hand: str, store: str = "main") -> Stock:
            return Stock(event_id=moment + store, event_time=at(moment), source="erp", store=store,
                         product_id="PEN", on_hand=Decimal(on_hand))  # fmt: skip

        build([
            count("12-01 09:00", "99"), count("12-05 09:00", "10"),
            count("12-06 09:00", "4", "north"),
            line(at("12-05 09:00"), "R1", "5", "1.00"),
            line(at("12-05 09:01"), "R2", "3", "1.00"),
            line(at("12-05 09:02"), "R3", "-1", "1.00", line_type="return"),
            line(at("12-05 09:02"), "R3", "7", "1.00", store="north"),
        ])  # fmt: skip
        (row,) = self.rows(lake, "gold.product")
        assert (row["on_hand"], row["stock_source"]) == (12.0, "erp")

    def test_recent_sales_end_with_the_newest_sale(
        self, build: Callable[..., list[BatchResult]], lake: Lake
    ) -> None:
        build([
            line(at("12-09 09:00"), "R1", "1", "1.00", product_id="INK"),
            line(at("11-11 09:00"), "R2", "2", "1.00"),  # 28 days before to the second
            line(at("11-11 09:00:01"), "R3", "4", "1.00"),
        ])  # fmt: skip
        found = self.rows(lake, "gold.product", "product_id")
        assert [(r["product_id"], r["units_28d"]) for r in found] == [("INK", 1.0), ("PEN", 4.0)]

    # -- snapshots -----------------------------------------------------------------------------

    #: C1 buys on Wednesday 2 November, Monday 7 November at 00:00 and 28 days after the first.
    HISTORY = (
        line(at("11-02 10:00"), "R1", "2", "1.00", customer_id="C1"),
        line(at("11-02 10:00"), "R1", "1", "3.00", customer_id="C1", product_id="INK"),
        line(at("11-07 00:00"), "R2", "1", "1.00", customer_id="C1"),
        line(at("11-09 10:00"), "X1", "-1", "1.00", customer_id="C1", line_type="return"),
        line(at("11-30 10:00"), "R3", "1", "2.00", customer_id="C1"),
        line(at("12-06 12:00"), "R4", "3", "1.00", customer_id="C2"),
    )

    def test_customer_snapshot(self, build: Callable[..., list[BatchResult]], lake: Lake) -> None:
        build(self.HISTORY)
        columns = (
            "receipts", "lines", "distinct_products", "revenue", "mean_basket_value",
            "mean_basket_lines", "days_since_last", "days_since_first", "mean_gap_days",
            "return_share", "repeat_share", "receipts_28d", "revenue_28d", "distinct_28d",
        )  # fmt: skip
        first, gap = 4 + 14 / 24, 4 + 14 / 24
        long_gap = 14.0  # 28 days between three receipts
        expected = {
            at("11-07"): (1, 2, 2, 5, 5, 2, first, first, None, 0, 0, 1, 5, 2),
            at("11-14"): (2, 3, 2, 6, 3, 1.5, 7, first + 7, gap, 1 / 4, 1 / 3, 2, 6, 2),
            at("11-21"): (2, 3, 2, 6, 3, 1.5, 14, first + 14, gap, 1 / 4, 1 / 3, 2, 6, 2),
            at("11-28"): (2, 3, 2, 6, 3, 1.5, 21, first + 21, gap, 1 / 4, 1 / 3, 2, 6, 2),
            at("12-05"): (
                3, 4, 2, 8, 8 / 3, 4 / 3, first, first + 28, long_gap, 1 / 5, 1 / 2, 2, 3, 1,
            ),
            at("12-06 12:00:01"): (
                3, 4, 2, 8, 8 / 3, 4 / 3, 6 + (2 * 3600 + 1) / 86400, 34 + (2 * 3600 + 1) / 86400,
                long_gap, 1 / 5, 1 / 2, 1, 2, 1,
            ),
        }  # fmt: skip
        found = self.rows(lake, "gold.customer_snapshot", "customer_id", "event_timestamp")
        assert [row["event_timestamp"] for row in found if row["customer_id"] == "C1"] == [
            *expected
        ]
        for row in found:
            if row["customer_id"] == "C1":
                values = [row[column] for column in columns]
                assert values == pytest.approx(list(expected[row["event_timestamp"]])), row
        (other,) = [row for row in found if row["customer_id"] == "C2"]
        assert other["event_timestamp"] == at("12-06 12:00:01")
        assert other["days_since_last"] == pytest.approx(1 / 86400)

    def test_product_snapshot(self, build: Callable[..., list[BatchResult]], lake: Lake) -> None:
        build(self.HISTORY)
        columns = (
            "units_7d", "units_28d", "units_91d", "receipts_28d", "customers_28d", "customers_91d",
            "repeat_share", "avg_price_28d", "price_ratio", "days_since_first", "days_since_last",
            "trend",
        )  # fmt: skip
        first, end = 4 + 14 / 24, 34 + (2 * 3600 + 1) / 86400
        expected = {
            at("11-07"): (2, 2, 2, 1, 1, 1, 0, 1, 1, first, first, 1),
            at("11-14"): (1, 3, 3, 2, 1, 1, 1 / 2, 1, 1, first + 7, 7, 1),
            at("11-21"): (0, 3, 3, 2, 1, 1, 1 / 2, 1, None, first + 14, 14, 1),
            at("11-28"): (0, 3, 3, 2, 1, 1, 1 / 2, 1, None, first + 21, 21, 1),
            at("12-05"): (1, 2, 4, 2, 1, 1, 2 / 3, 1.5, 1.6, first + 28, first, 0),
            at("12-06 12:00:01"): (
                4, 4, 7, 2, 2, 2, 1 / 2, 1.25, 1.25 / (8 / 7), end, 1 / 86400, 1 / 7,
            ),
        }  # fmt: skip
        found = self.rows(lake, "gold.product_snapshot", "product_id", "event_timestamp")
        pens = [row for row in found if row["product_id"] == "PEN"]
        assert [row["event_timestamp"] for row in pens] == [*expected]
        for row in pens:
            values = [row[column] for column in columns]
            assert values == pytest.approx(list(expected[row["event_timestamp"]])), row
        assert len(found) == 12
