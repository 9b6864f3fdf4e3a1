"""`retaildctl price show|history|what-if|list|propose|approve|reject`."""

from __future__ import annotations

from typing import Any

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.output import cell, columns, print_facts, print_table
from retaild.cli.session import Session

command = group("Look at prices; propose, approve and reject them.")


def _path(product: str, rest: str = "") -> str:
    from retaild.cli.rest_client import segment

    return f"/prices/{segment(product)}{rest}"


@make(group=command, name="show", help="Show a product's price, elasticity and proposal.")
@click.argument("product")
def show(session: Session, product: str) -> None:
    answer = session.api("GET", _path(product))
    session.show(answer, lambda: print_facts(_flat(answer)))


@make(group=command, name="history", help="Show a product's price ledger.")
@click.argument("product")
def history(session: Session, product: str) -> None:
    answer = session.api("GET", _path(product, "/history"))
    session.show(answer, lambda: _tell_history(answer))


def _tell_history(answer: dict[str, Any]) -> None:
    ledger = next((value for value in answer.values() if isinstance(value, list)), [])
    names = " ".join(ledger[0]) if ledger else ""
    print_table(ledger, columns(names), "No price is known of it.")
    print_facts([(key.replace("_", " "), value) for key, value in answer.items()
                 if not isinstance(value, list)])  # fmt: skip


@make(group=command, name="what-if", help="Show what another price would do.")
@click.argument("product")
@click.argument("price", type=float)
def what_if(session: Session, product: str, price: float) -> None:
    answer = session.api("GET", _path(product, "/what-if"), price=price)
    session.show(answer, lambda: print_facts(_flat(answer)))


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested tables as dotted names; lists in a line."""
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(value, dict):
            rows += _flat(value, f"{name}: ")
        elif isinstance(value, list):
            rows.append((name, "; ".join(_sentence(item) for item in value)))
        else:
            rows.append((name, value))
    return rows


def _sentence(item: Any) -> str:
    return str(item.get("sentence") or item) if isinstance(item, dict) else cell(item)


@make(group=command, name="list", help="List price proposals.")
@click.option("--state", default="open", show_default=True, help="Only in this state.",
              type=click.Choice(["open", "approved", "rejected", "expired", "all"]))  # fmt: skip
@click.option("--search", help="Only products whose id or name has this.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="At most so many rows.",
)
def list_(session: Session, state: str, search: str | None, limit: int) -> None:
    chosen = None if state == "all" else state
    answer = session.api("GET", "/price-proposals", state=chosen, q=search, limit=limit)
    rows = answer["proposals"]
    names = "id product_id name current_price proposed_price reason state"
    empty = "There is none. `retaildctl price propose` makes new ones."
    session.show(answer, lambda: print_table(rows, columns(names), empty))


@make(group=command, name="propose", help="Compute new proposals now; open ones are replaced.")
def propose(session: Session) -> int:
    from retaild.cli.job import show_run
    from retaild.cli.running import run_job

    return show_run(session, run_job(session, "propose-prices", {}))


def _decide(session: Session, proposals: tuple[str, ...], verb: str, comment: str | None) -> None:
    from retaild.cli.rest_client import segment
    from retaild.runtime.access.audit import system_name

    body = {"by": system_name(), **({"comment": comment} if comment else {})}
    answers = [
        session.api("POST", f"/price-proposals/{segment(proposal)}/{verb}", body)
        for proposal in proposals
    ]
    done = "approved" if verb == "approve" else "rejected"
    session.show({"proposals": answers}, lambda: click.echo(f"{len(answers)} {done}."))


@make(group=command, name="approve", help="Approve proposals: their prices go into the ledger.")
@click.argument("proposals", nargs=-1, required=True)
@click.option("--comment", help="For the record.")
def approve(session: Session, proposals: tuple[str, ...], comment: str | None) -> None:
    _decide(session, proposals, "approve", comment)


@make(group=command, name="reject", help="Reject proposals.")
@click.argument("proposals", nargs=-1, required=True)
@click.option("--comment", help="For the record.")
def reject(session: Session, proposals: tuple[str, ...], comment: str | None) -> None:
    _decide(session, proposals, "reject", comment)
