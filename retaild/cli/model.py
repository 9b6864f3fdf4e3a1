"""`retaildctl model list|compare|promote|rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.exits import FailedError
from retaild.cli.output import ago, columns, field, print_table
from retaild.cli.session import Session

if TYPE_CHECKING:
    from retaild.runtime.registry import ModelVersion

command = group("List, compare, promote and roll back models.")


def _facts(version: ModelVersion) -> dict[str, Any]:
    facts = {name: getattr(version, name) for name in version.__dataclass_fields__}
    return {**facts, "champion": version.is_champion}


@make(group=command, name="list", help="List model versions, newest first.")
@click.argument("trainer", required=False)
def list_(session: Session, trainer: str | None) -> None:
    from retaild.runtime import registry

    names = [trainer] if trainer else registry.trainers(session.existing)
    rows = [_facts(v) for name in names for v in registry.versions(session.existing, name)]
    table = [
        *columns("name version"),
        ("state", lambda row: "champion" if row["champion"] else ", ".join(row["aliases"])),
        ("created", lambda row: ago(row["created"])),
        ("metric", lambda row: _main_metric(row)),
        ("outcome", field("outcome")),
    ]
    empty = "No model has been trained yet. `retaildctl job run train` trains one."
    session.show({"models": rows}, lambda: print_table(rows, table, empty))


def _main_metric(row: Any) -> str:
    name = row.get("primary_metric") or next(iter(row["metrics"]), "")
    value = row["metrics"].get(name)
    return f"{name} {value:.4g}" if value is not None else ""


@make(
    group=command,
    name="compare",
    help="Compare two versions metric by metric, with the plain baselines. Default: the newest "
    "with the champion.",
)
@click.argument("trainer")
@click.argument("first", type=int, required=False)
@click.argument("second", type=int, required=False)
def compare(session: Session, trainer: str, first: int | None, second: int | None) -> None:
    from retaild.runtime import registry

    known = registry.versions(session.existing, trainer)
    if not known:
        raise FailedError(f"No model of {trainer!r} has been trained yet.")
    best = registry.champion(session.existing, trainer) or known[-1]
    left = registry.version(session.existing, trainer, first) if first else known[0]
    right = registry.version(session.existing, trainer, second) if second else best
    names = sorted(left.metrics.keys() | right.metrics.keys())
    rows = [_compared(name, left, right) for name in names]
    comparable = left.split == right.split
    shown = {"trainer": trainer, "first": left.version, "second": right.version,
             "same_split": comparable, "metrics": rows}  # fmt: skip
    session.show(shown, lambda: _tell(rows, left, right, comparable))


def _compared(name: str, left: ModelVersion, right: ModelVersion) -> dict[str, Any]:
    one, other = left.metrics.get(name), right.metrics.get(name)
    change = None if one is None or not other else (one - other) / abs(other)
    baselines = {base: metrics.get(name) for base, metrics in left.baselines.items()}
    return {"metric": name, "first": one, "second": other, "change": change, "baselines": baselines}


def _tell(
    rows: list[dict[str, Any]], left: ModelVersion, right: ModelVersion, comparable: bool
) -> None:
    bases = sorted({base for row in rows for base in row["baselines"]})
    table = [
        ("metric", field("metric")),
        (f"version {left.version}", field("first")),
        (
            f"version {right.version}" + (" (champion)" if right.is_champion else ""),
            field("second"),
        ),
        ("change", lambda row: "" if row["change"] is None else f"{row['change']:+.1%}"),
        *((base, lambda row, base=base: row["baselines"].get(base)) for base in bases),
    ]
    print_table(rows, table, "Neither has metrics.")
    if not comparable:
        click.echo("They were measured on different splits: compare with care.")


@make(
    group=command, name="promote", help="Make a version the champion. The server follows at once."
)
@click.argument("trainer")
@click.argument("version", type=int)
@click.option("--reason", default="by hand", show_default=True, help="For the record.")
def promote(session: Session, trainer: str, version: int, reason: str) -> int:
    from retaild.runtime import registry

    registry.version(session.existing, trainer, version)  # says at once if there is none
    return _decide(session, "promote", reason, trainer=trainer, version=str(version))


@make(group=command, name="rollback", help="Go back to the champion before the present one.")
@click.argument("trainer")
@click.option("--reason", default="by hand", show_default=True, help="For the record.")
def rollback(session: Session, trainer: str, reason: str) -> int:
    return _decide(session, "rollback", reason, trainer=trainer)


def _decide(session: Session, job: str, reason: str, **chosen: str) -> int:
    from retaild.cli.running import run_job
    from retaild.events.cards import mask
    from retaild.runtime import registry

    arguments = {**chosen, "reason": mask(reason)}

    def champion_now() -> int | None:
        found = registry.champion(session.existing, arguments["trainer"])
        return found.version if found else None

    run = run_job(session, job, arguments, before={"champion": champion_now()})
    if run["state"] != "succeeded":
        raise FailedError(run["error"] or f"It was {run['state']}.", run=run["id"])
    champion = champion_now()
    shown = {"trainer": arguments["trainer"], "champion": champion, "run": run["id"]}
    text = f"The champion of {arguments['trainer']} is now version {champion}."
    session.show(shown, lambda: click.echo(text))
    return 0
