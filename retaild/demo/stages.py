"""The main job, stage by stage, through the doors and buttons that a shop would use."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from retaild.api.errors import RetaildError
from retaild.api.lake import Lake
from retaild.config.settings import load_settings
from retaild.demo.assumptions import AssumedRows, Assumptions, write_assumptions
from retaild.demo.console import Console
from retaild.demo.footprint import Footprint
from retaild.demo.shop import Shop
from retaild.runtime.state import State

#: UCI Online Retail: lines, and the sum of Quantity x UnitPrice (see NOTICE).
LINES = 541_909
PATIENCE = 300.0


class TookTooLongError(RetaildError):
    key = "demo.too_long"

    def __init__(self, what: str, log_dir: Path) -> None:
        super().__init__(
            f"Waited {PATIENCE:.0f} s in vain until {what}.", hint=f"See the logs in {log_dir}."
        )


class RunFailedError(RetaildError):
    key = "demo.run_failed"

    def __init__(self, job: str, error: str, log: Path) -> None:
        super().__init__(f"The job {job} failed: {error}", hint=f"See {log}.")


def till_file() -> Path:
    """The shop's year, as shipped."""
    return Path(str(resources.files("retaild.demo") / "data" / "online_retail.parquet"))


def broken_file() -> Path:
    """An export of seven lines, each wrong in its own way, one with a card number."""
    return Path(str(resources.files("retaild.demo") / "data" / "broken_till_export.csv"))


def wait_until(shop: Shop, what: str, done: Callable[[], bool], pause: float = 0.05) -> None:
    """Raises DaemonDiedError, or TookTooLongError after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        shop.check_alive()
        if time.monotonic() > deadline:
            raise TookTooLongError(what, shop.data.logs)
        time.sleep(pause)


def install(shop: Shop, console: Console) -> None:
    """Fetch the servers of the appliance, once for all demos."""
    from retaild.demo import cluster

    cluster.install(shop, load_settings(shop.config, shop.data.root), console.say)


def start(shop: Shop) -> Footprint:
    """Start the daemon and wait until it answers, and its servers with it; what it takes."""
    footprint = Footprint(shop.start(), lambda: _workers(shop))
    footprint.start()
    wait_until(shop, "the server answered", lambda: shop.answers("/health/live"))
    if shop.profile == "appliance":
        from retaild.demo import cluster

        settings = load_settings(shop.config, shop.data.root)
        wait_until(shop, "every service answered", lambda: cluster.running(shop, settings))
    return footprint


def _workers(shop: Shop) -> dict[str, int | None]:
    if not shop.data.state_db.exists():
        return {}
    return {row["name"]: row["pid"] for row in State(shop.data.state_db).workers()}


def take_in_tills(shop: Shop, console: Console) -> None:
    """Drop the year into the watched folder; done when every line is in silver."""
    shop.put(till_file(), "tills")
    lake = Lake(shop.data.lake)
    wait_until(shop, "all till lines were in the lake", lambda: _progressed(lake, console))


def _progressed(lake: Lake, console: Console) -> bool:
    rows = row_count(lake, "silver.sale")
    console.progress(rows / LINES, f"{rows:,} of {LINES:,} lines in the lake")
    return rows >= LINES


def take_in_the_rest(shop: Shop, assumptions: Assumptions) -> AssumedRows:
    """The assumed costs and stock, and an export that is broken in seven ways."""
    rows = write_assumptions(till_file(), shop.root / "assumed", assumptions)
    _bring_in(shop, "products.csv", "stock.csv")
    shop.put(broken_file(), "tills")
    lake = Lake(shop.data.lake)
    wanted = {"silver.product": rows.products, "silver.stock": rows.stock, "silver.dead_letter": 7}
    wait_until(
        shop,
        "costs, stock and dead letters were in the lake",
        lambda: all(row_count(lake, table) >= count for table, count in wanted.items()),
    )
    return rows


def _bring_in(shop: Shop, products: str, stock: str) -> None:
    """By NiFi and by Flume where these are on; a Flume agent takes lines, and no heading."""
    assumed = shop.root / "assumed"
    shop.put(assumed / products, "nifi" if shop.choice.has("nifi") else "assumption")
    if not shop.choice.has("flume"):
        shop.put(assumed / stock, "assumption")
        return
    lines = assumed / f"lines-{stock}"
    lines.write_text((assumed / stock).read_text("utf-8").partition("\n")[2], "utf-8")
    shop.put(lines, "flume")


def row_count(lake: Lake, table: str) -> int:
    """Rows of a table by its log; 0 if there is none yet."""
    return int(lake.table(table).count()) if lake.exists(table) else 0


def refresh(shop: Shop, console: Console) -> dict[str, Any]:
    """Press the button 'refresh' and follow the run; its result. Raises RunFailedError."""
    run_id = int(shop.post("/api/v1/jobs/refresh/run")["run_id"])
    state = State(shop.data.state_db)
    run: dict[str, Any] = {}

    def finished() -> bool:
        run.update(state.run(run_id) or {})
        console.progress(run.get("progress") or 0.0, run.get("text") or "queued")
        return run.get("state") not in (None, "queued", "running")

    wait_until(shop, "the job refresh was done", finished)
    result: dict[str, Any] = run["result"] or {}
    # A new shop may wait for data; a year of sales is enough for everything.
    if run["state"] != "succeeded" or result.get("waits_for"):
        why = run["error"] or run["text"] or run["state"]
        raise RunFailedError("refresh", why, shop.data.job_log(run_id))
    return result


def wait_for_answers(shop: Shop, base_offset: int) -> dict[str, Any]:
    """Until the server has taken up the new base and the champion, and ranked everyone's slate.

    Returns its figures.
    """
    found: dict[str, Any] = {}

    def ready() -> bool:
        found.update(shop.get("/api/v1/status")["figures"])
        taken_up = found["base_offset"] >= base_offset and found["model_version"] > 0
        return bool(taken_up and found["answers_ready"] >= found["customers"] > 0)

    wait_until(shop, "every customer had an answer", ready)
    return found
