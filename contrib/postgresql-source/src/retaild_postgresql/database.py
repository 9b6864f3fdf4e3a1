"""The connection: read-only, one page at a time, by keyset (cursor, key)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.errors import (
    AdminShutdown,
    CannotConnectNow,
    CrashShutdown,
    IdleInTransactionSessionTimeout,
    QueryCanceled,
    ReadOnlySqlTransaction,
)

from retaild_postgresql.config import PostgresqlConfig
from retaild_postgresql.errors import CursorError, QueryError, ServerAwayError

#: Faults of a moment, whatever their class: the server restarts, is busy, or takes too long.
_PASSING = (
    AdminShutdown, CrashShutdown, CannotConnectNow, QueryCanceled, IdleInTransactionSessionTimeout,
)  # fmt: skip

#: Faults of the query: it stays wrong until somebody mends it or the database.
_LASTING = (
    psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError, ReadOnlySqlTransaction,
)  # fmt: skip

Row = tuple[Any, ...]


class Database:
    def __init__(self, config: PostgresqlConfig) -> None:
        self._config = config
        self.name = f"{config.database} on {config.host}:{config.port}"
        self._connection: psycopg.Connection[Row] | None = None
        self._clock = ""

    def open(self) -> None:
        """Connect, and look at the query's columns. Raises ServerAwayError, QueryError."""
        config = self._config
        password = config.password.get_secret_value() if config.password else None
        try:
            self._connection = psycopg.connect(
                host=config.host, port=config.port, dbname=config.database, user=config.user,
                password=password, sslmode=config.tls, connect_timeout=10,
                sslrootcert=self._authorities(), application_name="retaild",
                options="-c default_transaction_read_only=on -c TimeZone=UTC "
                f"-c statement_timeout={int(config.timeout_seconds * 1000)} "
                "-c idle_in_transaction_session_timeout=60000 -c lock_timeout=10000",
                # A plan that is kept would break when the table gets a column.
                autocommit=True, prepare_threshold=None,
            )  # fmt: skip
        except psycopg.OperationalError as error:
            raise ServerAwayError(self.name, words(error)) from None
        self._clock = self._settling()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def explain(self) -> None:
        """The server plans a page, so that names, types and rights are known to be good."""
        self._executed(sql.SQL("EXPLAIN ") + self._page_query(None), ())

    def page(self, after: Sequence[Any] | None) -> list[dict[str, Any]]:
        """The next rows in the order of cursor and key; `after` is the last row's pair.

        Raises ServerAwayError for what passes, QueryError for what does not.
        """
        cursor = self._executed(self._page_query(after), tuple(after or ()))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _settling(self) -> str:
        """The column that says how old a row is, if there is one. Raises QueryError."""
        query = sql.SQL("SELECT * FROM ({}) AS source LIMIT 0").format(self._query())
        cursor = self._executed(query, ())
        columns = [column.name for column in cursor.description or ()]
        config = self._config
        mapped = [column for column in config.columns.values() if isinstance(column, str)]
        for name in filter(None, (config.cursor, config.key, config.written, *mapped)):
            if name not in columns:
                found = ", ".join(columns)
                raise QueryError(self.name, f"it gives no column {name!r}; it gives {found}.")
        for name in (name for name in columns if columns.count(name) > 1):
            raise QueryError(self.name, f"it gives two columns {name!r}.")
        times = {column.name for column in cursor.description or () if _is_time(column)}
        if config.written and config.written not in times:
            raise CursorError(f"`written` names {config.written!r}, which is no time.")
        return config.written or (config.cursor if config.cursor in times else "")

    def _page_query(self, after: Sequence[Any] | None) -> sql.Composed:
        cursor, key = sql.Identifier(self._config.cursor), sql.Identifier(self._config.key)
        where = [sql.SQL("{} IS NOT NULL").format(cursor)]
        if after is not None:
            where.append(sql.SQL("({}, {}) > (%s, %s)").format(cursor, key))
        if self._clock and self._config.settle_seconds > 0:
            # The server's clock: it also wrote the rows.
            lag = sql.Literal(f"{self._config.settle_seconds} seconds")
            old = sql.SQL("{} < now() - {}::interval").format(sql.Identifier(self._clock), lag)
            where.append(old)
        return sql.SQL("SELECT * FROM ({}) AS source WHERE {} ORDER BY {}, {} LIMIT {}").format(
            self._query(), sql.SQL(" AND ").join(where), cursor, key,
            sql.Literal(self._config.page_rows),
        )  # fmt: skip

    def _query(self) -> sql.Composable:
        # As literal text of the configuration: a % in it is no placeholder.
        return sql.SQL(self._config.query.replace("%", "%%"))

    def _executed(self, query: sql.Composed, values: tuple[Any, ...]) -> psycopg.Cursor[Row]:
        connection = self._connection
        if connection is None or connection.closed:
            raise ServerAwayError(self.name, "the connection was lost.")
        try:
            return connection.execute(query, values)
        except _PASSING as error:
            raise ServerAwayError(self.name, words(error)) from None
        except _LASTING as error:
            raise QueryError(self.name, words(error)) from None
        except psycopg.Error as error:
            raise ServerAwayError(self.name, words(error)) from None

    def _authorities(self) -> str | None:
        if self._config.ca_file is not None:
            return str(self._config.ca_file)
        return "system" if self._config.tls == "verify-full" else None


def _is_time(column: psycopg.Column) -> bool:
    types = psycopg.postgres.types
    return column.type_code in {types[n].oid for n in ("timestamp", "timestamptz", "date")}


def words(error: psycopg.Error) -> str:
    """The server's first line, as a sentence; it repeats no password."""
    text = error.diag.message_primary or str(error).strip().partition("\n")[0]
    return f"{' '.join(text.split()).rstrip('.')}."


def kept(value: Any) -> dict[str, str | int]:
    """A cursor or key as JSON that gives exactly the same value back; raises CursorError."""
    if isinstance(value, bool) or value is None:
        raise CursorError(f"A cursor or key is {value!r}.")
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    if isinstance(value, int):
        return {"number": value}
    if isinstance(value, Decimal) and value.is_finite():
        return {"decimal": str(value)}
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, UUID):
        return {"uuid": str(value)}
    raise CursorError(f"A {type(value).__name__} cannot be a cursor or key.")


def restored(told: dict[str, Any]) -> Any:
    """The value that `kept` kept."""
    ((kind, value),) = told.items()
    made: dict[str, Any] = {
        "time": datetime.fromisoformat, "date": date.fromisoformat, "number": int,
        "decimal": Decimal, "text": str, "uuid": UUID,
    }  # fmt: skip
    return made[kind](value)
