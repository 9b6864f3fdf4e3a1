"""The demo checks its own answers, each against something worked out another way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from retaild.api.lake import Lake
from retaild.config.settings import load_settings
from retaild.demo import cluster
from retaild.demo.assumptions import AssumedRows, Assumptions
from retaild.demo.shop import Shop
from retaild.demo.stages import LINES, broken_file

#: Sum of Quantity x UnitPrice over all lines, as published (see NOTICE).
TOTAL = Decimal("9747747.934")
#: The card number in the broken export: a scheme's test number. It may be found nowhere.
CANARY = b"4111111111111111"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What the checks look at."""

    shop: Shop
    assumed: AssumedRows
    assumptions: Assumptions

    @property
    def lake(self) -> Lake:
        return Lake(self.shop.data.lake)

    def query(self, sql: str, *tables: str) -> list[tuple[Any, ...]]:
        """Ask DuckDB; tables `silver.sale` are written `silver_sale`."""
        import duckdb

        with duckdb.connect() as connection:
            for table in tables:
                connection.register(table.replace(".", "_"), self.lake.dataset(table))
            return connection.execute(sql).fetchall()


def run_checks(subject: Subject) -> Iterator[Check]:
    """Every check in turn; one that raises has failed with what it said."""
    asked: list[tuple[str, Callable[[], Outcome]]] = [
        (name, partial(check, subject)) for name, check in CHECKS.items()
    ]
    if subject.shop.profile == "appliance":
        asked += list(cluster.checks(subject.shop))
    for name, ask in asked:
        try:
            passed, detail = ask()
        except Exception as error:
            passed, detail = False, f"{type(error).__name__}: {error}"
        yield Check(name, passed, detail)


Outcome = tuple[bool, str]


def every_line_is_there_once(subject: Subject) -> Outcome:
    ((lines, ids),) = subject.query(
        "SELECT count(*), count(DISTINCT event_id) FROM silver_sale", "silver.sale"
    )
    return lines == ids == LINES, f"{lines:,} lines, {ids:,} different ids"


def the_sum_is_right_to_the_penny(subject: Subject) -> Outcome:
    ((total,),) = subject.query("SELECT sum(amount) FROM silver_sale", "silver.sale")
    return total == TOTAL, f"{total:,} (published: {TOTAL:,})"


def importing_again_adds_nothing(subject: Subject) -> Outcome:
    """The same year once more, under another name: read to the end, and not a line more."""
    from retaild.demo.stages import till_file, wait_until

    shop = subject.shop
    before = _source(shop, "tills")["accepted"]
    shop.put(till_file(), "tills", name="the_same_year_again.parquet")
    wait_until(
        shop,
        "the year had been read again",
        lambda: _source(shop, "tills")["accepted"] - before >= LINES and _lag(shop) == 0,
    )
    return every_line_is_there_once(subject)


def broken_lines_are_kept_with_their_reasons(subject: Subject) -> Outcome:
    rows = subject.query(
        "SELECT reason_key, reason, raw FROM silver_dead_letter", "silver.dead_letter"
    )
    lines = broken_file().read_bytes().splitlines()[1:]
    kept = sum(any(line in bytes(raw) for _, _, raw in rows) for line in lines)
    # The line with the card number is kept too, but masked.
    passed = len(rows) == len(lines) and kept == len(lines) - 1 and all(r for _, r, _ in rows)
    return passed, f"{len(rows)} dead letters, {kept} with their very bytes, 1 masked"


def the_card_number_is_nowhere(subject: Subject) -> Outcome:
    found = [
        str(path.relative_to(subject.shop.data.root))
        for path in subject.shop.data.root.rglob("*")
        if path.is_file() and _holds_card(path)
    ]
    return not found, f"found in {found}" if found else "in no file below the data directory"


def _holds_card(path: Path) -> bool:
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # compaction may take a file away meanwhile
        return False
    return CANARY in data.replace(b" ", b"").replace(b"-", b"")


def models_beat_the_baselines(subject: Subject) -> Outcome:
    """Of each trainer that ships with the edge; what the appliance adds is looked at there."""
    said, passed = [], True
    models = {model["name"]: model for model in subject.shop.get("/api/v1/models")["models"]}
    for name in ("recommender", "price"):
        model = models[name]
        champion = next(v for v in model["versions"] if v["role"] == "champion")
        metric = model["primary_metric"]
        value = champion["metrics"][metric]
        best = (max if model["greater_is_better"] else min)(
            metrics[metric] for metrics in model["baselines"].values()
        )
        passed &= value > best if model["greater_is_better"] else value < best
        said.append(f"{name}: {metric} {value:.4f}, best plain baseline {best:.4f}")
    return passed, "; ".join(said)


