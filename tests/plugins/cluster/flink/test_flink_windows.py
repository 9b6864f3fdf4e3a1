"""The job's side of windows, without Flink: what touches which window, and what it comes to."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from retaild_plugins.cluster.flink import windows
from retaild_plugins.cluster.flink.aggregates import Aggregates
from retaild_plugins.cluster.flink.expressions import cast, evaluate, type_of
from retaild_plugins.cluster.flink.sql_text import NotLoweredError, parsed
from retaild_plugins.cluster.flink.windows import (
    Filling,
    FlinkWindow,
    OpenWindows,
    flink_windows,
    packed_touches,
    unpacked_touches,
)

from retaild.api import LogEntry
from retaild.events import Sale
from retaild.pipeline.carry.sql import Sql
from retaild.pipeline.entries import decode
from retaild.pipeline.steps import Column, Dedup, Emit, Filter, Map, StreamPipeline, Window
from retaild.pipeline.streams import SALE_AMOUNT, stream_pipelines
from retaild.pipeline.window_values import WindowValue
from retaild.testing.stream import HOUR, NINE, entry, sale

SALE = flink_windows()["sale"]
#: When the log took all of these.
TAKEN = NINE + timedelta(days=30)


def events(offset: int, *sales: Sale) -> pa.Table:
    logged = LogEntry(offset, offset, TAKEN.timestamp(), entry(*sales))
    return decode([logged]).tables["sale"]


class Starts:
    """As Flink's state: what is put there is a copy."""

    def __init__(self) -> None:
        self._value = pickle.dumps(None)

    def value(self) -> list[int] | None:
        found: list[int] | None = pickle.loads(self._value)
        return found

    def update(self, value: list[int]) -> None:
        self._value = pickle.dumps(value)


class Fillings(dict[int, bytes]):
    def get(self, key: int) -> Filling:  # type: ignore[override]
        found: Filling = pickle.loads(self[key])
        return found

    def put(self, key: int, value: Filling) -> None:
        self[key] = pickle.dumps(value)

    def remove(self, key: int) -> None:
        del self[key]


Told = dict[tuple[str, int], list[WindowValue]]


@dataclass
class Job:
    """What Flink does with the touches; its watermark is that of all before."""

    window: FlinkWindow = SALE
    of_keys: dict[str, OpenWindows] = field(default_factory=dict)
    watermark: int = -(2**63)

    def take(self, table: pa.Table, found: Told) -> None:
        touches = self.window.touches(table)
        for touch in touches:
            new = OpenWindows(self.window, Starts(), Fillings())
            own = self.of_keys.setdefault(touch.keys, new)
            for value in own.touched(touch.keys, touch.rows, self.watermark):
                hour = round((value.start / 1e6 - NINE.timestamp()) / 3600)
                found.setdefault((touch.keys, hour), []).append(value)
        self.watermark = max([self.watermark, *(touch.at for touch in touches)])


def told(*tables: pa.Table, window: FlinkWindow = SALE) -> Told:
    """(keys, hour behind nine) -> what the window comes to after each bundle that touches it."""
    job, found = Job(window), Told()
    for table in tables:
        job.take(table, found)
    return found


def test_every_window_of_the_pipelines_is_computed_by_flink() -> None:
    with_windows = {name for name, pipeline in stream_pipelines().items() if pipeline.windows()}
    assert set(flink_windows()) == with_windows
    assert SALE.size_ms == 3_600_000
    assert SALE.lateness_ms == 86_400_000


