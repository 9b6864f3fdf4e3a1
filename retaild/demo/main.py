"""The demo as a whole: stages, checks, summary."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retaild.config.settings import load_settings
from retaild.demo import stages
from retaild.demo.assumptions import Assumptions
from retaild.demo.checks import Check, Subject, run_checks
from retaild.demo.choice import Choice
from retaild.demo.console import Console
from retaild.demo.footprint import Footprint
from retaild.demo.shop import Shop, free_port
from retaild.runtime.state import State


def main(
    data: Path | None,
    port: int | None,
    *,
    once: bool,
    profile: str = "edge",
    choice: Choice | None = None,
) -> int:
    """Run; 0 if all is right, 1 if a check failed. Errors come as RetaildError."""
    usual = "retaild-demo" if profile == "edge" else f"retaild-{profile}"
    root = data or Path(tempfile.gettempdir()) / usual
    shop, console = Shop(root, free_port(port), profile, choice or Choice()), Console()
    console.say(f"retaild demo: a year of a real shop, in {root}\n")
    try:
        summary, footprint = _run(shop, console)
        if not once:
            _stay(shop, console)
    except KeyboardInterrupt:
        console.say("\nStopping ...")
        shop.stop()
        return 0
    except BaseException:
        shop.stop()
        raise
    for check in _stop(shop, footprint):
        _say_check(console, check)
        summary["checks"].append(_as_json(check))
    summary["memory"] = footprint.summary()
    summary["ok"] = all(check["passed"] for check in summary["checks"])
    print(json.dumps(summary))
    return 0 if summary["ok"] else 1


def _stop(shop: Shop, footprint: Footprint) -> Iterator[Check]:
    footprint.stop()
    footprint.look()
    began = time.monotonic()
    code = shop.stop()
    took = time.monotonic() - began
    yield Check("the daemon stops in order", code == 0, f"exit code {code} after {took:.1f} s")
    left = footprint.alive()
    yield Check("nothing that it started still runs", not left, f"processes left: {left or 'none'}")


def _run(shop: Shop, console: Console) -> tuple[dict[str, Any], Footprint]:
    began = time.monotonic()
    shop.lay_out()
    if shop.profile == "appliance":
        with console.stage("install", "the software of the services"):
            stages.install(shop, console)
        began = time.monotonic()
    with console.stage("start", "daemon started, from an empty directory"):
        footprint = stages.start(shop)
    assumptions = Assumptions.from_settings(load_settings(shop.config).demo)
    with console.stage("import", f"{stages.LINES:,} till lines through the watched folder"):
        stages.take_in_tills(shop, console)
    with console.stage("assumptions", "assumed costs and stock, and a broken export"):
        assumed = stages.take_in_the_rest(shop, assumptions)
    events = _events(shop)
    with console.stage("learn", "gold tables, features, two models, online base, proposals"):
        refreshed = stages.refresh(shop, console)
    with console.stage("answer", "a ranked slate for every customer"):
        base_offset = int(refreshed["steps"]["materialize"]["offset"])
        serving = stages.wait_for_answers(shop, base_offset)
    to_answers = time.monotonic() - began
    console.say(f"\nFrom an empty directory to answers: {to_answers:.1f} s. Checking them:")
    checks = []
    for check in run_checks(Subject(shop, assumed, assumptions)):
        _say_check(console, check)
        checks.append(_as_json(check))
    summary = {
        "profile": shop.profile,
        "seconds_to_answers": round(to_answers, 2),
        "seconds": console.seconds,
        "learning": {k: v.get("seconds") for k, v in refreshed["steps"].items()},
        "events": events,
        "models": _models(shop),
        "customers_with_answers": serving["customers"],
        "addresses": addresses(shop),
        "checks": checks,
    }
    if shop.profile == "appliance":
        summary |= {"engine": shop.choice.engine, "services": _services(shop, footprint)}
    return summary, footprint


def _services(shop: Shop, footprint: Footprint) -> dict[str, Any]:
    """How long each took until it answered, and the most that it took of the memory."""
    from retaild.demo.cluster import figures

    peaks = footprint.summary()["peak_mib_by_process"]
    return {
        name: {
            "start_seconds": own.get("start_seconds"),
            "peak_mib": peaks.get(f"service.{name}"),
        }
        for name, own in figures(shop)
    }


def _events(shop: Shop) -> dict[str, int]:
    """Totals of all doors. What is refused for a card number is a dead letter too (masked)."""
    rows = State(shop.data.state_db).sources()
    dead = sum(row["dead"] for row in rows)
    cards = sum(row["refused_cards"] for row in rows)
    accepted = sum(row["accepted"] for row in rows)
    return {"accepted": accepted, "rejected": cards, "dead_lettered": dead}


def _models(shop: Shop) -> dict[str, Any]:
    return {
        model["name"]: {
            "version": model["versions"][0]["version"],
            "primary_metric": model["primary_metric"],
            "metrics": model["versions"][0]["metrics"],
            "baselines": model["baselines"],
        }
        for model in shop.get("/api/v1/models")["models"]
    }


def addresses(shop: Shop) -> dict[str, str]:
    return {
        "recommendations": f"{shop.url}/recommendations",
        "pricing": f"{shop.url}/pricing",
        "admin": f"{shop.url}/admin",
        "api": f"{shop.url}/api/v1/openapi.json",
        "metrics": f"{shop.url}/metrics",
        "data": str(shop.data.root),
    }


def _stay(shop: Shop, console: Console) -> None:
    """Say where to look, and wait for Ctrl-C. Raises DaemonDiedError if the daemon ends."""
    console.say("\nLook at it:")
    for name, address in addresses(shop).items():
        console.say(f"  {name:16} {address}")
    console.say(f"\n  retaildctl --data {shop.data.root} --config {shop.config} status")
    console.say("\nCtrl-C stops it.")
    while True:
        shop.check_alive()
        time.sleep(0.5)


def _say_check(console: Console, check: Check) -> None:
    console.say(f"  {'✓' if check.passed else '✗'}  {check.name}: {check.detail}")


def _as_json(check: Check) -> dict[str, Any]:
    return {"name": check.name, "passed": check.passed, "detail": check.detail}