def nobody_is_offered_what_is_sold_out(subject: Subject) -> Outcome:
    rows = subject.query(
        "SELECT DISTINCT customer_id FROM silver_sale WHERE customer_id IS NOT NULL "
        "ORDER BY customer_id",
        "silver.sale",
    )
    asked, offered, empty = 0, set[str](), 0
    for (customer,) in rows[::10]:
        slate = subject.shop.get(f"/api/v1/customers/{customer}/recommendations?count=10")
        products = [r["product_id"] for r in slate["recommendations"]]
        asked += 1
        empty += not products
        offered.update(products)
    wrong = offered & subject.assumed.sold_out
    detail = f"{asked} customers asked, {len(offered)} products offered, {len(wrong)} sold out"
    return asked > 400 and not wrong and not empty, detail


def an_event_changes_the_next_answer(subject: Subject) -> Outcome:
    """Someone puts the first recommendation into the basket: it goes, others come."""
    shop, customer = subject.shop, "12748"
    path = f"/api/v1/customers/{customer}/recommendations?count=10"
    before = [r["product_id"] for r in shop.get(path)["recommendations"]]
    event = {
        "family": "activity",
        "event_id": "demo-basket-1",
        "action": "basket_add",
        "customer_id": customer,
        "product_id": before[0],
    }
    accepted = shop.post("/api/v1/events", event)
    began = time.perf_counter()
    after = [r["product_id"] for r in shop.get(path)["recommendations"]]
    milliseconds = (time.perf_counter() - began) * 1000
    passed = accepted["accepted"] == 1 and before[0] not in after and before != after
    return passed, f"changed in the first answer after the 202, {milliseconds:.1f} ms later"


def every_proposal_keeps_the_rules(subject: Subject) -> Outcome:
    """Worked out again from the rows: no step too wide, and enough left over the assumed cost.

    A price that is too low today may take more than one step to get there: then it must rise.
    """
    answer = subject.shop.get("/api/v1/price-proposals?state=open&limit=500")
    costs = dict(
        subject.query("SELECT product_id, unit_cost FROM silver_product", "silver.product")
    )
    rules = load_settings(subject.shop.config).trainer["price"].settings["rules"]
    floor, up, down = (
        Decimal(str(rules[name])) for name in ("margin_floor", "max_increase", "max_decrease")
    )
    wrong = []
    for p in answer["proposals"]:
        price, current = Decimal(str(p["proposed_price"])), Decimal(str(p["current_price"]))
        enough = 1 - costs[p["product_id"]] / price >= floor or price > current
        if not enough or price == current or not 1 - down <= price / current <= 1 + up:
            wrong.append(f"{p['product_id']}: {current} -> {price}")
    checked = len(answer["proposals"])
    return checked > 0 and not wrong, f"{checked} open proposals checked, wrong: {wrong or 'none'}"


def an_approved_price_is_the_price(subject: Subject) -> Outcome:
    shop = subject.shop
    (proposal, *_) = shop.get("/api/v1/price-proposals?state=open&limit=1")["proposals"]
    product, wanted = proposal["product_id"], Decimal(str(proposal["proposed_price"]))
    shop.post(f"/api/v1/price-proposals/{proposal['id']}/approve", {"by": "demo"})
    price = Decimal(str(shop.get(f"/api/v1/prices/{product}")["price"]))
    ledger = shop.get(f"/api/v1/prices/{product}/history")
    listed = any(Decimal(str(entry["price"])) == wanted for entry in ledger["ledger"])
    return price == wanted and listed, f"{product} now costs {price}, and the ledger says so"


def the_pages_answer(subject: Subject) -> Outcome:
    sizes = {
        path: len(subject.shop.get(path).encode())
        for path in ("/recommendations", "/recommendations/12748", "/pricing", "/admin")
    }
    worst = max(sizes.values())
    return worst < 100_000, f"{len(sizes)} pages, the largest {worst / 1000:.0f} kB"


def _source(shop: Shop, name: str) -> dict[str, Any]:
    from retaild.runtime.state import State

    return next(row for row in State(shop.data.state_db).sources() if row["instance"] == name)


def _worker(shop: Shop, name: str) -> dict[str, Any]:
    workers = shop.get("/api/v1/status")["workers"]
    figures: dict[str, Any] = next(w["figures"] for w in workers if w["name"] == name)
    return figures


def _lag(shop: Shop) -> float:
    return float(_worker(shop, "stream")["lag_rows"])


CHECKS: dict[str, Callable[[Subject], Outcome]] = {
    "every line is there once": every_line_is_there_once,
    "the sum is right to the penny": the_sum_is_right_to_the_penny,
    "broken lines are kept with their reasons": broken_lines_are_kept_with_their_reasons,
    "the card number is nowhere": the_card_number_is_nowhere,
    "models beat the plain baselines": models_beat_the_baselines,
    "nobody is offered what is sold out": nobody_is_offered_what_is_sold_out,
    "an event changes the next answer": an_event_changes_the_next_answer,
    "every price proposal keeps the rules": every_proposal_keeps_the_rules,
    "an approved price is the price": an_approved_price_is_the_price,
    "the pages answer": the_pages_answer,
    "importing the year again adds nothing": importing_again_adds_nothing,
}