def test_windows_are_per_store_and_hour_and_told_after_each_bundle() -> None:
    last = NINE + HOUR - timedelta(microseconds=1)
    first = events(
        0,
        sale("d", NINE + HOUR, receipt_id="R3"),
        sale("a", NINE, receipt_id="R1", quantity="2", unit_price="1.50"),
        sale("b", last, receipt_id="R1", quantity="1.5", unit_price="4.00"),
        sale("e", NINE, store="north"),
    )
    second = events(1, sale("c", NINE, receipt_id="R2", quantity="-1", line_type="return"))
    found = told(first, second)
    assert {place: [v.values for v in values] for place, values in found.items()} == {
        ('["main"]', 0): [("1", "2", "3.500", "9.0000"), ("2", "3", "2.500", "8.0000")],
        ('["main"]', 1): [("1", "1", "1.000", "1.0000")],
        ('["north"]', 0): [("1", "1", "1.000", "1.0000")],
    }
    assert [v.rows for v in found['["main"]', 0]] == [2, 3]
    assert found['["north"]', 0][0].keys == ("north",)


def test_repeats_count_once_and_the_first_of_them() -> None:
    found = told(
        events(0, sale("a", quantity="1"), sale("a", quantity="2"), sale("b")),
        events(1, sale("b", quantity="7"), sale("c")),
        events(2, sale("a"), sale("b"), sale("c")),
    )
    values = found['["main"]', 0]
    assert [v.values[1:3] for v in values] == [
        ("2", "2.000"), ("3", "3.000"), ("3", "3.000"),
    ]  # fmt: skip
    assert values[1] == values[2]


def test_what_is_filtered_or_not_computable_touches_nothing() -> None:
    huge = sale("b", quantity="900000000000000", unit_price="90000000000000")
    found = told(events(0, huge, sale("s", line_type="service"), sale("a")))
    assert [v.values for v in found['["main"]', 0]] == [("1", "1", "1.000", "1.0000")]
    assert SALE.touches(events(1, huge, sale("s", line_type="service"))) == []


def test_a_window_of_too_many_rows_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MOST_ROWS", 2)
    found = told(events(0, sale("a"), sale("b")), events(1, sale("c")), events(2, sale("d")))
    assert [v.rows for v in found['["main"]', 0]] == [2]


def test_what_is_too_late_is_not_added_and_ended_windows_are_let_go() -> None:
    """A day behind the end of the window; up to then it is added."""
    job, found = Job(), Told()
    job.take(events(0, sale("a"), sale("b", NINE + HOUR)), found)
    job.take(events(1, sale("c", NINE + 25 * HOUR - timedelta(milliseconds=2))), found)
    job.take(events(2, sale("d")), found)
    assert [v.values[1] for v in found['["main"]', 0]] == ["1", "2"]
    job.take(events(3, sale("e", NINE + 25 * HOUR - timedelta(milliseconds=1))), found)
    job.take(events(4, sale("f"), sale("g", NINE + HOUR)), found)
    (own,) = job.of_keys.values()
    assert own.late == 1
    assert [v.values[1] for v in found['["main"]', 0]] == ["1", "2"]
    assert [v.values[1] for v in found['["main"]', 1]] == ["1", "2"]
    hours = [round((start / 1e3 - NINE.timestamp()) / 3600) for start in own.fillings]  # type: ignore[attr-defined]
    assert sorted(hours) == [1, 24]
    assert own.starts.value() == sorted(own.fillings)  # type: ignore[call-overload]


def test_a_clock_far_ahead_does_not_end_the_windows_of_others() -> None:
    job, found = Job(), Told()
    job.take(events(0, sale("a"), sale("b", NINE.replace(year=2099))), found)
    assert job.watermark == round(TAKEN.timestamp() * 1000)
    job = Job()
    job.take(events(0, sale("a", TAKEN)), found)
    job.take(events(1, sale("b", NINE.replace(year=2099))), found)
    job.take(events(2, sale("c", TAKEN)), found)
    assert [v.values[1] for v in found['["main"]', 30 * 24]] == ["1", "2"]


def test_touches_come_through_the_job_unchanged() -> None:
    table = events(0, sale("a"), sale("b", NINE + HOUR), sale("c", store="north"))
    assert len(SALE.touches(table)) == 2
    content = packed_touches("sale", table)
    assert content is not None
    assert list(unpacked_touches(content)) == SALE.touches(table)
    assert packed_touches("sale", None) is None
    assert packed_touches("sale", events(0, sale("a", line_type="service"))) is None


