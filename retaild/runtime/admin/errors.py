"""Errors of the admin calls."""

from __future__ import annotations

from retaild.api.errors import RetaildError


class UnknownRunError(RetaildError):
    key = "run.unknown"

    def __init__(self, run_id: int) -> None:
        super().__init__(
            f"There is no job run {run_id}.", hint="`retaildctl job history` lists the runs."
        )


class UnknownModelError(RetaildError):
    key = "model.unknown"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no trainer {name!r}.", hint="`retaildctl model list` names them."
        )


class UnknownDeadLetterError(RetaildError):
    key = "dead_letter.unknown"

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"There is no dead letter {event_id!r}.",
            hint="`retaildctl deadletter list` shows them; new ones come within seconds.",
        )


class UnknownLogError(RetaildError):
    key = "log.unknown"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no log {name!r}.", hint="GET /api/v1/logs names those there are."
        )
