"""`retaildctl demo`."""

from __future__ import annotations

import click

from retaild.cli.command import command as make
from retaild.cli.session import Session


@make(
    json=False,
    help="Run everything on a year of a real shop's till lines: import, lake, training, answers. "
    "It stays up until Ctrl-C.",
)
@click.option("--once", is_flag=True, help="Check its own answers, print a JSON summary, and end.")
@click.option("--port", type=click.IntRange(1, 65535), help="Of pages and API.")
@click.option(
    "--profile", type=click.Choice(["edge", "appliance"]), default="edge", show_default=True,
    help="appliance: with Kafka, Spark, Redis and Elasticsearch, which are fetched once.",
)  # fmt: skip
@click.option(
    "--engine", type=click.Choice(["spark", "flink", "embedded"]), default="spark",
    show_default=True, help="What carries the log to the lake in the appliance.",
)  # fmt: skip
@click.option(
    "--without", default="", metavar="NAMES",
    help="Parts of the appliance to leave out, comma between: kafka, redis, elasticsearch, mllib.",
)  # fmt: skip
@click.option(
    "--with", "extra", default="", metavar="NAMES",
    help="Servers to add to it, comma between: hive, nifi, flume.",
)  # fmt: skip
def command(
    session: Session,
    once: bool,
    port: int | None,
    profile: str,
    engine: str,
    without: str,
    extra: str,
) -> int:
    from importlib import import_module

    # The demo stands above the command line, which it uses as people do: named, not imported.
    run = import_module("retaild.demo").run
    done = run(
        once=once, data=session.data_option, port=port, profile=profile, engine=engine,
        without=without, extra=extra,
    )  # fmt: skip
    return int(done or 0)