def test_a_bundle_that_cannot_be_computed_is_left_to_the_tables(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(rows: pa.Table) -> None:
        raise pa.ArrowInvalid("no")

    monkeypatch.setattr(SALE, "touches", fail)
    assert packed_touches("sale", events(0, sale("a"))) is None
    assert "left to the tables" in caplog.text


# -- expressions: as DuckDB ------------------------------------------------------------------------


@pytest.fixture
def sql() -> Iterator[Sql]:
    engine = Sql(1)
    yield engine
    engine.close()


def lines(count: int = 5000) -> pa.Table:
    random = np.random.default_rng(11)

    def decimals(most: int, scale: int, nulls: float = 0.1) -> pa.Array:
        whole = random.integers(-most, most, count).tolist()
        lost = (random.random(count) < nulls).tolist()
        numbers = [
            None if n else Decimal(w).scaleb(-scale) for w, n in zip(whole, lost, strict=True)
        ]
        return pa.array(numbers, pa.decimal128(18, scale))

    return pa.table({
        "quantity": decimals(10**6, 3), "unit_price": decimals(10**7, 4),
        "discount": decimals(10**4, 4), "amount": decimals(10**8, 4, 0.7),
        "receipt_id": pa.array([None if n % 17 == 0 else f"R{n % 700}" for n in range(count)]),
        "line_type": pa.array([("sale", "return", "service", None)[n % 4] for n in range(count)]),
        "n": pa.array(random.integers(-(2**40), 2**40, count)),
    })  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), [
    (SALE_AMOUNT.expression, SALE_AMOUNT.type),
    ("CAST(quantity AS DECIMAL(18, 0))", "DECIMAL(18, 0)"),
    ("CAST(quantity * unit_price AS DECIMAL(9, 2))", "DECIMAL(9, 2)"),  # some do not fit
    ("CASE WHEN line_type = 'sale' THEN quantity WHEN line_type = 'return' THEN -quantity END",
     "DECIMAL(18, 3)"),
    ("CASE WHEN quantity > 10 OR unit_price <= 2 THEN 1 ELSE 0 END", "BIGINT"),
    ("NOT (line_type IN ('sale', 'it''s'))", "BOOLEAN"),
    ("quantity IS NOT NULL AND (amount IS NULL OR n <> 3)", "BOOLEAN"),
    ("n - 2 * (n + 1)", "BIGINT"),
    ("COALESCE(receipt_id, 'none')", "STRING"),
])  # fmt: skip
def test_expressions_give_what_duckdb_gives(sql: Sql, text: str, kind: str) -> None:
    table = lines()
    (expected,) = sql.evaluate(table, [Column("x", text, kind, nullable=True)])
    found = cast(evaluate(parsed(text), table), kind)
    assert found.to_pylist() == expected.to_pylist()
    assert found.null_count < table.num_rows


