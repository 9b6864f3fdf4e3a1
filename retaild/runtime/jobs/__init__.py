"""The kinds of job, each a function `run(context: JobContext) -> dict` in a module of its own.

Importing this package imports none of them: a job's libraries load in its own process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from retaild.api.errors import RetaildError

if TYPE_CHECKING:
    from retaild.runtime.context import JobContext


@dataclass(frozen=True, slots=True)
class JobKind:
    """Where the work is ("module:function"), what it does, and the arguments it takes."""

    entry: str
    summary: str
    #: Argument -> what it says.
    arguments: tuple[tuple[str, str], ...] = ()

    def load(self) -> Callable[[JobContext], dict[str, Any]]:
        module, _, function = self.entry.partition(":")
        loaded: Callable[[JobContext], dict[str, Any]] = getattr(import_module(module), function)
        return loaded


_TRAINING = (
    ("trainer", "the configured trainer; all of them when left out"),
    ("as_of", "learn as if it were this moment (ISO 8601); the newest event when left out"),
    ("seed", "of all random choices; 7 when left out"),
)
_MODEL = (("trainer", "the configured trainer"), ("reason", "why, for the record"))

JOBS: dict[str, JobKind] = {
    "refresh": JobKind(
        "retaild.runtime.jobs.refresh:run",
        "Gold tables, the server's base, features, training and price proposals, in this order.",
    ),
    "gold": JobKind("retaild.runtime.jobs.gold:run", "Build the gold tables from silver."),
    "features": JobKind(
        "retaild.runtime.jobs.features:run",
        "Register the features and make their newest values servable.",
    ),
    "train": JobKind(
        "retaild.runtime.jobs.train:run",
        "Train a model, judge it, and promote it if it passes.",
        _TRAINING,
    ),
    "promote": JobKind(
        "retaild.runtime.jobs.promote:promote",
        "Make a model version the champion.",
        (*_MODEL, ("version", "the version's number")),
    ),
    "rollback": JobKind(
        "retaild.runtime.jobs.promote:rollback",
        "Go back to the champion before the present one.",
        _MODEL,
    ),
    "materialize": JobKind(
        "retaild.runtime.jobs.materialize:run", "Write the base snapshot that the server starts at."
    ),
    "propose-prices": JobKind(
        "retaild.runtime.jobs.propose_prices:run", "Propose better prices for people to decide on."
    ),
    "publish": JobKind(
        "retaild.runtime.jobs.publish:run",
        "Publish everybody's recommendations and all products to the configured targets.",
    ),
    "compact": JobKind("retaild.runtime.jobs.compact:run", "Compact and vacuum the lake's tables."),
    "trim": JobKind(
        "retaild.runtime.jobs.trim:run", "Remove what retention no longer keeps from log and lake."
    ),
    "quality": JobKind("retaild.runtime.jobs.quality:run", "Check the quality of the data."),
    "backup": JobKind(
        "retaild.runtime.jobs.backup:run",
        "Back up everything into the configured directory, and remove old backups there.",
        (("directory", "where to; the configured one when left out"),),
    ),
    "verify-backup": JobKind(
        "retaild.runtime.jobs.verify_backup:run",
        "Read a backup of the configured directory and compare every byte with its manifest.",
        (("backup", "its name; the newest when left out"),),
    ),
}


class UnknownJobError(RetaildError):
    key = "job.unknown"

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"There is no job {kind!r}.", hint=f"Use one of: {', '.join(sorted(JOBS))}."
        )


class MissingArgumentError(RetaildError):
    key = "job.missing_argument"

    def __init__(self, kind: str, argument: str) -> None:
        super().__init__(
            f"Job {kind!r} needs the argument {argument!r}.",
            hint=f"Add it: `retaildctl job run {kind} --argument {argument}=...`.",
        )


class WrongArgumentError(RetaildError):
    key = "job.wrong_argument"

    def __init__(self, kind: str, argument: str, value: str, wanted: str) -> None:
        super().__init__(
            f"Argument {argument!r} of job {kind!r} is {value!r}, which is not {wanted}.",
            hint="Correct it and run the job again.",
        )


def job_kind(kind: str) -> JobKind:
    """Raises UnknownJobError."""
    try:
        return JOBS[kind]
    except KeyError:
        raise UnknownJobError(kind) from None
