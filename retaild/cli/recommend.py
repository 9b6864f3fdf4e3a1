"""`retaildctl recommend`."""

from __future__ import annotations

from typing import Any

import click

from retaild.cli.command import command as make
from retaild.cli.output import columns, print_table
from retaild.cli.session import Session


@make(
    help="""Recommend products for CUSTOMER, or for a basket (--basket, several times).

\b
retaildctl recommend 17850
retaildctl recommend --basket 85123A --basket 22423:2
"""
)
@click.argument("customer", required=False)
@click.option("--basket", "items", multiple=True, metavar="PRODUCT[:QUANTITY]",
              help="A product in the basket.")  # fmt: skip
@click.option("--count", type=click.IntRange(1, 100), help="How many; default: as configured.")
def command(
    session: Session, customer: str | None, items: tuple[str, ...], count: int | None
) -> None:
    from retaild.cli.rest_client import segment

    if customer is None and not items:
        raise click.UsageError("Name a CUSTOMER, or products with --basket.")
    if items:
        body: dict[str, Any] = {"items": [_item(text) for text in items]}
        body |= {"customer_id": customer} if customer else {}
        body |= {"count": count} if count else {}
        answer = session.api("POST", "/recommendations/basket", body)
    else:
        path = f"/customers/{segment(customer or '')}/recommendations"
        answer = session.api("GET", path, count=count)
    session.show(answer, lambda: _tell(answer))


def _item(text: str) -> dict[str, Any]:
    product, _, quantity = text.rpartition(":")
    if not product:
        return {"product_id": text, "quantity": 1}
    try:
        return {"product_id": product, "quantity": float(quantity)}
    except ValueError:
        return {"product_id": text, "quantity": 1}


def _tell(answer: dict[str, Any]) -> None:
    rows = answer["recommendations"]
    table = [
        *columns("rank product_id name category"),
        (
            "price",
            lambda row: f"{row['price']:.2f} {row.get('currency') or ''}" if row["price"] else "",
        ),
        ("because", lambda row: row["reason"]),
    ]
    print_table(rows, table, "Nothing can be recommended yet: no model, or nothing offerable.")
    if rows:
        click.echo(f"Model version {answer.get('model_version') or '-'}.")