@pytest.mark.parametrize("pieces", [1, 7])
def test_aggregates_give_what_duckdb_gives(sql: Sql, pieces: int) -> None:
    columns = [
        Column("receipts", "COUNT(DISTINCT receipt_id)", "BIGINT"),
        Column("lines", "COUNT(*)", "BIGINT"),
        Column("known", "COUNT(amount)", "BIGINT"),
        Column("units", "CAST(SUM(quantity) AS DECIMAL(18, 3))", "DECIMAL(18, 3)"),
        Column("net", "CAST(SUM(quantity * unit_price) - SUM(discount) AS DECIMAL(18, 2))",
               "DECIMAL(18, 2)"),
        Column("most", "MAX(amount)", "DECIMAL(18, 4)"),
        Column("first", "MIN(receipt_id)", "STRING"),
        Column("whole", "CAST(SUM(n) AS DECIMAL(38, 0))", "DECIMAL(38, 0)"),
        Column("goods", "SUM(CASE WHEN line_type IN ('sale', 'return') THEN quantity ELSE 0 END)",
               "DECIMAL(38, 3)"),
    ]  # fmt: skip
    table = lines().append_column("window_start", pa.array([0] * 5000))
    window = Window("t", timedelta(hours=1), ("line_type",), tuple(columns), timedelta())
    aggregates = Aggregates(columns, table.schema)
    for group in sql.windows(table, window).to_pylist():
        own = table.filter(
            pa.array([t == group["line_type"] for t in table["line_type"].to_pylist()])
        )
        state = aggregates.nothing()
        step = -(-own.num_rows // pieces)
        for begin in range(0, own.num_rows, step):
            rows = own.slice(begin, step)
            state = aggregates.add(state, aggregates.arguments(rows), rows.num_rows)
        expected = [None if group[c.name] is None else str(group[c.name]) for c in columns]
        assert list(aggregates.result(state)) == expected


@pytest.mark.parametrize(("text", "reason"), [
    ("quantity / 2", "cannot be computed"), ("SQRT(n)", "no function"), ("price", "no column"),
    ("CAST(line_type AS BIGINT)", "no exact CAST"), ("CAST(quantity AS DOUBLE)", "no exact CAST"),
    ("quantity >", "not expected"), ("quantity LIKE 'a'", "end is missing"),
    ("n; DROP", "not understood"), ("line_type + 1", "exact"),
    ("CAST(n AS MONEY)", "MONEY"), ("SUM(quantity)", "cannot be computed for a row"),
])  # fmt: skip
def test_what_cannot_be_lowered_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotLoweredError, match=reason):
        type_of(parsed(text), lines(1).schema)


@pytest.mark.parametrize("text", [
    "quantity", "SUM(CAST(n AS DOUBLE))", "AVG(n)", "SUM(SUM(n))", "COUNT(DISTINCT n, amount)",
    "CAST(COUNT(*) AS STRING)",
])  # fmt: skip
def test_aggregates_that_cannot_be_lowered_are_refused(text: str) -> None:
    with pytest.raises(NotLoweredError):
        Aggregates([Column("x", text, "BIGINT")], lines(1).schema)


def test_a_pipeline_that_cannot_be_lowered_is_refused_before_the_job_is_handed_in() -> None:
    steps = stream_pipelines()["sale"].steps
    window = next(step for step in steps if isinstance(step, Window))

    def changed(new: Window) -> StreamPipeline:
        return StreamPipeline("sale", tuple(new if s is window else s for s in steps))

    FlinkWindow(changed(replace(window, keys=("store", "currency"))))
    for wrong in (
        replace(window, keys=("shop",)),
        replace(window, size=timedelta(microseconds=1500)),
        replace(window, aggregates=(Column("x", "AVG(quantity)", "DOUBLE"),)),
    ):
        with pytest.raises(NotLoweredError):
            FlinkWindow(changed(wrong))
    with pytest.raises(NotLoweredError, match="Dedup"):
        FlinkWindow(StreamPipeline("sale", tuple(s for s in steps if not isinstance(s, Dedup))))


def test_several_keys_and_steps_before_the_window() -> None:
    pipeline = StreamPipeline("sale", (
        Map((SALE_AMOUNT,)), Dedup("event_id"), Emit("silver.sale"),
        Filter("quantity > 0"),
        Window("event_time", timedelta(minutes=30), ("store", "product_id"),
               (Column("units", "CAST(SUM(quantity) AS DECIMAL(18, 3))", "DECIMAL(18, 3)"),),
               timedelta(hours=1)),
        Emit("silver.x"),
    ))  # fmt: skip
    table = events(
        0, sale("a", product_id="P"), sale("b", product_id="Q", quantity="2"),
        sale("c", product_id="P", store="north", quantity="3"),
        sale("d", product_id="P", quantity="4"), sale("e", quantity="-1"),
    )  # fmt: skip
    found = told(table, window=FlinkWindow(pipeline))
    assert {keys: values[0].values for (keys, _), values in found.items()} == {
        '["main", "P"]': ("5.000",), '["main", "Q"]': ("2.000",), '["north", "P"]': ("3.000",),
    }  # fmt: skip
