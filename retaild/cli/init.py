"""`retaildctl init`."""

from __future__ import annotations

from pathlib import Path

import click

from retaild.api.errors import RetaildError
from retaild.cli.command import command as make
from retaild.cli.session import Session


class ExistsError(RetaildError):
    key = "init.exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists already.", hint="Edit it, or write anew with --force.")


@make(help="Write a commented configuration into DIRECTORY and make its data directory.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--timezone", default="UTC", show_default=True, help="IANA zone of the shop.")
@click.option("--currency", default="GBP", show_default=True, help="ISO 4217 code.")
@click.option("--store", default="main", show_default=True, help="Which shop of the chain.")
@click.option("--port", type=click.IntRange(1, 65535), default=8470, show_default=True,
              help="Of pages and API.")  # fmt: skip
@click.option("--force", is_flag=True, help="Write over a configuration that is there.")
def command(
    session: Session,
    directory: Path,
    timezone: str,
    currency: str,
    store: str,
    port: int,
    force: bool,
) -> None:
    from retaild.config.sample import sample
    from retaild.config.settings import load_settings
    from retaild.runtime.context import surroundings
    from retaild.runtime.state import State

    path = session.config or directory / "retaild.toml"
    if path.exists() and not force:
        raise ExistsError(path)
    shop = {"timezone": timezone, "currency": currency, "store": store}
    shop |= {"data_dir": str(session.data_option)} if session.data_option else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text("utf-8") if path.exists() else None
    path.write_text(sample({"retaild": shop, "api": {"port": port}}), "utf-8")
    try:
        load_settings(path)
    except RetaildError:
        # An option was wrong: leave things as they were.
        path.write_text(before, "utf-8") if before is not None else path.unlink()
        raise
    _, data = surroundings(path, None)
    State(data.state_db).close()
    made = {"config": path, "data_dir": data.root}
    session.show(made, lambda: _tell(path, data.root))


def _tell(path: Path, data: Path) -> None:
    click.echo(f"Wrote {path}")
    click.echo(f"Made  {data}")
    option = "" if path.resolve() == Path("retaild.toml").resolve() else f" -c {path}"
    click.echo(
        f"Next: `retaildctl{option} run`, and add your tills: see `[source...]` in the file."
    )
