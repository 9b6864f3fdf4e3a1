"""What can be wrong with a server, a query or a row, in words."""

from __future__ import annotations

from retaild.api import ConfigError, TransientError


class ServerAwayError(TransientError):
    key = "postgresql.away"

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(
            f"The database {server} cannot be read now: {reason}",
            hint="Reading goes on where it stopped.",
        )


class QueryError(ConfigError):
    key = "postgresql.query"

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(
            f"The database {server} refuses the query: {reason}",
            hint="Compare query, columns and user with the database as it is now.",
        )


class CursorError(ConfigError):
    key = "postgresql.cursor"

    def __init__(self, reason: str) -> None:
        super().__init__(reason, hint="Correct `cursor` and `key`, or the query.")


class RowError(ValueError):
    """A row that cannot become an event."""
