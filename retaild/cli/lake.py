"""`retaildctl lake tables|show|history|export`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.exits import FailedError
from retaild.cli.output import ago, columns, print_table, size
from retaild.cli.session import Session

if TYPE_CHECKING:
    from deltalake import DeltaTable

command = group("Look into the lake's tables, as they are or as they were.")


@make(group=command, name="tables", help="List tables with version, rows and size.")
def tables(session: Session) -> None:
    rows = [_facts(name, session.lake.table(name)) for name in session.lake.names()]
    table = [*columns("table version rows files"), ("size", lambda row: size(row["bytes"])),
             ("changed", lambda row: ago(row["at"]))]  # fmt: skip
    empty = "The lake is empty. Tables come with the first events."
    session.show({"tables": rows}, lambda: print_table(rows, table, empty))


def _facts(name: str, table: DeltaTable) -> dict[str, Any]:
    import pyarrow as pa

    files = pa.table(table.get_add_actions(flatten=True))
    last = table.history(1)
    return {
        "table": name,
        "version": table.version(),
        "rows": sum(n or 0 for n in files["num_records"].to_pylist()),
        "files": files.num_rows,
        "bytes": sum(files["size_bytes"].to_pylist()),
        "at": last[0]["timestamp"] / 1000 if last else None,
    }


_MOMENT_HELP = "As it was at this time (ISO 8601; UTC unless it says otherwise)."


@make(group=command, name="show", help="Show rows of a table, as it is or as it was.")
@click.argument("table")
@click.option("--version", type=click.IntRange(0), help="As it was at this version.")
@click.option("--at", metavar="TIME", help=_MOMENT_HELP)
@click.option(
    "--limit",
    type=click.IntRange(0, 100_000),
    default=10,
    show_default=True,
    help="At most so many rows.",
)
@click.option("--columns", "names", metavar="A,B", help="Only these columns.")
@click.option("--where", metavar="COLUMN=VALUE", multiple=True, help="Only rows with this value.")
def show(
    session: Session,
    table: str,
    version: int | None,
    at: str | None,
    limit: int,
    names: str | None,
    where: tuple[str, ...],
) -> None:
    if version is not None and at is not None:
        raise click.UsageError("State either --version or --at, not both.")
    delta = _as_of(session, table, version, at)
    dataset = delta.to_pyarrow_dataset()
    chosen = _columns(dataset.schema.names, names)
    condition = _condition(dataset.schema, where)
    rows = dataset.head(limit, columns=chosen, filter=condition).to_pylist()
    shown = {"table": table, "version": delta.version(), "rows": rows,
             "total": dataset.count_rows(filter=condition)}  # fmt: skip
    session.show(shown, lambda: _tell(shown, chosen))


def _as_of(session: Session, name: str, version: int | None, at: str | None) -> DeltaTable:
    from deltalake.exceptions import DeltaError

    table = session.lake.table(name)
    moment = _moment(at) if at is not None else None
    hint = f"See `retaildctl lake history {name}`; vacuumed versions are gone."
    if moment is not None and moment.timestamp() * 1000 < table.history()[-1]["timestamp"]:
        raise FailedError(f"{name} did not exist at {moment.isoformat(' ')}.", hint)
    try:
        if version is not None:
            return session.lake.table(name, version)
        if moment is not None:
            table.load_as_version(moment)
    except (DeltaError, OSError, ValueError) as error:
        raise FailedError(f"{name} cannot be read as of then: {error}.", hint) from None
    return table


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a time in ISO 8601.", param_hint="--at"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _columns(known: list[str], names: str | None) -> list[str]:
    chosen = [name.strip() for name in names.split(",")] if names else known
    for name in chosen:
        _known(name, known)
    return chosen


def _known(name: str, known: list[str]) -> None:
    if name not in known:
        from retaild.config.explain import suggestion

        raise click.BadParameter(f"There is no column {name!r}. {suggestion(name, known)}")


def _condition(schema: Any, where: tuple[str, ...]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    condition = None
    for text in where:
        name, _, value = text.partition("=")
        _known(name, schema.names)
        try:
            wanted = pa.scalar(value).cast(schema.field(name).type)
        except pa.ArrowInvalid:
            kind = schema.field(name).type
            raise click.BadParameter(f"{value!r} is no value of {name} ({kind}).") from None
        part = pc.field(name) == wanted
        condition = part if condition is None else condition & part
    return condition


def _tell(shown: dict[str, Any], chosen: list[str]) -> None:
    table = [(name, lambda row, name=name: row[name]) for name in chosen]
    print_table(shown["rows"], table, "No row.")
    click.echo(f"{len(shown['rows'])} of {shown['total']:,} rows of {shown['table']}, "
               f"version {shown['version']}.")  # fmt: skip


@make(group=command, name="history", help="List the versions of a table, newest first.")
@click.argument("table")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="At most so many rows.",
)
def history(session: Session, table: str, limit: int) -> None:
    rows = [_version(entry) for entry in session.lake.table(table).history(limit)]
    shown = {"table": table, "versions": rows}
    session.show(shown, lambda: print_table(
        rows, [*columns("version operation"), ("when", lambda row: ago(row["at"])),
               *columns("rows_added files_added files_removed")], "No version."))  # fmt: skip


def _version(entry: dict[str, Any]) -> dict[str, Any]:
    metrics = entry.get("operationMetrics") or {}

    def number(*names: str) -> int | None:
        found = [metrics[name] for name in names if name in metrics]
        return int(found[0]) if found and str(found[0]).isdigit() else None

    return {
        "version": entry.get("version"),
        "at": entry["timestamp"] / 1000,
        "operation": entry.get("operation"),
        "parameters": entry.get("operationParameters") or {},
        "rows_added": number("num_added_rows"),
        "files_added": number("num_added_files", "numFilesAdded"),
        "files_removed": number("num_removed_files", "numFilesRemoved"),
    }


@make(
    group=command, name="export",
    help="Write a table's rows to FILE: .csv, .jsonl or .parquet. In CSV, texts that a spreadsheet "
    "would run as a formula get an apostrophe before them.",
)  # fmt: skip
@click.argument("table")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--version", type=click.IntRange(0), help="As it was at this version.")
@click.option("--at", metavar="TIME", help=_MOMENT_HELP)
@click.option("--columns", "names", metavar="A,B", help="Only these columns.")
@click.option("--where", metavar="COLUMN=VALUE", multiple=True, help="Only rows with this value.")
@click.option("--raw", is_flag=True, help="Texts as they are, also those that begin like formulas.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def export(
    session: Session, table: str, file: Path, names: str | None, where: tuple[str, ...],
    raw: bool, force: bool, **moment: Any,
) -> None:  # fmt: skip
    from retaild.cli.lake_export import WRITERS

    if file.suffix not in WRITERS:
        raise click.BadParameter(f"{file.name} does not end in {', '.join(WRITERS)}.")
    if file.exists() and not force:
        raise FailedError(f"{file} is there already.", "Name another file, or add --force.")
    if moment["version"] is not None and moment["at"] is not None:
        raise click.UsageError("State either --version or --at, not both.")
    delta = _as_of(session, table, moment["version"], moment["at"])
    dataset = delta.to_pyarrow_dataset()
    scanner = dataset.scanner(
        columns=_columns(dataset.schema.names, names), filter=_condition(dataset.schema, where)
    )
    rows = WRITERS[file.suffix](file, scanner.projected_schema, scanner.to_batches(), raw=raw)
    shown = {"table": table, "version": delta.version(), "rows": rows, "file": file}
    session.show(shown, lambda: click.echo(f"Wrote {rows:,} rows of {table} to {file}."))
