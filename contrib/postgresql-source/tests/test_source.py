"""What every source must do (retaild's own suite), and what this one does, on a real server."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import Server
from pydantic import ValidationError
from retaild.api import BuildContext, TransientError
from retaild.testing.source import (
    SourceConformance,
    SourceFactory,
    events_of,
    letters_of,
    read_all,
)

from retaild_postgresql.config import PostgresqlConfig
from retaild_postgresql.errors import CursorError, QueryError
from retaild_postgresql.source import PostgresqlSource

#: Ten lines; the cursor is equal across page ends, and two lines are no sales.
LINES = """INSERT INTO line SELECT n, 100 + n / 3, 'A' || n % 4,
  CASE WHEN n IN (4, 9) THEN NULL ELSE n END, 0.1,
  '2026-01-05 09:00Z'::timestamptz + n / 5 * interval '1 s'
  FROM generate_series(1, 10) n"""
SETTINGS: dict[str, Any] = {
    "host": "127.0.0.1",
    "database": "postgres",
    "user": "shop",
    "password": "s3cret",
    "tls": "prefer",
    "query": "SELECT * FROM line WHERE article LIKE 'A%'",
    "cursor": "sold",
    "key": "id",
    "page_rows": 3,
    "pause_seconds": 0,
    "columns": {
        "receipt_id": "receipt",
        "product_id": "article",
        "quantity": "pieces",
        "unit_price": "price",
        "event_time": "sold",
    },
}


def source(server: Server, **settings: Any) -> PostgresqlSource:
    config = PostgresqlConfig.model_validate({**SETTINGS, "port": server.port, **settings})
    context = BuildContext("shop", Path("state"), Path("lake"), "Europe/Berlin", "EUR")
    return PostgresqlSource(config, context)


class TestSource(SourceConformance):
    @pytest.fixture
    def source_factory(self, table: Server) -> SourceFactory:
        table.run(LINES)
        return lambda: source(table)

    @pytest.fixture
    def input_rows(self) -> int:
        return 10


def articles(server: Server, **settings: Any) -> list[str]:
    found: list[str] = events_of(read_all(source(server, **settings)))["product_id"].to_pylist()
    return found


def sell(server: Server, number: int, article: str = "A1", when: str = "2026-01-05Z") -> None:
    server.run(f"INSERT INTO line VALUES ({number}, 7, '{article}', 1, 0.1, '{when}')")


def test_a_row_becomes_an_event(table: Server) -> None:
    sell(table, 1, when="2026-07-05 09:00+02")
    (batch,) = read_all(source(table))
    (event,) = batch.events.to_pylist()
    assert (event["receipt_id"], event["product_id"]) == ("7", "A1")
    assert (event["unit_price"], event["quantity"]) == (Decimal("0.1000"), Decimal("1.000"))
    assert (event["currency"], event["source"]) == ("EUR", "shop")
    assert event["event_time"].isoformat() == "2026-07-05T07:00:00+00:00"


def test_a_page_may_end_among_equal_cursors(table: Server) -> None:
    for number in range(1, 8):
        sell(table, number, f"A{number}")
    assert articles(table, page_rows=2) == [f"A{number}" for number in range(1, 8)]


def test_equal_lines_are_each_real_and_a_changed_row_is_new(table: Server) -> None:
    sell(table, 1)
    sell(table, 2)
    batches = read_all(source(table))
    table.run("UPDATE line SET sold = sold + interval '1 day' WHERE id = 1")
    batches += read_all(source(table), batches[-1].position)
    ids = events_of(batches)["event_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 3


def test_a_late_commit_is_waited_for(table: Server) -> None:
    """A transaction that began first and commits last: its row has the older cursor."""
    stamp = "INSERT INTO line VALUES ({}, 7, 'A{}', 1, 1, clock_timestamp())"
    reader = source(table, settle_seconds=1.0)
    reader.open(None)
    with table.connect() as slow:
        slow.execute(stamp.format(1, 1))  # type: ignore[arg-type]
        table.run(stamp.format(2, 2))
        assert reader.poll() is None
        slow.commit()
    time.sleep(1.1)
    batch = reader.poll()
    reader.close()
    assert batch is not None
    assert batch.events["product_id"].to_pylist() == ["A1", "A2"]


def test_a_number_as_cursor_settles_by_the_time_it_was_written(table: Server) -> None:
    table.run("INSERT INTO line VALUES (1, 7, 'A1', 1, 1, now())")
    numbered = {"cursor": "id", "written": "sold"}
    assert read_all(source(table, **numbered, settle_seconds=60)) == []
    assert articles(table, **numbered, settle_seconds=0) == ["A1"]
    with pytest.raises(CursorError, match="no time"):
        source(table, cursor="id", written="article").check()


def test_a_wrong_row_is_kept_and_read_after_the_settings_were_mended(table: Server) -> None:
    table.run(LINES)
    letter = letters_of(read_all(source(table)))[0]
    assert letter.place.endswith("id 4")
    assert "quantity" in letter.reason
    mended = {**SETTINGS["columns"], "quantity": {"constant": "1"}}
    again = source(table, columns=mended).parse(letter)
    whole = events_of(read_all(source(table, columns=mended))).to_pylist()
    assert (
        again.events.to_pylist() == [event for event in whole if event["receipt_id"] == "101"][1:2]
    )


def test_a_server_that_restarts_loses_nothing(table: Server) -> None:
    table.run(LINES)
    reader = source(table)
    reader.open(None)
    first = reader.poll()
    assert first is not None
    table.stop()
    with pytest.raises(TransientError):
        reader.poll()
    reader.close()
    with pytest.raises(TransientError, match="goes on where it stopped"):
        reader.open(first.position)
    reader.close()
    table.start()
    rest = read_all(source(table), first.position)
    numbers = events_of([first, *rest])["quantity"].to_pylist()
    assert numbers == [1, 2, 3, 5, 6, 7, 8, 10]


def test_a_changed_table_is_told_in_words(table: Server) -> None:
    table.run(LINES)
    reader = source(table)
    reader.open(None)
    assert reader.poll() is not None
    table.run("ALTER TABLE line RENAME COLUMN article TO item")
    with pytest.raises(QueryError, match='column "article" does not exist'):
        reader.poll()
    reader.close()
    with pytest.raises(QueryError, match="no column 'article'"):
        source(table, query="SELECT * FROM line").check()


def test_a_new_column_disturbs_nobody(table: Server) -> None:
    table.run(LINES)
    reader = source(table, page_rows=1)
    reader.open(None)
    for _ in range(7):
        assert reader.poll() is not None
    table.run("ALTER TABLE line ADD COLUMN remark text")
    assert reader.poll() is not None
    reader.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"query": "SELECT * FROM nowhere"}, '"nowhere" does not exist'),
        ({"query": "SELECT * FROM line)) x; DROP TABLE line; --"}, "refuses the query"),
        ({"cursor": "moment"}, "no column 'moment'"),
        ({"query": "SELECT *, id FROM line"}, "two columns 'id'"),
        ({"query": "WITH gone AS (DELETE FROM line RETURNING *) SELECT * FROM gone"}, "WITH"),
    ],
)
def test_a_query_that_cannot_be(table: Server, settings: dict[str, str], words: str) -> None:
    sell(table, 1)
    with pytest.raises(QueryError, match=words):
        source(table, **settings).check()
    assert articles(table) == ["A1"]


def test_it_can_only_read(table: Server) -> None:
    table.run(
        "CREATE OR REPLACE FUNCTION wipe() RETURNS text LANGUAGE sql AS"
        " $$ DELETE FROM line; SELECT 'A1' $$"
    )
    sell(table, 1)
    with pytest.raises(QueryError, match="read-only"):
        read_all(source(table, query="SELECT *, wipe() FROM line"))
    assert articles(table) == ["A1"]


def test_a_query_that_takes_too_long_is_stopped(table: Server) -> None:
    sell(table, 1)
    slow = source(table, query="SELECT *, pg_sleep(30) FROM line", timeout_seconds=0.3)
    with pytest.raises(TransientError, match="statement timeout"):
        read_all(slow)


def test_a_wrong_password_is_not_repeated(table: Server) -> None:
    with pytest.raises(TransientError, match="password") as failed:
        source(table, password="guessed").check()
    assert "guessed" not in str(failed.value)


def test_another_cursor_than_the_position_s_is_refused(table: Server) -> None:
    table.run(LINES)
    position = read_all(source(table))[0].position
    with pytest.raises(CursorError, match="stopped at sold and id"):
        source(table, cursor="id").open(position)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"query": "DELETE FROM line"}, "one SELECT"),
        ({"columns": {"product_id": "article"}}, "receipt_id"),
        ({"columns": {**SETTINGS["columns"], "price": "price"}}, "no 'price' to fill"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PostgresqlConfig.model_validate({**SETTINGS, **changes})


def test_a_hundred_thousand_rows(table: Server) -> None:
    table.run(
        "INSERT INTO line SELECT n, n / 3, 'A' || n % 999, 1, 0.1,"
        " '2026-01-05Z'::timestamptz + n / 7 * interval '1 s' FROM generate_series(1, 100000) n",
        "CREATE INDEX ON line (sold, id)",
    )
    began = time.monotonic()
    batches = read_all(source(table, page_rows=5000))
    seconds = time.monotonic() - began
    assert sum(batch.events.num_rows for batch in batches) == 100_000
    print(f"{100_000 / seconds:,.0f} rows/s")
